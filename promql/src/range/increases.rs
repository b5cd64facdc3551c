//! Whole columns of `rate` and `increase`, of series that have floats alone.
//!
//! values ─▶ what the counter lost at each fall ─▶ its sums over windows (`prefixes`; `sliding` where values are too
//! unlike for that) ─▶ last − first + lost, stretched to stand for the window ([`Stretch`])
//!
//! A gauge, taken for a counter, falls at every other value: nothing in here branches on whether it does.

use std::ops::Range;

use schemas::rollup::{Sampled, Spread};

use super::floats::Pass;
use super::prefixes::{Grid, Parts, Prefixes};
use super::samples::each_window;
use super::sliding::Sliding;
use super::window::is_fall;
use crate::column::Column;
use crate::math::{Kahan, seconds};
use crate::notes::Notes;
use crate::starts::Starts;

impl Pass<'_> {
    pub(super) fn increases(&self, out: &mut Column, notes: &mut Notes) {
        if let Some(starts) = self.samples.starts {
            return self.started_increases(starts, out, notes);
        }
        let values = &*self.samples.values;
        let falls = values.windows(2).fold(false, |any, pair| any | is_fall(pair[0], pair[1]));
        if !falls {
            return self.increases_with(|_| 0.0, out);
        }
        let lost = |old: f64, new: f64| when(is_fall(old, new), old);
        let pairs = (&values[..values.len() - 1], &values[1..]);
        if let Some(grid) = Grid::of(pairs, lost) {
            let mut prefixes = Prefixes::new(pairs, |sum, old, new| grid.add(sum, lost(old, new)));
            return self.increases_with(|inside| Parts::between(prefixes.around(inside)), out);
        }
        let lost: Vec<f64> = values.windows(2).map(|pair| lost(pair[0], pair[1])).collect();
        let mut sliding = Sliding::new(Kahan::default());
        self.increases_with(|inside| sliding.sum(inside, &lost), out);
    }

    /// `lost` tells what the counter lost from the first of some values up to the last.
    #[inline(never)]
    fn increases_with(&self, mut lost: impl FnMut(Range<usize>) -> f64, out: &mut Column) {
        let (timestamps, values) = (&*self.samples.timestamps, &*self.samples.values);
        let mut stretch = Stretch::new(self.windows.range, self.call.function.is_per_second());
        each_window(timestamps, self.windows, out.len(), |step, end, inside| {
            let (first, last) = (inside.start, inside.end - 1);
            let increase = values[last] - values[first] + lost(first..last);
            let place = Sampled {
                count: inside.len(),
                first_ts: timestamps[first].wrapping_sub(end),
                last_ts: timestamps[last].wrapping_sub(end),
            };
            if let Some(factor) = stretch.factor(place, values[first], increase) {
                out.set_float(step, increase * factor);
            }
        });
    }

    /// The same of samples that say when their counters began.
    fn started_increases(&self, starts: &Starts, out: &mut Column, notes: &mut Notes) {
        let (timestamps, values) = (&*self.samples.timestamps, &*self.samples.values);
        let between = |at: usize| (timestamps[at - 1], timestamps[at]);
        let overlaps: Vec<usize> =
            (1..values.len()).filter(|&at| starts.overlap(between(at).0, between(at).1)).collect();
        let is_reset =
            |at: usize| is_fall(values[at - 1], values[at]) || starts.began_between(between(at).0, between(at).1);
        let lost: Vec<f64> = (1..values.len()).map(|at| if is_reset(at) { values[at - 1] } else { 0.0 }).collect();
        let mut sliding = Sliding::new(Kahan::default());
        each_window(timestamps, self.windows, out.len(), |step, end, inside| {
            let overlap = overlaps.partition_point(|&at| at <= inside.start);
            if overlaps.get(overlap).is_some_and(|&at| at < inside.end) {
                self.call.subject.starts_overlap(notes);
            }
            let lost = sliding.sum(inside.start..inside.end - 1, &lost);
            if let Some(value) = self.floats(end, inside).extrapolated(self.call.function, lost) {
                out.set_float(step, value);
            }
        });
    }
}

/// A value, or zero; not by a branch, which would be a guess.
#[inline(always)]
fn when(holds: bool, value: f64) -> f64 {
    f64::from_bits(value.to_bits() & u64::from(holds).wrapping_neg())
}

/// By how much increases are stretched. Evenly spaced samples lie in their windows as those of some window before did:
/// what was found of a few such places is kept.
#[derive(Debug)]
struct Stretch {
    /// Of windows, ms.
    range: i64,
    /// What values are divided by.
    per: f64,
    known: [Known; 8],
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Samples, with times as from the end of their window.
    place: Sampled,
    spread: Option<Spread>,
    /// For all counters but those that were nearly zero.
    usual: f64,
}

impl Stretch {
    fn new(range: i64, is_per_second: bool) -> Self {
        let nothing = Known { place: Sampled { count: 0, first_ts: 0, last_ts: 0 }, spread: None, usual: f64::NAN };
        Self { range, per: if is_per_second { seconds(range) } else { 1.0 }, known: [nothing; 8] }
    }

    /// Of samples with times as from the end of their window. `None` below two.
    #[inline(always)]
    fn factor(&mut self, place: Sampled, first: f64, increase: f64) -> Option<f64> {
        let known = &mut self.known[slot(place.last_ts)];
        if place != known.place {
            let spread = place.spread(-self.range, 0);
            *known =
                Known { place, spread, usual: spread.map_or(f64::NAN, |spread| spread.extrapolation() / self.per) };
        }
        let from_zero = known.spread?.from_zero(first, increase);
        Some(from_zero.map_or(known.usual, |spread| spread.extrapolation() / self.per))
    }
}

/// One of eight slots, by a multiplicative hash: times mostly differ by whole seconds.
#[inline(always)]
fn slot(time: i64) -> usize {
    (time.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) as usize
}
