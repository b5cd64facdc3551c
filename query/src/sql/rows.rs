//! Rows of a metric table, and their Arrow columns.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, Float64Array, Int64Array, MapBuilder, RecordBatch, RecordBatchOptions, StringBuilder,
    StringViewArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use hot::SeriesInfo;
use schemas::rollup::Moments;
use schemas::{DurationMs, Points, TimeRange};

use super::BATCH_ROWS;
use crate::error::QueryError;
use crate::read::{Part, Parts, RowSummary, values_of};
use crate::selection::Selection;

/// Rows in the order (metric, series id, time).
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// Each series with its rows.
    series: Vec<(&'a SeriesInfo, Range<usize>)>,
    body: Body,
}

/// What rows hold beside their series.
#[derive(Debug)]
enum Body {
    Points(Points),
    /// Start, moments and 0.99-quantile of buckets.
    Buckets(Vec<(i64, Moments, Option<f64>)>),
}

impl<'a> Rows<'a> {
    /// Of points; staleness markers are no rows.
    pub(super) fn of_points(selection: &'a Selection, parts: Parts<Points>) -> Self {
        let parts: Vec<Part<Points>> = parts.into_list();
        let mut points = Points::default();
        let mut series = Vec::new();
        for (info, parts) in in_order(selection, &parts) {
            let start = points.len();
            for (ts, value) in parts.iter().flat_map(|part| values_of(&part.value)) {
                points.push(ts, value);
            }
            series.push((info, start..points.len()));
        }
        Self { series, body: Body::Points(points) }
    }

    /// Of buckets that start in `range`; those without samples are no rows.
    pub(super) fn of_buckets<S: RowSummary>(
        selection: &'a Selection,
        parts: Parts<S>,
        width: DurationMs,
        range: TimeRange,
        p99: &dyn Fn(&S) -> Option<f64>,
    ) -> Self {
        let whole: Vec<Part<S>> = parts
            .into_buckets(width)
            .filter(|bucket| bucket.value.moments().count > 0)
            .filter(|bucket| range.contains(schemas::TimestampMs(bucket.start)))
            .collect();
        let mut buckets = Vec::with_capacity(whole.len());
        let mut series = Vec::new();
        for (info, parts) in in_order(selection, &whole) {
            let start = buckets.len();
            buckets.extend(parts.iter().map(|part| (part.start, *part.value.moments(), p99(&part.value))));
            series.push((info, start..buckets.len()));
        }
        Self { series, body: Body::Buckets(buckets) }
    }

    fn len(&self) -> usize {
        match &self.body {
            Body::Points(points) => points.len(),
            Body::Buckets(buckets) => buckets.len(),
        }
    }

    /// Batches of these columns.
    pub(super) fn batches(&self, columns: &SchemaRef) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        for start in (0..self.len()).step_by(BATCH_ROWS) {
            let rows = start..(start + BATCH_ROWS).min(self.len());
            batches.push(self.batch(columns, &rows)?);
        }
        Ok(batches)
    }

    fn batch(&self, columns: &SchemaRef, rows: &Range<usize>) -> Result<RecordBatch, DataFusionError> {
        let first = self.series.partition_point(|(_, of)| of.end <= rows.start);
        let last = self.series.partition_point(|(_, of)| of.start < rows.end);
        let here = &self.series[first..last];
        record_batch(columns, rows.len(), |column| match column {
            name @ ("metric" | "labels" | "series_id") => repeated(name, here, rows),
            name => self.value_column(name, rows),
        })
    }

    fn value_column(&self, name: &str, rows: &Range<usize>) -> Result<ArrayRef, DataFusionError> {
        match &self.body {
            Body::Points(points) => match name {
                "ts" => Ok(timestamps(points.timestamps[rows.clone()].iter().copied())),
                "value" => Ok(Arc::new(Float64Array::from_iter_values(points.values[rows.clone()].iter().copied()))),
                other => unknown(other),
            },
            Body::Buckets(buckets) => bucket_column(name, &buckets[rows.clone()]),
        }
    }
}

/// The parts of each series, in the order of rows.
fn in_order<'a, 'p, P>(selection: &'a Selection, parts: &'p [Part<P>]) -> Vec<(&'a SeriesInfo, &'p [Part<P>])> {
    let mut series: Vec<(&SeriesInfo, &[Part<P>])> = parts
        .chunk_by(|a, b| a.series == b.series)
        .map(|parts| (&selection.series()[parts[0].series], parts))
        .collect();
    series.sort_by(|(a, _), (b, _)| in_order_of_rows(a, b));
    series
}

