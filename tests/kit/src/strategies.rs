//! Data worth testing with, for proptest: labels, values, and points in the order in which they arrive.
//!
//! kind of series ─▶ values ─▶ gaps in time ─▶ mishaps (repeats, corrections, markers) ─▶ delays ─▶ arrival order
//!
//! Shrinks towards fewer series, fewer points, no mishaps and no delays.

use proptest::collection::vec;
use proptest::prelude::*;
use schemas::points::stale;
use schemas::{Labels, TimeRange};

/// One point as it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Position in [`Workload::series`].
    pub series: usize,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// Series, and their points in arrival order.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Distinct.
    pub series: Vec<Labels>,
    pub arrivals: Vec<Arrival>,
}

/// Bounds of a workload.
#[derive(Debug, Clone)]
pub struct Shape {
    pub series: std::ops::Range<usize>,
    /// Points a series, before repeats.
    pub points: std::ops::Range<usize>,
    /// Every timestamp lies in here.
    pub span: TimeRange,
}

/// The values that break things: signed zeros, NaN payloads, infinities, subnormals, the ends of the range.
pub fn special_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::from_bits(0x7ff8_0000_0000_00ff)),
        Just(f64::from_bits(0xfff8_0000_0000_0001)),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::from_bits(1)),
        Just(f64::MIN_POSITIVE / 2.0),
        Just(f64::MIN_POSITIVE),
        Just(1e308),
        Just(-1e308),
        Just(f64::MAX),
        Just(9_007_199_254_740_993.0),
        Just(0.1 + 0.2),
    ]
}

/// Any value that a sender may send, special ones often; never the staleness marker.
pub fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1_000_000_i32..1_000_000).prop_map(f64::from),
        4 => (-1_000_000_i32..1_000_000).prop_map(|n| f64::from(n) / 100.0),
        2 => any::<f64>().prop_filter("the marker is no value", |v| !schemas::points::is_stale(*v)),
        2 => special_value(),
    ]
}

/// A label name as senders use them, sometimes one that only UTF-8 allows.
pub fn label_name() -> impl Strategy<Value = String> {
    prop_oneof![9 => "[a-z][a-z0-9_]{0,8}", 1 => "[a-zé./-][a-zé. /-]{0,8}"]
        .prop_filter("names of our own begin so", |name| !name.starts_with("__"))
}

/// A label value, sometimes with characters that need escaping somewhere.
pub fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z0-9][a-z0-9_.:-]{0,12}", 2 => "[\"\\\\\n{},= é|日*+]{1,6}"]
}

/// The labels of a series of one of `metrics`, or of any metric if there are none.
pub fn labels(metrics: &'static [&'static str]) -> impl Strategy<Value = Labels> {
    let metric = if metrics.is_empty() {
        "[a-z_:][a-z0-9_:]{0,16}".boxed()
    } else {
        proptest::sample::select(metrics).prop_map(str::to_owned).boxed()
    };
    let rest = proptest::collection::btree_map(label_name(), label_value(), 0..6);
    (metric, rest).prop_map(|(metric, mut rest)| {
        rest.insert("__name__".to_owned(), metric);
        Labels::new(rest).expect("names are unique and values are not empty")
    })
}

/// Values of one series, as its kind has them.
fn values(points: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let gauge = vec(-5_000_i32..5_000, points.clone()).prop_map(|steps| {
        let mut level = 100_000_i32;
        let mut walk = |step| {
            level += step;
            f64::from(level) / 100.0
        };
        steps.into_iter().map(&mut walk).collect()
    });
    // Small steps up; now and then the process restarts.
    let counter =
        vec(prop_oneof![20 => (0_u32..1_000).prop_map(Some), 1 => Just(None)], points.clone()).prop_map(|steps| {
            let mut count = 0_u32;
            let mut grow = |step: Option<u32>| {
                count = step.map_or(0, |step| count + step);
                f64::from(count)
            };
            steps.into_iter().map(&mut grow).collect()
        });
    let constant = (value(), points.clone()).prop_map(|(value, points)| vec![value; points]);
    let anything = vec(value(), points);
    prop_oneof![3 => gauge, 3 => counter, 1 => constant, 2 => anything]
}

/// What happens to a point besides arriving.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    None,
    /// The same again.
    Repeat,
    /// Another value for the same time, later.
    Correction(f64),
    /// A marker at the same time, which changes nothing.
    MarkerAfter,
    /// A marker at the same time, before the value.
    MarkerBefore,
    /// A marker in its place.
    MarkerInstead,
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        30 => Just(Mishap::None),
        2 => Just(Mishap::Repeat),
        2 => value().prop_map(Mishap::Correction),
        1 => Just(Mishap::MarkerAfter),
        1 => Just(Mishap::MarkerBefore),
        2 => Just(Mishap::MarkerInstead),
    ]
}

/// How much later than its turn something arrives, in turns.
fn delay() -> impl Strategy<Value = usize> {
    prop_oneof![20 => Just(0_usize), 3 => 1_usize..4, 1 => 10_usize..1_000]
}

