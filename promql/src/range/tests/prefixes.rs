//! Windows that share points, over gauges and counters longer than what is added up at once.

use proptest::prelude::*;
use schemas::Points;

use super::{call, evaluated, naive_extrapolation, secs, windows};
use crate::math::Kahan;
use crate::range::{Args, RangeFunction};
use crate::storage::Windows;

/// From one sample to the next, ms.
fn arb_gaps() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        (600_usize..1500).prop_map(|count| vec![10_000; count]),
        prop::collection::vec(9_500_i64..10_500, 600..1500),
        prop::collection::vec(prop_oneof![9 => Just(10_000_i64), 1 => 20_000_i64..900_000], 600..1500),
    ]
}

/// A value of a kind after the one before, by chance.
fn next(kind: u32, before: f64, chance: f64) -> f64 {
    match kind {
        // Gauges: falls at every other value; about zero; of whole numbers, most of them the same.
        0 => before + chance - 0.5,
        1 => (chance - 0.5) * 1e3,
        2 => (chance * 4.0).floor() - 2.0,
        // Counters: without a reset, with few, with many, of numbers that have no digits left behind the point.
        3 => before + chance,
        4 => {
            if chance < 0.004 {
                chance
            } else {
                before + chance
            }
        }
        5 => {
            if chance < 0.3 {
                chance
            } else {
                before + chance * 1e3
            }
        }
        _ => {
            if chance < 0.05 {
                0.0
            } else {
                before.max(1e15) + (chance * 1e6).floor()
            }
        }
    }
}

fn arb_series() -> impl Strategy<Value = Points> {
    let chances = prop::collection::vec(0.0..1.0_f64, 1500);
    (0_u32..7, arb_gaps(), chances, -1e3..1e3_f64).prop_map(|(kind, gaps, chances, first)| {
        let (mut points, mut ts, mut value) = (Points::default(), 0, if kind < 3 { first } else { first.abs() });
        for (gap, chance) in gaps.into_iter().zip(chances) {
            points.push(ts, value);
            (ts, value) = (ts + gap, next(kind, value, chance));
        }
        points
    })
}

/// Values that are not numbers, or are far greater or smaller than others, at some places.
fn arb_specials() -> impl Strategy<Value = Vec<(usize, f64)>> {
    let values = prop::sample::select(vec![
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        -1e300,
        1e300,
        1e40,
        1e-40,
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        5e-324,
    ]);
    prop::collection::vec((0_usize..600, values), 1..4)
}

/// Of one step and less, of some, of many; of steps that are no multiple of what lies between samples.
fn arb_windows() -> impl Strategy<Value = Windows> {
    let steps = prop::sample::select(vec![5_000_i64, 10_000, 15_000, 60_000, 77_000, 3_600_000]);
    let ranges = prop::sample::select(vec![10_000_i64, 45_000, 60_000, 300_000, 1_234_000, 3_600_000]);
    (steps, ranges, -70_000_i64..70_000).prop_map(|(step, range, first_end)| windows(first_end, step, 800, range))
}

/// The samples of a window.
fn inside(points: &Points, windows: &Windows, step: usize) -> Vec<(i64, f64)> {
    let end = windows.end(step);
    let part = points.index_range(end - windows.range + 1, end + 1);
    points.timestamps[part.clone()].iter().copied().zip(points.values[part].iter().copied()).collect()
}

/// What lies in a window, compensated sums of it, and one of absolute values.
struct Window {
    samples: Vec<(i64, f64)>,
    lost: f64,
    sum: f64,
    size: f64,
}

impl Window {
    fn new(points: &Points, windows: &Windows, step: usize) -> Self {
        let samples = inside(points, windows, step);
        let values: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
        let lost: Vec<f64> = values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]).collect();
        let size = values.iter().map(|value| value.abs()).sum();
        Self { samples, lost: Kahan::of(&lost).total(), sum: Kahan::of(&values).total(), size }
    }

    /// Of `rate`, `increase`, `sum_over_time`, `avg_over_time`.
    fn value(&self, function: RangeFunction, windows: &Windows, step: usize) -> Option<f64> {
        let (first, last) = self.samples.first().zip(self.samples.last())?;
        let count = f64::from(u32::try_from(self.samples.len()).expect("few"));
        let end = windows.end(step);
        let increase = || {
            let change = last.1 - first.1 + self.lost;
            naive_extrapolation(&self.samples, change, true, (end - windows.range, end))
        };
        match function {
            RangeFunction::SumOverTime => Some(self.sum),
            RangeFunction::AvgOverTime => Some(self.sum / count),
            RangeFunction::Increase => increase(),
            _ => Some(increase()? / secs(windows.range)),
        }
    }
}

