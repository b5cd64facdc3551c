//! The fixed-size part of a rollup.

use super::compensated::{add_pairs, normalise, two_sum};
use crate::points::{is_histogram, is_stale};

/// Count, sum, extremes, ends and counter resets of a span of points. Copying is cheap; combining needs time order.
///
/// With `count == 0` nothing but `stale_ts` has a meaning. Two moments are equal if every field that is stored is
/// the same bit for bit (NaN equals itself); the low parts of sums are left out, since they are not stored.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// Samples, NaN included, staleness markers not.
    pub count: u64,
    /// Samples that are NaN.
    pub nan_count: u64,
    /// Rounded sum of the samples; NaN if one of them is.
    pub sum: f64,
    /// What rounding left out of `sum`.
    pub sum_low: f64,
    /// Least sample, the earlier one of equals; NaN only if all are.
    pub min: f64,
    /// Greatest sample, the earlier one of equals; NaN only if all are.
    pub max: f64,
    /// Time of the first sample, ms.
    pub first_ts: i64,
    pub first: f64,
    /// Time of the last sample, ms.
    pub last_ts: i64,
    pub last: f64,
    /// Sum of the values that resets fell from, rounded once: `last − first + reset_adj` is a counter's increase.
    pub reset_adj: f64,
    /// What rounding left out of `reset_adj`. Zero for whole numbers while their sum is below 2⁵³. Serves to add further
    /// parts, and is not stored.
    pub reset_adj_low: f64,
    /// How often a sample was below the one before.
    pub resets: u64,
    /// Time of the last staleness marker, ms.
    pub stale_ts: Option<i64>,
}

impl Moments {
    /// Of no points at all.
    pub const EMPTY: Self = Self {
        count: 0,
        nan_count: 0,
        sum: 0.0,
        sum_low: 0.0,
        min: f64::NAN,
        max: f64::NAN,
        first_ts: 0,
        first: f64::NAN,
        last_ts: 0,
        last: f64::NAN,
        reset_adj: 0.0,
        reset_adj_low: 0.0,
        resets: 0,
        stale_ts: None,
    };

    /// Of sorted points.
    ///
    /// # Panics
    /// If the columns differ in length.
    #[inline]
    pub fn from_points(timestamps: &[i64], values: &[f64]) -> Self {
        assert_eq!(timestamps.len(), values.len(), "one timestamp a value");
        let (Some((&first_ts, &last_ts)), Some((&first, &last))) =
            (timestamps.first().zip(timestamps.last()), values.first().zip(values.last()))
        else {
            return Self::EMPTY;
        };
        let mut scan = Scan::default();
        scan.run(first, values);
        // Staleness markers, stand-ins of histograms and NaN make the sum NaN, so one look at the end finds any.
        if !scan.sum.is_finite() {
            return Self::from_unusual_points(timestamps, values);
        }
        let (sum, sum_low) = normalise(scan.sum, scan.sum_low);
        let (reset_adj, reset_adj_low) = normalise(scan.adj, scan.adj_low);
        Self {
            count: values.len() as u64,
            nan_count: 0,
            sum,
            sum_low,
            min: scan.min,
            max: scan.max,
            first_ts,
            first,
            last_ts,
            last,
            reset_adj,
            reset_adj_low,
            resets: scan.resets(),
            stale_ts: None,
        }
    }

    #[cold]
    #[inline(never)]
    fn from_unusual_points(timestamps: &[i64], values: &[f64]) -> Self {
        let mut moments = Self::EMPTY;
        for (&ts, &value) in timestamps.iter().zip(values) {
            moments.add(ts, value);
        }
        moments
    }

    /// Adds a point that is later than all before.
    #[inline]
    pub fn add(&mut self, timestamp_ms: i64, value: f64) {
        self.append(&Self::of_point(timestamp_ms, value));
    }

    /// Of one point.
    #[inline]
    pub fn of_point(timestamp_ms: i64, value: f64) -> Self {
        if is_stale(value) {
            return Self { stale_ts: Some(timestamp_ms), ..Self::EMPTY };
        }
        // Rollups are of floats.
        if is_histogram(value) {
            return Self::EMPTY;
        }
        Self {
            count: 1,
            nan_count: u64::from(value.is_nan()),
            // As a sum that starts at zero: −0 alone gives 0, and any NaN the one NaN.
            sum: if value.is_nan() { f64::NAN } else { 0.0 + value },
            min: if value.is_nan() { f64::NAN } else { value },
            max: if value.is_nan() { f64::NAN } else { value },
            first_ts: timestamp_ms,
            first: value,
            last_ts: timestamp_ms,
            last: value,
            ..Self::EMPTY
        }
    }

