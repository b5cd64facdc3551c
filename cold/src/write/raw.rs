//! Raw points as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanBufferBuilder, Float64Array, Int64Array, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use schemas::histogram::codec;
use schemas::points::{is_histogram, is_stale};
use schemas::tier_map::ColdTable;
use schemas::{Points, SeriesId};

use super::rolling::{Part, RollingWriter};
use crate::columns::data_schema;
use crate::error::{ColdError, Doing};
use crate::table::FileStats;

/// Rows are given to the encoder in batches of about this many.
const BATCH_ROWS: usize = 32 << 10;
/// A batch ends early when its native histograms have this many bytes.
const BATCH_HISTOGRAM_BYTES: usize = 8 << 20;

/// Collects rows of the table `raw`.
pub(crate) struct RawColumns {
    writer: RollingWriter,
    series_id: Vec<i64>,
    metric: MetricColumn,
    ts: Vec<i64>,
    value: Vec<f64>,
    /// Rows of the batch whose value is NULL in the table: staleness markers and native histograms.
    without_value: Vec<usize>,
    histograms: HistogramColumn,
    stats: FileStats,
}

impl Default for RawColumns {
    fn default() -> Self {
        Self {
            writer: RollingWriter::new(ColdTable::Raw),
            series_id: Vec::new(),
            metric: MetricColumn::default(),
            ts: Vec::new(),
            value: Vec::new(),
            without_value: Vec::new(),
            histograms: HistogramColumn::default(),
            stats: FileStats::default(),
        }
    }
}

impl RawColumns {
    pub(crate) fn push(&mut self, metric: &str, id: SeriesId, points: &Points) -> Result<(), ColdError> {
        let (Some(&first), Some(&last)) = (points.timestamps.first(), points.timestamps.last()) else { return Ok(()) };
        let first_row = self.ts.len();
        let rows = first_row + points.len();
        self.series_id.resize(rows, id.0);
        self.metric.push(metric, points.len());
        self.ts.extend(points.timestamps.iter().map(|ms| ms.saturating_mul(1_000)));
        self.value.extend_from_slice(&points.values);
        for (row, (ts, value)) in (first_row..).zip(points.iter()) {
            let histogram = if is_histogram(value) { points.histograms.get(ts) } else { None };
            if let Some(histogram) = histogram {
                self.histograms.push(row, &codec::encode(histogram));
            }
            if is_stale(value) || histogram.is_some() {
                self.without_value.push(row);
            }
        }
        self.stats.add(metric, id.0, points.len(), Some((first, last)));
        let full = rows >= BATCH_ROWS || self.histograms.bytes.len() >= BATCH_HISTOGRAM_BYTES;
        if full { self.flush() } else { Ok(()) }
    }

    pub(crate) fn finish(&mut self) -> Result<(), ColdError> {
        self.flush()?;
        self.writer.finish()
    }

    pub(crate) fn take_parts(&mut self) -> Vec<Part> {
        self.writer.take_parts()
    }

    fn flush(&mut self) -> Result<(), ColdError> {
        let rows = self.ts.len();
        if rows == 0 {
            return Ok(());
        }
        let value = std::mem::take(&mut self.value);
        let without_value = std::mem::take(&mut self.without_value);
        let nulls = (!without_value.is_empty()).then(|| {
            let mut valid = BooleanBufferBuilder::new(rows);
            valid.append_n(rows, true);
            without_value.iter().for_each(|&row| valid.set_bit(row, false));
            NullBuffer::new(valid.finish())
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.series_id))),
            Arc::new(self.metric.take()),
            Arc::new(TimestampMicrosecondArray::from(std::mem::take(&mut self.ts)).with_timezone("UTC")),
            Arc::new(Float64Array::new(value.into(), nulls)),
            Arc::new(self.histograms.take(rows)),
        ];
        let batch = RecordBatch::try_new(data_schema(ColdTable::Raw), columns);
        let batch = batch.doing(|| "cannot encode raw".to_owned())?;
        self.writer.write(batch, std::mem::take(&mut self.stats))
    }
}

/// The bytes of a few rows' native histograms.
#[derive(Default)]
struct HistogramColumn {
    /// Each row that has one, and where its bytes end.
    ends: Vec<(usize, usize)>,
    bytes: Vec<u8>,
}

impl HistogramColumn {
    fn push(&mut self, row: usize, histogram: &[u8]) {
        self.bytes.extend_from_slice(histogram);
        self.ends.push((row, self.bytes.len()));
    }

    fn take(&mut self, rows: usize) -> BinaryArray {
        let (ends, bytes) = (std::mem::take(&mut self.ends), std::mem::take(&mut self.bytes));
        if ends.is_empty() {
            return BinaryArray::new_null(rows);
        }
        let mut column = BinaryBuilder::with_capacity(rows, bytes.len());
        let (mut row, mut start) = (0, 0);
        for (of, end) in ends {
            column.append_nulls(of - row);
            column.append_value(&bytes[start..end]);
            (row, start) = (of + 1, end);
        }
        column.append_nulls(rows - row);
        column.finish()
    }
}

/// A column that says the same name many times over.
#[derive(Default)]
pub(crate) struct MetricColumn {
    runs: Vec<(String, usize)>,
}

impl MetricColumn {
    pub(crate) fn push(&mut self, metric: &str, rows: usize) {
        match self.runs.last_mut() {
            Some((name, count)) if name == metric => *count += rows,
            _ => self.runs.push((metric.to_owned(), rows)),
        }
    }

    pub(crate) fn take(&mut self) -> StringArray {
        let runs = std::mem::take(&mut self.runs);
        let rows = runs.iter().map(|(_, rows)| rows).sum();
        let bytes = runs.iter().map(|(name, rows)| name.len() * rows).sum();
        let mut column = StringBuilder::with_capacity(rows, bytes);
        for (name, rows) in &runs {
            column.append_value_n(name, *rows);
        }
        column.finish()
    }
}
