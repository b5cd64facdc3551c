use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::points::{Points, is_stale, stale};
use crate::strategies::{ordinary_points, points, special};
use crate::time::{BucketStart, DurationMs, HOUR_MS, MINUTE_MS, TimestampMs};

fn all_of(points: &Points) -> Rollup {
    Rollup::from_points(&points.timestamps, &points.values)
}

fn buckets_of(points: &Points, width: DurationMs) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    bucketize(&points.timestamps, &points.values, width, |bucket| buckets.push(bucket));
    buckets
}

fn within(points: &Points, inside: impl Fn(i64) -> bool) -> Points {
    let mut some = Points::default();
    points.iter().filter(|&(ts, _)| inside(ts)).for_each(|(ts, value)| some.push(ts, value));
    some
}

/// Whether sums agree as well as the magnitudes of what was added let them.
fn close(a: f64, b: f64, magnitude: f64) -> bool {
    a.to_bits() == b.to_bits() || (a - b).abs() <= magnitude * 1e-12 || !magnitude.is_finite()
}

fn assert_same_but_for_sums(a: &Moments, b: &Moments, magnitude: f64) {
    let (mut left, mut right) = (*a, *b);
    assert!(close(left.sum, right.sum, magnitude), "sums {} and {}", left.sum, right.sum);
    assert!(close(left.reset_adj, right.reset_adj, magnitude));
    (left.sum, left.reset_adj, right.sum, right.reset_adj) = (0.0, 0.0, 0.0, 0.0);
    assert_eq!(left, right);
}

/// Equal in order, where all NaN are one and so are both zeros.
fn same(a: f64, b: f64) -> bool {
    a.partial_cmp(&b).map_or(a.is_nan() && b.is_nan(), Ordering::is_eq)
}

fn magnitude(values: &[f64]) -> f64 {
    values.iter().filter(|value| !value.is_nan()).map(|value| value.abs()).sum()
}

/// What storage.md §6 says, said once more without any cleverness.
fn naive(points: &Points) -> Moments {
    let samples: Vec<(i64, f64)> = points.iter().filter(|&(_, value)| !is_stale(value)).collect();
    let numbers: Vec<f64> = samples.iter().map(|&(_, value)| value).filter(|value| !value.is_nan()).collect();
    let stale_ts = points.iter().filter(|&(_, value)| is_stale(value)).map(|(ts, _)| ts).next_back();
    let (Some(&(first_ts, first)), Some(&(last_ts, last))) = (samples.first(), samples.last()) else {
        return Moments { stale_ts, ..Moments::EMPTY };
    };
    let falls = || samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1);
    let extreme = |better: fn(f64, f64) -> bool| {
        numbers.iter().copied().reduce(|best, value| if better(value, best) { value } else { best }).unwrap_or(f64::NAN)
    };
    let nan_count = (samples.len() - numbers.len()) as u64;
    Moments {
        count: samples.len() as u64,
        nan_count,
        sum: if nan_count > 0 { f64::NAN } else { numbers.iter().fold(0.0, |sum, value| sum + value) },
        min: extreme(|a, b| a < b),
        max: extreme(|a, b| a > b),
        first_ts,
        first,
        last_ts,
        last,
        reset_adj: falls().fold(0.0, |sum, value| sum + value),
        resets: falls().count() as u64,
        stale_ts,
        ..Moments::EMPTY
    }
}

