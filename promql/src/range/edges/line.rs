//! Floats in and beside a window, and the line between them.

use std::ops::Range;

use super::Window;
use crate::math::seconds;
use crate::range::call::RangeFunction;
use crate::range::window::is_fall;

/// Samples by time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) timestamps: &'a [i64],
    pub(super) values: &'a [f64],
}

impl Line<'_> {
    /// The value at the start of a window, whose first sample is known.
    pub(super) fn left(&self, window: &Window, first: usize, is_counter: bool) -> f64 {
        if window.is_smoothed && self.timestamps[first] < window.start && first + 1 < self.timestamps.len() {
            self.interpolated(first, window.start, is_counter)
        } else {
            self.values[first]
        }
    }

    /// The value at the end of a window, whose last sample is known.
    pub(super) fn right(&self, window: &Window, last: usize, is_counter: bool) -> f64 {
        if window.is_smoothed && last > 0 && self.timestamps[last] > window.end {
            self.interpolated(last - 1, window.end, is_counter)
        } else {
            self.values[last]
        }
    }

    /// The value at a time: the sample, or what lies on the line to the next one, or without a next one the last.
    pub(super) fn at(&self, time: i64) -> Option<f64> {
        let next = self.timestamps.partition_point(|&ts| ts < time);
        match self.timestamps.get(next) {
            Some(&ts) if ts == time => Some(self.values[next]),
            Some(_) => next.checked_sub(1).map(|before| self.interpolated(before, time, false)),
            None => self.values.last().copied(),
        }
    }

    /// Indexes of the samples inside of a window, without those that stand at its ends.
    pub(super) fn inside(&self, window: &Window, first: usize, last: usize) -> Range<usize> {
        let start = if self.timestamps[first] <= window.start { first + 1 } else { first };
        let end = if self.timestamps[last] >= window.end { last } else { last + 1 };
        start..end.max(start)
    }

    /// The value at a time between a sample and the next. A counter that was reset rises from zero.
    fn interpolated(&self, at: usize, time: i64, is_counter: bool) -> f64 {
        let (old, new) = (self.values[at], self.values[at + 1]);
        let from = if is_counter && is_fall(old, new) { 0.0 } else { old };
        let [passed, whole] = [time, self.timestamps[at + 1]].map(|ts| milliseconds(ts - self.timestamps[at]));
        from + (new - from) * passed / whole
    }
}

/// `rate`, `increase` or `delta` from one edge of a window to the other.
pub(super) fn change(function: RangeFunction, window: &Window, line: &Line<'_>) -> Option<f64> {
    let (first, last) = window.populated_ends(line.timestamps)?;
    let is_counter = function.is_counter();
    let (left, right) = (line.left(window, first, is_counter), line.right(window, last, is_counter));
    let mut change = right - left;
    if is_counter {
        let (mut lost, mut before) = (0.0, left);
        for &value in line.values[line.inside(window, first, last)].iter().chain([&right]) {
            if is_fall(before, value) {
                lost += before;
            }
            before = value;
        }
        change += lost;
    }
    Some(if function.is_per_second() { change / seconds(window.end.saturating_sub(window.start)) } else { change })
}

#[expect(clippy::cast_precision_loss, reason = "a difference of times in ms is below 2^53")]
pub(super) fn milliseconds(ms: i64) -> f64 {
    ms as f64
}
