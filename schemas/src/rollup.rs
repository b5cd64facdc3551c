//! The rollup of one series over a span of time: the same value as a chunk's statistics, a stored bucket's content
//! and the partial result at a tier boundary.
//!
//! points ─▶ [`Moments`] (fixed size; [`Totals`] are the part that most questions ask for) + [`Sketch`] (bins) = [`Rollup`] ─combine, in time order─▶ Rollup of the whole
//! points ─[`bucketize`]─▶ [`Bucket`] = edge (the point exactly at its start) + open interval ─[`fold_buckets`]─▶ coarser Bucket
//!
//! A monoid over time-ordered parts with [`Moments::EMPTY`] as the empty element (ROLL-2): any way of cutting a series
//! gives the same rollup. Sums are kept as an unevaluated pair of doubles, so they too come out the same to the last
//! bit wherever about 100 bits hold the exact sum, which is nearly everywhere; else to float tolerance.
//! `avg`, `increase` and quantiles are derived on read (ROLL-3). Rules worth knowing:
//!
//! * a staleness marker is never counted: it only moves `stale_ts`;
//! * a NaN sample is counted, makes the sum NaN, is skipped by `min` and `max` unless all are NaN, and ranks lowest;
//! * a counter reset lies between A and B exactly if `B.first < A.last`, as in Prometheus.
//!
//! Not here: persisted bytes (`rollup_row`), which bucket is read from which tier (the query router).

mod bucket;
mod compensated;
mod moments;
mod rate;
mod table_row;
#[cfg(test)]
mod tests;
mod totals;

pub use bucket::{Bucket, BucketMoments, aggregate_by_bucket, bucketize, bucketize_moments, fold_buckets};
pub use moments::Moments;
pub use rate::{Sampled, Spread};
pub use table_row::{BucketRow, BucketRowError};
pub use totals::{Aggregate, Totals};

use crate::sketch::{Sketch, nearest_rank};

/// The aggregate of the points in a span of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollup {
    pub moments: Moments,
    /// Bins of every counted point; empty where a lean row was stored without it (see [`Rollup::has_sketch`]).
    pub sketch: Sketch,
}

impl Rollup {
    /// The rollup of sorted points.
    ///
    /// # Panics
    /// If the columns differ in length.
    pub fn from_points(timestamps: &[i64], values: &[f64]) -> Self {
        Self { moments: Moments::from_points(timestamps, values), sketch: Sketch::from_values(values) }
    }

    /// Adds a point that is later than all before.
    pub fn add(&mut self, timestamp_ms: i64, value: f64) {
        self.moments.add(timestamp_ms, value);
        self.sketch.add(value);
    }

    /// This part and a later one.
    #[must_use]
    pub fn combine(&self, later: &Self) -> Self {
        let mut whole = self.clone();
        whole.append(later);
        whole
    }

    /// Appends a later part in place.
    pub fn append(&mut self, later: &Self) {
        self.moments = self.moments.combine(&later.moments);
        self.sketch.merge(&later.sketch);
    }

    /// Whether the sketch covers every counted point, so that any quantile can be asked for.
    pub fn has_sketch(&self) -> bool {
        self.sketch.count() == self.moments.count
    }

    /// The `q`-quantile by nearest rank. Exact at both ends (so the 0.99-quantile of fewer than 100 points is the
    /// maximum); in between within [`Sketch::relative_error`]. NaN samples rank lowest.
    ///
    /// `None` without points, or where the answer lies between the ends and the row was stored without its sketch.
    /// As in Prometheus, `q` below 0 gives −∞, above 1 gives +∞, and NaN gives NaN.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let Moments { count, nan_count, min, max, .. } = self.moments;
        if count == 0 {
            return None;
        }
        if !(0.0..=1.0).contains(&q) {
            return Some(if q.is_nan() { f64::NAN } else { f64::INFINITY.copysign(q) });
        }
        let rank = nearest_rank(q, count);
        if rank <= nan_count {
            return Some(f64::NAN);
        }
        if rank == count {
            return Some(max);
        }
        if rank == nan_count + 1 {
            return Some(min);
        }
        if !self.has_sketch() {
            return None;
        }
        // Not `clamp`, which panics where the bounds of a forged row are the wrong way round.
        self.sketch.value_at_rank(rank).map(|estimate| estimate.max(min).min(max))
    }

    /// The 0.99-quantile; the maximum exactly when there are fewer than 100 points.
    pub fn p99(&self) -> Option<f64> {
        self.quantile(0.99)
    }
}