    /// This part and a later one, as one.
    #[must_use]
    #[inline]
    pub fn combine(&self, later: &Self) -> Self {
        let mut both = *self;
        both.append(later);
        both
    }

    /// Adds a later part.
    #[inline]
    pub fn append(&mut self, later: &Self) {
        let stale_ts = self.stale_ts.max(later.stale_ts);
        if later.count > 0 && self.count == 0 {
            *self = *later;
        } else if later.count > 0 {
            self.append_samples(later);
        }
        self.stale_ts = stale_ts;
    }

    /// Both have samples.
    #[inline]
    fn append_samples(&mut self, later: &Self) {
        (self.sum, self.sum_low) = add_pairs((self.sum, self.sum_low), (later.sum, later.sum_low));
        let mut adj = add_pairs((self.reset_adj, self.reset_adj_low), (later.reset_adj, later.reset_adj_low));
        let reset = later.first < self.last;
        if reset {
            adj = add_pairs(adj, (self.last, 0.0));
        }
        (self.reset_adj, self.reset_adj_low) = adj;
        self.count += later.count;
        self.nan_count += later.nan_count;
        self.resets += later.resets + u64::from(reset);
        self.min = if later.min < self.min || self.min.is_nan() { later.min } else { self.min };
        self.max = if later.max > self.max || self.max.is_nan() { later.max } else { self.max };
        (self.last_ts, self.last) = (later.last_ts, later.last);
    }

    /// Whether there is nothing here, not even a staleness marker.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.stale_ts.is_none()
    }

    /// The mean; `None` without samples.
    pub fn avg(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a count of samples in memory is far below 2^53")]
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// A counter's increase from its first to its last sample, resets added back; `None` without samples.
    ///
    /// By what a stored row has, so without `reset_adj_low`: the same points must give the same increase (ROLL-2) whether
    /// they are read as points, as rows, or by another program from the columns of Delta.
    pub fn increase(&self) -> Option<f64> {
        (self.count > 0).then_some(self.last - self.first + self.reset_adj)
    }

    /// Last minus first; `None` without samples.
    pub fn delta(&self) -> Option<f64> {
        (self.count > 0).then_some(self.last - self.first)
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Moments {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        if self.count != other.count || self.stale_ts != other.stale_ts {
            return false;
        }
        self.count == 0
            || (self.nan_count, self.resets) == (other.nan_count, other.resets)
                && (self.first_ts, self.last_ts) == (other.first_ts, other.last_ts)
                && same(self.first, other.first)
                && same(self.last, other.last)
                && same(self.min, other.min)
                && same(self.max, other.max)
                && same(self.sum, other.sum)
                && same(self.reset_adj, other.reset_adj)
    }
}

/// The running state of a pass over ordinary points: no branches, four short chains of additions.
struct Scan {
    sum: f64,
    sum_low: f64,
    adj: f64,
    adj_low: f64,
    min: f64,
    max: f64,
    resets: f64,
}

impl Default for Scan {
    fn default() -> Self {
        Self { sum: 0.0, sum_low: 0.0, adj: 0.0, adj_low: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, resets: 0.0 }
    }
}

impl Scan {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of comparisons is a small whole number"
    )]
    fn resets(&self) -> u64 {
        self.resets as u64
    }

    #[inline(always)]
    fn run(&mut self, first: f64, values: &[f64]) {
        let mut previous = first;
        for &value in values {
            let (sum, error) = two_sum(self.sum, value);
            self.sum = sum;
            self.sum_low += error;
            self.min = if value < self.min { value } else { self.min };
            self.max = if value > self.max { value } else { self.max };
            let reset = value < previous;
            let (adj, error) = two_sum(self.adj, if reset { previous } else { 0.0 });
            self.adj = adj;
            self.adj_low += error;
            // Counted as a double, so that the comparison stays a mask and never becomes a branch.
            self.resets += if reset { 1.0 } else { 0.0 };
            previous = value;
        }
    }
}
