//! A bucket as a row of the Delta tables `rollup_1m` and `rollup_1h`.
//!
//! [`Bucket`] ─▶ columns of `[b, b + w)`, and where there is an edge, what the open interval had before it joined ─▶ [`Bucket`]
//!
//! Outside engines read the columns of the closed bucket; we restore both parts, bit for bit.

use thiserror::Error;

use super::{Bucket, Moments, Rollup};
use crate::points::is_stale;
use crate::sketch::{Sketch, SketchError, SketchParts};
use crate::time::{BucketStart, HOUR_MS};

/// The greatest count that is read back: no hour has as many samples, and sums of many rows cannot overflow.
const MAX_COUNT: u64 = 1 << 48;

/// Why a row is not a bucket.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BucketRowError {
    /// A column that should hold something, or something else.
    #[error("rollup row at {start_ms} ms has an impossible {column}")]
    Column { start_ms: i64, column: &'static str },
    #[error("rollup row at {start_ms} ms: {source}")]
    Sketch { start_ms: i64, source: SketchError },
}

/// The columns of `rollup_1m` and `rollup_1h` but for the series. Times are in ms; what has no value is `None` (all of
/// the statistics where `count` is 0: the bucket holds nothing but a staleness marker).
#[derive(Debug, Clone, PartialEq)]
pub struct BucketRow {
    pub start: BucketStart,
    pub count: i64,
    pub nan_count: i64,
    pub stale_ts: Option<i64>,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Derived; not read back.
    pub avg: Option<f64>,
    /// Derived; not read back.
    pub p99: Option<f64>,
    pub first_ts: Option<i64>,
    pub first: Option<f64>,
    pub last_ts: Option<i64>,
    pub last: Option<f64>,
    pub reset_adj: f64,
    pub resets: i64,
    /// Derived; not read back.
    pub increase: Option<f64>,
    /// Bins of all samples of the closed bucket: the columns `scale, zero_count, idx, cnt, neg_idx, neg_cnt`. May be
    /// dropped where the table keeps lean rows.
    pub sketch: Option<SketchParts>,
    /// The point exactly at `start`, which may be a staleness marker.
    pub edge: Option<f64>,
    /// Of the open interval, where the edge is a sample and the interval has samples too.
    pub open_first_ts: Option<i64>,
    pub open_first: Option<f64>,
    pub open_min: Option<f64>,
    pub open_max: Option<f64>,
    /// Only where `sum − edge` is not the same.
    pub open_sum: Option<f64>,
    /// Only where `reset_adj`, less `edge` if a reset lies behind it, is not the same.
    pub open_reset_adj: Option<f64>,
}

impl From<&Bucket> for BucketRow {
    fn from(bucket: &Bucket) -> Self {
        let closed = bucket.closed();
        let Moments { count, sum, min, max, first_ts, first, last_ts, last, .. } = closed.moments;
        let counted = count > 0;
        let open = &bucket.open.moments;
        let edge_sample = bucket.edge.filter(|&edge| !is_stale(edge) && open.count > 0);
        let open_sum = edge_sample.map(|edge| sum - edge);
        let open_adj = edge_sample.map(|edge| open_reset_adj(&closed.moments, edge, open.first));
        // A count of samples is far below 2^63; saturating keeps this total.
        let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            start: bucket.start,
            count: stored(count),
            nan_count: stored(closed.moments.nan_count),
            stale_ts: closed.moments.stale_ts,
            sum: counted.then_some(sum),
            min: counted.then_some(min),
            max: counted.then_some(max),
            avg: closed.moments.avg(),
            p99: closed.p99(),
            first_ts: counted.then_some(first_ts),
            first: counted.then_some(first),
            last_ts: counted.then_some(last_ts),
            last: counted.then_some(last),
            reset_adj: closed.moments.reset_adj,
            resets: stored(closed.moments.resets),
            increase: closed.moments.increase(),
            sketch: (counted && closed.has_sketch()).then(|| closed.sketch.to_parts()),
            edge: bucket.edge,
            open_first_ts: edge_sample.map(|_| open.first_ts),
            open_first: edge_sample.map(|_| open.first),
            open_min: edge_sample.map(|_| open.min),
            open_max: edge_sample.map(|_| open.max),
            open_sum: edge_sample.map(|_| open.sum).filter(|sum| Some(sum.to_bits()) != open_sum.map(f64::to_bits)),
            open_reset_adj: edge_sample
                .map(|_| open.reset_adj)
                .filter(|adj| Some(adj.to_bits()) != open_adj.map(f64::to_bits)),
        }
    }
}

impl TryFrom<BucketRow> for Bucket {
    type Error = BucketRowError;

