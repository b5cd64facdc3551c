//! Tiers, and a model in memory that holds the same points.

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::column::Value;
use promql::eval::{Grid, NeverStop, Options, QueryValue, evaluate};
use promql::memory::MemoryStorage;
use promql::{ParseOptions, parse_expr};
use query::{PromqlAnswer, PromqlRequest};
use schemas::histogram::Histogram;
use schemas::points::stale;
use schemas::time::{HOUR_MS, MINUTE_MS};
use schemas::{DurationMs, Labels, PointBatch, Points, Retention};

use crate::given::{Given, MIDNIGHT, hours, labels};

/// Tiers and a model that hold the same points.
pub(super) struct Both {
    pub(super) given: Given,
    /// In the order of their arrival.
    model: BTreeMap<Labels, Points>,
}

/// Every sample of an answer.
pub(super) type Samples = BTreeMap<(Vec<(String, String)>, i64), Value>;

pub(super) fn samples(value: QueryValue) -> Samples {
    let name = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>();
    match value {
        QueryValue::Vector(vector) => vector.into_iter().map(|(l, at, value)| ((name(&l), at), value)).collect(),
        QueryValue::Matrix(matrix) => {
            let of = |one: &promql::eval::SeriesValues| {
                one.iter().map(|(at, value)| ((name(&one.labels), at), value)).collect::<Vec<_>>()
            };
            matrix.iter().flat_map(of).collect()
        }
        QueryValue::Scalar(value, at) => [((Vec::new(), at), Value::Float(value))].into(),
        QueryValue::String(text, _) => panic!("a string: {text}"),
    }
}

pub(super) fn in_memory(memory: &MemoryStorage, text: &str, grid: Grid) -> Samples {
    let expr = parse_expr(text, ParseOptions::ALL).expect("parses");
    let answer = evaluate(memory, &expr, text, grid, &Options::default(), &NeverStop);
    samples(answer.unwrap_or_else(|error| panic!("{text}: {error}")).value)
}

pub(super) fn assert_same(got: &Samples, expected: &Samples, what: impl Fn() -> String) {
    assert!(
        got.keys().eq(expected.keys()),
        "{}\n got {:?}\nnot {:?}",
        what(),
        got.keys().filter(|key| !expected.contains_key(*key)).collect::<Vec<_>>(),
        expected.keys().filter(|key| !got.contains_key(*key)).collect::<Vec<_>>(),
    );
    for (key, expected) in expected {
        assert!(same(&got[key], expected), "{}: {key:?}: got {:?}, not {expected:?}", what(), got[key]);
    }
}

impl Given {
    /// Asks the functions that wild values (the ends of what a double holds) do not make depend on the order of additions,
    /// over windows that rollups, statistics of chunks and points answer.
    pub(crate) async fn promql_agrees_with_the_model(&self, when: &str) {
        let mut memory = MemoryStorage::new();
        for (labels, points) in self.oracle.series() {
            let points = Points::new(points.keys().copied().collect(), points.values().copied().collect());
            memory.append(labels, &points);
        }
        let at = |hour: i64| MIDNIGHT + hour * HOUR_MS;
        for (window, grid) in [
            ("1h", Grid::Range { start: at(1), end: at(8), step: HOUR_MS }),
            ("3h", Grid::Range { start: at(3) + 1, end: at(8), step: 3 * HOUR_MS }),
            ("7m", Grid::Range { start: at(2) - 5 * MINUTE_MS, end: at(3), step: MINUTE_MS }),
            ("6h", Grid::Instant(at(7) - 1)),
        ] {
            for function in ["count", "min", "max", "first", "last", "present", "ts_of_first", "ts_of_last"]
                .map(|f| format!("{f}_over_time"))
            {
                for metric in ["up", "requests_total"] {
                    let text = format!("{function}({metric}[{window}])");
                    let request = PromqlRequest { experimental: true, ..PromqlRequest::new(&text, grid) };
                    let answer = self.engine.promql(request).await.unwrap_or_else(|e| panic!("{when}: {text}: {e}"));
                    let expected = in_memory(&memory, &text, grid);
                    assert_same(&samples(answer.value), &expected, || format!("{when}: {text} at {grid:?}"));
                }
            }
        }
    }
}

