//! The scan of a metric table: the same reads as REST, as Arrow batches.
//!
//! routes ─▶ works, dealt to the partitions in turn ─▶ parts ─▶ rows ─▶ batches
//!
//! Works are spans of hours in order of time, so memory is bounded whatever the range; within a span, rows are in the
//! order (metric, series_id, ts). A short query is one span. No order is promised to the planner.
//!
//! EXPLAIN says which files of Delta the scan will open ([`ColdFiles`]), EXPLAIN ANALYZE what it then read.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet, RecordOutput as _,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::{StreamExt as _, TryStreamExt as _};
use schemas::Points;
use schemas::rollup::{Moments, Rollup};
use schemas::time::HOUR_MS;

use super::PARTITIONS;
use super::rows::Rows;
use super::table::Kind;
use crate::error::QueryError;
use crate::provenance::resolution_name;
use crate::range::works;
use crate::read::{ColdFiles, Parts, Question, Reader, Work};
use crate::router::Need;

/// Works that a partition reads ahead.
const WORKS_AHEAD: usize = 2;
/// Segments that EXPLAIN names.
const SEGMENTS_SHOWN: usize = 8;

/// A scan of one table.
#[derive(Debug)]
pub(super) struct MetricScan {
    kind: Kind,
    /// The scan's own, so that what it reads of Delta can be told apart from other scans of the query.
    reader: Arc<Reader>,
    /// `None`: nothing matches.
    question: Option<Question>,
    /// Works of each partition.
    works: Vec<Vec<Work>>,
    cold: ColdFiles,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MetricScan {
    pub(super) async fn plan(
        kind: Kind,
        columns: SchemaRef,
        reader: &Reader,
        question: Option<Question>,
    ) -> Result<Self, QueryError> {
        let reader = Arc::new(reader.for_scan());
        let cold = match &question {
            Some(question) => ColdFiles::of(&reader, question).await?,
            None => ColdFiles::default(),
        };
        let all = question.as_ref().map_or_else(Vec::new, works);
        let partitions = all.len().clamp(1, PARTITIONS);
        let mut dealt = vec![Vec::new(); partitions];
        for (at, work) in all.into_iter().enumerate() {
            dealt[at % partitions].push(work);
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(columns),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { kind, reader, question, works: dealt, cold, properties: Arc::new(properties), metrics })
    }
}

/// Reads one work and makes batches of it.
async fn batches(
    kind: Kind,
    columns: SchemaRef,
    reader: Arc<Reader>,
    question: Question,
    work: Work,
) -> Result<Vec<RecordBatch>, QueryError> {
    let (selection, routes) = (Arc::clone(&question.selection), Arc::clone(&question.routes));
    match question.routes.need {
        Need::Points => {
            let finish = move |parts: Parts<Points>| Rows::of_points(&selection, parts).batches(&columns);
            reader.read(&question, work, finish).await
        }
        Need::Moments { width } | Need::Windows { width } => {
            let finish = move |parts: Parts<Moments>| {
                Rows::of_buckets(&selection, parts, width, routes.range, &|_| None).batches(&columns)
            };
            reader.read(&question, work, finish).await
        }
        Need::Sketches { width, .. } => {
            debug_assert!(kind.width().is_some(), "points have no sketch");
            let finish = move |parts: Parts<Rollup>| {
                Rows::of_buckets(&selection, parts, width, routes.range, &Rollup::p99).batches(&columns)
            };
            reader.read(&question, work, finish).await
        }
    }
}

impl ExecutionPlan for MetricScan {
    fn name(&self) -> &'static str {
        "MetricScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        no_children(&children)?;
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        no_children(&children)?;
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let Some(question) = self.question.clone() else {
            return Ok(Box::pin(EmptyRecordBatchStream::new(schema)));
        };
        let works = self.works.get(partition).cloned().unwrap_or_default();
        let (kind, reader, columns) = (self.kind, Arc::clone(&self.reader), Arc::clone(&schema));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = futures::stream::iter(works)
            .map(move |work| batches(kind, Arc::clone(&columns), Arc::clone(&reader), question.clone(), work))
            .buffered(WORKS_AHEAD)
            .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok::<_, QueryError>)))
            .try_flatten()
            .map(move |batch| batch.map_err(DataFusionError::from).record_output(&metrics));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        let counters = &self.reader.counters;
        for (name, value) in [
            ("object_store_gets", counters.gets()),
            ("object_store_bytes", counters.bytes()),
            ("cold_rows", counters.rows()),
        ] {
            let count = Count::new();
            count.add(usize::try_from(value).unwrap_or(usize::MAX));
            all.push(Arc::new(Metric::new(MetricValue::Count { name: name.into(), count }, None)));
        }
        Some(all)
    }
}

fn no_children(children: &[Arc<dyn ExecutionPlan>]) -> Result<()> {
    if children.is_empty() { Ok(()) } else { Err(DataFusionError::Internal("a scan has no children".to_owned())) }
}

impl DisplayAs for MetricScan {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetricScan: table={}", self.kind.name())?;
        let Some(Question { selection, routes, .. }) = &self.question else {
            return f.write_str(", nothing matches");
        };
        let works: usize = self.works.iter().map(Vec::len).sum();
        write!(f, ", series={}, metrics={}, spans={works}, tiers=[", selection.len(), selection.groups().len())?;
        let told = self.reader.provenance.snapshot().segments;
        for (at, segment) in told.iter().take(SEGMENTS_SHOWN).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let tier = segment.tier.map_or("dropped", schemas::tier_map::Tier::as_str);
            let hours = (segment.end.0 - segment.start.0).div_euclid(HOUR_MS);
            write!(f, "{comma}{tier} {} from {} for {hours}h", segment.resolution, segment.start.0)?;
        }
        if told.len() > SEGMENTS_SHOWN {
            write!(f, ", and {} more", told.len() - SEGMENTS_SHOWN)?;
        }
        let ColdFiles { opened, pruned, bytes } = self.cold;
        write!(f, "], needs={}", resolution_name(routes.need.width()))?;
        write!(f, ", cold_files={opened}, cold_files_pruned={pruned}, cold_file_bytes={bytes}")
    }
}
