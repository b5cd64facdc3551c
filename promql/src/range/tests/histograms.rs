//! Windows with native histograms.

use std::sync::Arc;

use schemas::Points;
use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};

use super::{call, windows};
use crate::ast::Edges;
use crate::column::{Column, Value};
use crate::notes::Notes;
use crate::range::{Args, RangeCall, RangeFunction, evaluate};

fn histogram(counts: &[f64]) -> Histogram {
    let length = u32::try_from(counts.len()).expect("few");
    Histogram {
        count: counts.iter().sum(),
        sum: 2.0 * counts.iter().sum::<f64>(),
        positive: Buckets { spans: vec![Span { offset: 1, length }], counts: counts.to_vec() },
        ..Histogram::default()
    }
}

fn gauge(counts: &[f64]) -> Histogram {
    Histogram { reset_hint: ResetHint::Gauge, ..histogram(counts) }
}

fn series(histograms: Vec<(i64, Histogram)>) -> Points {
    let mut points = Points::default();
    histograms.into_iter().for_each(|(ts, histogram)| points.push_histogram(ts, Arc::new(histogram)));
    points
}

fn of(call: &RangeCall<'_>, points: &Points, end: i64, range: i64) -> (Option<Value>, Vec<String>) {
    let (mut out, mut notes) = (Column::empty(1), Notes::default());
    evaluate(call, points, &windows(end, 1, 1, range), &mut out, &mut notes).expect("valid");
    (out.get(0), notes.iter().map(|note| note.text.clone()).collect())
}

fn counts(value: Option<Value>) -> Vec<f64> {
    match value {
        Some(Value::Histogram(histogram)) => histogram.positive.counts.clone(),
        other => panic!("{other:?} is no histogram"),
    }
}

#[test]
fn an_increase_adds_back_what_a_reset_took() {
    let points = series(vec![(0, histogram(&[1.0, 1.0])), (10, histogram(&[4.0, 2.0])), (20, histogram(&[1.0, 3.0]))]);
    let args = Args::default();
    let (value, notes) = of(&call(RangeFunction::Increase, &args), &points, 20, 21);
    // From 2 to 6, reset, to 4: 8 over 20 ms, drawn to the start of 21 ms.
    assert_eq!(counts(value), [4.0 * 1.05, 4.0 * 1.05]);
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(of(&call(RangeFunction::Resets, &args), &points, 20, 21).0, Some(Value::Float(1.0)));
    assert_eq!(of(&call(RangeFunction::Changes, &args), &points, 20, 21).0, Some(Value::Float(2.0)));
}

#[test]
fn a_rate_of_a_gauge_and_a_delta_of_a_counter_are_noted() {
    let args = Args::default();
    let gauges = series(vec![(0, gauge(&[1.0])), (10, gauge(&[2.0]))]);
    let (_, notes) = of(&call(RangeFunction::Rate, &args), &gauges, 10, 20);
    assert_eq!(notes, ["PromQL warning: this native histogram metric is not a counter: \"m\""]);
    let counters = series(vec![(0, histogram(&[1.0])), (10, histogram(&[2.0]))]);
    let (_, notes) = of(&call(RangeFunction::Delta, &args), &counters, 10, 20);
    assert_eq!(notes, ["PromQL warning: this native histogram metric is not a gauge: \"m\""]);
}

#[test]
fn floats_beside_histograms_have_no_rate_and_no_sum_but_a_maximum() {
    let mut points = series(vec![(0, histogram(&[1.0])), (10, histogram(&[2.0]))]);
    points.push(20, 7.0);
    let args = Args::default();
    let mixed = "PromQL warning: encountered a mix of histograms and floats for metric name \"m\"".to_owned();
    for function in [RangeFunction::Rate, RangeFunction::SumOverTime, RangeFunction::AvgOverTime, RangeFunction::Irate]
    {
        assert_eq!(of(&call(function, &args), &points, 20, 30), (None, vec![mixed.clone()]), "{}", function.name());
    }
    let (value, notes) = of(&call(RangeFunction::MaxOverTime, &args), &points, 20, 30);
    assert_eq!(value, Some(Value::Float(7.0)));
    assert!(notes[0].contains("ignored histograms in a range containing both floats and histograms"));
    assert_eq!(of(&call(RangeFunction::CountOverTime, &args), &points, 20, 30).0, Some(Value::Float(3.0)));
    assert_eq!(of(&call(RangeFunction::LastOverTime, &args), &points, 20, 30).0, Some(Value::Float(7.0)));
    assert_eq!(counts(of(&call(RangeFunction::FirstOverTime, &args), &points, 20, 30).0), [1.0]);
}

#[test]
fn sums_and_means_add_buckets() {
    let points = series(vec![(0, gauge(&[1.0, 2.0])), (10, gauge(&[3.0, 6.0]))]);
    let args = Args::default();
    assert_eq!(counts(of(&call(RangeFunction::SumOverTime, &args), &points, 10, 20).0), [4.0, 8.0]);
    assert_eq!(counts(of(&call(RangeFunction::AvgOverTime, &args), &points, 10, 20).0), [2.0, 4.0]);
}

#[test]
fn exponential_and_custom_buckets_have_no_sum() {
    let custom = Histogram { schema: SCHEMA_CUSTOM, custom_values: vec![1.0, 2.0], ..histogram(&[1.0]) };
    let points = series(vec![(0, histogram(&[1.0])), (10, custom)]);
    let args = Args::default();
    let (value, notes) = of(&call(RangeFunction::SumOverTime, &args), &points, 10, 20);
    assert_eq!(value, None);
    assert!(notes[0].contains("a mix of histograms with exponential and custom buckets"), "{notes:?}");
}

#[test]
fn edges_take_or_interpolate_histograms() {
    let points =
        series(vec![(0, histogram(&[0.0, 2.0])), (10_000, histogram(&[10.0, 4.0])), (20_000, histogram(&[20.0, 8.0]))]);
    let args = Args::default();
    let with = |edges, end| {
        let call = RangeCall { edges, lookback: 60_000, ..call(RangeFunction::Increase, &args) };
        counts(of(&call, &points, end, 10_000).0)
    };
    assert_eq!(with(Edges::Anchored, 20_000), [10.0, 4.0]);
    assert_eq!(with(Edges::Smoothed, 15_000), [10.0, 3.0]);
}
