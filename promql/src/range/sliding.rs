//! Aggregates of windows that only move forward, from parts that are never taken apart again.
//!
//! A window is `[start, end)` of items. It is kept as two parts that meet somewhere inside: of the front part all
//! suffixes are known, of the back part its whole. The end moves by adding to the back; when the start passes the
//! meeting point, the back becomes the next front. Each item is combined twice, however long the windows are.

use std::ops::Range;

use crate::math::Kahan;

/// The aggregate of the current window.
#[derive(Debug)]
pub(super) struct Sliding<T> {
    nothing: T,
    /// Of `[first + i, meet)`.
    suffixes: Vec<T>,
    first: usize,
    meet: usize,
    /// Of `[meet, end)`.
    back: T,
    end: usize,
}

impl<T: Copy> Sliding<T> {
    /// `nothing` is the aggregate of no items.
    pub(super) fn new(nothing: T) -> Self {
        Self { nothing, suffixes: Vec::new(), first: 0, meet: 0, back: nothing, end: 0 }
    }

    /// The aggregate of a window that has items, and starts and ends no earlier than the one before.
    #[inline(always)]
    pub(super) fn window(&mut self, window: Range<usize>, item: impl Fn(usize) -> T, combine: impl Fn(T, T) -> T) -> T {
        if window.start >= self.end {
            (self.meet, self.end, self.back) = (window.start, window.start, self.nothing);
        }
        while self.end < window.end {
            self.back = combine(self.back, item(self.end));
            self.end += 1;
        }
        if window.start >= self.meet {
            let mut suffix = self.nothing;
            self.suffixes.clear();
            self.suffixes.resize(window.len(), self.nothing);
            for at in window.clone().rev() {
                suffix = combine(item(at), suffix);
                self.suffixes[at - window.start] = suffix;
            }
            (self.first, self.meet, self.back) = (window.start, self.end, self.nothing);
        }
        combine(self.suffixes[window.start - self.first], self.back)
    }
}

impl Sliding<Kahan> {
    /// The sum of the items of a window, which may have none.
    pub(super) fn sum(&mut self, window: Range<usize>, items: &[f64]) -> f64 {
        if window.is_empty() {
            return 0.0;
        }
        self.window(window, |at| Kahan::new(items[at], 0.0), Kahan::and).total()
    }
}

/// The values of the current window in order, NaN lowest.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    values: Vec<f64>,
    window: Range<usize>,
}

impl Sorted {
    /// The values of a window that starts and ends no earlier than the one before.
    pub(super) fn window(&mut self, window: Range<usize>, values: &[f64]) -> &[f64] {
        if window.start >= self.window.end {
            self.values.clear();
            self.window = window.start..window.start;
        }
        for &gone in &values[self.window.start..window.start] {
            let at = self.values.partition_point(|value| before(value, &gone).is_lt());
            self.values.remove(at);
        }
        let new = &values[self.window.end..window.end];
        if new.len() > self.values.len() {
            self.values.extend_from_slice(new);
            self.values.sort_unstable_by(before);
        } else {
            for value in new {
                let at = self.values.partition_point(|other| before(other, value).is_le());
                self.values.insert(at, *value);
            }
        }
        self.window = window;
        &self.values
    }
}

/// A total order of floats with all NaN alike and lowest, and −0 alike 0.
pub(super) fn before(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}
