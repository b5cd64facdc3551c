//! Random data: gauges, counters with resets, classic and native histograms; gaps, staleness markers, odd values.

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::column::Value;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::Labels;
use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};
use schemas::points::stale;

/// Where data begin and end, ms.
pub const START_MS: i64 = 1_700_000_000_000;
pub const END_MS: i64 = START_MS + 40 * 60_000;

const INTERVAL_MS: i64 = 15_000;
const BOUNDS: [&str; 5] = ["0.1", "0.5", "1", "5", "+Inf"];

/// Points of one series, by time.
pub type Series = BTreeMap<i64, Value>;

/// Series by labels: all metrics of four hosts, and some of `more_hosts`. The same seed gives the same.
pub fn data(seed: u64, histograms: bool, more_hosts: usize) -> BTreeMap<Labels, Series> {
    let mut maker = Maker { rng: StdRng::seed_from_u64(seed), out: BTreeMap::new() };
    for host in 0..more_hosts {
        let (host, dc) = (format!("h{host}"), ["west", "east", ""][host % 3]);
        let place = [("host", host.as_str()), ("dc", dc), ("job", "test"), ("instance", &host)];
        maker.gauge("gauge", &place);
        maker.counter("requests_total", &place);
        if histograms {
            maker.native("native", &place, Shape::Counter);
        }
    }
    for (host, dc) in [("a", "west"), ("b", "west"), ("c", "east"), ("d", "")] {
        let place = [("host", host), ("dc", dc), ("job", "test"), ("instance", host)];
        for metric in ["gauge", "gauge_b"] {
            maker.gauge(metric, &place);
        }
        for metric in ["requests_total", "errors_total"] {
            maker.counter(metric, &place);
        }
        maker.classic(&place);
        if histograms {
            maker.native("native", &place, Shape::Counter);
            maker.native("native_gauge", &place, Shape::Gauge);
            maker.native("native_custom", &place, Shape::Custom);
            maker.native("mixed", &place, Shape::Mixed);
        }
        let version = maker.rng.random_range(1..3).to_string();
        let info = [("job", "test"), ("instance", host), ("version", version.as_str()), ("dc", dc)];
        maker.series("target_info", &info, |_, _| Some(1.0));
    }
    maker.sparse();
    maker.out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Counter,
    Gauge,
    Custom,
    Mixed,
}

struct Maker {
    rng: StdRng,
    out: BTreeMap<Labels, Series>,
}

impl Maker {
    fn put(&mut self, metric: &str, labels: &[(&str, &str)], points: Series) {
        let pairs = labels.iter().copied().chain([("__name__", metric)]);
        self.out.insert(Labels::new(pairs).expect("labels of a series"), points);
    }

    /// A value at each time, or none; with gaps and staleness markers of its own.
    fn values(&mut self, mut value: impl FnMut(&mut StdRng, i64) -> Option<Value>) -> Series {
        let mut points = Series::new();
        let (shift, jitter) = (self.rng.random_range(0..INTERVAL_MS), self.rng.random_range(0..2) * 700);
        let mut at = START_MS + shift;
        while at < END_MS {
            let time = at + if jitter > 0 { self.rng.random_range(0..jitter) } else { 0 };
            if self.rng.random_ratio(1, 60) {
                points.insert(time, Value::Float(stale()));
                at += INTERVAL_MS * self.rng.random_range(1..30);
                continue;
            }
            points.extend(value(&mut self.rng, time).map(|value| (time, value)));
            at += INTERVAL_MS * if self.rng.random_ratio(1, 25) { self.rng.random_range(2..6) } else { 1 };
        }
        points
    }

    fn series(
        &mut self,
        metric: &str,
        labels: &[(&str, &str)],
        mut value: impl FnMut(&mut StdRng, i64) -> Option<f64>,
    ) {
        let points = self.values(|rng, at| value(rng, at).map(Value::Float));
        self.put(metric, labels, points);
    }

