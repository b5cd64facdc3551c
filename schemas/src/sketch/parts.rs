//! A sketch as the columns of a table.

use super::bins::Bins;
use super::codec::SketchError;
use super::{MAX_BINS, MAX_SCALE, MIN_SCALE, Sketch, mapping};

/// Where ±∞ stand in lists of bins: behind every finite value at every scale.
pub const INFINITY_INDEX: i32 = i32::MAX;

/// The greatest count that is read back; more than a sample a nanosecond for a month.
const MAX_COUNT: u64 = 1 << 52;

/// A sketch in plain columns, as the Delta tables hold it. NaN is counted in a column of the rollup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SketchParts {
    pub scale: i32,
    pub zero_count: i64,
    /// Indices of bins of positive values, rising; +∞ at [`INFINITY_INDEX`].
    pub idx: Vec<i32>,
    /// Counts of those bins, at least 1.
    pub cnt: Vec<i64>,
    /// Indices of bins of negative values by rising magnitude; −∞ at [`INFINITY_INDEX`].
    pub neg_idx: Vec<i32>,
    pub neg_cnt: Vec<i64>,
}

impl Sketch {
    /// The columns of this sketch; NaN is not among them.
    pub fn to_parts(&self) -> SketchParts {
        // A count of samples is far below 2^63; saturating keeps this total.
        let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (idx, cnt) = self.positive().map(|(index, count)| (index, stored(count))).unzip();
        let (neg_idx, neg_cnt) = self.negative().map(|(index, count)| (index, stored(count))).unzip();
        SketchParts { scale: i32::from(self.scale), zero_count: stored(self.zero_count), idx, cnt, neg_idx, neg_cnt }
    }

    /// The sketch of these columns, and of so many NaN.
    pub fn from_parts(parts: &SketchParts, nan_count: u64) -> Result<Self, SketchError> {
        let scale = i8::try_from(parts.scale).map_err(|_| SketchError::Scale { found: parts.scale })?;
        if !(MIN_SCALE..=MAX_SCALE).contains(&scale) {
            return Err(SketchError::Scale { found: parts.scale });
        }
        let (positive, positive_infinity) = read_bins(&parts.idx, &parts.cnt)?;
        let (negative, negative_infinity) = read_bins(&parts.neg_idx, &parts.neg_cnt)?;
        let zero_count = u64::try_from(parts.zero_count).map_err(|_| SketchError::Bins)?;
        let sketch = Self { scale, nan_count, zero_count, positive_infinity, negative_infinity, positive, negative };
        sketch.checked()
    }

    /// This sketch, if its counts, its bins and their number are possible. Were a bin allowed that no double falls into,
    /// merging could need more bins than the coarsest scale leaves.
    pub(super) fn checked(self) -> Result<Self, SketchError> {
        let possible = |bins: &Bins| bins.iter().all(|(index, _)| mapping::is_possible(index, self.scale));
        if self.bins() > MAX_BINS || !possible(&self.positive) || !possible(&self.negative) {
            return Err(SketchError::Bins);
        }
        let specials = [self.nan_count, self.zero_count, self.positive_infinity, self.negative_infinity];
        let counts = specials.into_iter().chain(self.positive.iter().chain(self.negative.iter()).map(|(_, n)| n));
        let total = counts.into_iter().try_fold(0_u64, u64::checked_add);
        // Bounded, so that sums of many sketches cannot overflow.
        if total.is_some_and(|total| total <= MAX_COUNT) { Ok(self) } else { Err(SketchError::Bins) }
    }
}

/// Checks a list of bins and splits off the one at infinity.
fn read_bins(indices: &[i32], counts: &[i64]) -> Result<(Bins, u64), SketchError> {
    let rising = indices.windows(2).all(|pair| pair[0] < pair[1]);
    if indices.len() != counts.len() || indices.len() > MAX_BINS + 1 || !rising {
        return Err(SketchError::Bins);
    }
    let (mut bins, mut infinity) = (Bins::with_capacity(indices.len()), 0);
    for (&index, &count) in indices.iter().zip(counts) {
        let count = u64::try_from(count).ok().filter(|&count| count > 0).ok_or(SketchError::Bins)?;
        if index == INFINITY_INDEX { infinity = count } else { bins.push(index, count) }
    }
    Ok((bins, infinity))
}
