//! Columns of a scan become points and buckets.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use schemas::histogram::codec;
use schemas::points::{histogram_marker, stale};
use schemas::rollup::{Bucket, BucketRow};
use schemas::sketch::SketchParts;
use schemas::{BucketStart, DurationMs, Points, TimeRange, TimestampMs};

use super::merge::SeriesKey;

/// What a scan of points reads.
pub(crate) const POINT_COLUMNS: [&str; 5] = ["series_id", "metric", "ts", "value", "histogram"];

/// What a scan of buckets reads; `avg`, `p99` and `increase` are derived from the others.
pub(crate) const BUCKET_COLUMNS: [&str; 28] = [
    "series_id",
    "metric",
    "ts",
    "count",
    "nan_count",
    "stale_ts",
    "sum",
    "min",
    "max",
    "first_ts",
    "first",
    "last_ts",
    "last",
    "reset_adj",
    "resets",
    "edge",
    "open_first_ts",
    "open_first",
    "open_min",
    "open_max",
    "open_sum",
    "open_reset_adj",
    "scale",
    "zero_count",
    "idx",
    "cnt",
    "neg_idx",
    "neg_cnt",
];

/// The same without sketches.
pub(crate) const LEAN_BUCKET_COLUMNS: [&str; 22] = [
    "series_id",
    "metric",
    "ts",
    "count",
    "nan_count",
    "stale_ts",
    "sum",
    "min",
    "max",
    "first_ts",
    "first",
    "last_ts",
    "last",
    "reset_adj",
    "resets",
    "edge",
    "open_first_ts",
    "open_first",
    "open_min",
    "open_max",
    "open_sum",
    "open_reset_adj",
];

/// What a look-up of series reads: all of the table.
pub(crate) const SERIES_COLUMNS: [&str; 6] = ["series_id", "metric", "tenant", "labels", "first_date", "last_date"];

/// Rows of one series in time order.
pub(crate) trait SeriesRows: Default + Send + 'static {
    /// Reads rows of a batch. The error says what is wrong with them.
    fn from_batch(batch: &Batch, rows: Range<usize>) -> Result<Self, String>;

    fn is_empty(&self) -> bool;

    /// First and last time in ms, inclusive.
    fn span(&self) -> Option<(i64, i64)>;

    /// Appends rows that come behind.
    fn append(&mut self, later: Self);

    /// Both; `newer` wins where both have a row.
    fn overlaid_with(self, newer: Self) -> Self;

    /// Only what lies in the range.
    fn within(self, range: TimeRange) -> Self;
}

/// A batch of rows that begin with `series_id`, `metric`, `ts`.
pub(crate) struct Batch {
    batch: RecordBatch,
    ids: Int64Array,
    times: TimestampMicrosecondArray,
}

impl Batch {
    pub(crate) fn new(batch: RecordBatch) -> Result<Self, String> {
        let ids = batch.column_by_name("series_id").and_then(|c| c.as_primitive_opt::<Int64Type>()).cloned();
        let times = batch.column_by_name("ts").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>()).cloned();
        let (Some(ids), Some(times)) = (ids, times) else { return Err("series_id or ts have another type".to_owned()) };
        if ids.null_count() > 0 || times.null_count() > 0 {
            return Err("series_id or ts are NULL".to_owned());
        }
        Ok(Self { batch, ids, times })
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows from `at` on that are of one series.
    pub(crate) fn run_from(&self, at: usize) -> Range<usize> {
        let ids = &self.ids.values()[at..];
        let rows = ids.iter().position(|id| *id != ids[0]).unwrap_or(ids.len());
        at..at + rows
    }

    pub(crate) fn key(&self, at: usize) -> SeriesKey {
        let metric = self.batch.column_by_name("metric").and_then(|column| column.as_string_view_opt());
        let metric = metric.map_or("", |column| column.value(at)).to_owned();
        SeriesKey { metric, id: self.ids.value(at) }
    }

    fn time_ms(&self, row: usize) -> i64 {
        self.times.value(row).div_euclid(1_000)
    }

    fn floats(&self, name: &str) -> Result<&Float64Array, String> {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>());
        column.ok_or_else(|| format!("{name} has another type"))
    }

    fn binaries(&self, name: &str) -> Result<&BinaryArray, String> {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_binary_opt::<i32>());
        column.ok_or_else(|| format!("{name} has another type"))
    }

    fn longs(&self, name: &str) -> Result<&Int64Array, String> {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| format!("{name} has another type"))
    }

    fn instants(&self, name: &str) -> Result<&TimestampMicrosecondArray, String> {
        let column =
            self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.ok_or_else(|| format!("{name} has another type"))
    }
}

impl SeriesRows for Points {
    fn from_batch(batch: &Batch, rows: Range<usize>) -> Result<Self, String> {
        let values = batch.floats("value")?;
        let times = &batch.times.values()[rows.clone()];
        let mut points = Self::new(
            times.iter().map(|micros| micros.div_euclid(1_000)).collect(),
            values.values()[rows.clone()].to_vec(),
        );
        if values.null_count() > 0 {
            let histograms = batch.binaries("histogram")?;
            for (at, row) in rows.enumerate().filter(|(_, row)| values.is_null(*row)) {
                if histograms.is_null(row) {
                    points.values[at] = stale();
                    continue;
                }
                let histogram = codec::decode(histograms.value(row)).map_err(|error| format!("histogram: {error}"))?;
                points.values[at] = histogram_marker();
                points.histograms.insert(points.timestamps[at], Arc::new(histogram));
            }
        }
        // Other programs may write rows in another order, or one time twice.
        points.settle();
        Ok(points)
    }

    fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    fn span(&self) -> Option<(i64, i64)> {
        Some((*self.timestamps.first()?, *self.timestamps.last()?))
    }

    fn append(&mut self, later: Self) {
        self.extend_from(&later);
        self.settle();
    }

    fn overlaid_with(self, newer: Self) -> Self {
        Points::overlaid_with(&self, &newer)
    }

    fn within(self, range: TimeRange) -> Self {
        let rows = self.index_range(range.start().0, range.end().0);
        if rows.len() == self.len() {
            return self;
        }
        self.slice(rows)
    }
}

impl SeriesRows for Vec<Bucket> {
    fn from_batch(batch: &Batch, rows: Range<usize>) -> Result<Self, String> {
        let columns = BucketColumns::new(batch)?;
        rows.map(|row| Bucket::try_from(columns.row(row)?).map_err(|e| e.to_string())).collect()
    }

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }

    fn span(&self) -> Option<(i64, i64)> {
        Some((self.first()?.start.timestamp().0, self.last()?.start.timestamp().0))
    }

    fn append(&mut self, later: Self) {
        self.extend(later);
    }

    fn overlaid_with(self, newer: Self) -> Self {
        let mut all: std::collections::BTreeMap<BucketStart, Bucket> =
            self.into_iter().map(|bucket| (bucket.start, bucket)).collect();
        all.extend(newer.into_iter().map(|bucket| (bucket.start, bucket)));
        all.into_values().collect()
    }

    fn within(mut self, range: TimeRange) -> Self {
        self.retain(|bucket| range.contains(bucket.start.timestamp()));
        self
    }
}

/// The columns of a batch of buckets.
struct BucketColumns<'a> {
    batch: &'a Batch,
    counts: [&'a Int64Array; 3],
    instants: [&'a TimestampMicrosecondArray; 4],
    floats: [&'a Float64Array; 12],
    sketch: Option<SketchColumns<'a>>,
}

impl<'a> BucketColumns<'a> {
    fn new(batch: &'a Batch) -> Result<Self, String> {
        let float = |name| batch.floats(name);
        Ok(Self {
            batch,
            counts: [batch.longs("count")?, batch.longs("nan_count")?, batch.longs("resets")?],
            instants: [
                batch.instants("stale_ts")?,
                batch.instants("first_ts")?,
                batch.instants("last_ts")?,
                batch.instants("open_first_ts")?,
            ],
            floats: [
                float("sum")?,
                float("min")?,
                float("max")?,
                float("first")?,
                float("last")?,
                float("reset_adj")?,
                float("edge")?,
                float("open_first")?,
                float("open_min")?,
                float("open_max")?,
                float("open_sum")?,
                float("open_reset_adj")?,
            ],
            sketch: SketchColumns::new(batch)?,
        })
    }

    fn row(&self, row: usize) -> Result<BucketRow, String> {
        let [stale_ts, first_ts, last_ts, open_first_ts] =
            self.instants.map(|column| column.is_valid(row).then(|| column.value(row).div_euclid(1_000)));
        let [sum, min, max, first, last, reset_adj, edge, open_first, open_min, open_max, open_sum, open_reset_adj] =
            self.floats.map(|column| column.is_valid(row).then(|| column.value(row)));
        let [count, nan_count, resets] = self.counts.map(|column| column.value(row));
        let start_ms = self.batch.time_ms(row);
        Ok(BucketRow {
            start: BucketStart::containing(TimestampMs(start_ms), DurationMs(1)),
            count,
            nan_count,
            stale_ts,
            sum,
            min,
            max,
            avg: None,
            p99: None,
            first_ts,
            first,
            last_ts,
            last,
            reset_adj: reset_adj.unwrap_or(0.0),
            resets,
            increase: None,
            sketch: self.sketch.as_ref().and_then(|sketch| sketch.row(row)),
            edge,
            open_first_ts,
            open_first,
            open_min,
            open_max,
            open_sum,
            open_reset_adj,
        })
    }
}

struct SketchColumns<'a> {
    scale: &'a Int32Array,
    zero_count: &'a Int64Array,
    /// idx, neg_idx
    indices: [&'a arrow::array::ListArray; 2],
    /// cnt, neg_cnt
    counts: [&'a arrow::array::ListArray; 2],
}

impl<'a> SketchColumns<'a> {
    /// `None` where the scan left sketches out.
    fn new(batch: &'a Batch) -> Result<Option<Self>, String> {
        let Some(scale) = batch.batch.column_by_name("scale") else { return Ok(None) };
        let scale = scale.as_primitive_opt::<Int32Type>().ok_or("scale has another type")?;
        let list = |name: &str| {
            let column = batch.batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
            column.ok_or_else(|| format!("{name} has another type"))
        };
        Ok(Some(Self {
            scale,
            zero_count: batch.longs("zero_count")?,
            indices: [list("idx")?, list("neg_idx")?],
            counts: [list("cnt")?, list("neg_cnt")?],
        }))
    }

    fn row(&self, row: usize) -> Option<SketchParts> {
        if self.scale.is_null(row) {
            return None;
        }
        let [idx, neg_idx] = self.indices.map(|list| {
            list.value(row).as_primitive_opt::<Int32Type>().map(|list| list.values().to_vec()).unwrap_or_default()
        });
        let [cnt, neg_cnt] = self.counts.map(|list| {
            list.value(row).as_primitive_opt::<Int64Type>().map(|list| list.values().to_vec()).unwrap_or_default()
        });
        Some(SketchParts {
            scale: self.scale.value(row),
            zero_count: self.zero_count.value(row),
            idx,
            cnt,
            neg_idx,
            neg_cnt,
        })
    }
}
