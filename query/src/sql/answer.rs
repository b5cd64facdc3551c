//! The result of a SQL query: a stream that keeps to the time limit and is counted when it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::RecordBatchStream;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::{Stream, StreamExt as _};
use tokio::time::Sleep;

use crate::engine::{Admitted, Engine};
use crate::error::QueryError;
use crate::limits::StopOnDrop;
use crate::provenance::ProvenanceCollector;
use crate::read::Reader;

/// Batches, and where they came from.
pub struct SqlAnswer {
    pub schema: SchemaRef,
    /// Errors convert into [`QueryError`].
    pub stream: SendableRecordBatchStream,
    /// `planned()` is true from the start; `snapshot()` is whole once the stream has ended.
    pub provenance: Arc<ProvenanceCollector>,
}

impl std::fmt::Debug for SqlAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlAnswer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl SqlAnswer {
    pub(super) fn new(
        engine: Arc<Engine>,
        reader: &Reader,
        query: &str,
        batches: SendableRecordBatchStream,
        started: Instant,
        held: (Admitted, StopOnDrop),
    ) -> Self {
        let schema = batches.schema();
        let provenance = Arc::clone(&reader.provenance);
        let left = engine.limits.timeout.saturating_sub(started.elapsed());
        let stream = Limited {
            batches,
            time: Box::pin(tokio::time::sleep(left)),
            ended: false,
            engine,
            query: query.to_owned(),
            started,
            provenance: Arc::clone(&provenance),
            _held: held,
        };
        Self { schema, stream: Box::pin(stream), provenance }
    }
}

/// Ends with an error when the time is over.
struct Limited {
    batches: SendableRecordBatchStream,
    time: Pin<Box<Sleep>>,
    ended: bool,
    engine: Arc<Engine>,
    query: String,
    started: Instant,
    provenance: Arc<ProvenanceCollector>,
    /// The place among the queries under way, and what stops the work of a dropped stream.
    _held: (Admitted, StopOnDrop),
}

impl Stream for Limited {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.time.as_mut().poll(cx) {
            Poll::Ready(()) => Some(Err(self.engine.timed_out())),
            Poll::Pending => match self.batches.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => next.map(|batch| batch.map_err(QueryError::from)),
            },
        };
        match &next {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.end(Err(error)),
            None => self.end(Ok(())),
        }
        Poll::Ready(next.map(|batch| batch.map_err(DataFusionError::from)))
    }
}

impl Limited {
    fn end(&mut self, result: Result<(), &QueryError>) {
        self.ended = true;
        self.engine.sql_ended(&self.query, self.started, result.map(|()| &*self.provenance));
    }
}

impl RecordBatchStream for Limited {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}
