//! Quantiles from base-2 exponential bins, the shape of OpenTelemetry's exponential histogram.
//!
//! value ─▶ bin `i` with `base^i < |value| ≤ base^(i+1)`, `base = 2^(2^−scale)` ─▶ counts ─▶ nearest rank ─▶ estimate
//!
//! A sketch starts at scale 5 (1.083 % relative error) and halves its scale whenever more than [`MAX_BINS`] bins are in
//! use. Two bins of a scale make exactly one of the next, so the scale and every count depend only on the multiset
//! of values, not on the order of adding or the tree of merges (ROLL-2). A bin is found by integer comparison with tabled
//! boundaries, never by a logarithm, so that every machine finds the same one.
//!
//! Zero has a count of its own (±0 are one), ±∞ have an end bin each, NaN is counted and ranks lowest, and a
//! staleness marker is not counted at all. Not here: minimum and maximum, which the moments keep exactly.

mod bins;
mod build;
mod codec;
mod mapping;
mod parts;
#[cfg(test)]
mod tests;

pub use build::SketchBuilder;
pub use codec::SketchError;
pub use mapping::{MAX_SCALE, MIN_SCALE};
pub use parts::{INFINITY_INDEX, SketchParts};

use crate::points::is_sample;
use bins::Bins;
use mapping::index_of;

/// Bins in use, both signs together, above which the scale is halved. At scale 5 they span five octaves if all
/// are in use; at [`MIN_SCALE`] all finite doubles fit.
pub const MAX_BINS: usize = 160;

/// How many values fell into each exponential bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    scale: i8,
    nan_count: u64,
    zero_count: u64,
    positive_infinity: u64,
    negative_infinity: u64,
    positive: Bins,
    negative: Bins,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            scale: MAX_SCALE,
            nan_count: 0,
            zero_count: 0,
            positive_infinity: 0,
            negative_infinity: 0,
            positive: Bins::default(),
            negative: Bins::default(),
        }
    }
}

impl Sketch {
    /// The sketch of some values, in any order.
    pub fn from_values(values: &[f64]) -> Self {
        SketchBuilder::default().build(values)
    }

    /// Counts one value; staleness markers and stand-ins of histograms are passed over.
    pub fn add(&mut self, value: f64) {
        if !is_sample(value) {
            return;
        }
        if value.is_nan() {
            self.nan_count += 1;
        } else if value == 0.0 {
            self.zero_count += 1;
        } else if value.is_infinite() {
            *(if value > 0.0 { &mut self.positive_infinity } else { &mut self.negative_infinity }) += 1;
        } else {
            let index = index_of(value.abs()) >> mapping::halvings(self.scale);
            if value > 0.0 { &mut self.positive } else { &mut self.negative }.add(index, 1);
            self.limit_bins();
        }
    }

    /// Uncounts one value that was counted before; false, and nothing done, if none like it is here. A staleness
    /// marker never was.
    pub fn remove(&mut self, value: f64) -> bool {
        if !is_sample(value) {
            return true;
        }
        let take = |count: &mut u64| {
            let left = count.checked_sub(1);
            *count = left.unwrap_or(0);
            left.is_some()
        };
        if value.is_nan() {
            take(&mut self.nan_count)
        } else if value == 0.0 {
            take(&mut self.zero_count)
        } else if value.is_infinite() {
            take(if value > 0.0 { &mut self.positive_infinity } else { &mut self.negative_infinity })
        } else {
            let index = index_of(value.abs()) >> mapping::halvings(self.scale);
            if value > 0.0 { &mut self.positive } else { &mut self.negative }.remove(index)
        }
    }

    /// Adds everything that `other` counted. Exact: the finer of both is halved until they agree.
    pub fn merge(&mut self, other: &Self) {
        self.nan_count += other.nan_count;
        self.zero_count += other.zero_count;
        self.positive_infinity += other.positive_infinity;
        self.negative_infinity += other.negative_infinity;
        self.reduce_scale_to(other.scale);
        let coarser = mapping::halvings(self.scale) - mapping::halvings(other.scale);
        self.positive.merge(&other.positive, coarser);
        self.negative.merge(&other.negative, coarser);
        self.limit_bins();
    }

