//! The hot store as the place where decoded points go.

use std::sync::Arc;

use hot::{AppendError, Store};
use ingest::{Sink, SinkError};
use runtime::Clock;
use schemas::reject::Appended;
use schemas::{DurationMs, PointBatch, TimeRange, TimestampMs};

/// How far the clocks of senders may be ahead.
const FUTURE_MAX: DurationMs = DurationMs::minutes(10);

/// Appends to the store.
#[derive(Debug)]
pub(crate) struct StoreSink {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl StoreSink {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

impl Sink for StoreSink {
    fn intake_window(&self) -> TimeRange {
        let floor = self.store.intake_floor();
        let ceiling = TimestampMs(self.clock.now_ms()).plus(FUTURE_MAX);
        TimeRange::new(floor, ceiling.max(floor)).expect("the end is not before the start")
    }

    fn append(&self, batch: &PointBatch) -> Result<Appended, SinkError> {
        self.store.append(batch).map_err(|error| match error {
            AppendError::Overloaded { retry_after } | AppendError::TooManyNewSeries { retry_after } => {
                SinkError::Busy { retry_after }
            }
            AppendError::Failed(cause) => SinkError::Failed(
                anyhow::Error::from(cause).chain().map(ToString::to_string).collect::<Vec<_>>().join(": "),
            ),
        })
    }
}
