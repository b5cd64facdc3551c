//! Whole columns of series that have floats alone.
//!
//! Where windows overlap little, each is scanned; where they overlap much, what they share is kept
//! ([`super::sliding`]).

use std::ops::Range;

use super::call::{RangeCall, RangeFunction};
use super::samples::{Samples, each_window};
use super::sliding::{Sliding, Sorted};
use super::window::{Floats, is_change, is_fall, quantile_of_sorted};
use super::{RangeError, histograms::check_factors};
use crate::column::Column;
use crate::math::{Kahan, float_of};
use crate::notes::Notes;
use crate::storage::Windows;

/// In how many windows a point must be, on average, for windows to be built from parts.
const MUCH_OVERLAP: i64 = 8;
/// The same for extremes, of which a scan looks at four values at once.
const MORE_OVERLAP: i64 = 24;

/// See [`super::evaluate`].
pub(super) fn column(
    call: &RangeCall<'_>,
    samples: &Samples<'_>,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) -> Result<(), RangeError> {
    use RangeFunction as F;
    let pass = Pass { call, samples, windows };
    match call.function {
        F::Rate | F::Increase => pass.increases(out, notes),
        F::Resets if samples.starts.is_none() => pass.counts(is_fall, out),
        F::Changes => pass.counts(is_change, out),
        F::SumOverTime if pass.overlaps(MUCH_OVERLAP) => pass.sums(out, |sum, _| sum),
        F::AvgOverTime if pass.overlaps(MUCH_OVERLAP) => pass.sums(out, |sum, count| sum / float_of(count)),
        F::MaxOverTime if pass.overlaps(MORE_OVERLAP) => {
            pass.extremes(f64::NEG_INFINITY, |a, b| if b > a { b } else { a }, out);
        }
        F::MinOverTime if pass.overlaps(MORE_OVERLAP) => {
            pass.extremes(f64::INFINITY, |a, b| if b < a { b } else { a }, out);
        }
        F::QuantileOverTime => pass.quantiles(out, notes),
        F::DoubleExponentialSmoothing => pass.smoothed(out)?,
        _ => pass.scan(out),
    }
    Ok(())
}

struct Pass<'a> {
    call: &'a RangeCall<'a>,
    samples: &'a Samples<'a>,
    windows: &'a Windows,
}

