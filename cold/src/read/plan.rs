//! The scan of one Parquet file, run by DataFusion.
//!
//! file + selection ─▶ predicate on metric, series_id, ts ─▶ `ParquetSource` (row groups, pages) ─▶ batches
//!
//! The source gets its reader factory from here, with a store that counts for one query and a cache of parsed footers
//! for all, so a session needs no registered object store: the URL in the plan is never opened.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::DateTime;
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col, in_list, lit};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use object_store::{ObjectMeta, ObjectStore};
use schemas::tier_map::ColdTable;
use schemas::{RetentionClass, SeriesId, TimeRange};

use super::ColdSelection;
use super::reader::ReaderFactory;
use crate::columns::{SORT, data_schema, partition_columns};
use crate::error::ColdError;
use crate::store::{MeteredStore, ReadCounters};
use crate::table::{LiveFile, Table};

/// The first read of a file: usually footer and page indexes at once.
const FOOTER_GUESS: usize = 64 << 10;
/// Rows of a batch of our own scans; many files are open at once.
const BATCH_ROWS: usize = 4 << 10;

/// The columns of a scan: those of the table, with text as views.
fn scan_schema(table: ColdTable) -> SchemaRef {
    Arc::clone(SCHEMAS[&table].table_schema())
}

static SCHEMAS: LazyLock<BTreeMap<ColdTable, TableSchema>> =
    LazyLock::new(|| ColdTable::ALL.into_iter().map(|table| (table, table_schema(table))).collect());

fn table_schema(table: ColdTable) -> TableSchema {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
        _ => field.as_ref().clone(),
    };
    let file: Vec<Field> = data_schema(table).fields().iter().map(view).collect();
    let partitions = partition_columns(table).into_iter().map(Arc::new).collect::<Vec<_>>();
    TableSchema::builder(Arc::new(Schema::new(file))).with_table_partition_cols(partitions).build()
}

/// What all scans of an archive share.
pub(crate) struct ScanContext {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<RuntimeEnv>,
    task: Arc<TaskContext>,
}

impl ScanContext {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Result<Self, ColdError> {
        let runtime = RuntimeEnvBuilder::new().build_arc();
        let runtime = runtime.map_err(|source| ColdError::Scan { table: ColdTable::Raw, source })?;
        let task = Arc::new(TaskContext::default().with_runtime(Arc::clone(&runtime)));
        Ok(Self { store, runtime, task })
    }

    /// The pages of one file that may hold selected rows, in its order, with these columns.
    pub(crate) fn file_stream(
        &self,
        table: &Table,
        file: &LiveFile,
        columns: &[&str],
        predicates: &Predicates<'_>,
        counters: &ReadCounters,
    ) -> Result<SendableRecordBatchStream, ColdError> {
        let stream = || -> DataFusionResult<SendableRecordBatchStream> {
            let schema = scan_schema(table.kind());
            let projection: Result<Vec<usize>, _> = columns.iter().map(|name| schema.index_of(name)).collect();
            let config = self
                .source(table, predicates.of(file), counters)
                .with_file_groups(vec![FileGroup::new(vec![partitioned(table, file)])])
                .with_batch_size(Some(BATCH_ROWS))
                .with_projection_indices(Some(projection?))?;
            let mut plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config.build());
            if file.tags.is_none() && table.kind() != ColdTable::Series {
                // Another program wrote it, in whatever order.
                plan = Arc::new(SortExec::new(ordering(&plan.schema())?, plan));
            }
            plan.execute(0, Arc::clone(&self.task))
        };
        stream().map_err(|source| ColdError::Scan { table: table.kind(), source })
    }

    fn source(
        &self,
        table: &Table,
        predicate: Option<Arc<dyn PhysicalExpr>>,
        counters: &ReadCounters,
    ) -> FileScanConfigBuilder {
        let store = Arc::new(MeteredStore::new(Arc::clone(&self.store), counters.clone()));
        let footers = self.runtime.cache_manager.get_file_metadata_cache();
        let mut source = ParquetSource::new(SCHEMAS[&table.kind()].clone())
            .with_metadata_size_hint(FOOTER_GUESS)
            // Rows of a selected page that do not fulfil the predicate are dropped by the caller, by runs of a series: so
            // all columns come in one request. Pages of all columns end at the same rows, so this reads no more bytes.
            .with_pushdown_filters(false)
            .with_enable_page_index(true)
            // Rows are sorted, so the page index tells as much, without a request of its own.
            .with_bloom_filter_on_read(false)
            .with_parquet_file_reader_factory(Arc::new(ReaderFactory::new(store, footers)));
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
    }
}

