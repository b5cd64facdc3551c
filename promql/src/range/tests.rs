//! Each function against a naive scan of each window, over points of every kind.

use proptest::prelude::*;
use schemas::Points;
use schemas::points::{STALE_BITS, is_stale, stale};
use schemas::rollup::Moments;

use super::*;
use crate::error::Span;
use crate::histogram::Subject;

mod histograms;
mod overlap;
mod prefixes;
mod starts;

pub(super) fn call<'a>(function: RangeFunction, args: &'a Args) -> RangeCall<'a> {
    RangeCall {
        function,
        args,
        edges: Edges::Plain,
        lookback: 300_000,
        steps: (0, 1000),
        subject: Subject { metric: "m", span: Span::new(0, 1) },
    }
}

fn floats(list: &[(i64, f64)]) -> Points {
    let mut points = Points::default();
    list.iter().for_each(|&(ts, value)| points.push(ts, value));
    points
}

pub(super) fn windows(first_end: i64, step: i64, count: usize, range: i64) -> Windows {
    Windows { first_end, step, count, range }
}

/// All values, and what was said.
pub(super) fn evaluated(call: &RangeCall<'_>, points: &Points, windows: &Windows) -> (Vec<Option<f64>>, Notes) {
    let (mut out, mut notes) = (Column::empty(windows.count), Notes::default());
    evaluate(call, points, windows, &mut out, &mut notes).expect("the arguments are valid");
    ((0..windows.count).map(|step| out.float(step)).collect(), notes)
}

fn args_of(function: RangeFunction) -> Args {
    match function {
        RangeFunction::QuantileOverTime => Args::constants(&[0.3]),
        RangeFunction::PredictLinear => Args::constants(&[60.0]),
        RangeFunction::DoubleExponentialSmoothing => Args::constants(&[0.4, 0.7]),
        _ => Args::default(),
    }
}

fn arb_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => (-50_i32..50).prop_map(f64::from),
        4 => -1e3..1e3_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        2 => Just(stale()),
    ]
}

fn arb_points(values: impl Strategy<Value = f64>) -> impl Strategy<Value = Points> {
    prop::collection::vec((1_i64..40, values), 0..80).prop_map(|list| {
        let mut points = Points::default();
        let mut ts = -200;
        for (gap, value) in list {
            ts += gap;
            points.push(ts, value);
        }
        points
    })
}

fn arb_windows() -> impl Strategy<Value = Windows> {
    (-300_i64..300, 1_i64..60, 1_usize..40, prop_oneof![1_i64..20, 20_i64..100, 100_i64..1500])
        .prop_map(|(first_end, step, count, range)| windows(first_end, step, count, range))
}

/// The samples of a window, found the slow way.
fn inside(points: &Points, windows: &Windows, step: usize) -> Vec<(i64, f64)> {
    let end = windows.end(step);
    points.iter().filter(|&(ts, value)| ts > end - windows.range && ts <= end && !is_stale(value)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "times and counts of tests are small")]
