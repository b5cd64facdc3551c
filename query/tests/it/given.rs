//! A store, an archive, the jobs between them, an engine over both, and the model that knows what is right; and a second node
//! on the same archive.

use std::sync::Arc;

use compactor::plan::SealTiming;
use compactor::{Compactor, Settings};
use hot::{Store, StoreConfig};
use kit::oracle::{self, Expected, SeriesName};
use kit::{Oracle, Question};
use query::{Agg, Engine, Granularity, GroupAgg, QueryError, QueryLimits, RangeAnswer, RangeRequest};
use runtime::{CpuPool, ManualClock};
use schemas::labels::METRIC_NAME;
use schemas::time::HOUR_MS;
use schemas::{DurationMs, LabelMatcher, Labels, PointBatch, Retention, TimeRange, TimestampMs};
use tempfile::TempDir;

/// Midnight of 2026-03-02, a Monday.
pub(crate) const MIDNIGHT: i64 = 1_772_409_600_000;

pub(crate) struct Given {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Store>,
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) oracle: Oracle,
    archive: Arc<cold::Archive>,
    pool: CpuPool,
    dir: Arc<TempDir>,
}

/// `[from, to)` in hours after midnight.
pub(crate) fn hours(from: i64, to: i64) -> TimeRange {
    range(MIDNIGHT + from * HOUR_MS, MIDNIGHT + to * HOUR_MS)
}

pub(crate) fn range(from_ms: i64, to_ms: i64) -> TimeRange {
    TimeRange::new(TimestampMs(from_ms), TimestampMs(to_ms)).expect("ordered")
}

pub(crate) fn metric(name: &str) -> Vec<LabelMatcher> {
    vec![LabelMatcher::equal(METRIC_NAME, name)]
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied()).expect("valid labels")
}

impl Given {
    /// Nothing stored, at `hour` o'clock.
    pub(crate) async fn empty_at(hour: i64) -> Self {
        Self::with_limits(hour, QueryLimits::default()).await
    }

    pub(crate) async fn with_limits(hour: i64, limits: QueryLimits) -> Self {
        Self::at_time(MIDNIGHT + hour * HOUR_MS, limits).await
    }

    /// Nothing stored, at a time in ms since 1970.
    pub(crate) async fn at_time(now_ms: i64, limits: QueryLimits) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory for temporary files"));
        Self::node("life-1", dir, Arc::new(ManualClock::at(now_ms)), limits).await
    }

    /// Another incarnation, with nothing stored, on the same archive and by the same clock.
    pub(crate) async fn beside(&self, incarnation: &str) -> Self {
        Self::node(incarnation, Arc::clone(&self.dir), Arc::clone(&self.clock), QueryLimits::default()).await
    }

    async fn node(incarnation: &str, dir: Arc<TempDir>, clock: Arc<ManualClock>, limits: QueryLimits) -> Self {
        let pool = CpuPool::new("test", 2, 64);
        let mut config = StoreConfig::new(dir.path().join(format!("hot-{incarnation}")));
        config.background_flush = false;
        let store = Store::open(config, Arc::clone(&clock) as _).expect("opens");
        let archive = cold::Archive::open(cold::ArchiveConfig {
            url: dir.path().join("cold").to_string_lossy().into_owned(),
            node: "test".to_owned(),
            incarnation: incarnation.to_owned(),
            ..Default::default()
        });
        let archive = archive.await.expect("opens");
        let settings = Settings {
            timing: SealTiming::default(),
            archive_every: DurationMs::HOUR,
            retention: Retention::default(),
        };
        let compactor =
            Compactor::new(Arc::clone(&store), Arc::clone(&archive), Arc::clone(&clock) as _, pool.clone(), settings);
        let engine =
            Engine::new(Arc::clone(&store), Arc::clone(&archive), pool.clone(), Arc::clone(&clock) as _, limits);
        Self { clock, store, compactor, engine, oracle: Oracle::new(), archive, pool, dir }
    }

    /// Another engine over the same tiers.
    pub(crate) fn engine_with(&self, limits: QueryLimits) -> Arc<Engine> {
        self.engine_on(self.pool.clone(), limits)
    }

    pub(crate) fn engine_on(&self, pool: CpuPool, limits: QueryLimits) -> Arc<Engine> {
        let (store, archive) = (Arc::clone(&self.store), Arc::clone(&self.archive));
        Engine::new(store, archive, pool, Arc::clone(&self.clock) as _, limits)
    }

    /// Points of one series, in the order in which they arrive.
    pub(crate) fn points(&mut self, of: &Labels, points: impl IntoIterator<Item = (i64, f64)>) {
        let mut batch = PointBatch::new();
        let series = batch.add_canonical(of.as_bytes());
        for (ts, value) in points {
            batch.push(series, ts, value);
            self.oracle.append(of, ts, value);
        }
        let appended = self.store.append(&batch).expect("appends");
        assert_eq!(appended.accepted, batch.len() as u64, "{appended:?}");
    }

    pub(crate) async fn flushed(&self) {
        self.compactor.flush_now().await.expect("flushes");
    }

    pub(crate) async fn sealed(&self) {
        let report = self.compactor.seal_now().await.expect("seals");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    }

    pub(crate) async fn archived(&self) {
        let report = self.compactor.archive_now().await.expect("archives");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    }

    pub(crate) async fn retained(&self, retention: Retention) {
        self.compactor.set_retention(retention);
        self.compactor.apply_retention().await.expect("applies");
    }

    pub(crate) async fn ask(&self, request: RangeRequest) -> Result<RangeAnswer, QueryError> {
        self.engine.range(request).await
    }

    /// Asks, and compares with the model; `when` is told with a difference.
    pub(crate) async fn agrees(&self, question: &Question, when: &str) -> RangeAnswer {
        let answer = self.ask(request_of(question)).await.unwrap_or_else(|e| panic!("{when}: {question:?}: {e}"));
        let expected = self.oracle.answer(question);
        let got: Vec<SeriesName> = answer
            .series
            .iter()
            .map(|series| SeriesName { metric: series.metric.clone(), labels: series.labels.clone() })
            .collect();
        assert!(got.iter().eq(expected.keys()), "{when}: {question:?}\n got {got:?}\nnot {:?}", expected.keys());
        let error = answer.provenance.quantile_error.unwrap_or(0.0);
        for (series, (name, values)) in answer.series.iter().zip(&expected) {
            same_points(&series.points, values, error, || format!("{when}: {question:?}: {name:?}"));
        }
        answer
    }
}

