//! Samples that say when their counters began.

use std::sync::Arc;

use proptest::prelude::*;
use schemas::Points;
use schemas::histogram::Histogram;

use super::{call, close, floats, windows};
use crate::ast::Edges;
use crate::column::{Column, Value};
use crate::notes::Notes;
use crate::range::{Args, RangeCall, RangeFunction, evaluate, evaluate_started};
use crate::starts::Starts;
use crate::storage::Windows;

const OF_COUNTERS: [RangeFunction; 4] =
    [RangeFunction::Rate, RangeFunction::Increase, RangeFunction::Irate, RangeFunction::Resets];

fn started(call: &RangeCall<'_>, points: &Points, starts: &Starts, windows: &Windows) -> (Vec<Option<Value>>, Notes) {
    let (mut out, mut notes) = (Column::empty(windows.count), Notes::default());
    evaluate_started(call, points, starts, windows, &mut out, &mut notes).expect("valid");
    ((0..windows.count).map(|step| out.get(step)).collect(), notes)
}

fn float(value: &Option<Value>) -> Option<f64> {
    match value {
        Some(Value::Float(value)) => Some(*value),
        Some(Value::Histogram(_)) => panic!("a histogram"),
        None => None,
    }
}

/// A sample every 10 s, and how long before it its counter began.
fn arb_series() -> impl Strategy<Value = (Points, Starts)> {
    let before = prop_oneof![Just(None), (-3_i64..30).prop_map(|seconds| Some(seconds * 1000))];
    prop::collection::vec((0.0..100.0_f64, before), 1..200).prop_map(|samples| {
        let (mut points, mut starts) = (Points::default(), Starts::default());
        for (at, (value, before)) in (1_i64..).zip(samples) {
            points.push(at * 10_000, value);
            starts.set(at * 10_000, before.map_or(0, |before| at * 10_000 - before));
        }
        (points, starts)
    })
}

/// With a histogram far from all windows, so that the windows are evaluated one after the other.
fn with_histogram(points: &Points, ts: i64) -> Points {
    let mut points = points.clone();
    points.push_histogram(ts, Arc::new(Histogram::default()));
    points
}

proptest! {
    #[test]
    fn a_column_of_started_samples_is_its_value_for_each_window_alone(
        (points, starts) in arb_series(),
        range in 5_000_i64..900_000,
    ) {
        let whole = windows(50_000, 30_000, 80, range);
        let beside = with_histogram(&points, 10_000_000);
        for function in OF_COUNTERS {
            let (args, name) = (Args::default(), function.name());
            let call = call(function, &args);
            let (values, notes) = started(&call, &points, &starts, &whole);
            let mut said = Notes::default();
            for (step, value) in values.iter().enumerate() {
                let one = windows(whole.end(step), 1, 1, range);
                let (alone, notes) = started(&call, &points, &starts, &one);
                said.merge(notes);
                prop_assert!(close(float(value), float(&alone[0])), "{name} at {step}: {value:?}, not {:?}", alone[0]);
            }
            prop_assert_eq!(&said, &notes);
            let wide = Windows { count: 400, ..whole };
            let (among, _) = started(&call, &beside, &starts, &wide);
            for (step, value) in values.iter().enumerate() {
                prop_assert!(close(float(value), float(&among[step])), "{name} at {step}, beside a histogram");
            }
        }
    }

    #[test]
    fn starts_that_are_not_known_change_nothing((points, starts) in arb_series(), range in 5_000_i64..900_000) {
        let windows = windows(50_000, 30_000, 80, range);
        for &function in RangeFunction::ALL {
            let none = if OF_COUNTERS.contains(&function) { Starts::default() } else { starts.clone() };
            let args = super::args_of(function);
            let call = call(function, &args);
            let mut out = Column::empty(windows.count);
            evaluate(&call, &points, &windows, &mut out, &mut Notes::default()).expect("valid");
            let (values, _) = started(&call, &points, &none, &windows);
            for (step, value) in values.iter().enumerate() {
                prop_assert_eq!(float(value).map(f64::to_bits), out.float(step).map(f64::to_bits));
            }
        }
    }
}

#[test]
fn a_counter_that_began_in_the_window_counts_from_zero_there() {
    let args = Args::default();
    let of = |function, start| {
        let starts = Starts::from_iter([(20_000, start)]);
        float(&started(&call(function, &args), &floats(&[(20_000, 5.0)]), &starts, &windows(20_000, 1, 1, 20_000)).0[0])
    };
    assert_eq!(of(RangeFunction::Increase, 10_000), Some(5.0));
    assert_eq!(of(RangeFunction::Rate, 10_000), Some(0.25));
    assert_eq!(of(RangeFunction::Increase, -1), None, "before the window");
    assert_eq!(of(RangeFunction::Increase, 20_000), None, "as late as the sample");
}

#[test]
fn resets_that_values_do_not_show_are_seen_with_edges_too() {
    let starts = Starts::from_iter([(10_000, 1_000), (20_000, 15_000), (30_000, 15_000)]);
    let (points, args) = (floats(&[(10_000, 1.0), (20_000, 2.0), (30_000, 3.0)]), Args::default());
    for edges in [Edges::Plain, Edges::Anchored] {
        let call = RangeCall { edges, ..call(RangeFunction::Resets, &args) };
        let (values, _) = started(&call, &points, &starts, &windows(30_000, 1, 1, 25_000));
        assert_eq!(float(&values[0]), Some(1.0), "{edges:?}");
    }
}

#[test]
fn counters_that_overlap_are_noted() {
    let starts = Starts::from_iter([(10_000, 1_000), (20_000, 9_000)]);
    let (points, args) = (floats(&[(10_000, 1.0), (20_000, 2.0)]), Args::default());
    let (_, notes) = started(&call(RangeFunction::Rate, &args), &points, &starts, &windows(20_000, 1, 1, 20_000));
    let texts: Vec<_> = notes.iter().map(|note| note.text.as_str()).collect();
    let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m\"";
    assert_eq!(texts, [text]);
}
