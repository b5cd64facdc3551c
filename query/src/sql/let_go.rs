//! Lets joins go of their threads: now and then, and for good once nobody waits for their query any more.
//!
//! DataFusion's operators give their thread back when an input has nothing ready. A join may make far more rows than its
//! inputs have, or compare for minutes and make none, and would hold a thread for as long. So, at the end of planning:
//!
//! join ─▶ a cooperative stream over it, which gives the thread back after some batches;
//! condition of a join ─▶ [`Watched`] condition, which fails once the query is given up, so that the join ends.
//!
//! Not here: what ends at its next await anyway (`runtime::Workers`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};

use crate::limits::Stop;

/// The last rule of planning.
#[derive(Debug)]
pub(super) struct LetGo {
    stop: Stop,
}

impl LetGo {
    pub(super) fn new(stop: Stop) -> Self {
        Self { stop }
    }

    fn watched(&self, filter: &JoinFilter) -> JoinFilter {
        let condition = Watched { condition: Arc::clone(filter.expression()), stop: self.stop.clone() };
        JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    }

    /// The same join with a watched condition, if it is one of those that may go on without making rows.
    fn watch(&self, plan: &dyn ExecutionPlan) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let watched = NestedLoopJoinExecBuilder::from(join).with_filter(Some(self.watched(filter)));
            return Ok(Some(Arc::new(watched.build()?)));
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            return Ok(Some(Arc::new(join.builder().with_filter(Some(self.watched(filter))).build()?)));
        }
        Ok(None)
    }
}

impl PhysicalOptimizerRule for LetGo {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if node.children().len() < 2 {
                return Ok(Transformed::no(node));
            }
            let node = self.watch(node.as_ref())?.unwrap_or(node);
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "LetGo"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A condition that fails once its query is given up.
#[derive(Debug)]
struct Watched {
    condition: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.condition.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.condition.nullable(input)
    }

    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.condition.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.stop.check().map_err(DataFusionError::from)?;
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [condition] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a watched condition is one".to_owned()))?;
        Ok(Arc::new(Self { condition, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use datafusion::execution::session_state::SessionStateBuilder;
    use datafusion::physical_plan::{collect, execute_stream};
    use datafusion::prelude::{SessionConfig, SessionContext};
    use futures::StreamExt as _;

    use super::*;

    fn context(stop: &Stop) -> SessionContext {
        let state = SessionStateBuilder::new()
            .with_config(SessionConfig::new().with_target_partitions(1).with_batch_size(1_000))
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(LetGo::new(stop.clone())))
            .build();
        SessionContext::new_with_state(state)
    }

    async fn planned(context: &SessionContext, join: &str) -> Result<Arc<dyn ExecutionPlan>> {
        let query = format!("SELECT a.value FROM generate_series(1, 1000) a, generate_series(1, 1000) b {join}");
        context.sql(&query).await?.create_physical_plan().await
    }

    async fn count(context: &SessionContext, join: &str) -> Result<usize> {
        let batches = collect(planned(context, join).await?, context.task_ctx()).await?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }

    #[tokio::test]
    async fn a_join_that_makes_no_rows_ends_when_its_query_is_given_up() {
        let stop = Stop::default();
        let context = context(&stop);
        let nested_loops = "WHERE a.value + b.value < 0";
        let hashed = "WHERE a.value % 2 = b.value % 2 AND a.value + b.value < 0";
        for join in [nested_loops, hashed] {
            assert_eq!(count(&context, join).await.expect("waited for"), 0);
        }
        drop(stop.on_drop());
        for join in [nested_loops, hashed] {
            assert!(count(&context, join).await.is_err(), "{join}");
        }
    }

    #[tokio::test]
    async fn a_join_that_makes_many_rows_gives_its_thread_back_now_and_then() {
        let context = context(&Stop::default());
        let mut rows = execute_stream(planned(&context, "").await.expect("plans"), context.task_ctx()).expect("starts");
        let (mut made, mut pauses) = (0, 0);
        loop {
            match poll_fn(|cx| Poll::Ready(rows.poll_next_unpin(cx))).await {
                Poll::Ready(Some(batch)) => made += batch.expect("joins").num_rows(),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    pauses += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert!(made == 1_000_000 && pauses > 0, "{made} rows, {pauses} pauses");
    }
}