fn same_points(got: &[(i64, Option<f64>)], expected: &[(i64, Expected)], error: f64, what: impl Fn() -> String) {
    let times = |ts: &mut dyn Iterator<Item = i64>| ts.collect::<Vec<i64>>();
    let (got_ts, expected_ts) = (times(&mut got.iter().map(|p| p.0)), times(&mut expected.iter().map(|p| p.0)));
    assert_eq!(got_ts, expected_ts, "{}", what());
    for ((ts, got), (_, expected)) in got.iter().zip(expected) {
        let got = got.expect("nothing is filled");
        assert!(expected.accepts(got, error), "{} at {ts}: got {got:?}, not {expected:?}", what());
    }
}

/// The model's question in the words of the engine.
pub(crate) fn request_of(question: &Question) -> RangeRequest {
    let mut request = RangeRequest::new(question.matchers.clone(), question.range);
    request.granularity = match question.width {
        None => Granularity::Raw,
        Some(DurationMs::MINUTE) => Granularity::Minute,
        Some(DurationMs::HOUR) => Granularity::Hour,
        Some(_) => Granularity::Day,
    };
    request.agg = match question.agg {
        oracle::Agg::Avg => Agg::Avg,
        oracle::Agg::Min => Agg::Min,
        oracle::Agg::Max => Agg::Max,
        oracle::Agg::Sum => Agg::Sum,
        oracle::Agg::Count => Agg::Count,
        oracle::Agg::First => Agg::First,
        oracle::Agg::Last => Agg::Last,
        oracle::Agg::Quantile(q) => Agg::Quantile(q),
        oracle::Agg::Rate => Agg::Rate,
        oracle::Agg::Increase => Agg::Increase,
    };
    request.group_by = question.group_by.clone();
    request.group_agg = question.group_agg.map(|agg| match agg {
        oracle::GroupAgg::Sum => GroupAgg::Sum,
        oracle::GroupAgg::Avg => GroupAgg::Avg,
        oracle::GroupAgg::Min => GroupAgg::Min,
        oracle::GroupAgg::Max => GroupAgg::Max,
        oracle::GroupAgg::Count => GroupAgg::Count,
    });
    request
}