#[test]
fn increase_is_the_same_by_points_and_by_what_rows_store_of_them() {
    // Two falls, from 2⁵³ and from 1: their sum has no double.
    let values = [9_007_199_254_740_992.0, 0.0, 1.0, 0.0, 0.5];
    let by_points = Moments::from_points(&[1, 2, 3, 4, 5], &values);
    assert_eq!(by_points.reset_adj_low.to_bits(), 1.0_f64.to_bits(), "rounding left it out");
    let by_row = Moments { sum_low: 0.0, reset_adj_low: 0.0, ..by_points };
    assert_eq!(by_points.increase().map(f64::to_bits), by_row.increase().map(f64::to_bits));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn moments_are_what_the_design_says(points in points(200)) {
        let mut expected = naive(&points);
        if expected.sum.is_nan() {
            expected.sum = f64::NAN;
        }
        let moments = Moments::from_points(&points.timestamps, &points.values);
        assert_same_but_for_sums(&moments, &expected, magnitude(&points.values));
    }

    #[test]
    fn combining_is_associative_and_equal_to_adding(points in ordinary_points(300), one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>()) {
        let (mut one, mut two) = (one.index(points.len() + 1), two.index(points.len() + 1));
        if two < one {
            std::mem::swap(&mut one, &mut two);
        }
        let part = |from: usize, to: usize| Rollup::from_points(&points.timestamps[from..to], &points.values[from..to]);
        let (a, b, c) = (part(0, one), part(one, two), part(two, points.len()));
        let whole = all_of(&points);
        prop_assert_eq!(&a.combine(&b).combine(&c), &whole);
        prop_assert_eq!(&a.combine(&b.combine(&c)), &whole);
        let mut added = Rollup::default();
        points.iter().for_each(|(ts, value)| added.add(ts, value));
        prop_assert_eq!(&added, &whole);
    }

    #[test]
    fn any_doubles_combine_to_the_same_but_for_the_rounding_of_sums(points in points(200), at in any::<prop::sample::Index>()) {
        let at = at.index(points.len() + 1);
        let part = |from: usize, to: usize| Moments::from_points(&points.timestamps[from..to], &points.values[from..to]);
        let combined = part(0, at).combine(&part(at, points.len()));
        assert_same_but_for_sums(&combined, &part(0, points.len()), magnitude(&points.values));
    }

    #[test]
    fn totals_are_the_moments_of_the_same_name(points in points(200), at in any::<prop::sample::Index>()) {
        let bits = |t: Totals| (t.count, (t.count > 0).then(|| [t.sum, t.min, t.max].map(f64::to_bits)));
        let (ts, values) = (&points.timestamps, &points.values);
        let whole = Moments::from_points(ts, values);
        prop_assert_eq!(bits(Totals::of_points(ts, values)), bits(Totals::of_moments(&whole)));
        let at = at.index(points.len() + 1);
        let part = |range: std::ops::Range<usize>| Moments::from_points(&ts[range.clone()], &values[range]);
        let (a, b) = (part(0..at), part(at..points.len()));
        let combined = Aggregate::combine(&Totals::of_moments(&a), &Totals::of_moments(&b));
        prop_assert_eq!(bits(combined), bits(Totals::of_moments(&a.combine(&b))));
    }

    #[test]
    fn nothing_is_the_empty_element(points in points(100)) {
        let whole = all_of(&points);
        prop_assert_eq!(&whole.combine(&Rollup::default()), &whole);
        prop_assert_eq!(&Rollup::default().combine(&whole), &whole);
    }

    #[test]
    fn buckets_hold_every_point_once(points in points(300)) {
        for width in [DurationMs::MINUTE, DurationMs::HOUR, DurationMs(7_000)] {
            let buckets = buckets_of(&points, width);
            let mut last_end = i64::MIN;
            for bucket in &buckets {
                let start = bucket.start.timestamp().0;
                prop_assert!(start >= last_end && start.rem_euclid(width.0) == 0);
                last_end = start + width.0;
                let inside = within(&points, |ts| start < ts && ts < start + width.0);
                prop_assert_eq!(bucket.open.moments, all_of(&inside).moments);
                let edge = within(&points, |ts| ts == start);
                prop_assert_eq!(bucket.edge.map(f64::to_bits), edge.values.first().map(|value| value.to_bits()));
            }
            let points_in_buckets = |bucket: &Bucket| within(&points, |ts| BucketStart::containing(TimestampMs(ts), width) == bucket.start).len();
            prop_assert_eq!(buckets.iter().map(points_in_buckets).sum::<usize>(), points.len());
        }
    }

    #[test]
    fn both_kinds_of_window_are_exact(points in ordinary_points(300)) {
        let width = MINUTE_MS;
        let buckets = buckets_of(&points, DurationMs(width));
        for bucket in &buckets {
            let start = bucket.start.timestamp().0;
            let closed_left = all_of(&within(&points, |ts| start <= ts && ts < start + width));
            prop_assert_eq!(&bucket.closed(), &closed_left);
            prop_assert_eq!(bucket.moments().closed(), closed_left.moments);
            let mut closed_right = bucket.open.moments;
            if let Some(next) = buckets.iter().find(|next| next.start.timestamp().0 == start + width) {
                closed_right = closed_right.combine(&next.moments().edge_moments());
            }
            prop_assert_eq!(closed_right, all_of(&within(&points, |ts| start < ts && ts <= start + width)).moments);
        }
    }

    #[test]
    fn sixty_minutes_make_the_hour_that_raw_points_make(points in ordinary_points(500)) {
        let minutes = buckets_of(&points, DurationMs::MINUTE);
        for hour in buckets_of(&points, DurationMs::HOUR) {
            let start = hour.start.timestamp().0;
            let inside: Vec<Bucket> =
                minutes.iter().filter(|minute| (start..start + HOUR_MS).contains(&minute.start.timestamp().0)).cloned().collect();
            prop_assert_eq!(&fold_buckets(hour.start, &inside), &hour);
            let counts: u64 = inside.iter().map(|minute| minute.closed().moments.count).sum();
            prop_assert_eq!(hour.closed().moments.count, counts);
        }
    }

    #[test]
    fn fast_buckets_are_the_closed_buckets(points in points(300), width in prop::sample::select(vec![1_000_i64, 7_000, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS])) {
        let mut fast = Vec::new();
        aggregate_by_bucket(&points.timestamps, &points.values, DurationMs(width), |start, moments| fast.push((start, moments)));
        let mut from = 0;
        for (start, moments) in fast {
            let to = from + points.timestamps[from..].iter().take_while(|&&ts| ts < start + width).count();
            prop_assert!(start <= points.timestamps[from] && to > from);
            let expected = Moments::from_points(&points.timestamps[from..to], &points.values[from..to]);
            assert_same_but_for_sums(&moments, &expected, magnitude(&points.values[from..to]));
            from = to;
        }
        prop_assert_eq!(from, points.len());
    }

    #[test]
    fn a_table_row_gives_the_bucket_back(points in points(200), with_sketch in prop::bool::ANY) {
        for bucket in buckets_of(&points, DurationMs::HOUR) {
            let mut row = BucketRow::from(&bucket);
            let mut expected = bucket.clone();
            if !with_sketch {
                row.sketch = None;
                expected.open.sketch = Sketch::default();
            }
            prop_assert_eq!(Bucket::try_from(row).expect("valid"), expected);
        }
    }

    #[test]
    fn quantiles_are_within_the_bound_and_exact_at_the_ends(values in vec(prop_oneof![20 => 0.001..1e6_f64, 1 => special()], 1..300), q in 0.0..=1.0_f64) {
        let points = Points::new((0..).take(values.len()).collect(), values);
        let rollup = all_of(&points);
        let mut ranked: Vec<f64> = points.values.iter().copied().filter(|&value| !is_stale(value)).collect();
        ranked.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
        prop_assume!(!ranked.is_empty());
        let rank = usize::try_from(nearest_rank(q, ranked.len() as u64)).expect("small");
        let (expected, estimate) = (ranked[rank - 1], rollup.quantile(q).expect("counted"));
        if expected.is_nan() || !expected.is_finite() {
            prop_assert!(same(estimate, expected));
        } else {
            let bound = expected.abs() * rollup.sketch.relative_error() * (1.0 + 1e-12) + 5e-324;
            prop_assert!((estimate - expected).abs() <= bound);
        }
        let greatest = *ranked.last().expect("not empty");
        let p99 = rollup.p99().expect("counted");
        prop_assert!(ranked.len() >= 100 || same(p99, greatest));
    }
}