fn secs(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What the documentation says, written down naively. `None` also of functions that are not simple enough.
#[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "as the language has it; counts are small")]
fn naive(function: RangeFunction, samples: &[(i64, f64)], windows: &Windows, step: usize) -> Option<f64> {
    use RangeFunction as F;
    let (&(first_ts, first), &(last_ts, last)) = samples.first().zip(samples.last())?;
    let pairs = || samples.windows(2).map(|pair| (pair[0].1, pair[1].1));
    let values: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
    let numbers = || values.iter().copied().filter(|value| !value.is_nan());
    let lost: f64 = pairs().filter(|(old, new)| new < old).map(|(old, _)| old).fold(0.0, |sum, old| sum + old);
    let end = windows.end(step);
    Some(match function {
        F::AbsentOverTime | F::PresentOverTime => 1.0,
        F::CountOverTime => values.len() as f64,
        F::FirstOverTime => first,
        F::LastOverTime => last,
        F::TsOfFirstOverTime => secs(first_ts),
        F::TsOfLastOverTime => secs(last_ts),
        F::SumOverTime => values.iter().sum::<f64>() + 0.0,
        F::AvgOverTime => values.iter().sum::<f64>() / values.len() as f64,
        F::MaxOverTime => numbers().fold(f64::NAN, f64::max),
        F::MinOverTime => numbers().fold(f64::NAN, f64::min),
        F::Resets => pairs().filter(|(old, new)| new < old).count() as f64,
        F::Changes => pairs().filter(|(old, new)| new != old && !(new.is_nan() && old.is_nan())).count() as f64,
        F::Increase => naive_extrapolation(samples, last - first + lost, true, (end - windows.range, end))?,
        F::Rate => {
            naive_extrapolation(samples, last - first + lost, true, (end - windows.range, end))? / secs(windows.range)
        }
        F::Delta => naive_extrapolation(samples, last - first, false, (end - windows.range, end))?,
        F::Idelta | F::Irate => {
            let (old, new) = pairs().next_back()?;
            let change = if function == F::Irate && new < old { new } else { new - old };
            let elapsed = secs(last_ts - samples[samples.len() - 2].0);
            if function == F::Irate { change / elapsed } else { change }
        }
        F::StdvarOverTime => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
        }
        F::StddevOverTime => naive(F::StdvarOverTime, samples, windows, step)?.sqrt(),
        F::QuantileOverTime => naive_quantile(0.3, &values),
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
fn naive_quantile(quantile: f64, values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)));
    let rank = quantile * (sorted.len() as f64 - 1.0);
    let (low, high) = (rank.floor() as usize, (rank.floor() as usize + 1).min(sorted.len() - 1));
    sorted[low] * (1.0 - rank.fract()) + sorted[high] * rank.fract()
}

#[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
fn naive_extrapolation(samples: &[(i64, f64)], change: f64, is_counter: bool, (start, end): (i64, i64)) -> Option<f64> {
    if samples.len() < 2 {
        return None;
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let sampled = secs(last.0 - first.0);
    let average = sampled / (samples.len() - 1) as f64;
    let near = |gap: f64| if gap >= average * 1.1 { average / 2.0 } else { gap };
    let mut before = near(secs(first.0 - start));
    if is_counter && change > 0.0 && first.1 >= 0.0 {
        before = before.min(sampled * (first.1 / change));
    }
    Some(change * ((sampled + before + near(secs(end - last.0))) / sampled))
}

#[expect(clippy::float_cmp, reason = "infinities are equal or not")]
fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if a.is_finite() && b.is_finite() => (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs())),
        (Some(a), Some(b)) => a == b || a.is_nan() && b.is_nan(),
        (a, b) => a.is_none() && b.is_none(),
    }
}

const NAIVE: [RangeFunction; 19] = [
    RangeFunction::AbsentOverTime,
    RangeFunction::AvgOverTime,
    RangeFunction::Changes,
    RangeFunction::CountOverTime,
    RangeFunction::Delta,
    RangeFunction::FirstOverTime,
    RangeFunction::Idelta,
    RangeFunction::Increase,
    RangeFunction::Irate,
    RangeFunction::LastOverTime,
    RangeFunction::MaxOverTime,
    RangeFunction::MinOverTime,
    RangeFunction::PresentOverTime,
    RangeFunction::QuantileOverTime,
    RangeFunction::Rate,
    RangeFunction::Resets,
    RangeFunction::SumOverTime,
    RangeFunction::TsOfFirstOverTime,
    RangeFunction::TsOfLastOverTime,
];

