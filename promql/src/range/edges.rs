//! Windows with edges: `anchored` takes the last sample at or before its start, `smoothed` interpolates at both of
//! its ends.
//!
//! samples in a window and within the lookback beside it ─▶ first and last that matter ([`Window::ends`]) ─▶ floats:
//! [`line`]; native histograms: [`shapes`]

mod line;
mod shapes;

use std::ops::Range;

use schemas::Points;

use super::call::{RangeCall, RangeFunction};
use super::histograms::{Timed, count_events, merged};
use super::samples::{Samples, Times};
use crate::ast::Edges;
use crate::column::{Column, Value};
use crate::histogram::Subject;
use crate::notes::Notes;
use crate::starts::Starts;
use crate::storage::Windows;
use line::Line;

/// A window whose edges matter: `(start, end]`, ms.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: i64,
    end: i64,
    is_smoothed: bool,
}

/// The samples in a window and beside it.
#[derive(Clone, Copy)]
struct Seen<'a> {
    line: Line<'a>,
    histograms: &'a [Timed],
    starts: Option<&'a Starts>,
}

/// See [`super::evaluate`].
pub(super) fn column(
    call: &RangeCall<'_>,
    samples: &Samples<'_>,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) {
    let is_smoothed = call.edges == Edges::Smoothed;
    for step in 0..out.len() {
        let end = windows.end(if windows.count == 1 { 0 } else { step });
        let window = Window { start: end.saturating_sub(windows.range), end, is_smoothed };
        let ahead = if is_smoothed { call.lookback } else { 0 };
        let seen = Seen::new(samples, window.start.saturating_sub(call.lookback), end.saturating_add(ahead));
        if let Some(value) = window.evaluate(call, &seen, notes) {
            out.set(step, value);
        }
    }
}

/// The values of an instant selector that is `smoothed`: at each end of a window the sample, or between two samples
/// what lies on the line from one to the next, or the last one. `windows` have the lookback as their range; points
/// reach as far beyond them.
///
/// # Panics
/// If there are several windows, but not one a step.
pub fn smoothed(points: &Points, windows: &Windows, subject: &Subject<'_>, out: &mut Column, notes: &mut Notes) {
    assert!(windows.count == out.len() || windows.count == 1, "one window a step, or one for all");
    let (first, last) = windows.span();
    let samples = Samples::new(points, (first, last.saturating_add(windows.range)));
    for step in 0..out.len() {
        let at = windows.end(if windows.count == 1 { 0 } else { step });
        let seen = Seen::new(&samples, at.saturating_sub(windows.range), at.saturating_add(windows.range));
        let value = match (seen.line.timestamps.is_empty(), seen.histograms.is_empty()) {
            (false, false) => {
                subject.mixed_with_floats(notes);
                None
            }
            (false, true) => seen.line.at(at).map(Value::Float),
            (true, false) => shapes::at(seen.histograms, at, *subject, notes).map(Value::Histogram),
            (true, true) => None,
        };
        if let Some(value) = value {
            out.set(step, value);
        }
    }
}

/// The samples of a range selector with edges, as such: those inside of `(start, end)` and one at each edge.
/// `timestamps` and `values` are the floats from a lookback before the start on, and of smoothed selectors up to a
/// lookback behind the end.
pub fn extended(timestamps: &[i64], values: &[f64], start: i64, end: i64, edges: Edges) -> Vec<(i64, f64)> {
    let line = Line { timestamps, values };
    if edges == Edges::Plain || timestamps.is_empty() {
        return timestamps.iter().copied().zip(values.iter().copied()).collect();
    }
    let window = Window { start, end, is_smoothed: edges == Edges::Smoothed };
    let (first, last) = window.ends(timestamps);
    if timestamps[last] <= start {
        return Vec::new();
    }
    let mut samples = vec![(start, line.left(&window, first, false))];
    samples.extend(line.inside(&window, first, last).map(|at| (timestamps[at], values[at])));
    samples.push((end, line.right(&window, last, false)));
    samples
}

impl<'a> Seen<'a> {
    /// Those in `(start, end]`.
    fn new(samples: &'a Samples<'_>, start: i64, end: i64) -> Self {
        let floats = between(&*samples.timestamps, start, end);
        Self {
            line: Line { timestamps: &samples.timestamps[floats.clone()], values: &samples.values[floats] },
            histograms: &samples.histograms[between(&*samples.histograms, start, end)],
            starts: samples.starts,
        }
    }
}

impl Window {
    fn evaluate(&self, call: &RangeCall<'_>, seen: &Seen<'_>, notes: &mut Notes) -> Option<Value> {
        if matches!(call.function, RangeFunction::Resets | RangeFunction::Changes) {
            return self.events(call.function, seen).map(Value::Float);
        }
        match (seen.line.timestamps.is_empty(), seen.histograms.is_empty()) {
            (false, false) => {
                call.subject.mixed_with_floats(notes);
                None
            }
            (false, true) => line::change(call.function, self, &seen.line).map(Value::Float),
            (true, false) => shapes::change(call, self, seen.histograms, notes).map(Value::Histogram),
            (true, true) => None,
        }
    }

    /// `resets` or `changes` since the last sample at or before the start; nothing, if there is none after the start.
    fn events(&self, function: RangeFunction, seen: &Seen<'_>) -> Option<f64> {
        let samples = merged(seen.line.timestamps, seen.line.values, seen.histograms);
        let after = samples.partition_point(|&(ts, _)| ts <= self.start);
        (after < samples.len()).then(|| count_events(function, &samples[after.saturating_sub(1)..], seen.starts))
    }

    /// The first and the last sample that matter, of one or more.
    fn ends<T: Times + ?Sized>(&self, times: &T) -> (usize, usize) {
        let newest = times.count() - 1;
        let first = search(newest, |at| times.time(at) > self.start).saturating_sub(1);
        (first, if self.is_smoothed { search(newest, |at| times.time(at) >= self.end) } else { newest })
    }

    /// The same, unless there is nothing in the window, or around it.
    fn populated_ends<T: Times + ?Sized>(&self, times: &T) -> Option<(usize, usize)> {
        let (first, last) = self.ends(times);
        let is_empty = times.time(last) <= self.start || self.is_smoothed && times.time(first) > self.end;
        (!is_empty).then_some((first, last))
    }
}

/// Indexes of times in `(start, end]`.
fn between<T: Times + ?Sized>(times: &T, start: i64, end: i64) -> Range<usize> {
    let from = search(times.count(), |at| times.time(at) > start);
    from..search(times.count(), |at| times.time(at) > end).max(from)
}

/// The first of `count` for which something holds that then holds for all; `count`, if there is none.
fn search(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