    fn try_from(row: BucketRow) -> Result<Self, BucketRowError> {
        let start_ms = row.start.timestamp().0;
        let mut moments = row.closed_moments()?;
        let mut sketch = match &row.sketch {
            Some(parts) => Sketch::from_parts(parts, moments.nan_count)
                .map_err(|source| BucketRowError::Sketch { start_ms, source })?,
            None => Sketch::default(),
        };
        if row.sketch.is_some() && sketch.count() != moments.count {
            return Err(BucketRowError::Column { start_ms, column: "cnt" });
        }
        match row.edge {
            Some(edge) if is_stale(edge) => {
                moments.stale_ts = moments.stale_ts.filter(|&stale_ts| stale_ts != start_ms);
            }
            Some(edge) => {
                moments = row.without_edge(&moments, edge)?;
                if row.sketch.is_some() && !sketch.remove(edge) {
                    return Err(BucketRowError::Column { start_ms, column: "edge" });
                }
            }
            None => {}
        }
        Ok(Self { start: row.start, edge: row.edge, open: Rollup { moments, sketch } })
    }
}

impl BucketRow {
    fn closed_moments(&self) -> Result<Moments, BucketRowError> {
        let count = self.unsigned(self.count, "count")?;
        let nan_count = self.unsigned(self.nan_count, "nan_count")?;
        let resets = self.unsigned(self.resets, "resets")?;
        if nan_count > count || resets > count {
            return Err(self.impossible("nan_count or resets"));
        }
        if let Some(stale_ts) = self.stale_ts {
            self.inside(stale_ts, "stale_ts")?;
        }
        if count == 0 {
            return Ok(Moments { stale_ts: self.stale_ts, ..Moments::EMPTY });
        }
        Ok(Moments {
            count,
            nan_count,
            sum: self.present(self.sum, "sum")?,
            min: self.present(self.min, "min")?,
            max: self.present(self.max, "max")?,
            first_ts: self.inside(self.present(self.first_ts, "first_ts")?, "first_ts")?,
            first: self.present(self.first, "first")?,
            last_ts: self.inside(self.present(self.last_ts, "last_ts")?, "last_ts")?,
            last: self.present(self.last, "last")?,
            reset_adj: self.reset_adj,
            resets,
            stale_ts: self.stale_ts,
            ..Moments::EMPTY
        })
    }

    /// The open interval's moments, given those of the closed bucket and a sample at its edge.
    fn without_edge(&self, closed: &Moments, edge: f64) -> Result<Moments, BucketRowError> {
        let count = closed.count.checked_sub(1).ok_or_else(|| self.impossible("count"))?;
        let nan_count = closed.nan_count.checked_sub(u64::from(edge.is_nan()));
        if count == 0 {
            return Ok(Moments { stale_ts: closed.stale_ts, ..Moments::EMPTY });
        }
        let first = self.present(self.open_first, "open_first")?;
        let resets = closed.resets.checked_sub(u64::from(first < edge));
        Ok(Moments {
            count,
            nan_count: self.present(nan_count, "nan_count")?,
            sum: self.open_sum.unwrap_or(closed.sum - edge),
            min: self.present(self.open_min, "open_min")?,
            max: self.present(self.open_max, "open_max")?,
            first_ts: self.inside(self.present(self.open_first_ts, "open_first_ts")?, "open_first_ts")?,
            first,
            reset_adj: self.open_reset_adj.unwrap_or_else(|| open_reset_adj(closed, edge, first)),
            resets: self.present(resets, "resets")?,
            ..*closed
        })
    }

    fn unsigned(&self, number: i64, column: &'static str) -> Result<u64, BucketRowError> {
        u64::try_from(number).ok().filter(|&number| number <= MAX_COUNT).ok_or_else(|| self.impossible(column))
    }

    /// A time that can lie in this bucket: not before its start, and less than the widest bucket behind it.
    fn inside(&self, ts: i64, column: &'static str) -> Result<i64, BucketRowError> {
        let start_ms = self.start.timestamp().0;
        let inside = (start_ms..start_ms.saturating_add(HOUR_MS)).contains(&ts);
        if inside { Ok(ts) } else { Err(self.impossible(column)) }
    }

    fn present<T>(&self, value: Option<T>, column: &'static str) -> Result<T, BucketRowError> {
        value.ok_or_else(|| self.impossible(column))
    }

    fn impossible(&self, column: &'static str) -> BucketRowError {
        BucketRowError::Column { start_ms: self.start.timestamp().0, column }
    }
}

/// What the reset adjustment of the open interval is, if taking the edge's part away loses nothing.
fn open_reset_adj(closed: &Moments, edge: f64, open_first: f64) -> f64 {
    if open_first < edge { closed.reset_adj - edge } else { closed.reset_adj }
}
