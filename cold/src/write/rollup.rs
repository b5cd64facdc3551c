//! Buckets as columns: the tables `rollup_1m` and `rollup_1h`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field};
use schemas::SeriesId;
use schemas::rollup::{Bucket, BucketRow};
use schemas::sketch::SketchParts;
use schemas::tier_map::ColdTable;

use super::raw::MetricColumn;
use super::rolling::{Part, RollingWriter};
use crate::columns::{data_schema, timestamp_type};
use crate::error::{ColdError, Doing};
use crate::table::FileStats;

/// Rows are given to the encoder in batches of this many.
const BATCH_ROWS: usize = 8 << 10;
/// From this count on a row of `rollup_1m` carries its sketch; below, p99 is the maximum and needs none.
const SKETCH_COUNT_MIN: i64 = 100;

/// Collects rows of one rollup table.
pub(crate) struct RollupColumns {
    table: ColdTable,
    writer: RollingWriter,
    columns: Columns,
    rows: usize,
    stats: FileStats,
}

impl RollupColumns {
    pub(crate) fn new(table: ColdTable) -> Self {
        Self {
            table,
            writer: RollingWriter::new(table),
            columns: Columns::default(),
            rows: 0,
            stats: FileStats::default(),
        }
    }

    pub(crate) fn push(&mut self, metric: &str, id: SeriesId, bucket: &Bucket) -> Result<(), ColdError> {
        let mut row = BucketRow::from(bucket);
        if self.table == ColdTable::Rollup1m && row.count < SKETCH_COUNT_MIN {
            row.sketch = None;
        }
        let start_ms = row.start.timestamp().0;
        self.columns.push(metric, id, &row);
        self.stats.add(metric, id.0, 1, Some((start_ms, start_ms)));
        self.rows += 1;
        if self.rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    pub(crate) fn finish(&mut self) -> Result<(), ColdError> {
        self.flush()?;
        self.writer.finish()
    }

    pub(crate) fn take_parts(&mut self) -> Vec<Part> {
        self.writer.take_parts()
    }

    fn flush(&mut self) -> Result<(), ColdError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let batch = RecordBatch::try_new(data_schema(self.table), self.columns.take());
        let batch = batch.doing(|| format!("cannot encode {}", self.table.as_str()))?;
        self.writer.write(batch, std::mem::take(&mut self.stats))
    }
}

/// One builder a column, in the order of the schema.
#[derive(Default)]
struct Columns {
    series_id: Vec<i64>,
    metric: MetricColumn,
    ts: Times,
    counts: [Int64Builder; 2],
    stale_ts: Times,
    /// sum, min, max, avg, p99
    values: [Float64Builder; 5],
    first_ts: Times,
    first: Float64Builder,
    last_ts: Times,
    last: Float64Builder,
    reset_adj: Float64Builder,
    resets: Int64Builder,
    increase: Float64Builder,
    sketch: SketchColumns,
    edge: Float64Builder,
    open_first_ts: Times,
    /// open_first, open_min, open_max, open_sum, open_reset_adj
    open: [Float64Builder; 5],
}

