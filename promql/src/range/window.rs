//! What a function makes of the floats of one window, scanning them: the reference for everything faster.

use schemas::rollup::{Sampled, Spread};

use super::call::{RangeCall, RangeFunction};
use super::sliding::before;
use crate::math::{Kahan, float_of, seconds};
use crate::starts::Starts;

/// The floats of a window, at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floats<'a> {
    pub(super) timestamps: &'a [i64],
    pub(super) values: &'a [f64],
    /// When their counters began, if that is known of any and matters.
    pub(super) starts: Option<&'a Starts>,
    /// Of the window, ms.
    pub(super) end: i64,
    pub(super) range: i64,
}

impl Floats<'_> {
    fn first(&self) -> f64 {
        self.values[0]
    }

    fn last(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    fn first_ts(&self) -> i64 {
        self.timestamps[0]
    }

    fn last_ts(&self) -> i64 {
        self.timestamps[self.timestamps.len() - 1]
    }

    /// The value of the function at a step. `double_exponential_smoothing` expects that its arguments are valid.
    pub(super) fn evaluate(&self, call: &RangeCall<'_>, step: usize) -> Option<f64> {
        use RangeFunction as F;
        Some(match call.function {
            F::AbsentOverTime | F::PresentOverTime => 1.0,
            F::AvgOverTime => average(self.values),
            F::Changes => float_of(changes(self.values)),
            F::CountOverTime => float_of(self.values.len()),
            F::Delta => (self.last() - self.first()) * self.spread()?.extrapolation(),
            F::Deriv => self.line(self.first_ts())?.0,
            F::DoubleExponentialSmoothing => {
                return smoothed(self.values, call.args.at(0, step), call.args.at(1, step));
            }
            F::FirstOverTime => self.first(),
            F::Idelta | F::Irate => return self.instant(call.function),
            F::Increase | F::Rate => return self.extrapolated(call.function, self.lost_in_resets()),
            F::LastOverTime => self.last(),
            F::MadOverTime => deviation_of_median(self.values),
            F::MaxOverTime => greatest(self.values),
            F::MinOverTime => least(self.values),
            F::PredictLinear => {
                let (slope, intercept) = self.line(call.time(step))?;
                slope * call.args.at(0, step) + intercept
            }
            F::QuantileOverTime => quantile_of(call.args.at(0, step), &mut self.values.to_vec()),
            F::Resets => float_of(self.falls().count()),
            F::StddevOverTime => variance(self.values).sqrt(),
            F::StdvarOverTime => variance(self.values),
            F::SumOverTime => Kahan::of(self.values).total(),
            F::TsOfFirstOverTime => seconds(self.first_ts()),
            F::TsOfLastOverTime => seconds(self.last_ts()),
            F::TsOfMaxOverTime => seconds(self.timestamps[extreme(self.values, |value, most| value >= most)]),
            F::TsOfMinOverTime => seconds(self.timestamps[extreme(self.values, |value, least| value <= least)]),
        })
    }

    /// `rate` or `increase`; `lost` is what resets took away.
    pub(super) fn extrapolated(&self, function: RangeFunction, lost: f64) -> Option<f64> {
        let change = self.last() - self.first() + lost;
        let (change, factor) = match self.start_inside() {
            None => (change, self.spread()?.extrapolation_of_counter(self.first(), change)),
            Some(start) => {
                let known =
                    Known { start, first_ts: self.first_ts(), last_ts: self.last_ts(), count: self.values.len() };
                (change + self.first(), known.extrapolation(self.end))
            }
        };
        Some(change * if function.is_per_second() { factor / seconds(self.range) } else { factor })
    }

    /// When the counter of the first value began, if that was in the window.
    #[inline]
    fn start_inside(&self) -> Option<i64> {
        self.starts?.within(self.end.saturating_sub(self.range), self.first_ts())
    }

    /// Indexes of the values before which the counter was reset.
    fn falls(&self) -> impl Iterator<Item = usize> + '_ {
        (1..self.values.len()).filter(|&at| self.is_reset(at))
    }

    /// Whether the counter was reset before a value that is not the first.
    fn is_reset(&self, at: usize) -> bool {
        let began = |starts: &Starts| starts.began_between(self.timestamps[at - 1], self.timestamps[at]);
        is_fall(self.values[at - 1], self.values[at]) || self.starts.is_some_and(began)
    }

    /// What a counter lost in resets: the sum of the values that it fell from.
    fn lost_in_resets(&self) -> f64 {
        let mut lost = Kahan::default();
        self.falls().for_each(|at| lost.add(self.values[at - 1]));
        lost.total()
    }

    /// How the samples lie in the window.
    fn spread(&self) -> Option<Spread> {
        let sampled = Sampled { count: self.values.len(), first_ts: self.first_ts(), last_ts: self.last_ts() };
        sampled.spread(self.end.saturating_sub(self.range), self.end)
    }

    /// `irate` or `idelta`.
    pub(super) fn instant(&self, function: RangeFunction) -> Option<f64> {
        let before = self.values.len().checked_sub(2)?;
        let (old, new) = (self.values[before], self.values[before + 1]);
        let change = if function.is_counter() && self.is_reset(before + 1) { new } else { new - old };
        let elapsed = seconds(self.timestamps[before + 1] - self.timestamps[before]);
        Some(if function.is_per_second() { change / elapsed } else { change })
    }

    /// Slope a second and value at a time (ms) of the line of least squares.
    fn line(&self, at: i64) -> Option<(f64, f64)> {
        if self.values.len() < 2 {
            return None;
        }
        let first = self.first();
        #[expect(clippy::float_cmp, reason = "asks whether the values are all the same one")]
        if self.values.iter().all(|&value| value == first) {
            return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
        }
        let [mut x, mut y, mut xy, mut xx] = [Kahan::default(); 4];
        for (&ts, &value) in self.timestamps.iter().zip(self.values) {
            let dx = seconds(ts.saturating_sub(at));
            x.add(dx);
            y.add(value);
            xy.add(dx * value);
            xx.add(dx * dx);
        }
        let n = float_of(self.values.len());
        let [x, y, xy, xx] = [x, y, xy, xx].map(|sum| sum.sum() + sum.rest());
        let slope = (xy - x * y / n) / (xx - x * x / n);
        Some((slope, y / n - slope * x / n))
    }
}