#[test]
fn impossible_table_rows_are_refused() {
    let points = Points::new(vec![0, 10, 20], vec![5.0, 3.0, 9.0]);
    let row = BucketRow::from(&buckets_of(&points, DurationMs::MINUTE)[0]);
    let refused = |change: fn(&mut BucketRow)| {
        let mut changed = row.clone();
        change(&mut changed);
        Bucket::try_from(changed).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|row| row.count = -1));
    assert!(refused(|row| row.count = i64::MAX));
    assert!(refused(|row| row.count = 4), "the sketch counts three");
    assert!(refused(|row| row.nan_count = 4));
    assert!(refused(|row| row.sum = None));
    assert!(refused(|row| row.first_ts = Some(i64::MIN)));
    assert!(refused(|row| row.open_first = None));
    assert!(refused(|row| row.edge = Some(1e9)), "no such value is in the sketch");
    assert!(refused(|row| row.stale_ts = Some(HOUR_MS)));
}

#[test]
fn a_reset_lies_between_parts_exactly_if_the_second_begins_lower() {
    let part = |list: &[(i64, f64)]| {
        let mut moments = Moments::EMPTY;
        list.iter().for_each(|&(ts, value)| moments.add(ts, value));
        moments
    };
    let whole = part(&[(0, 10.0), (1, 15.0)]).combine(&part(&[(2, 3.0), (3, 9.0)]));
    assert_eq!((whole.resets, whole.reset_adj, whole.increase()), (1, 15.0, Some(14.0)));
    let level = part(&[(0, 10.0)]).combine(&part(&[(2, 10.0)]));
    assert_eq!((level.resets, level.increase()), (0, Some(0.0)));
}

#[test]
fn a_reset_exactly_on_the_hour_is_seen_from_either_side() {
    let points = Points::new(vec![HOUR_MS - 10, HOUR_MS, HOUR_MS + 10], vec![100.0, 5.0, 7.0]);
    let hours = buckets_of(&points, DurationMs::HOUR);
    let whole = hours[0].closed().combine(&hours[1].closed());
    assert_eq!((whole.moments.resets, whole.moments.increase()), (1, Some(7.0)));
}

