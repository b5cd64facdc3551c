//! Raw points as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use schemas::points::is_stale;
use schemas::tier_map::ColdTable;
use schemas::{Points, SeriesId};

use super::rolling::{Part, RollingWriter};
use crate::columns::data_schema;
use crate::error::{ColdError, Doing};
use crate::table::FileStats;

/// Rows are given to the encoder in batches of about this many.
const BATCH_ROWS: usize = 32 << 10;

/// Collects rows of the table `raw`.
pub(crate) struct RawColumns {
    writer: RollingWriter,
    series_id: Vec<i64>,
    metric: MetricColumn,
    ts: Vec<i64>,
    value: Vec<f64>,
    /// Set once a batch holds a staleness marker, which is NULL in the table.
    has_stale: bool,
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
            has_stale: false,
            stats: FileStats::default(),
        }
    }
}

impl RawColumns {
    pub(crate) fn push(&mut self, metric: &str, id: SeriesId, points: &Points) -> Result<(), ColdError> {
        let (Some(&first), Some(&last)) = (points.timestamps.first(), points.timestamps.last()) else { return Ok(()) };
        let rows = self.ts.len() + points.len();
        self.series_id.resize(rows, id.0);
        self.metric.push(metric, points.len());
        self.ts.extend(points.timestamps.iter().map(|ms| ms.saturating_mul(1_000)));
        self.value.extend_from_slice(&points.values);
        self.has_stale |= points.values.iter().any(|&value| is_stale(value));
        self.stats.add(metric, id.0, points.len(), Some((first, last)));
        if rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
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
        let nulls = std::mem::take(&mut self.has_stale)
            .then(|| NullBuffer::from_iter(value.iter().map(|&value| !is_stale(value))));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.series_id))),
            Arc::new(self.metric.take()),
            Arc::new(TimestampMicrosecondArray::from(std::mem::take(&mut self.ts)).with_timezone("UTC")),
            Arc::new(Float64Array::new(value.into(), nulls)),
            Arc::new(BinaryArray::new_null(rows)),
        ];
        let batch = RecordBatch::try_new(data_schema(ColdTable::Raw), columns);
        let batch = batch.doing(|| "cannot encode raw".to_owned())?;
        self.writer.write(batch, std::mem::take(&mut self.stats))
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