const SUMMED: [RangeFunction; 4] =
    [RangeFunction::Rate, RangeFunction::Increase, RangeFunction::SumOverTime, RangeFunction::AvgOverTime];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_and_increases_are_those_of_a_scan_of_each_window(points in arb_series(), windows in arb_windows()) {
        for function in SUMMED {
            let (values, _) = evaluated(&call(function, &Args::default()), &points, &windows);
            for (step, value) in values.into_iter().enumerate() {
                let window = Window::new(&points, &windows, step);
                let expected = window.value(function, &windows, step);
                let same = match (value, expected) {
                    // Of what cancels, the rest is only as good as a double of what was there.
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs() + 1e-15 * window.size,
                    (a, b) => a.is_none() && b.is_none(),
                };
                prop_assert!(same, "{} at {step}: {value:?}, not {expected:?}", function.name());
            }
        }
    }

    #[test]
    fn a_value_unlike_the_others_matters_in_its_windows_alone(
        points in arb_series(),
        specials in arb_specials(),
        windows in arb_windows(),
    ) {
        let mut among = points.clone();
        specials.into_iter().for_each(|(at, value)| among.values[at] = value);
        for &function in SUMMED.iter().chain(&[RangeFunction::Resets, RangeFunction::Changes]) {
            let args = Args::default();
            let call = call(function, &args);
            let ((without, _), (with, _)) = (evaluated(&call, &points, &windows), evaluated(&call, &among, &windows));
            for (step, (without, with)) in without.into_iter().zip(with).enumerate() {
                let [samples, others] = [&points, &among].map(|points| inside(points, &windows, step));
                let is_touched = samples.iter().zip(&others).any(|(a, b)| a.1.to_bits() != b.1.to_bits());
                let size: f64 = samples.iter().map(|sample| sample.1.abs()).sum();
                let same = match (without, with) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs() + 1e-15 * size,
                    (a, b) => a.is_none() && b.is_none(),
                };
                prop_assert!(is_touched || same, "{} at {step}: {with:?}, not {without:?}", function.name());
            }
        }
    }

    #[test]
    fn events_are_counted_as_a_scan_of_each_window_counts_them(points in arb_series(), windows in arb_windows()) {
        let falls = |old: f64, new: f64| new < old;
        #[expect(clippy::float_cmp, reason = "asks whether a sample repeats the one before")]
        let changes = |old: f64, new: f64| new != old;
        let counted = |function| evaluated(&call(function, &Args::default()), &points, &windows).0;
        let (resets, changed) = (counted(RangeFunction::Resets), counted(RangeFunction::Changes));
        for step in 0..windows.count {
            let samples = inside(&points, &windows, step);
            let count = |happens: &dyn Fn(f64, f64) -> bool| {
                let events = samples.windows(2).filter(|pair| happens(pair[0].1, pair[1].1)).count();
                (!samples.is_empty()).then(|| f64::from(u32::try_from(events).expect("few")))
            };
            prop_assert_eq!((resets[step], changed[step]), (count(&falls), count(&changes)), "at {}", step);
        }
    }
}

#[test]
fn a_small_loss_counts_beside_what_others_lost_before() {
    // Falls from 2 at every second value, but once from 10³⁰⁰.
    let mut values = [2.0, 0.5].repeat(1000);
    values[4] = 1e300;
    let points = Points::new((0..2000).map(|at| at * 10_000).collect(), values);
    let windows = windows(40_000, 10_000, 1000, 60_000);
    let (increases, _) = evaluated(&call(RangeFunction::Increase, &Args::default()), &points, &windows);
    let alone = |step: usize| Window::new(&points, &windows, step).value(RangeFunction::Increase, &windows, step);
    assert!((0..1000).all(|step| increases[step] == alone(step)), "{:?}", &increases[..20]);
}