/// Equal to 1e-9: sums over rollups are added in another order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => {
            a.to_bits() == b.to_bits()
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-6)
        }
        (a, b) => a == b,
    }
}

impl Both {
    pub(super) async fn at(hour: i64) -> Self {
        Self { given: Given::empty_at(hour).await, model: BTreeMap::new() }
    }

    pub(super) fn points(&mut self, of: &Labels, points: impl IntoIterator<Item = (i64, f64)>) {
        let points: Vec<(i64, f64)> = points.into_iter().collect();
        self.given.points(of, points.iter().copied());
        let kept = self.model.entry(of.clone()).or_default();
        points.into_iter().for_each(|(ts, value)| kept.push(ts, value));
    }

    pub(super) fn histograms(&mut self, of: &Labels, points: impl IntoIterator<Item = (i64, Arc<Histogram>)>) {
        let mut batch = PointBatch::new();
        let series = batch.add_canonical(of.as_bytes());
        let kept = self.model.entry(of.clone()).or_default();
        for (ts, histogram) in points {
            batch.push_histogram(series, ts, Arc::clone(&histogram));
            kept.push_histogram(ts, histogram);
        }
        let appended = self.given.store.append(&batch).expect("appends");
        assert_eq!(appended.accepted, batch.len() as u64, "{appended:?}");
    }

    pub(super) async fn ask(&self, text: &str, grid: Grid) -> PromqlAnswer {
        let request = PromqlRequest { experimental: true, ..PromqlRequest::new(text, grid) };
        self.given.engine.promql(request).await.unwrap_or_else(|error| panic!("{text} at {grid:?}: {error}"))
    }

    pub(super) fn expected(&self, text: &str, grid: Grid) -> Samples {
        let mut memory = MemoryStorage::new();
        for (labels, points) in &self.model {
            memory.append(labels, points);
        }
        in_memory(&memory, text, grid)
    }

    pub(super) async fn agrees(&self, text: &str, grid: Grid, when: &str) -> PromqlAnswer {
        let mut answer = self.ask(text, grid).await;
        let value = std::mem::replace(&mut answer.value, QueryValue::Scalar(0.0, 0));
        assert_same(&samples(value), &self.expected(text, grid), || format!("{when}: {text} at {grid:?}"));
        answer
    }
}

pub(super) fn requests(host: &str) -> Labels {
    labels(&[("__name__", "requests_total"), ("host", host)])
}

pub(super) fn temperature(host: &str) -> Labels {
    labels(&[("__name__", "temperature"), ("host", host), ("of", "air")])
}

/// A counter that is reset now and then, also exactly on the hour.
pub(super) fn counter(from: i64, to: i64, step_ms: i64) -> impl Iterator<Item = (i64, f64)> {
    let span = hours(from, to);
    let times = (0..).map(move |i| span.start().0 + i * step_ms).take_while(move |&ts| ts < span.end().0);
    times.map(|ts| (ts, f64::from(i32::try_from((ts - MIDNIGHT).rem_euclid(4_000_000) / 1_000).expect("small")) * 1.5))
}

/// A gauge with a gap, staleness markers, and a sample that is NaN.
pub(super) fn gauge(from: i64, to: i64, step_ms: i64) -> impl Iterator<Item = (i64, f64)> {
    counter(from, to, step_ms).zip(0_i64..).filter(|(_, i)| i % 97 > 12).map(|((ts, value), i)| match i {
        _ if i % 97 == 13 => (ts, stale()),
        500 => (ts, f64::NAN),
        _ => (ts, 20.0 + (value * 0.37).sin() * 7.25),
    })
}

pub(super) const HOUR: DurationMs = DurationMs::HOUR;

pub(super) fn only_cold() -> Retention {
    let two = DurationMs::hours(2);
    Retention { hot_raw: two, warm_rollup_1m: two, warm_rollup_1h: two, ..Retention::default() }
}
