//! The hot store as the place where decoded points go.

use std::sync::Arc;
use std::time::Duration;

use hot::{AppendError, SourceOffsets, Store};
use ingest::kafka::OffsetSink;
use ingest::{Sink, SinkError};
use runtime::Clock;
use schemas::reject::Appended;
use schemas::{DurationMs, Offsets, PointBatch, TimeRange, TimestampMs};

/// How far the clocks of senders may be ahead.
const FUTURE_MAX: DurationMs = DurationMs::minutes(10);
/// How soon a sync that failed may be tried again.
const RETRY_SYNC_AFTER: Duration = Duration::from_secs(1);

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
        self.store.append(batch).map_err(refusal)
    }
}

impl OffsetSink for StoreSink {
    fn append_from(&self, batch: &PointBatch, offsets: &Offsets, archived: bool) -> Result<Appended, SinkError> {
        self.store.append_from(batch, &SourceOffsets { next: offsets.clone(), archived }).map_err(refusal)
    }

    fn offsets(&self) -> Offsets {
        self.store.kafka_offsets()
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.store.sync_log().map_err(|error| SinkError::Unwritable {
            why: format!("the log cannot be synced: {error}"),
            retry_after: RETRY_SYNC_AFTER,
        })
    }
}

/// Why the store took nothing, in the words of the configuration.
fn refusal(error: AppendError) -> SinkError {
    let busy = |why: &str, retry_after| SinkError::Busy { why: why.to_owned(), retry_after };
    match error {
        AppendError::Overloaded { retry_after } => {
            busy("the store is busy: as many points as may wait are still being written", retry_after)
        }
        AppendError::TooManyNewSeries { retry_after } => {
            busy("more series are new than limits.new_series_per_second allows", retry_after)
        }
        AppendError::Unwritable { why, retry_after } => SinkError::Unwritable { why: why.to_string(), retry_after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_bound_that_was_reached() {
        let retry_after = Duration::from_millis(400);
        let SinkError::Busy { why, retry_after: told } = refusal(AppendError::TooManyNewSeries { retry_after }) else {
            panic!("new series pass when they come more slowly");
        };
        assert!(why.contains("limits.new_series_per_second"), "{why}");
        assert_eq!(told, retry_after);
    }
}
