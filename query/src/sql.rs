//! SQL over all tiers: DataFusion plans and computes, our tables read.
//!
//! text → plan, checked to be read-only → tables push filters into routes → scans over the reads of REST → batches
//!
//! A session lives for one query and knows nothing but our tables: no object store, no files, no spilling, memory and
//! time within the limits. The result is a stream; its provenance is whole once the stream has ended.
//! Not here: rendering of batches (`server`).

mod allowed;
mod answer;
mod let_go;
mod pushdown;
mod rows;
mod scan;
mod series;
mod table;

use std::sync::Arc;
use std::time::Instant;

use chrono::DateTime;
use datafusion::catalog::{CatalogProvider as _, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider as _};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::prelude::SessionConfig;

pub use answer::SqlAnswer;

use crate::engine::{Admitted, Engine};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::read::Reader;
use let_go::LetGo;
use series::SeriesTable;
use table::{Kind, MetricTable};

/// Scans and aggregations of one query run on so many partitions.
const PARTITIONS: usize = 2;
/// Batches that are computed ahead of their reader.
const BATCHES_AHEAD: usize = 2;
/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;

/// Plans and starts a query.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    query: &str,
    started: Instant,
    admitted: Admitted,
) -> Result<SqlAnswer, QueryError> {
    // Half for what our scans hold, half for DataFusion's operators.
    let reader = engine.reader(Budget::new(engine.limits.memory_bytes / 2));
    let given_up = reader.stop.on_drop();
    let planning = start(session(engine, &reader)?, query.to_owned());
    let batches = engine.workers.run(planning).await?;
    let schema = batches.schema();
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, engine.workers.stream(batches, BATCHES_AHEAD)));
    Ok(SqlAnswer::new(Arc::clone(engine), &reader, query, batches, started, (admitted, given_up)))
}

/// Plans a query and starts it, on the thread that will compute it.
async fn start(state: SessionState, query: String) -> Result<SendableRecordBatchStream, QueryError> {
    let statement = state.sql_to_statement(&query, &state.config_options().sql_parser.dialect)?;
    allowed::check_statement(&statement)?;
    let logical = state.statement_to_plan(statement).await?;
    allowed::check_plan(&logical)?;
    let physical = state.create_physical_plan(&logical).await?;
    Ok(execute_stream(physical, state.task_ctx())?)
}

/// A session with our tables and nothing else.
fn session(engine: &Arc<Engine>, reader: &Arc<Reader>) -> Result<SessionState, QueryError> {
    let config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("thermocline", "public");
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime(engine.limits.memory_bytes / 2)?)
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(LetGo::new(reader.stop.clone())))
        .build();
    state.mark_start_execution();
    state.execution_props_mut().query_execution_start_time = DateTime::from_timestamp_millis(engine.clock.now_ms());
    let schema = MemorySchemaProvider::new();
    for kind in Kind::ALL {
        let table = MetricTable::new(kind, Arc::clone(engine), Arc::clone(reader));
        schema.register_table(kind.name().to_owned(), Arc::new(table))?;
    }
    let series = SeriesTable::new(Arc::clone(engine), Arc::clone(reader));
    schema.register_table("series".to_owned(), Arc::new(series))?;
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema("public", Arc::new(schema))?;
    state.catalog_list().register_catalog("thermocline".to_owned(), Arc::new(catalog));
    Ok(state)
}

fn runtime(memory_bytes: u64) -> Result<Arc<RuntimeEnv>, QueryError> {
    let memory = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    Ok(RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0).with_disk_manager_builder(no_disk).build_arc()?)
}

/// What a failure of DataFusion means to the asker.
impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        if cold::is_store_away(&error) {
            let context = "reading the cold tier failed".to_owned();
            return Self::Internal { context, retryable: true, source: Some(Box::new(error)) };
        }
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(inner) => {
                    Self::Internal { context: "a query failed".to_owned(), retryable: false, source: Some(inner) }
                }
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::from(*inner),
            DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(error) => Self::from(error),
                // Several partitions hold the same error: what it says is all that can be taken from it.
                Err(shared) => match ours(&shared) {
                    Some(error) => error.said_again(),
                    None => Self::internal(shared.to_string()),
                },
            },
            DataFusionError::Collection(mut errors) if !errors.is_empty() => Self::from(errors.swap_remove(0)),
            DataFusionError::ResourcesExhausted(what) => Self::TooLarge(format!(
                "the query needs more memory than limits.query_memory allows: {what}; narrow it by time, metric or labels"
            )),
            DataFusionError::Internal(what) => Self::internal(what),
            DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => {
                let source: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
                Self::Internal { context: "reading failed".to_owned(), retryable: true, source: Some(source) }
            }
            // Syntax, unknown names, types that do not fit, division by zero, overflow: the query's own.
            wrong => Self::BadRequest(wrong.strip_backtrace()),
        }
    }
}

/// An error of ours that DataFusion carries.
fn ours(error: &DataFusionError) -> Option<&QueryError> {
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref(),
        _ => None,
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}