/// Samples whose last is nearer to the end of the window than so many average distances are taken to go on to that end.
const EXTRAPOLATION_INTERVALS: f64 = 1.1;

/// Samples of a counter that began inside of their window: it was zero there, so nothing is guessed of what was before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Times, ms.
    pub(super) start: i64,
    pub(super) first_ts: i64,
    pub(super) last_ts: i64,
    /// Of samples, one at least.
    pub(super) count: usize,
}

impl Known {
    /// By what the increase since the start is multiplied to stand for what lies up to the end of the window, ms.
    pub(super) fn extrapolation(self, end: i64) -> f64 {
        let counted = seconds(self.last_ts.saturating_sub(self.start));
        let average = match self.count {
            0 | 1 => 0.0,
            count => seconds(self.last_ts - self.first_ts) / float_of(count - 1),
        };
        let mut to_end = seconds(end.saturating_sub(self.last_ts));
        if to_end >= average * EXTRAPOLATION_INTERVALS {
            to_end = average / 2.0;
        }
        (counted + to_end) / counted
    }
}

fn changes(values: &[f64]) -> usize {
    values.windows(2).filter(|pair| is_change(pair[0], pair[1])).count()
}

#[inline(always)]
pub(super) fn is_fall(old: f64, new: f64) -> bool {
    new < old
}

/// From NaN to NaN is none.
#[inline(always)]
#[expect(clippy::float_cmp, reason = "asks whether a sample repeats the one before")]
pub(super) fn is_change(old: f64, new: f64) -> bool {
    new != old && !(new.is_nan() && old.is_nan())
}

/// The mean. Of a sum that does not fit a double, by the mean of ever more values.
pub(super) fn average(values: &[f64]) -> f64 {
    let sum = Kahan::of(values).total();
    if sum.is_finite() { sum / float_of(values.len()) } else { average_step_by_step(values) }
}

