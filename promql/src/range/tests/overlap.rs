//! Long windows that share most of their points.

use proptest::prelude::*;
use schemas::Points;

use super::{call, evaluated, windows};
use crate::math::Kahan;
use crate::range::{Args, RangeFunction};

/// A counter or gauge of a sample every 10 s, with resets.
fn series(values: Vec<f64>) -> Points {
    let mut points = Points::default();
    for (at, value) in values.into_iter().enumerate() {
        points.push(i64::try_from(at).expect("few") * 10_000, value);
    }
    points
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sums_of_long_windows_are_those_of_each_window_to_twelve_digits(
        values in prop::collection::vec(prop_oneof![-1.0..1.0_f64, -1e9..1e9_f64], 500..900),
    ) {
        let points = series(values);
        let windows = windows(2_000_000, 60_000, 100, 2_000_000);
        let (sums, _) = evaluated(&call(RangeFunction::SumOverTime, &Args::default()), &points, &windows);
        for (step, sum) in sums.into_iter().enumerate() {
            let end = windows.end(step);
            let part = points.index_range(end - windows.range + 1, end + 1);
            let expected = Kahan::of(&points.values[part]).total();
            let sum = sum.unwrap_or(0.0);
            prop_assert!((sum - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{sum}, not {expected}");
        }
    }

    #[test]
    fn increases_of_a_counter_with_many_resets_are_those_of_each_window(
        values in prop::collection::vec(0.0..100.0_f64, 300..600),
    ) {
        let points = series(values);
        let whole = windows(2_000_000, 60_000, 60, 2_000_000);
        let args = Args::default();
        let (increases, _) = evaluated(&call(RangeFunction::Increase, &args), &points, &whole);
        for (step, increase) in increases.into_iter().enumerate() {
            let one = windows(whole.end(step), 1, 1, whole.range);
            let (alone, _) = evaluated(&call(RangeFunction::Increase, &args), &points, &one);
            let (increase, alone) = (increase.unwrap_or(-1.0), alone[0].unwrap_or(-1.0));
            prop_assert!((increase - alone).abs() <= 1e-12 * alone.abs(), "{increase}, not {alone}");
        }
    }
}

#[test]
fn what_left_a_window_leaves_no_trace_in_its_sum() {
    let mut values = vec![0.1; 400];
    values[3] = 1e300;
    values[4] = -1e300;
    let windows = windows(1_000_000, 10_000, 200, 1_000_000);
    let (sums, _) = evaluated(&call(RangeFunction::SumOverTime, &Args::default()), &series(values), &windows);
    assert!(sums[100..].iter().all(|sum| sum.is_some_and(|sum| (sum - 10.0).abs() < 1e-12)), "{sums:?}");
}
