use proptest::prelude::*;
use schemas::points::stale;
use schemas::rollup::{Rollup, bucketize};
use schemas::{Points, TimestampMs};

use super::*;
use crate::strategies::{Shape, Workload, workload};

fn labels(job: &str, host: &str) -> Labels {
    Labels::new([("__name__", "up"), ("job", job), ("host", host)]).expect("valid")
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(TimestampMs(start), TimestampMs(end)).expect("ordered")
}

fn given(points: &[(i64, f64)]) -> Oracle {
    let mut oracle = Oracle::new();
    for (ts, value) in points {
        oracle.append(&labels("a", "x"), *ts, *value);
    }
    oracle
}

fn up() -> Vec<LabelMatcher> {
    vec![LabelMatcher::equal("__name__", "up")]
}

/// The buckets of a minute of the only output.
fn minutes(oracle: &Oracle, agg: Agg) -> Vec<(i64, f64)> {
    let answer = oracle.answer(&Question::buckets(up(), range(0, 180_000), DurationMs::MINUTE, agg));
    assert!(answer.len() <= 1);
    answer.into_values().flatten().map(|(ts, expected)| (ts, expected.value)).collect()
}

#[test]
fn later_arrivals_win_but_a_marker_never_replaces_a_value() {
    let oracle = given(&[(5, 1.0), (5, 2.0), (5, stale()), (7, stale()), (9, stale()), (9, 3.0)]);
    let answer = oracle.answer(&Question::raw(up(), range(0, 100)));
    let values: Vec<(i64, f64)> = answer.into_values().flatten().map(|(ts, e)| (ts, e.value)).collect();
    assert_eq!(values, [(5, 2.0), (9, 3.0)]);
    assert_eq!(oracle.len(), 3);
}

#[test]
fn buckets_are_half_open_and_ranges_round_outward() {
    let oracle = given(&[(0, 1.0), (59_999, 2.0), (60_000, 4.0), (120_000, 8.0)]);
    assert_eq!(minutes(&oracle, Agg::Sum), [(0, 3.0), (60_000, 4.0), (120_000, 8.0)]);
    assert_eq!(minutes(&oracle, Agg::Count), [(0, 2.0), (60_000, 1.0), (120_000, 1.0)]);
    let inner = oracle.answer(&Question::buckets(up(), range(59_000, 60_001), DurationMs::MINUTE, Agg::Sum));
    assert_eq!(inner.into_values().next().map(|values| values.len()), Some(2));
}

#[test]
fn nan_is_counted_skipped_by_extremes_and_lowest_in_quantiles() {
    let oracle = given(&[(1, f64::NAN), (2, 3.0), (3, 1.0)]);
    assert_eq!(minutes(&oracle, Agg::Count), [(0, 3.0)]);
    assert!(minutes(&oracle, Agg::Sum)[0].1.is_nan());
    assert_eq!((minutes(&oracle, Agg::Min), minutes(&oracle, Agg::Max)), (vec![(0, 1.0)], vec![(0, 3.0)]));
    assert!(minutes(&oracle, Agg::Quantile(0.1))[0].1.is_nan());
    assert_eq!(minutes(&oracle, Agg::Quantile(0.5)), [(0, 1.0)]);
    assert_eq!(minutes(&oracle, Agg::Quantile(0.99)), [(0, 3.0)]);
}

#[test]
fn rate_is_what_prometheus_documents() {
    // Four samples fifteen seconds apart, the first one second into the window: nothing to extrapolate but the ends.
    let oracle = given(&[(1_000, 10.0), (16_000, 20.0), (31_000, 5.0), (46_000, 15.0)]);
    // last − first + what was lost in the reset = 15 − 10 + 20.
    let increase = 25.0;
    let factor = (45.0 + 1.001 + 13.999) / 45.0;
    let close = |got: &[(i64, f64)], wanted: f64| {
        assert!((got[0].1 - wanted).abs() < 1e-9, "{got:?} is not {wanted}");
    };
    close(&minutes(&oracle, Agg::Increase), increase * factor);
    close(&minutes(&oracle, Agg::Rate), increase * factor / 60.0);
    assert!(minutes(&given(&[(1_000, 10.0)]), Agg::Rate).is_empty(), "one sample has no rate");
}

#[test]
fn a_counter_is_never_extrapolated_below_zero() {
    // A second sample 20 s later: back to zero would be 2 s, less than the 11 s to the window's start.
    let oracle = given(&[(10_999, 1.0), (30_999, 11.0)]);
    let (sampled, to_start, to_end) = (20.0, 2.0, 10.0);
    let wanted = 10.0 * (sampled + to_start + to_end) / sampled;
    assert!((minutes(&oracle, Agg::Increase)[0].1 - wanted).abs() < 1e-9);
}

