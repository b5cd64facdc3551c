//! librdkafka's callbacks as an enum: what happened, in order, for the thread that polls.
//!
//! callback (inside `poll`) ─▶ [`Event`] ─▶ the poll thread, once `poll` has returned

use std::collections::VecDeque;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

/// What librdkafka tells.
#[derive(Debug)]
pub(super) enum Event {
    /// These partitions are ours from now on; nothing of them is read before we say so.
    Assigned(TopicPartitionList),
    /// These partitions go to somebody else as soon as we let go.
    Revoked(TopicPartitionList),
    /// Offsets that were sent to the group are kept there, or not.
    Committed(KafkaResult<()>),
}

/// Gathers events. Rebalances come one at a time and are answered before the next, so there are few.
#[derive(Debug, Default)]
pub(super) struct Context {
    events: Mutex<VecDeque<Event>>,
    /// The newest only.
    statistics: Mutex<Option<Statistics>>,
}

impl Context {
    pub(super) fn next_event(&self) -> Option<Event> {
        self.events.lock().pop_front()
    }

    pub(super) fn take_statistics(&self) -> Option<Statistics> {
        self.statistics.lock().take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        *self.statistics.lock() = Some(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, _: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let partitions = partitions.clone();
        self.events.lock().push_back(match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assigned(partitions),
            _ => Event::Revoked(partitions),
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.events.lock().push_back(Event::Committed(result));
    }
}

/// A line of librdkafka in our log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}