/// How rows are ordered within a span of hours.
pub(super) fn in_order_of_rows(a: &SeriesInfo, b: &SeriesInfo) -> Ordering {
    (a.labels.metric(), a.series_id).cmp(&(b.labels.metric(), b.series_id))
}

/// A batch of columns, each made by its name; there may be none.
pub(super) fn record_batch(
    columns: &SchemaRef,
    rows: usize,
    column: impl Fn(&str) -> Result<ArrayRef, DataFusionError>,
) -> Result<RecordBatch, DataFusionError> {
    let arrays: Result<Vec<ArrayRef>, DataFusionError> =
        columns.fields().iter().map(|field| column(field.name())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(columns), arrays?, &options)?)
}

fn bucket_column(name: &str, rows: &[(i64, Moments, Option<f64>)]) -> Result<ArrayRef, DataFusionError> {
    let count = |of: fn(&Moments) -> u64| -> Result<ArrayRef, DataFusionError> {
        let counts = rows.iter().map(|(_, moments, _)| i64::try_from(of(moments)).unwrap_or(i64::MAX));
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    };
    let float = |of: fn(&Moments) -> Option<f64>| -> Result<ArrayRef, DataFusionError> {
        Ok(Arc::new(Float64Array::from_iter(rows.iter().map(|(_, moments, _)| of(moments)))))
    };
    match name {
        "ts" => Ok(timestamps(rows.iter().map(|(start, ..)| *start))),
        "first_ts" => Ok(timestamps(rows.iter().map(|(_, moments, _)| moments.first_ts))),
        "last_ts" => Ok(timestamps(rows.iter().map(|(_, moments, _)| moments.last_ts))),
        "count" => count(|moments| moments.count),
        "nan_count" => count(|moments| moments.nan_count),
        "resets" => count(|moments| moments.resets),
        "sum" => float(|moments| Some(moments.sum)),
        "min" => float(|moments| Some(moments.min)),
        "max" => float(|moments| Some(moments.max)),
        "avg" => float(Moments::avg),
        "first" => float(|moments| Some(moments.first)),
        "last" => float(|moments| Some(moments.last)),
        "increase" => float(Moments::increase),
        "p99" => Ok(Arc::new(Float64Array::from_iter(rows.iter().map(|(_, _, p99)| *p99)))),
        other => unknown(other),
    }
}

fn unknown(column: &str) -> Result<ArrayRef, DataFusionError> {
    Err(DataFusionError::Internal(format!("no column {column}")))
}

fn timestamps(ms: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(ms).with_timezone("UTC"))
}

/// A series column of some rows: made once a series, then repeated.
fn repeated(
    name: &str,
    series: &[(&SeriesInfo, Range<usize>)],
    rows: &Range<usize>,
) -> Result<ArrayRef, DataFusionError> {
    let infos: Vec<&SeriesInfo> = series.iter().map(|(info, _)| *info).collect();
    let once = series_column(name, &infos)?;
    let mut indices = Vec::with_capacity(rows.len());
    for (at, (_, of)) in (0_u32..).zip(series) {
        let here = of.start.max(rows.start)..of.end.min(rows.end);
        indices.resize(indices.len() + here.len(), at);
    }
    Ok(take(&once, &UInt32Array::from(indices), None)?)
}

/// A series column with one row a series.
pub(super) fn series_column(name: &str, series: &[&SeriesInfo]) -> Result<ArrayRef, DataFusionError> {
    match name {
        "metric" => Ok(Arc::new(StringViewArray::from_iter_values(series.iter().map(|info| info.labels.metric())))),
        "series_id" => Ok(Arc::new(Int64Array::from_iter_values(series.iter().map(|info| info.series_id.0)))),
        "labels" => {
            let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
            for info in series {
                for (label, value) in info.labels.without_metric() {
                    maps.keys().append_value(label);
                    maps.values().append_value(value);
                }
                maps.append(true)?;
            }
            let built = maps.finish();
            // The builder does not know that keys are sorted, which they are.
            let field = Schema::new(super::table::series_fields()).field(1).data_type().clone();
            let data = built.into_data().into_builder().data_type(field).build()?;
            Ok(Arc::new(arrow::array::MapArray::from(data)))
        }
        other => unknown(other),
    }
}
