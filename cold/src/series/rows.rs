//! Rows of `series`: read from files, changed, sorted, written again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray,
    StringBuilder, UInt32Array,
};
use arrow::compute::{SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Date32Type, Field, Int64Type};
use arrow::error::ArrowError;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::labels::{Labels, METRIC_NAME, TENANT};
use schemas::tier_map::ColdTable;
use schemas::{Day, SeriesId};

use crate::columns::{MAP_ENTRY, data_schema};
use crate::error::{ColdError, Doing};
use crate::table::{FileStats, LiveFile, Table};
use crate::write::{Part, RollingWriter};

/// Rows that are encoded at once, and at most held in one file's row group.
const BATCH_ROWS: usize = 16 << 10;

/// A series as the archive knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesEntry {
    pub series_id: SeriesId,
    pub labels: Labels,
    /// Days between which the archive may have data of it, inclusive.
    pub first: Day,
    pub last: Day,
}

/// A row to be added.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) id: SeriesId,
    pub(crate) labels: Labels,
    pub(crate) day: Day,
}

/// Reads all rows of a file.
pub(crate) async fn fetch_rows(table: &Table, file: &LiveFile) -> Result<Vec<RecordBatch>, ColdError> {
    let reading = || format!("cannot read {}", file.path);
    let path = Path::from(file.path.as_ref());
    let bytes = table.store().get(&path).await.doing(reading)?.bytes().await.doing(reading)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|b| b.with_batch_size(BATCH_ROWS).build());
    let batches: Result<Vec<RecordBatch>, ArrowError> = reader.doing(reading)?.collect();
    let batches = batches.doing(reading)?;
    batches.into_iter().map(|batch| conform(&batch, &file.path)).collect()
}

/// A scan gives text as views, and another writer may have built its columns in another way.
pub(crate) fn conform(batch: &RecordBatch, path: &str) -> Result<RecordBatch, ColdError> {
    let schema = data_schema(ColdTable::Series);
    let column = |field: &Arc<Field>| -> Result<ArrayRef, ArrowError> {
        let found = batch.column_by_name(field.name());
        let found = found.ok_or_else(|| ArrowError::SchemaError(format!("no column {}", field.name())))?;
        arrow::compute::cast(found, field.data_type())
    };
    let columns: Result<Vec<ArrayRef>, ArrowError> = schema.fields().iter().map(column).collect();
    let conformed = columns.and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns));
    conformed.map_err(|e| ColdError::damaged("table of series", path, e))
}

/// The rows as values.
pub(crate) fn entries_of(batches: &[RecordBatch]) -> Result<Vec<SeriesEntry>, ColdError> {
    let mut entries = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let metrics = batch.column(1).as_string::<i32>();
        let tenants = batch.column(2).as_string::<i32>();
        let labels = batch.column(3).as_map();
        let first = batch.column(4).as_primitive::<Date32Type>();
        let last = batch.column(5).as_primitive::<Date32Type>();
        for row in 0..batch.num_rows() {
            let pairs = labels.value(row);
            let (names, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
            let tenant = tenants.is_valid(row).then(|| (TENANT, tenants.value(row)));
            let pairs = (0..pairs.len()).map(|i| (names.value(i), values.value(i)));
            let all = pairs.chain([(METRIC_NAME, metrics.value(row))]).chain(tenant);
            let series_id = SeriesId(ids.value(row));
            let damaged = |problem: String| {
                ColdError::damaged("table of series", format!("row of series {}", series_id.0), problem)
            };
            let labels = Labels::new(all).map_err(|e| damaged(e.to_string()))?;
            let day = |days: i32| u32::try_from(days).map(Day).map_err(|_| damaged("a date before 1970".to_owned()));
            entries.push(SeriesEntry { series_id, labels, first: day(first.value(row))?, last: day(last.value(row))? });
        }
    }
    Ok(entries)
}

