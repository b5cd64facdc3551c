//! The part of a rollup that most questions ask for, at a third of its size.

use super::Moments;
use super::compensated::{add_pairs, normalise, two_sum};

/// What a bucket's points become when neither sketch nor edge is asked for: a monoid over time-ordered parts.
pub trait Aggregate: Copy + Send + Sync + 'static {
    /// Of sorted points, one timestamp a value.
    fn of_points(timestamps: &[i64], values: &[f64]) -> Self;

    /// Of what a stored row says.
    fn of_moments(moments: &Moments) -> Self;

    /// Samples in it.
    fn count(&self) -> u64;

    /// This part and a later one.
    #[must_use]
    fn combine(&self, later: &Self) -> Self;
}

impl Aggregate for Moments {
    #[inline]
    fn of_points(timestamps: &[i64], values: &[f64]) -> Self {
        Self::from_points(timestamps, values)
    }

    #[inline]
    fn of_moments(moments: &Moments) -> Self {
        *moments
    }

    #[inline]
    fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    fn combine(&self, later: &Self) -> Self {
        Self::combine(self, later)
    }
}

/// Count, sum and extremes of a span of points: the fields of [`Moments`] with these names, bit for bit.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub count: u64,
    pub sum: f64,
    /// What rounding left out of `sum`.
    pub sum_low: f64,
    pub min: f64,
    pub max: f64,
}

impl Totals {
    /// Of one sample.
    #[inline]
    pub fn of_value(value: f64) -> Self {
        Self::of_moments(&Moments::of_point(0, value))
    }

    /// The mean; `None` without samples.
    pub fn avg(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of samples in memory is far below 2^53")]
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Aggregate for Totals {
    #[inline]
    fn of_points(timestamps: &[i64], values: &[f64]) -> Self {
        let (mut sum, mut low, mut min, mut max) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for &value in values {
            let (next, error) = two_sum(sum, value);
            sum = next;
            low += error;
            min = if value < min { value } else { min };
            max = if value > max { value } else { max };
        }
        // Staleness markers, NaN and infinities make the sum so; no points leave the extremes as they were.
        if !sum.is_finite() || values.is_empty() {
            return Self::of_moments(&Moments::from_points(timestamps, values));
        }
        let (sum, sum_low) = normalise(sum, low);
        Self { count: values.len() as u64, sum, sum_low, min, max }
    }

    #[inline]
    fn of_moments(moments: &Moments) -> Self {
        let Moments { count, sum, sum_low, min, max, .. } = *moments;
        Self { count, sum, sum_low, min, max }
    }

    #[inline]
    fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    fn combine(&self, later: &Self) -> Self {
        if later.count == 0 {
            return *self;
        }
        if self.count == 0 {
            return *later;
        }
        let (sum, sum_low) = add_pairs((self.sum, self.sum_low), (later.sum, later.sum_low));
        Self {
            count: self.count + later.count,
            sum,
            sum_low,
            min: if later.min < self.min || self.min.is_nan() { later.min } else { self.min },
            max: if later.max > self.max || self.max.is_nan() { later.max } else { self.max },
        }
    }
}