#[test]
fn groups_merge_points_or_combine_values() {
    let mut oracle = Oracle::new();
    for (job, host, value) in [("a", "x", 1.0), ("a", "y", 3.0), ("b", "x", 10.0)] {
        oracle.append(&labels(job, host), 1_000, value);
        oracle.append(&labels(job, host), 2_000, value);
    }
    oracle.append(&labels("a", "x"), 3_000, 1.0);
    let mut question = Question::buckets(up(), range(0, 60_000), DurationMs::MINUTE, Agg::Avg);
    question.group_by = Some(vec!["job".to_owned()]);
    let values = |question: &Question| -> Vec<(String, f64)> {
        let named = |(name, values): (SeriesName, Vec<(i64, Expected)>)| {
            (name.labels.into_iter().map(|(_, value)| value).collect::<String>(), values[0].1.value)
        };
        oracle.answer(question).into_iter().map(named).collect()
    };
    assert_eq!(values(&question), [("a".to_owned(), 9.0 / 5.0), ("b".to_owned(), 10.0)]);
    question.group_agg = Some(GroupAgg::Avg);
    assert_eq!(values(&question), [("a".to_owned(), 2.0), ("b".to_owned(), 10.0)]);
    (question.group_by, question.group_agg) = (None, Some(GroupAgg::Count));
    assert_eq!(values(&question), [(String::new(), 3.0)]);
}

#[test]
fn an_answer_may_differ_only_where_floats_leave_room() {
    let oracle = given(&[(1, 0.1), (2, 0.2), (3, 0.3)]);
    let of = |agg| {
        let answer = oracle.answer(&Question::buckets(up(), range(0, 60_000), DurationMs::MINUTE, agg));
        answer.into_values().next().expect("one series")[0].1
    };
    assert!(of(Agg::Sum).accepts(0.6, 0.0));
    assert!(!of(Agg::Sum).accepts(0.600_001, 0.0));
    assert!(!of(Agg::Max).accepts(0.300_000_000_000_001, 0.0));
    assert!(of(Agg::Quantile(0.5)).accepts(0.2 * 1.01, 0.011));
    assert!(!of(Agg::Quantile(0.5)).accepts(0.2 * 1.02, 0.011));
    assert!(!of(Agg::Count).accepts(f64::NAN, 0.0));
}

#[test]
fn an_infinity_decides_a_sum_unless_finite_terms_overflow() {
    let sum = |points: &[(i64, f64)]| {
        let question = Question::buckets(up(), range(0, 60_000), DurationMs::MINUTE, Agg::Sum);
        given(points).answer(&question).into_values().next().expect("one series")[0].1
    };
    assert!(!sum(&[(1, f64::INFINITY), (2, 1.0)]).accepts(f64::NAN, 0.0));
    // Summed by themselves, the two finite ones are −∞, and that with ∞ is NaN.
    assert!(sum(&[(1, f64::INFINITY), (2, f64::MIN), (3, f64::MIN)]).accepts(f64::NAN, 0.0));
}

#[test]
fn expired_points_are_gone() {
    let mut oracle = given(&[(1, 1.0), (10, 2.0)]);
    oracle.expire(10);
    assert_eq!(oracle.len(), 1);
    oracle.expire(11);
    assert!(oracle.is_empty());
}

/// The value of a rollup and the error bound of a quantile, as the interface defines them.
fn of_rollup(rollup: &Rollup, agg: Agg, start: i64, width: i64) -> Option<(f64, f64)> {
    let moments = &rollup.moments;
    if moments.count == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "few points")]
    let value = match agg {
        Agg::Avg => moments.avg(),
        Agg::Min => Some(moments.min),
        Agg::Max => Some(moments.max),
        Agg::Sum => Some(moments.sum),
        Agg::Count => Some(moments.count as f64),
        Agg::First => Some(moments.first),
        Agg::Last => Some(moments.last),
        Agg::Quantile(q) => return Some((rollup.quantile(q)?, rollup.sketch.relative_error())),
        Agg::Rate => moments.extrapolated_increase(start - 1, start + width - 1, true),
        Agg::Increase => moments.extrapolated_increase(start - 1, start + width - 1, false),
    };
    value.map(|value| (value, 0.0))
}

fn workloads() -> impl Strategy<Value = Workload> {
    let span = range(7_200_000, 18_000_000);
    workload(&["up"], Shape { series: 1..3, points: 1..150, span })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Two independent ways to the same numbers: this loop over a map, and the rollups that are stored.
    #[test]
    fn the_oracle_and_the_rollups_agree_on_every_bucket(workload in workloads(), (name, agg) in prop::sample::select(&Agg::ALL[..])) {
        let mut oracle = Oracle::new();
        let mut arrived: Vec<Points> = vec![Points::default(); workload.series.len()];
        for arrival in &workload.arrivals {
            oracle.append(&workload.series[arrival.series], arrival.timestamp_ms, arrival.value);
            arrived[arrival.series].push(arrival.timestamp_ms, arrival.value);
        }
        for width in [DurationMs::MINUTE, DurationMs::HOUR] {
            let answer = oracle.answer(&Question::buckets(up(), range(0, 36_000_000), width, agg));
            for (labels, points) in workload.series.iter().zip(&mut arrived) {
                points.settle();
                let mut buckets = Vec::new();
                bucketize(&points.timestamps, &points.values, width, |bucket| {
                    let start = bucket.start.timestamp().0;
                    buckets.extend(of_rollup(&bucket.closed(), agg, start, width.0).map(|value| (start, value)));
                });
                let expected = answer.get(&full_name(labels)).cloned().unwrap_or_default();
                prop_assert_eq!(expected.len(), buckets.len());
                for ((start, expected), (at, (got, error))) in expected.iter().zip(&buckets) {
                    prop_assert_eq!(start, at);
                    prop_assert!(expected.accepts(*got, *error), "{} at {}: {:?}, but the rollup says {}", name, start, expected, got);
                }
            }
        }
    }
}