/// Makes the files that replace `old`: its rows with other dates, without those that go, and the new ones.
pub(crate) fn rewrite(
    old: Vec<Vec<RecordBatch>>,
    dates: &BTreeMap<i64, (Day, Day)>,
    gone: &BTreeSet<i64>,
    new: &[NewRow],
) -> Result<Vec<Part>, ColdError> {
    let changed = || -> Result<RecordBatch, ArrowError> {
        let mut batches = Vec::with_capacity(old.len() + 1);
        for batch in old.iter().flatten() {
            batches.push(with_dates(&without(batch, gone)?, dates)?);
        }
        batches.push(new_rows(new)?);
        sorted(&concat_batches(&data_schema(ColdTable::Series), &batches)?)
    };
    let encoding = || "cannot encode series".to_owned();
    let rows = changed().doing(encoding)?;
    let mut writer = RollingWriter::new(ColdTable::Series);
    for start in (0..rows.num_rows()).step_by(BATCH_ROWS) {
        let batch = rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start));
        let stats = stats_of(&batch);
        writer.write(batch, stats)?;
    }
    writer.finish()?;
    Ok(writer.take_parts())
}

fn without(batch: &RecordBatch, gone: &BTreeSet<i64>) -> Result<RecordBatch, ArrowError> {
    if gone.is_empty() {
        return Ok(batch.clone());
    }
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let stays = ids.values().iter().map(|id| Some(!gone.contains(id))).collect();
    filter_record_batch(batch, &stays)
}

fn with_dates(batch: &RecordBatch, dates: &BTreeMap<i64, (Day, Day)>) -> Result<RecordBatch, ArrowError> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    if !ids.values().iter().any(|id| dates.contains_key(id)) {
        return Ok(batch.clone());
    }
    let other = |column: usize, date: fn(&(Day, Day)) -> Day| -> ArrayRef {
        let old = batch.column(column).as_primitive::<Date32Type>();
        let days = ids.values().iter().zip(old.values());
        let days = days.map(|(id, &old)| dates.get(id).map_or(old, |changed| date32(date(changed))));
        Arc::new(Date32Array::from_iter_values(days))
    };
    let mut columns = batch.columns().to_vec();
    columns[4] = other(4, |(first, _)| *first);
    columns[5] = other(5, |(_, last)| *last);
    RecordBatch::try_new(batch.schema(), columns)
}

fn date32(day: Day) -> i32 {
    i32::try_from(day.0).unwrap_or(i32::MAX)
}

fn new_rows(new: &[NewRow]) -> Result<RecordBatch, ArrowError> {
    let [entry, key, value] = MAP_ENTRY.map(str::to_owned);
    let mut labels =
        MapBuilder::new(Some(MapFieldNames { entry, key, value }), StringBuilder::new(), StringBuilder::new());
    for row in new {
        for (name, value) in row.labels.without_metric().filter(|(name, _)| *name != TENANT) {
            labels.keys().append_value(name);
            labels.values().append_value(value);
        }
        labels.append(true)?;
    }
    let dates = || -> ArrayRef { Arc::new(Date32Array::from_iter_values(new.iter().map(|row| date32(row.day)))) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(new.iter().map(|row| row.id.0))),
        Arc::new(StringArray::from_iter_values(new.iter().map(|row| row.labels.metric()))),
        Arc::new(StringArray::from_iter(new.iter().map(|row| row.labels.get(TENANT)))),
        Arc::new(labels.finish()),
        dates(),
        dates(),
    ];
    RecordBatch::try_new(data_schema(ColdTable::Series), columns)
}

fn sorted(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let by = |column: usize| SortColumn { values: Arc::clone(rows.column(column)), options: None };
    let order: UInt32Array = lexsort_to_indices(&[by(1), by(0)], None)?;
    take_record_batch(rows, &order)
}

fn stats_of(batch: &RecordBatch) -> FileStats {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let metrics = batch.column(1).as_string::<i32>();
    let mut stats = FileStats::default();
    for row in 0..batch.num_rows() {
        stats.add(metrics.value(row), ids.value(row), 1, None);
    }
    stats
}