    /// Halves the scale until it is `scale` or coarser.
    pub fn reduce_scale_to(&mut self, scale: i8) {
        if scale < self.scale {
            let halvings = mapping::halvings(scale) - mapping::halvings(self.scale);
            self.positive.coarsen(halvings);
            self.negative.coarsen(halvings);
            self.scale = scale;
        }
    }

    /// The scale that this sketch would have if `value` were added too.
    pub fn scale_with(&self, value: f64) -> i8 {
        if self.bins() < MAX_BINS || value.is_nan() {
            return self.scale;
        }
        let mut with = self.clone();
        with.add(value);
        with.scale
    }

    fn bins(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    fn limit_bins(&mut self) {
        while self.bins() > MAX_BINS {
            assert!(self.scale > MIN_SCALE, "all doubles fit the coarsest scale");
            self.reduce_scale_to(self.scale - 1);
        }
    }

    /// Values counted, NaN included.
    pub fn count(&self) -> u64 {
        let special = self.nan_count + self.zero_count + self.positive_infinity + self.negative_infinity;
        special + self.positive.total() + self.negative.total()
    }

    /// NaN values counted.
    pub fn nan_count(&self) -> u64 {
        self.nan_count
    }

    /// Values that are +0 or −0.
    pub fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// Resolution: a bin spans a factor of `2^(2^−scale)`.
    pub fn scale(&self) -> i8 {
        self.scale
    }

    /// Bins of positive values as (index, count), by rising index; +∞ last, at [`INFINITY_INDEX`].
    pub fn positive(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let end = (self.positive_infinity > 0).then_some((INFINITY_INDEX, self.positive_infinity));
        self.positive.iter().chain(end)
    }

    /// Bins of negative values by rising index, so by rising distance from zero; −∞ last, at [`INFINITY_INDEX`].
    pub fn negative(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let end = (self.negative_infinity > 0).then_some((INFINITY_INDEX, self.negative_infinity));
        self.negative.iter().chain(end)
    }

    /// The greatest relative error of an estimate (that is not a subnormal) at this scale: `(base − 1) / (base + 1)`.
    pub fn relative_error(&self) -> f64 {
        mapping::relative_error(self.scale)
    }

    /// An estimate of the `rank`-th smallest value, counted from 1, NaN first. `None` beyond the values counted.
    pub fn value_at_rank(&self, rank: u64) -> Option<f64> {
        let mut left = rank.checked_sub(1)?;
        let mut falls_in = |count: u64| match left.checked_sub(count) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        };
        if falls_in(self.nan_count) {
            return Some(f64::NAN);
        }
        if falls_in(self.negative_infinity) {
            return Some(f64::NEG_INFINITY);
        }
        if let Some((index, _)) = self.negative.iter().rev().find(|&(_, count)| falls_in(count)) {
            return Some(-mapping::estimate(index, self.scale));
        }
        if falls_in(self.zero_count) {
            return Some(0.0);
        }
        if let Some((index, _)) = self.positive.iter().find(|&(_, count)| falls_in(count)) {
            return Some(mapping::estimate(index, self.scale));
        }
        falls_in(self.positive_infinity).then_some(f64::INFINITY)
    }

    /// An estimate of the `q`-quantile, `0 ≤ q ≤ 1`, by nearest rank; `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        match self.count() {
            0 => None,
            count => self.value_at_rank(nearest_rank(q, count)),
        }
    }
}

/// The nearest rank of the `q`-quantile of `count` values, from 1 to `count`: `⌈q · count⌉`, where a product that is an
/// integer but for rounding counts as that integer.
pub fn nearest_rank(q: f64, count: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let exact = q * count as f64;
    let nearest = exact.round();
    let rank = if (exact - nearest).abs() <= exact.abs() * (4.0 * f64::EPSILON) { nearest } else { exact.ceil() };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates, and the result is clamped"
    )]
    let rank = rank as u64;
    rank.clamp(1, count.max(1))
}