impl Pass<'_> {
    fn overlaps(&self, much: i64) -> bool {
        self.windows.count > 1 && self.windows.range > self.windows.step.saturating_mul(much)
    }

    fn floats(&self, end: i64, inside: Range<usize>) -> Floats<'_> {
        Floats {
            timestamps: &self.samples.timestamps[inside.clone()],
            values: &self.samples.values[inside],
            starts: self.samples.starts,
            end,
            range: self.windows.range,
        }
    }

    fn scan(&self, out: &mut Column) {
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, end, inside| {
            if let Some(value) = self.floats(end, inside).evaluate(self.call, step) {
                out.set_float(step, value);
            }
        });
    }

    /// `rate` and `increase`. Resets are few, so their places are found once.
    fn increases(&self, out: &mut Column, notes: &mut Notes) {
        let values = &*self.samples.values;
        let (falls, overlaps) = (self.falls(), self.overlapping_starts());
        let lost = |fall: usize| Kahan::new(values[falls[fall] - 1], 0.0);
        let mut sliding = Sliding::new(Kahan::default());
        let (mut start, mut end) = (0, 0);
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, window_end, inside| {
            while falls.get(end).is_some_and(|&at| at < inside.end) {
                end += 1;
            }
            while start < end && falls[start] <= inside.start {
                start += 1;
            }
            let lost = if start == end {
                0.0
            } else if self.overlaps(MUCH_OVERLAP) {
                sliding.window(start..end, lost, Kahan::and).total()
            } else {
                (start..end).map(lost).fold(Kahan::default(), Kahan::and).total()
            };
            let overlap = overlaps.partition_point(|&at| at <= inside.start);
            if overlaps.get(overlap).is_some_and(|&at| at < inside.end) {
                self.call.subject.starts_overlap(notes);
            }
            if let Some(value) = self.floats(window_end, inside).extrapolated(self.call.function, lost) {
                out.set_float(step, value);
            }
        });
    }

    /// Indexes of the values before which a counter was reset.
    fn falls(&self) -> Vec<usize> {
        let (timestamps, values) = (&self.samples.timestamps, &self.samples.values);
        match self.samples.starts {
            None => places(values, is_fall),
            Some(starts) => (1..values.len())
                .filter(|&at| {
                    is_fall(values[at - 1], values[at]) || starts.began_between(timestamps[at - 1], timestamps[at])
                })
                .collect(),
        }
    }

    /// Indexes of the values whose counter began before the value in front of them.
    fn overlapping_starts(&self) -> Vec<usize> {
        let Some(starts) = self.samples.starts else { return Vec::new() };
        let timestamps = &self.samples.timestamps;
        (1..timestamps.len()).filter(|&at| starts.overlap(timestamps[at - 1], timestamps[at])).collect()
    }

    /// How often something happens from one value to the next.
    fn counts(&self, happens: impl Fn(f64, f64) -> bool, out: &mut Column) {
        let values = &*self.samples.values;
        // `before[i]`: how often up to and with value `i`.
        let mut before = vec![0_usize; values.len()];
        for (at, pair) in values.windows(2).enumerate() {
            before[at + 1] = before[at] + usize::from(happens(pair[0], pair[1]));
        }
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, _, inside| {
            out.set_float(step, float_of(before[inside.end - 1] - before[inside.start]));
        });
    }

    fn sums(&self, out: &mut Column, value: impl Fn(f64, usize) -> f64) {
        let values = &*self.samples.values;
        let mut sliding = Sliding::new(Kahan::default());
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, end, inside| {
            let sum = sliding.window(inside.clone(), |at| Kahan::new(values[at], 0.0), Kahan::and).total();
            // The parts of a sum that is not finite may be so by their order alone.
            if sum.is_finite() {
                out.set_float(step, value(sum, inside.len()));
            } else if let Some(value) = self.floats(end, inside).evaluate(self.call, step) {
                out.set_float(step, value);
            }
        });
    }

    /// The first of the extreme values; NaN only where all are.
    fn extremes(&self, none: f64, better: impl Fn(f64, f64) -> f64, out: &mut Column) {
        let values = &*self.samples.values;
        let mut sliding = Sliding::new(none);
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, _, inside| {
            let number = |at: usize| if values[at].is_nan() { none } else { values[at] };
            let value = sliding.window(inside.clone(), number, &better);
            #[expect(clippy::float_cmp, reason = "asks whether anything was better than nothing")]
            let is_none = value == none && values[inside].iter().all(|value| value.is_nan());
            out.set_float(step, if is_none { f64::NAN } else { value });
        });
    }

    fn quantiles(&self, out: &mut Column, notes: &mut Notes) {
        let mut sorted = Sorted::default();
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, end, inside| {
            let quantile = self.call.args.at(0, step);
            self.call.subject.check_quantile(quantile, notes);
            let value = if self.overlaps(MUCH_OVERLAP) {
                Some(quantile_of_sorted(quantile, sorted.window(inside, &self.samples.values)))
            } else {
                self.floats(end, inside).evaluate(self.call, step)
            };
            if let Some(value) = value {
                out.set_float(step, value);
            }
        });
    }

    fn smoothed(&self, out: &mut Column) -> Result<(), RangeError> {
        let mut result = Ok(());
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, _, _| {
            if result.is_ok() {
                result = check_factors(self.call, step);
            }
        });
        result?;
        self.scan(out);
        Ok(())
    }
}

/// Indexes of the values at which something happened since the one before.
fn places(values: &[f64], happened: impl Fn(f64, f64) -> bool) -> Vec<usize> {
    let pairs = values.windows(2).enumerate();
    pairs.filter(|(_, pair)| happened(pair[0], pair[1])).map(|(at, _)| at + 1).collect()
}
