//! Async CPU work (SQL plans: streams that compute for long between two awaits) on threads of its own.
//!
//! caller ─▶ job or stream on a worker ─▶ bounded channel ─▶ caller
//!
//! A plan that never awaits holds one of these threads, never one that answers requests: its caller is told when the
//! time is over, and the work ends at its next await. Plain functions run on [`CpuPool`](crate::CpuPool) instead.

use std::fmt;
use std::future::Future;
use std::pin::pin;

use futures::stream::{Stream, StreamExt, poll_fn};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// A tokio runtime apart from the one that does I/O for requests.
pub struct Workers {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

impl Workers {
    pub fn new(name: &'static str, threads: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()
            .expect("the operating system grants a handful of threads at start");
        Self { runtime: Some(runtime) }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("there until it is dropped")
    }

    /// Runs a job here. Dropping the future gives the job up at its next await.
    pub async fn run<T: Send + 'static>(&self, job: impl Future<Output = T> + Send + 'static) -> T {
        match AbortOnDropHandle::new(self.runtime().spawn(job)).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Polls a stream here, at most `ahead` items ahead of its reader. Dropping the reader gives the stream up.
    pub fn stream<T, S>(&self, stream: S, ahead: usize) -> impl Stream<Item = T> + Send + use<T, S>
    where
        T: Send + 'static,
        S: Stream<Item = T> + Send + 'static,
    {
        let (sender, mut receiver) = mpsc::channel(ahead);
        let polling = AbortOnDropHandle::new(self.runtime().spawn(async move {
            let mut stream = pin!(stream);
            while let Some(item) = stream.next().await {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        }));
        poll_fn(move |cx| {
            // The task lives as long as its reader.
            let _reading = &polling;
            receiver.poll_recv(cx)
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Not by waiting: the last owner may be an async task, which must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn items_come_in_order() {
        let workers = Workers::new("test", 1);
        let items: Vec<u32> = workers.stream(futures::stream::iter(0..100), 2).collect().await;
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_that_never_awaits_does_not_hold_its_caller() {
        let workers = Workers::new("test", 1);
        let (release, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let endless = workers.run(async move { wait.recv() });
        assert!(tokio::time::timeout(Duration::from_millis(10), endless).await.is_err());
        release.send(()).expect("it waits");
        assert_eq!(workers.run(async { 7 }).await, 7);
    }
}