proptest! {
    #[test]
    fn each_window_is_as_a_naive_scan_has_it(points in arb_points(arb_value()), windows in arb_windows()) {
        for function in NAIVE {
            let args = args_of(function);
            let (values, _) = evaluated(&call(function, &args), &points, &windows);
            for (step, value) in values.into_iter().enumerate() {
                let samples = inside(&points, &windows, step);
                let expected = naive(function, &samples, &windows, step);
                let name = function.name();
                prop_assert!(close(value, expected), "{name} at {step}: {value:?}, not {expected:?} of {samples:?}");
            }
        }
    }

    #[test]
    fn the_column_of_a_function_is_its_value_for_each_window_alone(
        points in arb_points(arb_value()),
        windows in arb_windows(),
    ) {
        for &function in RangeFunction::ALL {
            let args = args_of(function);
            let (values, _) = evaluated(&call(function, &args), &points, &windows);
            for (step, value) in values.into_iter().enumerate() {
                let one = super::tests::windows(windows.end(step), 1, 1, windows.range);
                let alone = RangeCall { steps: (i64::try_from(step).expect("few") * 1000, 1), ..call(function, &args) };
                let (expected, _) = evaluated(&alone, &points, &one);
                let name = function.name();
                prop_assert!(close(value, expected[0]), "{name} at {step}: {value:?}, not {:?}", expected[0]);
            }
        }
    }

    #[test]
    fn moments_give_what_points_give(
        points in arb_points(arb_value().prop_filter("sums depend on their order", |value| !value.is_infinite())),
        windows in arb_windows(),
    ) {
        for &function in RangeFunction::ALL.iter().filter(|&&function| is_of_moments(function)) {
            let args = Args::default();
            let (values, _) = evaluated(&call(function, &args), &points, &windows);
            for (step, value) in values.into_iter().enumerate() {
                let end = windows.end(step);
                let part = points.index_range(end - windows.range + 1, end + 1);
                let moments = Moments::from_points(&points.timestamps[part.clone()], &points.values[part]);
                let of_moments = of_moments(function, &moments, end - windows.range, end);
                prop_assert!(!needs_points(function, &moments));
                // Windows that overlap much are summed up in another order.
                let is_exact = windows.range <= windows.step * 8 && !value.is_some_and(f64::is_nan);
                let same = if is_exact { value == of_moments } else { close(value, of_moments) };
                prop_assert!(same, "{} at {step}: {value:?}, {of_moments:?} of moments", function.name());
            }
        }
    }

    #[test]
    fn an_instant_selector_takes_the_newest_point_unless_it_is_a_marker(
        points in arb_points(arb_value()),
        windows in arb_windows(),
    ) {
        let mut out = Column::empty(windows.count);
        last(&points, &windows, &mut out);
        for step in 0..windows.count {
            let end = windows.end(step);
            let newest = points.iter().rfind(|&(ts, _)| ts > end - windows.range && ts <= end);
            let expected = newest.map(|(_, value)| value).filter(|value| !is_stale(*value));
            prop_assert_eq!(out.float(step).map(f64::to_bits), expected.map(f64::to_bits));
        }
    }
}

#[test]
fn a_marker_of_staleness_is_no_sample() {
    let points = floats(&[(1000, 1.0), (2000, stale()), (3000, 3.0)]);
    let args = Args::default();
    let of = |function| evaluated(&call(function, &args), &points, &windows(3000, 1000, 1, 5000)).0[0];
    assert_eq!(of(RangeFunction::CountOverTime), Some(2.0));
    assert_eq!(of(RangeFunction::SumOverTime), Some(4.0));
    let of_markers =
        evaluated(&call(RangeFunction::PresentOverTime, &args), &floats(&[(1, stale())]), &windows(1, 1, 1, 5));
    assert_eq!(of_markers.0[0].map(f64::to_bits), None, "nothing but {STALE_BITS:x}");
}

