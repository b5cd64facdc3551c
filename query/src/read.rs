//! Reads series from whatever tier owns each hour, with everything newer overlaid: the one read path of REST, SQL and PromQL.
//!
//! work (hours × series) ─▶ local hours on the CPU pool ─▶ hours that Delta owns, as streams ─▶ repairs ─▶ [`Part`]s
//!
//! The read rule (storage.md §4): an hour is its owner's data ⊕ the runs and the head newer than the *through* of the
//! owner that is read. Raw points merge by rank. A rollup of a series that the overlay touches in an hour is recomputed
//! from the raw owner ⊕ overlay, since an overlay may correct a value inside it; rows of other series are used as
//! they are. Where raw is kept nowhere any more, the row answers, and the answer says that it is incomplete.
//!
//! Nouns: a [`Partial`] is what one bucket of one series becomes (moments, a rollup, or the points themselves); a
//! [`Part`] is a partial with its series and its bucket, which may be only the part of a bucket that one hour holds.
//! Not here: which tier owns what (`router`), what becomes of parts (`range`, `sql`).

mod buckets;
mod cold;
mod encoded;
mod local;
mod part;
mod partial;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ::cold::{Archive, ReadCounters};
use hot::View;
use runtime::CpuPool;
use schemas::Points;
use schemas::time::HourRange;

pub(crate) use buckets::{EachBucket, PlainRows};
pub(crate) use cold::ColdFiles;
pub(crate) use encoded::{Encoded, Piece};
pub(crate) use part::{Part, Parts};
pub(crate) use partial::{Partial, RowSummary, Summary, values_of};

use crate::error::QueryError;
use crate::hours::Hours;
use crate::limits::{Budget, Stop};
use crate::provenance::ProvenanceCollector;
use crate::selection::{Routes, Selection};

/// What one query reads with: one state of the store for its whole life.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) view: Arc<View>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stop: Stop,
    pub(crate) provenance: Arc<ProvenanceCollector>,
    /// What this reader reads of Delta; counted in the provenance as well.
    pub(crate) counters: ReadCounters,
}

/// How a thread that is none of the runtime's waits for I/O.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) runtime: tokio::runtime::Handle,
    /// When the query's time is over.
    pub(crate) deadline: tokio::time::Instant,
    /// What it was.
    pub(crate) limit: Duration,
    pub(crate) stop: Stop,
}

impl Wait {
    pub(crate) fn on<T>(&self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        let in_time = async { tokio::time::timeout_at(self.deadline, self.stop.unless_set(work)).await };
        let late = |_| Err(QueryError::Timeout { limit_ms: self.limit.as_millis() });
        self.runtime.block_on(in_time).unwrap_or_else(late)
    }
}

/// A piece of a query: some hours of some series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    /// Positions in the selection.
    pub(crate) series: Range<usize>,
    pub(crate) hours: HourRange,
}

/// What a piece of work is part of.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) selection: Arc<Selection>,
    pub(crate) routes: Arc<Routes>,
    /// No other hour of the range is looked into.
    pub(crate) hours: Arc<Hours>,
}

impl Reader {
    /// Counts nothing yet.
    pub(crate) fn new(view: Arc<View>, archive: Arc<Archive>, pool: CpuPool, budget: Arc<Budget>, stop: Stop) -> Self {
        let provenance = ProvenanceCollector::new(view.map().version);
        let counters = provenance.cold.clone();
        Self { view, archive, pool, budget, stop, provenance, counters }
    }

    /// The same for one of several scans of a query, so that what it reads of Delta is known apart from the others.
    pub(crate) fn for_scan(&self) -> Self {
        Self {
            view: Arc::clone(&self.view),
            archive: Arc::clone(&self.archive),
            pool: self.pool.clone(),
            budget: Arc::clone(&self.budget),
            stop: self.stop.clone(),
            provenance: Arc::clone(&self.provenance),
            counters: self.counters.part(),
        }
    }

    /// Reads a piece of work and hands its parts, sorted by series and time, to `finish`, on the CPU pool.
    pub(crate) async fn read<P: Partial, T: Send + 'static>(
        self: &Arc<Self>,
        question: &Question,
        work: Work,
        finish: impl FnOnce(Parts<P>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.stop.check()?;
        let reader = Arc::clone(self);
        let here = question.clone();
        let all_local = !cold::has_cold(question, &work);
        let local = {
            let work = work.clone();
            move || -> Result<local::LocalRead<P>, QueryError> { local::read(&reader, &here, &work) }
        };
        if all_local {
            // One visit of the pool, unless something turns out to need Delta for a repair.
            let done = self.pool.run(move || local().and_then(|read| read.finish_or_defer(finish))).await?;
            return match done {
                local::Finished::Done(value) => Ok(value),
                local::Finished::Deferred(read, finish) => self.complete(question, read, finish).await,
            };
        }
        let mut read = self.pool.run(local).await?;
        cold::read(self, question, &work, &mut read).await?;
        self.complete(question, read, finish).await
    }

    /// [`Reader::read`] on the caller's own thread, which must be none of the CPU pool's nor one that answers requests:
    /// `wait` is where it waits for Delta.
    pub(crate) fn read_here<P: Partial>(
        self: &Arc<Self>,
        question: &Question,
        work: Work,
        wait: &Wait,
    ) -> Result<Parts<P>, QueryError> {
        self.stop.check()?;
        let mut read = local::read(self, question, &work)?;
        if cold::has_cold(question, &work) {
            wait.on(cold::read(self, question, &work, &mut read))?;
        }
        if !read.repairs.is_empty() {
            wait.on(cold::repair(self, question, &mut read))?;
        }
        Ok(read.parts.sorted())
    }

    /// The raw points of hours that Delta owns, with all that is newer; of local hours nothing.
    pub(crate) fn cold_points(
        self: &Arc<Self>,
        question: &Question,
        work: &Work,
        wait: &Wait,
    ) -> Result<Parts<Points>, QueryError> {
        let mut read = local::LocalRead::new(self, question);
        if cold::has_cold(question, work) {
            wait.on(cold::read(self, question, work, &mut read))?;
        }
        Ok(read.parts.sorted())
    }

    /// Repairs what needs raw points of Delta, then finishes on the pool.
    async fn complete<P: Partial, T: Send + 'static>(
        self: &Arc<Self>,
        question: &Question,
        mut read: local::LocalRead<P>,
        finish: impl FnOnce(Parts<P>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        cold::repair(self, question, &mut read).await?;
        self.pool.run(move || finish(read.parts.sorted())).await
    }
}