fn ordering(schema: &Schema) -> DataFusionResult<LexOrdering> {
    let columns: DataFusionResult<Vec<_>> = SORT.iter().map(|name| col(name, schema)).collect();
    let ascending = columns?.into_iter().map(PhysicalSortExpr::new_default);
    LexOrdering::new(ascending)
        .ok_or_else(|| datafusion::error::DataFusionError::Internal("an ordering has columns".to_owned()))
}

fn partitioned(table: &Table, file: &LiveFile) -> PartitionedFile {
    let meta = ObjectMeta {
        location: table.whole_path(&file.path),
        last_modified: DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
        size: file.bytes,
        e_tag: None,
        version: None,
    };
    let mut values = Vec::new();
    if !partition_columns(table.kind()).is_empty() {
        values.push(ScalarValue::Date32(file.first_day.and_then(|day| i32::try_from(day.0).ok())));
        values.push(ScalarValue::Utf8(file.class.map(RetentionClass::name)));
    }
    PartitionedFile::new_from_meta(meta).with_partition_values(values)
}

/// What rows of files must fulfil, made once a scan. What a file is known to fulfil is left out, so that a scan of whole
/// hours compares no times.
pub(crate) struct Predicates<'a> {
    selection: &'a ColdSelection,
    series: Option<Arc<dyn PhysicalExpr>>,
    metric: Option<Arc<dyn PhysicalExpr>>,
    time: Option<Arc<dyn PhysicalExpr>>,
}

impl<'a> Predicates<'a> {
    pub(crate) fn new(table: ColdTable, selection: &'a ColdSelection) -> Result<Self, ColdError> {
        let made = || -> DataFusionResult<Self> {
            Ok(Self {
                selection,
                series: selection.series.as_deref().map(|series| on_series(table, series)).transpose()?,
                metric: selection.metric.as_deref().map(|metric| on_metric(table, metric)).transpose()?,
                time: (table != ColdTable::Series).then(|| on_time(table, selection.range)).transpose()?,
            })
        };
        made().map_err(|source| ColdError::Scan { table, source })
    }

    /// For one file.
    fn of(&self, file: &LiveFile) -> Option<Arc<dyn PhysicalExpr>> {
        let Self { selection, .. } = self;
        let one_metric = selection.metric.as_deref().is_none_or(|metric| holds_only(file, metric));
        let metric = self.metric.as_ref().filter(|_| !one_metric);
        let time = self.time.as_ref().filter(|_| !lies_within(file, selection.range));
        let all: Vec<_> = [metric, self.series.as_ref(), time].into_iter().flatten().map(Arc::clone).collect();
        (!all.is_empty()).then(|| conjunction(all))
    }
}

fn compare(
    table: ColdTable,
    column: &str,
    by: Operator,
    value: ScalarValue,
) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    let schema = scan_schema(table);
    binary(col(column, &schema)?, by, lit(value), &schema)
}

fn on_metric(table: ColdTable, metric: &str) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    compare(table, "metric", Operator::Eq, ScalarValue::Utf8View(Some(metric.to_owned())))
}

fn on_series(table: ColdTable, series: &[SeriesId]) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    let id = |id: &SeriesId| ScalarValue::Int64(Some(id.0));
    match series {
        [] => Ok(lit(false)),
        [one] => compare(table, "series_id", Operator::Eq, id(one)),
        [first, .., last] => {
            let schema = scan_schema(table);
            let list = series.iter().map(|series| lit(id(series))).collect();
            // Statistics prune by the bounds even where the list is too long for them.
            Ok(conjunction(vec![
                compare(table, "series_id", Operator::GtEq, id(first))?,
                compare(table, "series_id", Operator::LtEq, id(last))?,
                in_list(col("series_id", &schema)?, list, &false, &schema)?,
            ]))
        }
    }
}

fn on_time(table: ColdTable, range: TimeRange) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    let time = |ms: i64| ScalarValue::TimestampMicrosecond(Some(ms.saturating_mul(1_000)), Some("UTC".into()));
    Ok(conjunction(vec![
        compare(table, "ts", Operator::GtEq, time(range.start().0))?,
        compare(table, "ts", Operator::Lt, time(range.end().0))?,
    ]))
}

fn holds_only(file: &LiveFile, metric: &str) -> bool {
    file.stats.metric_min.as_deref() == Some(metric) && file.stats.metric_max.as_deref() == Some(metric)
}

/// Whether the range holds every row of the file, by its statistics.
fn lies_within(file: &LiveFile, range: TimeRange) -> bool {
    file.stats.time_ms.is_some_and(|(first, last)| range.start().0 <= first && last < range.end().0)
}