impl Columns {
    fn push(&mut self, metric: &str, id: SeriesId, row: &BucketRow) {
        self.series_id.push(id.0);
        self.metric.push(metric, 1);
        self.ts.push(Some(row.start.timestamp().0));
        append(&mut self.counts, [Some(row.count), Some(row.nan_count)], Int64Builder::append_option);
        self.stale_ts.push(row.stale_ts);
        append(&mut self.values, [row.sum, row.min, row.max, row.avg, row.p99], Float64Builder::append_option);
        self.first_ts.push(row.first_ts);
        self.first.append_option(row.first);
        self.last_ts.push(row.last_ts);
        self.last.append_option(row.last);
        self.reset_adj.append_value(row.reset_adj);
        self.resets.append_value(row.resets);
        self.increase.append_option(row.increase);
        self.sketch.push(row.sketch.as_ref());
        self.edge.append_option(row.edge);
        self.open_first_ts.push(row.open_first_ts);
        let open = [row.open_first, row.open_min, row.open_max, row.open_sum, row.open_reset_adj];
        append(&mut self.open, open, Float64Builder::append_option);
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let float = |builder: &mut Float64Builder| -> ArrayRef { Arc::new(builder.finish()) };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(arrow::array::Int64Array::from(std::mem::take(&mut self.series_id))),
            Arc::new(self.metric.take()),
            self.ts.take(),
        ];
        columns.extend(self.counts.iter_mut().map(|builder| -> ArrayRef { Arc::new(builder.finish()) }));
        columns.push(self.stale_ts.take());
        columns.extend(self.values.iter_mut().map(float));
        columns.extend([self.first_ts.take(), float(&mut self.first)]);
        columns.extend([self.last_ts.take(), float(&mut self.last)]);
        columns.extend([float(&mut self.reset_adj), Arc::new(self.resets.finish()), float(&mut self.increase)]);
        columns.extend(self.sketch.take());
        columns.extend([float(&mut self.edge), self.open_first_ts.take()]);
        columns.extend(self.open.iter_mut().map(float));
        columns
    }
}

fn append<B, T, const N: usize>(builders: &mut [B; N], values: [Option<T>; N], put: fn(&mut B, Option<T>)) {
    for (builder, value) in builders.iter_mut().zip(values) {
        put(builder, value);
    }
}

/// Times in ms, kept in µs.
struct Times(TimestampMicrosecondBuilder);

impl Default for Times {
    fn default() -> Self {
        Self(TimestampMicrosecondBuilder::new().with_data_type(timestamp_type()))
    }
}

impl Times {
    fn push(&mut self, ms: Option<i64>) {
        self.0.append_option(ms.map(|ms| ms.saturating_mul(1_000)));
    }

    fn take(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// scale, zero_count, idx, cnt, neg_idx, neg_cnt
struct SketchColumns {
    scale: Int32Builder,
    zero_count: Int64Builder,
    idx: ListBuilder<Int32Builder>,
    cnt: ListBuilder<Int64Builder>,
    neg_idx: ListBuilder<Int32Builder>,
    neg_cnt: ListBuilder<Int64Builder>,
}

impl Default for SketchColumns {
    fn default() -> Self {
        let element = |kind| Field::new("element", kind, true);
        let indices = || ListBuilder::new(Int32Builder::new()).with_field(element(DataType::Int32));
        let counts = || ListBuilder::new(Int64Builder::new()).with_field(element(DataType::Int64));
        Self {
            scale: Int32Builder::new(),
            zero_count: Int64Builder::new(),
            idx: indices(),
            cnt: counts(),
            neg_idx: indices(),
            neg_cnt: counts(),
        }
    }
}

impl SketchColumns {
    fn push(&mut self, sketch: Option<&SketchParts>) {
        self.scale.append_option(sketch.map(|sketch| sketch.scale));
        self.zero_count.append_option(sketch.map(|sketch| sketch.zero_count));
        let lists = sketch.map(|s| (&s.idx, &s.cnt, &s.neg_idx, &s.neg_cnt));
        if let Some((idx, cnt, neg_idx, neg_cnt)) = lists {
            self.idx.values().append_slice(idx);
            self.cnt.values().append_slice(cnt);
            self.neg_idx.values().append_slice(neg_idx);
            self.neg_cnt.values().append_slice(neg_cnt);
        }
        self.idx.append(lists.is_some());
        self.cnt.append(lists.is_some());
        self.neg_idx.append(lists.is_some());
        self.neg_cnt.append(lists.is_some());
    }

    fn take(&mut self) -> [ArrayRef; 6] {
        [
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.idx.finish()),
            Arc::new(self.cnt.finish()),
            Arc::new(self.neg_idx.finish()),
            Arc::new(self.neg_cnt.finish()),
        ]
    }
}