/// Milliseconds between two points of a series: scrapes, jittered pushes, gaps.
fn gap(scrape_ms: i64) -> impl Strategy<Value = i64> {
    prop_oneof![12 => Just(scrape_ms), 3 => 1..scrape_ms.max(2), 1 => scrape_ms..scrape_ms * 50]
}

/// One series' points as (turn, timestamp, value), within the span.
fn series_points(shape: Shape) -> impl Strategy<Value = Vec<(usize, i64, f64)>> {
    let length = shape.span.length().0.max(1);
    let scrape = proptest::sample::select(vec![1_000_i64, 10_000, 15_000, 60_000]);
    // Scrapes lie on the minute and on the hour as often as not.
    let start = prop_oneof![(0..length).prop_map(|ms| ms - ms % 60_000), 0..length];
    (scrape, start, values(shape.points)).prop_flat_map(move |(scrape_ms, start, values)| {
        let n = values.len();
        let span = shape.span;
        (Just(values), vec(gap(scrape_ms), n), vec((mishap(), delay()), n)).prop_map(move |(values, gaps, fates)| {
            let mut points = Vec::with_capacity(values.len());
            let mut at = start;
            for (turn, ((value, gap), (mishap, delay))) in values.into_iter().zip(gaps).zip(fates).enumerate() {
                // Past the end it goes on from the start: a backfill.
                let timestamp = span.start().0 + at.rem_euclid(length);
                at += gap;
                let mut arrive = |later: usize, value: f64| points.push((turn + delay + later, timestamp, value));
                match mishap {
                    Mishap::None => arrive(0, value),
                    Mishap::Repeat => (0..2).for_each(|i| arrive(i * 3, value)),
                    Mishap::Correction(other) => {
                        arrive(0, value);
                        arrive(2, other);
                    }
                    Mishap::MarkerAfter => {
                        arrive(0, value);
                        arrive(1, stale());
                    }
                    Mishap::MarkerBefore => {
                        arrive(0, stale());
                        arrive(1, value);
                    }
                    Mishap::MarkerInstead => arrive(0, stale()),
                }
            }
            points
        })
    })
}

/// Distinct series with points in arrival order.
pub fn workload(metrics: &'static [&'static str], shape: Shape) -> impl Strategy<Value = Workload> {
    vec((labels(metrics), series_points(shape.clone())), shape.series).prop_map(|drawn| {
        let mut workload = Workload { series: Vec::new(), arrivals: Vec::new() };
        let mut turns: Vec<(usize, Arrival)> = Vec::new();
        for (labels, points) in drawn {
            if workload.series.contains(&labels) {
                continue;
            }
            let series = workload.series.len();
            workload.series.push(labels);
            let arrivals =
                points.into_iter().map(|(turn, timestamp_ms, value)| (turn, Arrival { series, timestamp_ms, value }));
            turns.extend(arrivals);
        }
        turns.sort_by_key(|(turn, _)| *turn);
        workload.arrivals = turns.into_iter().map(|(_, arrival)| arrival).collect();
        workload
    })
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    use schemas::TimestampMs;

    use super::*;

    /// Many workloads, always the same.
    fn workloads() -> Vec<Workload> {
        let span = TimeRange::new(TimestampMs(7_200_000), TimestampMs(14_400_000)).expect("ordered");
        let shape = Shape { series: 1..5, points: 1..60, span };
        let mut runner = TestRunner::deterministic();
        let strategy = workload(&["up", "requests_total"], shape);
        (0..200).map(|_| strategy.new_tree(&mut runner).expect("draws").current()).collect()
    }

    #[test]
    fn every_point_lies_in_the_span_and_belongs_to_a_series() {
        for workload in workloads() {
            for arrival in &workload.arrivals {
                assert!((7_200_000..14_400_000).contains(&arrival.timestamp_ms));
                assert!(arrival.series < workload.series.len());
            }
        }
    }

    #[test]
    fn workloads_hold_what_breaks_things() {
        let arrivals: Vec<Vec<Arrival>> = workloads().into_iter().map(|workload| workload.arrivals).collect();
        let all = || arrivals.iter().flatten();
        let some = |holds: fn(f64) -> bool| all().any(|arrival| holds(arrival.value));
        assert!(some(schemas::points::is_stale));
        assert!(some(f64::is_infinite));
        assert!(some(|value| value.is_nan() && !schemas::points::is_stale(value)));
        assert!(some(|value| value.to_bits() == (-0.0_f64).to_bits()));
        assert!(some(f64::is_subnormal));
        assert!(all().any(|arrival| arrival.timestamp_ms % 3_600_000 == 0));
        let pairs = |holds: fn(&Arrival, &Arrival) -> bool| {
            arrivals.iter().any(|list| {
                list.iter().enumerate().any(|(i, earlier)| {
                    list[i + 1..].iter().any(|later| earlier.series == later.series && holds(earlier, later))
                })
            })
        };
        assert!(pairs(|earlier, later| earlier.timestamp_ms > later.timestamp_ms), "late points");
        assert!(pairs(|a, b| a.timestamp_ms == b.timestamp_ms && a.value.to_bits() == b.value.to_bits()), "repeats");
        assert!(pairs(|a, b| a.timestamp_ms == b.timestamp_ms && a.value > b.value), "corrections downwards");
    }
}
