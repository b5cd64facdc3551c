//! Whole columns of series that have floats alone.
//!
//! Sums of windows that overlap are differences of prefixes ([`super::prefixes`]). Other functions scan each window
//! where windows overlap little; where they overlap much, what they share is kept ([`super::sliding`]).

use std::ops::Range;

use super::call::{RangeCall, RangeFunction};
use super::prefixes::{Grid, Parts, Prefixes};
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
        F::SumOverTime if pass.overlaps(1) => pass.sums(out, |sum, _| sum),
        F::AvgOverTime if pass.overlaps(1) => pass.sums(out, |sum, count| sum / float_of(count)),
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

/// One pass over a series.
pub(super) struct Pass<'a> {
    pub(super) call: &'a RangeCall<'a>,
    pub(super) samples: &'a Samples<'a>,
    pub(super) windows: &'a Windows,
}

impl Pass<'_> {
    fn overlaps(&self, much: i64) -> bool {
        self.windows.count > 1 && self.windows.range > self.windows.step.saturating_mul(much)
    }

    pub(super) fn floats(&self, end: i64, inside: Range<usize>) -> Floats<'_> {
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

    /// How often something happens from one value to the next.
    fn counts(&self, happens: impl Fn(f64, f64) -> bool, out: &mut Column) {
        let values = &*self.samples.values;
        let (Some((_, news)), Some((_, olds))) = (values.split_first(), values.split_last()) else { return };
        let mut prefixes = Prefixes::new((olds, news), |count: usize, old, new| count + usize::from(happens(old, new)));
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, _, inside| {
            let (before, after) = prefixes.around(inside.start..inside.end - 1);
            out.set_float(step, float_of(after - before));
        });
    }

    fn sums(&self, out: &mut Column, value: impl Fn(f64, usize) -> f64) {
        let values = &*self.samples.values;
        if let Some(grid) = Grid::of((values, values), |value, _| value) {
            let mut prefixes = Prefixes::new((values, values), |sum, value, _| grid.add(sum, value));
            self.sums_with(|inside| Parts::between(prefixes.around(inside)), value, out);
        } else if self.overlaps(MUCH_OVERLAP) {
            let mut sliding = Sliding::new(Kahan::default());
            self.sums_with(|inside| sliding.sum(inside, values), value, out);
        } else {
            self.scan(out);
        }
    }

    #[inline(always)]
    fn sums_with(&self, mut sum: impl FnMut(Range<usize>) -> f64, value: impl Fn(f64, usize) -> f64, out: &mut Column) {
        each_window(&self.samples.timestamps, self.windows, out.len(), |step, end, inside| {
            let sum = sum(inside.clone());
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