#[cold]
fn average_step_by_step(values: &[f64]) -> f64 {
    let mut sum = Kahan::new(values[0], 0.0);
    let mut mean: Option<Kahan> = None;
    for (before, &value) in values.iter().enumerate().skip(1) {
        let count = float_of(before + 1);
        if mean.is_none() {
            let mut more = sum;
            more.add(value);
            if !more.sum().is_infinite() {
                sum = more;
                continue;
            }
        }
        let mut next = mean.unwrap_or_else(|| sum.over(count - 1.0)).times((count - 1.0) / count);
        next.add(value / count);
        mean = Some(next);
    }
    mean.unwrap_or_else(|| sum.over(float_of(values.len()))).total()
}

/// NaN only where all are.
fn greatest(values: &[f64]) -> f64 {
    best(values, f64::NEG_INFINITY, |value, most| value > most)
}

/// NaN only where all are.
fn least(values: &[f64]) -> f64 {
    best(values, f64::INFINITY, |value, least| value < least)
}

/// The value that beats all others, and `worst`. Four at once, which one after the other would each wait for.
#[inline(always)]
fn best(values: &[f64], worst: f64, beats: impl Fn(f64, f64) -> bool) -> f64 {
    let better = |a: f64, b: f64| if beats(b, a) { b } else { a };
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [worst; 4];
    for four in fours {
        for (lane, &value) in lanes.iter_mut().zip(four) {
            *lane = better(*lane, value);
        }
    }
    let best = lanes.iter().chain(rest).fold(worst, |best, &value| better(best, value));
    #[expect(clippy::float_cmp, reason = "asks whether anything was better than the worst")]
    let is_none = best == worst && values.iter().all(|value| value.is_nan());
    if is_none { f64::NAN } else { best }
}

/// Where the value is that `beats` all, or the first of them; NaN is beaten by everything.
#[inline]
fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (at, &value) in values.iter().enumerate() {
        if beats(value, values[best]) || values[best].is_nan() {
            best = at;
        }
    }
    best
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares, mut count) = (Kahan::default(), Kahan::default(), 0.0);
    for &value in values {
        count += 1.0;
        let delta = value - (mean.sum() + mean.rest());
        mean.add(delta / count);
        squares.add(delta * (value - (mean.sum() + mean.rest())));
    }
    (squares.sum() + squares.rest()) / count
}

fn smoothed(values: &[f64], smoothing: f64, trending: f64) -> Option<f64> {
    let (&first, &second) = values.first().zip(values.get(1))?;
    let (mut before, mut level, mut trend) = (0.0, first, second - first);
    for (step, &value) in values[1..].iter().enumerate() {
        if step > 0 {
            trend = trending * (level - before) + (1.0 - trending) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Some(level)
}

fn deviation_of_median(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = quantile_of(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile_of(0.5, &mut values)
}

/// The quantile of values, which it brings into another order; between two of them by their distance. NaN counts as
/// lowest.
pub(crate) fn quantile_of(quantile: f64, values: &mut [f64]) -> f64 {
    quantile_outside(quantile, values.len()).unwrap_or_else(|| {
        let (lower, weight) = rank(quantile, values.len());
        let (_, &mut low, above) = values.select_nth_unstable_by(lower, before);
        let high = above.iter().copied().min_by(before).unwrap_or(low);
        low * (1.0 - weight) + high * weight
    })
}

/// The same of values that are in order.
pub(super) fn quantile_of_sorted(quantile: f64, values: &[f64]) -> f64 {
    quantile_outside(quantile, values.len()).unwrap_or_else(|| {
        let (lower, weight) = rank(quantile, values.len());
        values[lower] * (1.0 - weight) + values[(lower + 1).min(values.len() - 1)] * weight
    })
}

/// What a quantile is that no value decides.
fn quantile_outside(quantile: f64, count: usize) -> Option<f64> {
    if count == 0 || quantile.is_nan() {
        Some(f64::NAN)
    } else if quantile < 0.0 {
        Some(f64::NEG_INFINITY)
    } else if quantile > 1.0 {
        Some(f64::INFINITY)
    } else {
        None
    }
}

/// The lower of two neighbours in order, and the weight of the higher one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a quantile in [0, 1] of a count in memory"
)]
fn rank(quantile: f64, count: usize) -> (usize, f64) {
    let rank = quantile * (float_of(count) - 1.0);
    let lower = rank.floor();
    (lower.max(0.0) as usize, rank - lower)
}