#[test]
fn a_staleness_marker_is_never_counted() {
    let mut alone = Moments::EMPTY;
    alone.add(7, stale());
    assert_eq!((alone.count, alone.stale_ts, alone.is_empty()), (0, Some(7), false));
    let mut last = Moments::EMPTY;
    last.add(1, 4.0);
    last.add(2, stale());
    assert_eq!((last.count, last.last_ts, last.last, last.stale_ts), (1, 1, 4.0, Some(2)));
    assert_eq!(Rollup { moments: alone, sketch: Sketch::default() }.quantile(0.5), None);
}

#[test]
fn nan_is_counted_skipped_by_extremes_and_lowest() {
    let rollup = Rollup::from_points(&[1, 2, 3], &[f64::NAN, 5.0, 3.0]);
    assert_eq!((rollup.moments.count, rollup.moments.nan_count), (3, 1));
    assert!(rollup.moments.sum.is_nan() && rollup.moments.first.is_nan());
    assert_eq!((rollup.moments.min, rollup.moments.max), (3.0, 5.0));
    assert!(rollup.quantile(0.2).is_some_and(f64::is_nan));
    assert_eq!((rollup.quantile(0.5), rollup.quantile(1.0)), (Some(3.0), Some(5.0)));
    let all_nan = Rollup::from_points(&[1], &[f64::NAN]);
    assert!(all_nan.moments.min.is_nan() && all_nan.moments.max.is_nan());
}

#[test]
fn sums_keep_what_naive_addition_loses() {
    let values = [1e16, 1.0, -1e16, 1.0];
    assert!(same(Moments::from_points(&[1, 2, 3, 4], &values).sum, 2.0));
}

#[test]
fn a_lean_row_answers_only_the_ends() {
    let lean = Rollup { moments: Moments::from_points(&[1, 2, 3], &[4.0, 9.0, 6.0]), sketch: Sketch::default() };
    assert_eq!((lean.quantile(0.99), lean.quantile(0.0), lean.quantile(0.5)), (Some(9.0), Some(4.0), None));
}

#[test]
fn quantiles_outside_zero_to_one_are_infinite_as_in_prometheus() {
    let rollup = Rollup::from_points(&[1], &[4.0]);
    assert_eq!((rollup.quantile(-0.1), rollup.quantile(1.1)), (Some(f64::NEG_INFINITY), Some(f64::INFINITY)));
    assert!(rollup.quantile(f64::NAN).is_some_and(f64::is_nan));
}

mod extrapolation {
    use super::*;

    fn moments(list: &[(i64, f64)]) -> Moments {
        let mut moments = Moments::EMPTY;
        list.iter().for_each(|&(ts, value)| moments.add(ts, value));
        moments
    }

    #[test]
    fn a_range_full_of_samples_is_stretched_to_its_ends() {
        // Scraped every 10 s, and the range reaches 5 s beyond the samples on both sides: 60 s instead of 50 s.
        let steady = moments(&[(5_000, 1_000.0), (15_000, 1_010.0), (25_000, 1_020.0), (55_000, 1_050.0)]);
        assert_eq!(steady.extrapolated_increase(0, 60_000, false), Some(60.0));
        assert_eq!(steady.extrapolated_increase(0, 60_000, true), Some(1.0));
        assert_eq!(steady.extrapolated_delta(0, 60_000), Some(60.0));
    }

    #[test]
    fn a_series_that_ends_early_is_stretched_by_half_an_interval() {
        // Prometheus' own example: average interval 10 s, nothing in the last 40 s.
        let ended = moments(&[(0, 100.0), (10_000, 200.0), (20_000, 300.0)]);
        let increase = ended.extrapolated_increase(-1_000, 60_000, false).expect("three samples");
        assert!((increase - 200.0 * 26.0 / 20.0).abs() < 1e-9, "{increase}");
    }

    #[test]
    fn a_counter_is_not_extrapolated_below_zero() {
        let young = moments(&[(30_000, 1.0), (60_000, 31.0)]);
        // Back to the start would be 30 s and 30 units; zero is 1 s away.
        let increase = young.extrapolated_increase(0, 60_000, false).expect("two samples");
        assert!((increase - 31.0).abs() < 1e-12, "{increase}");
        assert_eq!(young.extrapolated_delta(0, 60_000), Some(60.0));
    }

    #[test]
    fn fewer_than_two_samples_have_no_rate() {
        assert_eq!(moments(&[(1, 1.0)]).extrapolated_increase(0, 10, true), None);
        assert_eq!(Moments::EMPTY.extrapolated_delta(0, 10), None);
    }

    #[test]
    fn resets_are_added_back() {
        let reset = moments(&[(0, 50.0), (10_000, 60.0), (20_000, 5.0), (30_000, 15.0)]);
        assert_eq!(reset.extrapolated_increase(0, 30_000, false), Some(25.0));
    }
}
