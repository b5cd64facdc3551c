//! The tables `samples`, `rollup_1m` and `rollup_1h`, over all tiers.
//!
//! filters → [`Narrowing`] → series → routes and hours with data → the range within them → [`MetricScan`]
//!
//! Only rows that are exact are given: an hour of which only coarser data is kept has no rows in a finer table, and the
//! provenance says so. (REST answers such an hour with the coarser data; in SQL one asks the coarser table.)

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hot::SeriesInfo;
use schemas::labels::METRIC_NAME;
use schemas::{DurationMs, LabelMatcher, MatchOp, TimeRange};

use super::pushdown::{Narrowing, answered};
use super::scan::MetricScan;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::read::{Question, Reader};
use crate::router::Need;
use crate::selection::{Routes, Selection, Wanted};

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Samples,
    Rollup1m,
    Rollup1h,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Samples, Self::Rollup1m, Self::Rollup1h];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Rollup1m => "rollup_1m",
            Self::Rollup1h => "rollup_1h",
        }
    }

    /// The width of a row's bucket; `None`: rows are points.
    pub(super) fn width(self) -> Option<DurationMs> {
        match self {
            Self::Samples => None,
            Self::Rollup1m => Some(DurationMs::MINUTE),
            Self::Rollup1h => Some(DurationMs::HOUR),
        }
    }

    fn schema(self) -> SchemaRef {
        let required = |name: &str, kind: DataType| Field::new(name, kind, false);
        let optional = |name: &str, kind: DataType| Field::new(name, kind, true);
        let mut fields = series_fields();
        fields.push(required("ts", timestamp_type()));
        match self {
            Self::Samples => fields.push(required("value", DataType::Float64)),
            Self::Rollup1m | Self::Rollup1h => {
                fields.extend(["count", "nan_count", "resets"].map(|name| required(name, DataType::Int64)));
                let floats = ["sum", "min", "max", "avg", "p99", "first", "last", "increase"];
                fields.extend(floats.map(|name| optional(name, DataType::Float64)));
                fields.extend(["first_ts", "last_ts"].map(|name| required(name, timestamp_type())));
            }
        }
        Arc::new(Schema::new(fields))
    }

    /// What has to be read for some columns: sketches only if a quantile is among them.
    fn need(self, columns: &Schema) -> Need {
        match self.width() {
            None => Need::Points,
            Some(width) if columns.column_with_name("p99").is_some() => Need::Sketches { width, every: false },
            Some(width) => Need::Moments { width },
        }
    }
}

/// The columns that say which series a row is of.
pub(super) fn series_fields() -> Vec<Field> {
    vec![
        Field::new("metric", DataType::Utf8View, false),
        Field::new("labels", labels_type(), false),
        Field::new("series_id", DataType::Int64, false),
    ]
}

pub(super) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::from("UTC")))
}

pub(super) fn labels_type() -> DataType {
    let entry =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), true)
}

/// One table, for one query.
#[derive(Debug)]
pub(super) struct MetricTable {
    kind: Kind,
    schema: SchemaRef,
    engine: Arc<Engine>,
    reader: Arc<Reader>,
}

impl MetricTable {
    pub(super) fn new(kind: Kind, engine: Arc<Engine>, reader: Arc<Reader>) -> Self {
        Self { kind, schema: kind.schema(), engine, reader }
    }

    async fn question(&self, columns: &Schema, filters: &[Expr]) -> Result<Option<Question>, QueryError> {
        let narrowing = Narrowing::of(filters);
        let Some(asked) = self.rows_range(narrowing.range) else { return Ok(None) };
        let need = self.kind.need(columns);
        let series = select(&self.engine, &self.reader, narrowing, Some(asked), vec![need]).await?;
        if series.is_empty() {
            return Ok(None);
        }
        let selection = Arc::new(Selection::new(series));
        let map = self.reader.view.map();
        // Hours of coarser data count too: that they have no rows here is to be told.
        let hours = self.reader.hours(&selection, &Routes::new(map, &selection, need, asked)).await?;
        let Some(range) = hours.extent().and_then(|extent| asked.intersect(extent.time())) else { return Ok(None) };
        self.reader.provenance.matched(selection.len());
        let routes = Routes::new(map, &selection, need, range).exact_only();
        routes.tell(&self.reader.provenance);
        Ok(Some(Question { selection, routes: Arc::new(routes), hours: Arc::new(hours) }))
    }

    /// The time to read: of rollups, the buckets that *start* in the asked time.
    fn rows_range(&self, asked: Option<TimeRange>) -> Option<TimeRange> {
        let Some(width) = self.kind.width() else { return asked };
        let starts = TimeRange::new(asked?.start().ceil_to(width), asked?.end().ceil_to(width)).ok()?;
        (!starts.is_empty()).then_some(starts)
    }
}

/// The series that a narrowing leaves, for what is needed of them.
pub(super) async fn select(
    engine: &Engine,
    reader: &Reader,
    narrowing: Narrowing,
    range: Option<TimeRange>,
    needs: Vec<Need>,
) -> Result<Vec<SeriesInfo>, QueryError> {
    let Narrowing { mut matchers, ids, .. } = narrowing;
    if ids.is_none() && matchers.iter().all(LabelMatcher::matches_absent) {
        matchers.push(LabelMatcher::new(METRIC_NAME, MatchOp::NotEqual, "")?);
    }
    engine.select(reader, Wanted { matchers, ids, range, needs }).await
}

#[async_trait]
impl TableProvider for MetricTable {
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
        let columns = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let question = self.question(&columns, filters).await?;
        Ok(Arc::new(MetricScan::plan(self.kind, columns, &self.reader, question).await?))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(answered(filters, |_| true))
    }
}