#[test]
fn a_window_is_open_at_its_start_and_closed_at_its_end() {
    let points = floats(&[(0, 1.0), (1000, 2.0), (2000, 4.0)]);
    let (values, _) =
        evaluated(&call(RangeFunction::SumOverTime, &Args::default()), &points, &windows(1000, 1000, 2, 1000));
    assert_eq!(values, [Some(2.0), Some(4.0)]);
}

#[test]
fn one_window_serves_all_steps_and_a_prediction_counts_from_each() {
    let points = floats(&[(0, 0.0), (10_000, 10.0)]);
    let one = windows(10_000, 1, 1, 20_000);
    let mut out = Column::empty(3);
    evaluate(&call(RangeFunction::SumOverTime, &Args::default()), &points, &one, &mut out, &mut Notes::default())
        .expect("valid");
    assert_eq!((0..3).map(|step| out.float(step)).collect::<Vec<_>>(), [Some(10.0); 3]);
    let args = Args::new(vec![Arg::Steps(vec![0.0, 5.0, 0.0])]);
    let call = RangeCall { steps: (20_000, 1000), ..call(RangeFunction::PredictLinear, &args) };
    let mut out = Column::empty(3);
    evaluate(&call, &points, &one, &mut out, &mut Notes::default()).expect("valid");
    assert_eq!((0..3).map(|step| out.float(step)).collect::<Vec<_>>(), [Some(20.0), Some(26.0), Some(22.0)]);
}

#[test]
fn factors_of_smoothing_lie_between_zero_and_one() {
    let args = Args::constants(&[1.0, 0.5]);
    let call = call(RangeFunction::DoubleExponentialSmoothing, &args);
    let evaluate =
        |points: &Points| evaluate(&call, points, &windows(10, 1, 1, 20), &mut Column::empty(1), &mut Notes::default());
    assert_eq!(evaluate(&Points::default()), Ok(()));
    let error = evaluate(&floats(&[(1, 1.0)])).expect_err("a factor of one");
    assert_eq!(error.to_string(), "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000");
}

#[test]
fn a_sum_that_overflows_has_a_mean_all_the_same() {
    let points = floats(&[(1, f64::MAX), (2, f64::MAX), (3, f64::MAX)]);
    let (values, _) = evaluated(&call(RangeFunction::AvgOverTime, &Args::default()), &points, &windows(3, 1, 1, 5));
    assert!(close(values[0].map(|mean| mean / f64::MAX), Some(1.0)), "{values:?}");
}

#[test]
fn a_quantile_outside_of_zero_to_one_is_noted() {
    let args = Args::constants(&[1.5]);
    let (values, notes) =
        evaluated(&call(RangeFunction::QuantileOverTime, &args), &floats(&[(1, 1.0)]), &windows(1, 1, 1, 5));
    assert_eq!(values, [Some(f64::INFINITY)]);
    let texts: Vec<_> = notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(texts, ["PromQL warning: quantile value should be between 0 and 1, got 1.5"]);
}

#[test]
fn edges_decide_what_a_rate_sees() {
    let points = floats(&[(0, 0.0), (10_000, 10.0), (20_000, 20.0), (30_000, 5.0)]);
    let args = Args::default();
    let of = |function, edges, end| {
        let call = RangeCall { edges, lookback: 60_000, ..call(function, &args) };
        evaluated(&call, &points, &windows(end, 1, 1, 10_000)).0[0]
    };
    assert_eq!(of(RangeFunction::Increase, Edges::Anchored, 20_000), Some(10.0));
    assert_eq!(of(RangeFunction::Increase, Edges::Anchored, 30_000), Some(5.0));
    assert_eq!(of(RangeFunction::Delta, Edges::Anchored, 30_000), Some(-15.0));
    assert_eq!(of(RangeFunction::Increase, Edges::Smoothed, 15_000), Some(10.0));
    assert_eq!(of(RangeFunction::Rate, Edges::Smoothed, 15_000), Some(1.0));
    assert_eq!(of(RangeFunction::Resets, Edges::Anchored, 30_000), Some(1.0));
}
