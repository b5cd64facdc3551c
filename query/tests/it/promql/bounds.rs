//! What a query may take, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use promql::eval::{Grid, QueryValue};
use query::{Engine, PromqlRequest, QueryError, QueryLimits};
use schemas::histogram::{Buckets, Histogram, Span};
use schemas::time::HOUR_MS;

use super::both::{Both, counter, only_cold, requests};
use crate::given::{MIDNIGHT, labels};

/// One that waits for the CPU pool, which is busy as long as this is held: a late point over Delta needs it.
struct Stuck {
    both: Both,
    pool: runtime::CpuPool,
    _busy: std::sync::mpsc::SyncSender<()>,
}

impl Stuck {
    async fn new() -> Self {
        let mut both = Both::at(8).await;
        both.points(&requests("a"), counter(0, 4, 60_000));
        both.given.sealed().await;
        both.given.archived().await;
        both.given.retained(only_cold()).await;
        both.points(&requests("a"), [(MIDNIGHT + 5, 1.0)]);
        let pool = runtime::CpuPool::new("busy", 1, 8);
        let (busy, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let mut job = Box::pin({
            let pool = pool.clone();
            async move { pool.run(move || wait.recv()).await }
        });
        while pool.running() == 0 {
            assert!(futures::poll!(job.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        Self { both, pool, _busy: busy }
    }

    fn engine(&self, timeout: Duration) -> Arc<Engine> {
        let limits = QueryLimits { threads: 1, waiting_max: 0, timeout, ..QueryLimits::default() };
        self.both.given.engine_on(self.pool.clone(), limits)
    }

    fn query() -> PromqlRequest {
        PromqlRequest::new("sum_over_time(requests_total[1h])", Grid::Instant(MIDNIGHT + HOUR_MS + 1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_queries_wait_and_none_longer_than_its_time() {
    let stuck = Stuck::new().await;
    let engine = stuck.engine(Duration::from_millis(300));
    let (one, other) = tokio::join!(engine.promql(Stuck::query()), engine.promql(Stuck::query()));
    let outcomes = [one, other].map(|outcome| match outcome {
        Err(QueryError::Timeout { limit_ms: 300 }) => "timeout",
        Err(QueryError::Overloaded) => "overloaded",
        other => panic!("{other:?}"),
    });
    assert!(outcomes.contains(&"timeout") && outcomes.contains(&"overloaded"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_nobody_waits_for_makes_room() {
    let stuck = Stuck::new().await;
    let engine = stuck.engine(Duration::from_secs(600));
    let given_up = tokio::time::timeout(Duration::from_millis(100), engine.promql(Stuck::query())).await;
    assert!(given_up.is_err(), "it waits for the pool");
    let next = async {
        loop {
            match engine.promql(PromqlRequest::new("1 + 1", Grid::Instant(0))).await {
                Err(QueryError::Overloaded) => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    };
    let answer =
        tokio::time::timeout(Duration::from_secs(60), next).await.expect("long before its ten minutes are over");
    assert!(matches!(answer.expect("answers").value, QueryValue::Scalar(two, 0) if two.to_bits() == 2.0_f64.to_bits()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_query_is_refused_in_prometheus_words() {
    let both = Both::at(1).await;
    let refused = both.given.engine.promql(PromqlRequest::new("sum(", Grid::Instant(0))).await.expect_err("unclosed");
    assert!(matches!(&refused, QueryError::BadRequest(text) if text.starts_with("1:5: parse error: ")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_query_hold_for_promql() {
    let mut both = Both::at(3).await;
    for host in ["a", "b", "c"] {
        both.points(&requests(host), counter(0, 2, 10_000));
    }
    let grid = Grid::Range { start: MIDNIGHT, end: MIDNIGHT + 2 * HOUR_MS, step: 1_000 };
    let ask = async |limits: QueryLimits, request: PromqlRequest| both.given.engine_with(limits).promql(request).await;
    let all = PromqlRequest::new("requests_total", grid);
    let few = QueryLimits { samples_max: 10_000, ..QueryLimits::default() };
    assert!(matches!(ask(few, all.clone()).await, Err(QueryError::TooLarge(_))));
    let little = QueryLimits { memory_bytes: 20_000, ..QueryLimits::default() };
    assert!(matches!(ask(little, all.clone()).await, Err(QueryError::TooLarge(_))));
    let two = QueryLimits { series_max: 2, ..QueryLimits::default() };
    assert!(matches!(ask(two, all.clone()).await, Err(QueryError::TooLarge(_))));
    let soon = PromqlRequest { timeout: Some(Duration::ZERO), ..all.clone() };
    assert!(matches!(ask(QueryLimits::default(), soon).await, Err(QueryError::Timeout { .. })));
    let first = ask(QueryLimits::default(), PromqlRequest { limit: Some(2), ..all }).await.expect("answers");
    assert!(first.truncated);
    let QueryValue::Matrix(series) = first.value else { panic!("a matrix") };
    assert_eq!(series.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_are_counted_into_the_memory_of_a_query() {
    const BUCKETS: u32 = 200;
    let mut both = Both::at(1).await;
    let positive = Buckets { spans: vec![Span { offset: 0, length: BUCKETS }], counts: vec![1.0; BUCKETS as usize] };
    let latency = Arc::new(Histogram { count: f64::from(BUCKETS), positive, ..Histogram::default() });
    let times = (0..240).map(|i| MIDNIGHT + i * 15_000);
    both.points(&requests("a"), times.clone().map(|ts| (ts, 1.0)));
    both.histograms(&labels(&[("__name__", "latency")]), times.map(|ts| (ts, Arc::clone(&latency))));
    // Sixteen bytes a point are 4 KB, the histograms are 400 KB.
    let engine = both.given.engine_with(QueryLimits { memory_bytes: 100_000, ..QueryLimits::default() });
    let ask = async |text| engine.promql(PromqlRequest::new(text, Grid::Instant(MIDNIGHT + HOUR_MS))).await;
    assert!(ask("count_over_time(requests_total[1h])").await.is_ok());
    let refused = ask("count_over_time(latency[1h])").await;
    assert!(matches!(refused, Err(QueryError::TooLarge(_))), "{refused:?}");
}
