//! The samples of a series that windows look at, and the windows over them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use schemas::Points;
use schemas::histogram::Histogram;
use schemas::points::{is_sample, is_stale};

use crate::starts::Starts;
use crate::storage::Windows;

/// Floats in columns, histograms in a list: both by time, without staleness markers.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    pub(super) timestamps: Cow<'a, [i64]>,
    pub(super) values: Cow<'a, [f64]>,
    pub(super) histograms: Vec<(i64, Arc<Histogram>)>,
    /// When their counters began, if that is known of any and matters.
    pub(super) starts: Option<&'a Starts>,
}

impl<'a> Samples<'a> {
    /// Those from the first to the last time, both inclusive, ms. Points of floats alone are borrowed.
    pub(super) fn new(points: &'a Points, (first, last): (i64, i64)) -> Self {
        let span = points.index_range(first, last.saturating_add(1));
        let (timestamps, values) = (&points.timestamps[span.clone()], &points.values[span]);
        // Markers are NaN, of which there are mostly none: without a branch a value, so that many are looked at at once.
        let has_nan = values.iter().fold(false, |any, value| any | value.is_nan());
        if !has_nan || values.iter().all(|&value| is_sample(value)) {
            return Self { timestamps: timestamps.into(), values: values.into(), histograms: Vec::new(), starts: None };
        }
        let floats = || timestamps.iter().zip(values).filter(|&(_, &value)| is_sample(value));
        let histograms = points.histograms.range(first, last.saturating_add(1));
        Self {
            timestamps: floats().map(|(&ts, _)| ts).collect(),
            values: floats().map(|(_, &value)| value).collect(),
            histograms: histograms
                .filter(|(_, histogram)| !is_stale(histogram.sum))
                .map(|(ts, histogram)| (ts, Arc::clone(histogram)))
                .collect(),
            starts: None,
        }
    }
}

/// Times of samples.
pub(super) trait Times {
    fn count(&self) -> usize;
    /// Of a sample, ms.
    fn time(&self, at: usize) -> i64;
}

impl Times for [i64] {
    fn count(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn time(&self, at: usize) -> i64 {
        self[at]
    }
}

impl Times for [(i64, Arc<Histogram>)] {
    fn count(&self) -> usize {
        self.len()
    }

    fn time(&self, at: usize) -> i64 {
        self[at].0
    }
}

/// The samples in the current window: two indexes that only advance.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    start: Edge,
    end: Edge,
}

impl Cursor {
    /// Moves on to the window `(end − range, end]`, which must not end before the one before.
    #[inline(always)]
    pub(super) fn advance<T: Times + ?Sized>(&mut self, times: &T, end: i64, range: i64) -> Range<usize> {
        self.start.advance(times, end.saturating_sub(range))..self.end.advance(times, end)
    }
}

/// The first sample after a time.
#[derive(Debug, Default)]
struct Edge {
    at: usize,
    /// By how many samples it went on the last time.
    stride: usize,
}

impl Edge {
    /// Goes on to the first sample after a time that is not before the last one.
    #[inline(always)]
    fn advance<T: Times + ?Sized>(&mut self, times: &T, time: i64) -> usize {
        let count = times.count();
        // Samples mostly come at even distances.
        let guess = self.at + self.stride;
        if guess > 0 && guess < count && times.time(guess - 1) <= time && time < times.time(guess) {
            self.at = guess;
            return guess;
        }
        let before = self.at;
        while self.at < count && times.time(self.at) <= time {
            self.at += 1;
        }
        self.stride = self.at - before;
        self.at
    }
}

/// Visits each step whose window has floats, with their indexes.
#[inline(always)]
pub(super) fn each_window(
    timestamps: &[i64],
    windows: &Windows,
    steps: usize,
    mut visit: impl FnMut(usize, i64, Range<usize>),
) {
    let mut cursor = Cursor::default();
    let mut end = windows.first_end;
    for step in 0..steps {
        let inside = cursor.advance(timestamps, end, windows.range);
        if !inside.is_empty() {
            visit(step, end, inside);
        }
        if windows.count > 1 {
            end = end.saturating_add(windows.step);
        }
    }
}
