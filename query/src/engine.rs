//! The entry: admits a query, gives it one view of the store, a budget and a time limit, and counts it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cold::Archive;
use hot::{SeriesInfo, Store};
use runtime::{Clock, CpuPool, Workers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::RangeAnswer;
use crate::error::QueryError;
use crate::limits::{Budget, QueryLimits, Stop};
use crate::metrics::{Interface, QueryMetrics, Running};
use crate::provenance::{Provenance, ProvenanceCollector};
use crate::range::{self, Asked};
use crate::read::Reader;
use crate::request::RangeRequest;
use crate::selection::{Selection, Wanted};
use crate::slow::{Asked as AskedText, SlowLog};
use crate::sql::{self, SqlAnswer};

/// Threads that SQL plans compute on.
const SQL_THREADS: usize = 2;

/// Answers queries from all tiers.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
    /// Where SQL plans compute.
    pub(crate) workers: Workers,
    /// Where PromQL is evaluated, and where it waits for its turn: the pool above does parts of its reads, so that one of its
    /// jobs must not wait for another.
    pub(crate) evaluators: CpuPool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: QueryLimits,
    places: Arc<Semaphore>,
    pub(crate) metrics: Arc<QueryMetrics>,
    slow: SlowLog,
}

/// A place among the queries under way, held until the answer is out.
#[derive(Debug)]
pub(crate) struct Admitted {
    _place: OwnedSemaphorePermit,
    _running: Running,
}

impl Engine {
    pub fn new(
        store: Arc<Store>,
        archive: Arc<Archive>,
        pool: CpuPool,
        clock: Arc<dyn Clock>,
        limits: QueryLimits,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.concurrent_max));
        let workers = Workers::new("sql", SQL_THREADS);
        let threads = limits.threads.max(1);
        let evaluators = CpuPool::new("promql", threads, threads.saturating_add(limits.waiting_max));
        let slow = SlowLog::new(limits.slow_query);
        let metrics = Arc::default();
        Arc::new(Self { store, archive, pool, workers, evaluators, clock, limits, places, metrics, slow })
    }

    /// To be registered once.
    pub fn metrics(&self) -> &QueryMetrics {
        &self.metrics
    }

    /// Answers a range question. Dropping the future gives the work up.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeAnswer, QueryError> {
        let started = Instant::now();
        let result = match self.admit() {
            Ok(_admitted) => self.within_time(self.limits.timeout, Box::pin(self.answer_range(&request))).await,
            Err(refused) => Err(refused),
        };
        let told = result.as_ref().map(|answer| &answer.provenance);
        self.ended(&AskedText::new(Interface::Range, &request), started, told);
        result
    }

    /// Runs a read-only SQL query. The result is streamed: its provenance is whole once the stream has ended.
    pub async fn sql(self: &Arc<Self>, query: &str) -> Result<SqlAnswer, QueryError> {
        let started = Instant::now();
        let result = match self.admit() {
            Ok(admitted) => {
                self.within_time(self.limits.timeout, Box::pin(sql::run(self, query, started, admitted))).await
            }
            Err(refused) => Err(refused),
        };
        if let Err(error) = &result {
            self.ended(&AskedText::new(Interface::Sql, &query), started, Err(error));
        }
        result
    }

    /// Counts a SQL query whose stream has ended.
    pub(crate) fn sql_ended(&self, query: &str, started: Instant, result: Result<&ProvenanceCollector, &QueryError>) {
        let provenance = result.map(ProvenanceCollector::snapshot);
        self.ended(&AskedText::new(Interface::Sql, &query), started, provenance.as_ref().map_err(|error| *error));
    }

    /// Counts a query, and logs it if it was slow.
    pub(crate) fn ended(&self, asked: &AskedText<'_>, started: Instant, result: Result<&Provenance, &QueryError>) {
        let took = started.elapsed();
        self.metrics.ended(asked.interface, took, result);
        self.slow.ended(asked, took, result);
    }

    pub(crate) fn admit(&self) -> Result<Admitted, QueryError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| QueryError::Overloaded)?;
        Ok(Admitted { _place: place, _running: self.metrics.run() })
    }

    pub(crate) async fn within_time<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(QueryError::Timeout { limit_ms: limit.as_millis() }),
        }
    }

    pub(crate) fn timed_out(&self) -> QueryError {
        QueryError::Timeout { limit_ms: self.limits.timeout.as_millis() }
    }

    async fn answer_range(&self, request: &RangeRequest) -> Result<RangeAnswer, QueryError> {
        let started = Instant::now();
        let reader = self.reader(Budget::new(self.limits.memory_bytes));
        let _given_up = reader.stop.on_drop();
        let (matchers, needs) = (request.matchers.clone(), range::needs(request));
        let wanted = Wanted { matchers, ids: None, range: Some(request.range), needs };
        let series = self.select(&reader, wanted).await?;
        let selected = started.elapsed();
        let asked = Asked { reader, limits: &self.limits, request };
        let mut answer = asked.answer(Selection::new(series)).await?;
        answer.provenance.timings.select = selected;
        answer.provenance.timings.total = started.elapsed();
        Ok(answer)
    }

    /// What a query reads with, from one state of the store.
    pub(crate) fn reader(&self, budget: Arc<Budget>) -> Arc<Reader> {
        Arc::new(Reader::new(self.store.view(), Arc::clone(&self.archive), self.pool.clone(), budget, Stop::default()))
    }

    /// The series that are wanted: those of the local index, and those that only other writers have in Delta's hours.
    pub(crate) async fn select(&self, reader: &Reader, wanted: Wanted) -> Result<Vec<SeriesInfo>, QueryError> {
        let (store, limit) = (Arc::clone(&self.store), self.limits.series_max);
        let (wanted, mut series) =
            self.pool.run(move || known(&store, &wanted, limit).map(|found| (wanted, found))).await?;
        let foreign = reader.foreign(self.store.index(), wanted, &series, limit).await?;
        series.extend(foreign);
        Ok(series)
    }
}

/// The wanted series that this node knows of.
pub(crate) fn known(store: &Store, wanted: &Wanted, limit: usize) -> Result<Vec<SeriesInfo>, QueryError> {
    if let Some(ids) = &wanted.ids {
        let known = ids.iter().filter_map(|&id| store.index().by_series_id(id));
        return Ok(known.filter(|info| wanted.matches(&info.labels)).collect());
    }
    store.index().select(&wanted.matchers, wanted.range, limit).map_err(|error| match error {
        hot::index::SelectError::NoMatcher => QueryError::BadRequest(error.to_string()),
        hot::index::SelectError::TooManySeries { .. } => QueryError::TooLarge(format!("{error}: narrow the matchers")),
    })
}
