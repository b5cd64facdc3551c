//! The bounds of a query: time, memory, series, points, and how many run at once.
//!
//! A [`Budget`] is the memory of one query. Whatever a query keeps is taken from it first and given back by drop, so a
//! query that would outgrow its limit is refused with what would be possible, and takes nobody else's memory.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::Notify;

use crate::error::QueryError;

/// The bounds of each query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Memory that one query may hold, in bytes.
    pub memory_bytes: u64,
    /// How long a query may take, the sending of a SQL result included.
    pub timeout: Duration,
    /// Series that one query may match.
    pub series_max: usize,
    /// Points that one answer may hold (REST; a SQL result is streamed).
    pub points_max: u64,
    /// Queries under way at once; the next is told to come again.
    pub concurrent_max: usize,
    /// PromQL queries that may wait for their turn; the next is told to come again.
    pub waiting_max: usize,
    /// Samples that a PromQL query may hold at once, as Prometheus counts them.
    pub samples_max: usize,
    /// Threads that PromQL is evaluated on, of all queries together.
    pub threads: usize,
    /// Queries that take as long are logged; zero: all are.
    pub slow_query: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            timeout: Duration::from_secs(30),
            series_max: 500_000,
            points_max: 10_000_000,
            concurrent_max: 64,
            waiting_max: 1_024,
            samples_max: 50_000_000,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            slow_query: Duration::from_secs(1),
        }
    }
}

/// The memory of one query.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// An empty share of the budget, to be grown.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limit {
            return Ok(());
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Err(QueryError::TooLarge(format!(
            "the query needs more than {} KiB of memory (limits.query_memory): ask for fewer series, a shorter range \
             or a coarser granularity",
            self.limit >> 10
        )))
    }
}

/// What one holder has taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    /// Takes `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), QueryError> {
        let bytes = bytes as u64;
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes or gives back what is missing to `bytes`.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), QueryError> {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Tells the work of a query on other threads that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Stopped>);

#[derive(Debug, Default)]
struct Stopped {
    is_set: AtomicBool,
    set: Notify,
}

/// Sets its [`Stop`] when dropped, as a future is when it times out or its client leaves.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Stop);

impl Stop {
    pub(crate) fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// An error once the query was given up; to be asked between pieces of work.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.0.is_set.load(Ordering::Acquire) { Err(given_up()) } else { Ok(()) }
    }

    /// Does some work unless the query is given up meanwhile.
    pub(crate) async fn unless_set<T>(
        &self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let set = pin!(async {
            let set = self.0.set.notified();
            // Set before anybody listened, or told to whoever does.
            if self.check().is_ok() {
                set.await;
            }
        });
        match select(pin!(work), set).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => Err(given_up()),
        }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.is_set.store(true, Ordering::Release);
        self.0.0.set.notify_waiters();
    }
}

fn given_up() -> QueryError {
    QueryError::internal("the query was given up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_dropped() {
        let budget = Budget::new(100);
        let mut share = budget.share();
        share.grow(80).expect("fits");
        assert!(budget.share().grow(21).is_err());
        share.resize(10).expect("smaller");
        budget.share().grow(90).expect("fits again");
        drop(share);
        budget.share().grow(100).expect("all of it");
    }

    #[test]
    fn work_stops_when_its_query_is_dropped() {
        let stop = Stop::default();
        let guard = stop.on_drop();
        assert!(stop.check().is_ok());
        drop(guard);
        assert!(stop.check().is_err());
    }
}
