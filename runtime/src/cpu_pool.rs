//! CPU work (decode, encode, scan, aggregate) runs here, apart from the tokio workers that do I/O.
//!
//! async caller ─▶ permit (bounded) ─▶ rayon thread ─▶ oneshot ─▶ async caller

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

/// A bounded pool of threads for CPU work.
#[derive(Debug, Clone)]
pub struct CpuPool {
    threads: Arc<rayon::ThreadPool>,
    permits: Arc<Semaphore>,
}

/// The pool has as many jobs under way as its bound allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all workers are busy")]
pub struct Busy;

impl CpuPool {
    /// A pool of `threads` threads that takes at most `jobs_max` jobs at once (running or waiting for a thread).
    pub fn new(name: &'static str, threads: usize, jobs_max: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |i| format!("{name}-{i}"))
            .build()
            .expect("the operating system grants a handful of threads at start");
        Self { threads: Arc::new(pool), permits: Arc::new(Semaphore::new(jobs_max)) }
    }

    /// Runs `job` on the pool, waiting for room.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        self.dispatch(job, permit).await
    }

    /// Runs `job` on the pool, or says at once that there is no room.
    pub async fn try_run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Busy)?;
        Ok(self.dispatch(job, permit).await)
    }

    /// Runs `job` inside the pool and blocks the calling thread, so that rayon's parallel iterators in it use
    /// this pool. Not for async callers.
    pub fn install<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.threads.install(job)
    }

    async fn dispatch<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) -> T {
        let (done, result) = oneshot::channel();
        self.threads.spawn(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            drop(permit);
            // The caller may have gone away (its client left): then nobody wants the result.
            drop(done.send(outcome));
        });
        match result.await.expect("the job sends its outcome even when it panics") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_full_pool_says_so() {
        let pool = CpuPool::new("test", 1, 1);
        let (release, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let mut running = JoinSet::new();
        running.spawn({
            let pool = pool.clone();
            async move { pool.run(move || wait.recv()).await }
        });
        while pool.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.try_run(|| 1).await, Err(Busy));
        release.send(()).expect("the job waits");
        running.join_next().await.expect("one job").expect("no panic").expect("released");
        assert_eq!(pool.run(|| 2).await, 2);
    }

    #[tokio::test]
    async fn a_panicking_job_frees_its_place() {
        let pool = CpuPool::new("test", 1, 1);
        let mut panicking = JoinSet::new();
        panicking.spawn({
            let pool = pool.clone();
            async move { pool.run(|| panic!("on purpose")).await }
        });
        assert!(panicking.join_next().await.expect("one job").is_err());
        assert_eq!(pool.try_run(|| 3).await, Ok(3));
    }
}
