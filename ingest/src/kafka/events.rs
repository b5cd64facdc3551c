//! librdkafka's callbacks as an enum: what happened, in order, for the thread that polls.
//!
//! callback (inside `poll`) ─▶ [`Event`] ─▶ the poll thread, once `poll` has returned

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use runtime::Causes;

/// What librdkafka tells.
#[derive(Debug)]
pub(super) enum Event {
    /// These partitions are ours from now on; nothing of them is read before we say so.
    Assigned(TopicPartitionList),
    /// These partitions go to somebody else as soon as we let go.
    Revoked(TopicPartitionList),
}

/// Gathers events. Rebalances come one at a time and are answered before the next, so there are few.
#[derive(Debug, Default)]
pub(super) struct Context {
    events: Mutex<VecDeque<Event>>,
    /// The newest only.
    statistics: Mutex<Option<Statistics>>,
    /// What was told lately: brokers that are away are an error several times a second.
    said: Mutex<BTreeMap<String, Instant>>,
}

/// How long the same is not said again.
const SAID_FOR: Duration = Duration::from_secs(60);
/// What is remembered of what was said.
const SAID_MAX: usize = 256;

impl Context {
    pub(super) fn next_event(&self) -> Option<Event> {
        self.events.lock().pop_front()
    }

    /// Tells an error of `poll`, unless the same was told lately.
    pub(super) fn tell(&self, error: &KafkaError) {
        match error {
            KafkaError::MessageConsumptionFatal(_) => {
                tracing::error!(error = %Causes(error), "the consumer of Kafka has ended; restart once the cause is mended");
            }
            // Told with its reason by `ClientContext::error`.
            KafkaError::MessageConsumption(_) => tracing::debug!(error = %Causes(error), "kafka"),
            _ if self.is_news(&error.to_string()) => tracing::warn!(error = %Causes(error), "kafka"),
            _ => {}
        }
    }

    /// Whether it was not said lately.
    pub(super) fn is_news(&self, what: &str) -> bool {
        let mut said = self.said.lock();
        let now = Instant::now();
        if said.get(what).is_some_and(|at| now.duration_since(*at) < SAID_FOR) {
            return false;
        }
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(what.to_owned(), now);
        true
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

    /// What `poll` answers with as well, but for the reason.
    fn error(&self, error: KafkaError, reason: &str) {
        if self.is_news(&format!("{error}{reason}")) {
            tracing::warn!(%error, reason, "kafka");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_what_is_remembered_is_bounded() {
        let context = Context::default();
        assert_eq!([context.is_news("away"), context.is_news("away"), context.is_news("back")], [true, false, true]);
        for number in 0..3 * SAID_MAX {
            context.is_news(&number.to_string());
        }
        assert!(context.said.lock().len() <= SAID_MAX);
    }
}
