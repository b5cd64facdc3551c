//! The table `series`: the names of all series that any tier still has.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hot::SeriesInfo;

use super::BATCH_ROWS;
use super::pushdown::{Condition, Narrowing, answered};
use super::rows::{in_order_of_rows, record_batch, series_column};
use super::table::{select, series_fields};
use crate::engine::Engine;
use crate::read::Reader;
use crate::router::Need;

/// The table, for one query.
#[derive(Debug)]
pub(super) struct SeriesTable {
    schema: SchemaRef,
    engine: Arc<Engine>,
    reader: Arc<Reader>,
}

impl SeriesTable {
    pub(super) fn new(engine: Arc<Engine>, reader: Arc<Reader>) -> Self {
        let mut fields = series_fields();
        fields.push(Field::new("retention_class", DataType::Utf8View, false));
        Self { schema: Arc::new(Schema::new(fields)), engine, reader }
    }

    fn batch(&self, series: &[SeriesInfo]) -> Result<RecordBatch, DataFusionError> {
        let every: Vec<&SeriesInfo> = series.iter().collect();
        record_batch(&self.schema, series.len(), |column| match column {
            "retention_class" => {
                let classes = series.iter().map(|info| Some(info.address.class.name()));
                Ok(Arc::new(StringViewArray::from_iter(classes)))
            }
            name => series_column(name, &every),
        })
    }
}

#[async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let narrowing = Narrowing::of(filters);
        let mut series = match narrowing.range {
            Some(_) => select(&self.engine, &self.reader, narrowing, None, Need::ANY.to_vec()).await?,
            None => Vec::new(),
        };
        series.sort_by(in_order_of_rows);
        let batches: Result<Vec<RecordBatch>, _> = series.chunks(BATCH_ROWS).map(|chunk| self.batch(chunk)).collect();
        let plan = MemorySourceConfig::try_new_exec(&[batches?], Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(answered(filters, |condition| !matches!(condition, Condition::Time { .. })))
    }
}
