//! The entry: admits a query, gives it one view of the store, a budget and a time limit, and counts it.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use cold::Archive;
use hot::{SeriesInfo, Store};
use runtime::{Clock, CpuPool, Workers};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::RangeAnswer;
use crate::error::QueryError;
use crate::limits::{Budget, QueryLimits, Stop};
use crate::metrics::{Interface, QueryMetrics, Running};
use crate::provenance::ProvenanceCollector;
use crate::range::{self, Asked};
use crate::read::Reader;
use crate::request::RangeRequest;
use crate::selection::{Selection, Wanted};
use crate::sql::{self, SqlAnswer};

/// Threads that SQL plans compute on.
const SQL_THREADS: usize = 2;

/// Answers queries from all tiers.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Arc<Store>,
    archive: Arc<Archive>,
    pool: CpuPool,
    /// Where SQL plans compute.
    pub(crate) workers: Workers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: QueryLimits,
    places: Arc<Semaphore>,
    metrics: Arc<QueryMetrics>,
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
        Arc::new(Self { store, archive, pool, workers, clock, limits, places, metrics: Arc::default() })
    }

    /// To be registered once.
    pub fn metrics(&self) -> &QueryMetrics {
        &self.metrics
    }

    /// Answers a range question. Dropping the future gives the work up.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeAnswer, QueryError> {
        let started = Instant::now();
        let result = match self.admit() {
            Ok(_admitted) => self.within_time(Box::pin(self.answer_range(&request))).await,
            Err(refused) => Err(refused),
        };
        let told = result.as_ref().map(|answer| &answer.provenance);
        self.metrics.ended(Interface::Range, started.elapsed(), told);
        result
    }

    /// Runs a read-only SQL query. The result is streamed: its provenance is whole once the stream has ended.
    pub async fn sql(self: &Arc<Self>, query: &str) -> Result<SqlAnswer, QueryError> {
        let started = Instant::now();
        let result = match self.admit() {
            Ok(admitted) => self.within_time(Box::pin(sql::run(self, query, started, admitted))).await,
            Err(refused) => Err(refused),
        };
        if let Err(error) = &result {
            self.metrics.ended(Interface::Sql, started.elapsed(), Err(error));
        }
        result
    }

    /// Counts a SQL query whose stream has ended.
    pub(crate) fn sql_ended(&self, started: Instant, result: Result<&ProvenanceCollector, &QueryError>) {
        let provenance = result.map(ProvenanceCollector::snapshot);
        self.metrics.ended(Interface::Sql, started.elapsed(), provenance.as_ref().map_err(|error| *error));
    }

    fn admit(&self) -> Result<Admitted, QueryError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| QueryError::Overloaded)?;
        Ok(Admitted { _place: place, _running: self.metrics.run() })
    }

    async fn within_time<T>(&self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        match tokio::time::timeout(self.limits.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out()),
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
        let view = self.store.view();
        let provenance = ProvenanceCollector::new(view.map().version);
        let counters = provenance.cold.clone();
        Arc::new(Reader {
            view,
            archive: Arc::clone(&self.archive),
            pool: self.pool.clone(),
            budget,
            stop: Stop::default(),
            provenance,
            counters,
        })
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
fn known(store: &Store, wanted: &Wanted, limit: usize) -> Result<Vec<SeriesInfo>, QueryError> {
    if let Some(ids) = &wanted.ids {
        let known = ids.iter().filter_map(|&id| store.index().by_series_id(id));
        return Ok(known.filter(|info| wanted.matches(&info.labels)).collect());
    }
    store.index().select(&wanted.matchers, wanted.range, limit).map_err(|error| match error {
        hot::index::SelectError::NoMatcher => QueryError::BadRequest(error.to_string()),
        hot::index::SelectError::TooManySeries { .. } => QueryError::TooLarge(format!("{error}: narrow the matchers")),
    })
}
