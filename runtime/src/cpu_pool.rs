//! CPU work (decode, encode, scan, aggregate) runs here, apart from the tokio workers that do I/O.
//!
//! async caller ─▶ place (bounded) ─▶ turn (one a thread) ─▶ blocking thread ─▶ async caller
//!
//! A job may hold a lock and split its work with rayon meanwhile, since it does not run on a rayon thread: one of those
//! takes up other jobs while it waits for its parts, and the other job may want the same lock.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

/// A bounded share of the machine for CPU work.
#[derive(Debug, Clone)]
pub struct CpuPool {
    name: &'static str,
    threads: usize,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The pool has as many jobs under way as its bound allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all workers are busy")]
pub struct Busy;

impl CpuPool {
    /// A pool that runs `threads` jobs at once and takes at most `jobs_max` (running or waiting for their turn).
    pub fn new(name: &'static str, threads: usize, jobs_max: usize) -> Self {
        let bound = |n| Arc::new(Semaphore::new(n));
        Self { name, threads, places: bound(jobs_max), turns: bound(threads) }
    }

    /// Runs `job` on the pool, waiting for room. Dropping the future gives a job up that has not begun.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        self.take_turn(job, place).await
    }

    /// Runs `job` on the pool, or says at once that there is no room.
    pub async fn try_run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        Ok(self.take_turn(job, place).await)
    }

    /// Jobs that run at this moment.
    pub fn running(&self) -> usize {
        self.threads - self.turns.available_permits()
    }

    #[expect(clippy::disallowed_methods, reason = "the task ends with its caller, who is somebody's task")]
    async fn take_turn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
        place: OwnedSemaphorePermit,
    ) -> T {
        let (turns, pool) = (Arc::clone(&self.turns), self.name);
        // A task of its own: a free thread must not stay idle until the caller, who may be folding what earlier jobs
        // gave, is polled again.
        let queued = AbortOnDropHandle::new(tokio::spawn(async move {
            let turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            tokio::task::spawn_blocking(move || {
                // Held by the job itself: its caller may go away (a client that left) while it runs.
                let _held = (place, turn);
                tracing::trace!(pool, "job begins");
                job()
            })
            .await
        }));
        match queued.await.and_then(|done| done) {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
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
        while pool.running() == 0 {
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