    fn gauge(&mut self, metric: &str, labels: &[(&str, &str)]) {
        let mut level = self.rng.random_range(-50.0..200.0);
        self.series(metric, labels, |rng, _| {
            level += rng.random_range(-5.0..5.0_f64);
            Some(match rng.random_range(0..300) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => 0.0,
                3..=40 => level.round(),
                _ => level,
            })
        });
    }

    fn counter(&mut self, metric: &str, labels: &[(&str, &str)]) {
        let mut total = self.rng.random_range(0.0..1000.0_f64).round();
        self.series(metric, labels, |rng, _| {
            total = if rng.random_ratio(1, 40) { 0.0 } else { total } + rng.random_range(0.0..20.0_f64).round();
            Some(total)
        });
    }

    fn classic(&mut self, labels: &[(&str, &str)]) {
        // All buckets have the times of the first, as one scrape gives them.
        let times: Vec<i64> = self.values(|_, _| Some(Value::Float(0.0))).into_keys().collect();
        let mut totals = [0.0; BOUNDS.len()];
        let mut buckets = vec![Series::new(); BOUNDS.len()];
        let (mut counts, mut sums, mut sum) = (Series::new(), Series::new(), 0.0);
        for at in times {
            if self.rng.random_ratio(1, 60) {
                totals = [0.0; BOUNDS.len()];
                sum = 0.0;
            }
            let mut below = 0.0;
            for (total, bucket) in totals.iter_mut().zip(&mut buckets) {
                below += f64::from(self.rng.random_range(0..4_u32));
                *total += below;
                bucket.insert(at, Value::Float(*total));
            }
            sum += below * 0.7;
            counts.insert(at, Value::Float(totals[BOUNDS.len() - 1]));
            sums.insert(at, Value::Float(sum));
        }
        for (bound, points) in BOUNDS.iter().zip(buckets) {
            let with_bound: Vec<_> = labels.iter().copied().chain([("le", *bound)]).collect();
            self.put("latency_bucket", &with_bound, points);
        }
        self.put("latency_count", labels, counts);
        self.put("latency_sum", labels, sums);
    }

    fn native(&mut self, metric: &str, labels: &[(&str, &str)], shape: Shape) {
        let mut histogram = self.first(shape);
        let points = self.values(|rng, _| {
            if shape == Shape::Mixed && rng.random_ratio(1, 4) {
                return Some(Value::Float(rng.random_range(0.0..10.0_f64).round()));
            }
            step(&mut histogram, shape, rng);
            Some(Value::Histogram(Arc::new(histogram.clone())))
        });
        self.put(metric, labels, points);
    }

    fn first(&mut self, shape: Shape) -> Histogram {
        let mut histogram = Histogram::default();
        let buckets = |offset, length: u32| Buckets {
            spans: vec![Span { offset, length }],
            counts: vec![0.0; usize::try_from(length).expect("a few")],
        };
        if shape == Shape::Custom {
            histogram.schema = SCHEMA_CUSTOM;
            histogram.custom_values = vec![0.1, 0.5, 1.0, 5.0];
            histogram.positive = buckets(0, 5);
        } else {
            histogram.schema = self.rng.random_range(0..3);
            histogram.zero_threshold = 0.001;
            histogram.positive = buckets(self.rng.random_range(-3..3), self.rng.random_range(2..6));
            histogram.negative = buckets(self.rng.random_range(-1..2), self.rng.random_range(1..3));
        }
        if shape == Shape::Gauge {
            histogram.reset_hint = ResetHint::Gauge;
        }
        histogram
    }

    /// Few points, far apart.
    fn sparse(&mut self) {
        let mut points = Series::new();
        let mut at = START_MS;
        while at < END_MS {
            points.insert(at, Value::Float(self.rng.random_range(0..100_i32).into()));
            at += self.rng.random_range(100_000..500_000_i64);
        }
        self.put("sparse", &[("host", "a")], points);
    }
}

/// The next sample of a histogram.
fn step(histogram: &mut Histogram, shape: Shape, rng: &mut StdRng) {
    if shape == Shape::Gauge || rng.random_ratio(1, 50) {
        histogram.zero_count = 0.0;
        histogram.sum = 0.0;
        histogram.positive.counts.fill(0.0);
        histogram.negative.counts.fill(0.0);
    }
    if shape != Shape::Custom {
        histogram.zero_count += f64::from(rng.random_range(0..2_u32));
    }
    for counts in [&mut histogram.positive.counts, &mut histogram.negative.counts] {
        for count in counts {
            *count += f64::from(rng.random_range(0..5_u32));
        }
    }
    histogram.sum += rng.random_range(0.0..30.0);
    let counts = histogram.positive.counts.iter().chain(&histogram.negative.counts);
    histogram.count = histogram.zero_count + counts.sum::<f64>();
}
