//! What consuming tells of itself (prefix `thermocline_kafka_`).

use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::family::Family;
use runtime::metrics::metrics::gauge::Gauge;
use runtime::metrics::registry::Registry;
use schemas::reject::Appended;
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::partition::Partition;
use crate::decode::{Dropped, Rejections};

type ByTopic = [(&'static str, String); 1];
type ByPartition = [(&'static str, String); 2];

/// Counters of all topics.
#[derive(Debug, Clone, Default)]
pub struct KafkaMetrics {
    messages: Family<ByPartition, Counter>,
    points: Family<ByTopic, Counter>,
    rejected: Family<ByPartition, Counter>,
    missing: Family<ByTopic, Counter>,
    retries: Family<ByTopic, Counter>,
    rebalances: Family<[(&'static str, &'static str); 1], Counter>,
    lag: Family<ByPartition, Gauge<i64, AtomicI64>>,
    lag_seconds: Family<ByPartition, Gauge<f64, AtomicU64>>,
    halted: Gauge<i64, AtomicI64>,
    partitions: Gauge<i64, AtomicI64>,
}

impl KafkaMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("kafka_messages", "Messages by outcome: stored, dead, skipped", self.messages.clone());
        registry.register("kafka_points", "Points that are durable and queryable", self.points.clone());
        registry.register("kafka_rejected_points", "Points that were refused, by reason", self.rejected.clone());
        registry.register(
            "kafka_missing_messages",
            "Messages that the broker dropped before they were read",
            self.missing.clone(),
        );
        registry.register(
            "kafka_retries",
            "Slices that waited for the store, the registry or the brokers",
            self.retries.clone(),
        );
        registry.register("kafka_rebalances", "Assignments and revocations", self.rebalances.clone());
        registry.register("kafka_lag_messages", "Messages that are not stored yet", self.lag.clone());
        registry.register(
            "kafka_lag_seconds",
            "Age of the last stored message where there are more",
            self.lag_seconds.clone(),
        );
        registry.register("kafka_halted_partitions", "Partitions that stopped at a bad message", self.halted.clone());
        registry.register("kafka_partitions", "Partitions that this member has", self.partitions.clone());
    }

    pub(super) fn stored(&self, partition: &Partition, messages: u64, dead: u64, skipped: u64, points: u64) {
        let topic = || partition.of.topic.to_string();
        let count = |outcome: &str, count: u64| {
            if count > 0 {
                self.messages.get_or_create(&[("topic", topic()), ("outcome", outcome.to_owned())]).inc_by(count);
            }
        };
        count("stored", messages - dead - skipped);
        count("dead", dead);
        count("skipped", skipped);
        self.points.get_or_create(&[("topic", topic())]).inc_by(points);
    }

    /// What the store has refused of a slice.
    pub(super) fn appended(&self, partition: &Partition, appended: &Appended) {
        let points = appended.rejected_points.iter().map(|(_, reason)| reason);
        for reason in points.chain(appended.rejected_series.iter().map(|(_, reason)| reason)) {
            let by = [("topic", partition.of.topic.to_string()), ("reason", reason.code().to_owned())];
            self.rejected.get_or_create(&by).inc();
        }
    }

    pub(super) fn rejected(&self, partition: &Partition, rejections: &Rejections, dropped: Dropped) {
        let count = |reason: &str, points: u64| {
            if points > 0 {
                let by = [("topic", partition.of.topic.to_string()), ("reason", reason.to_owned())];
                self.rejected.get_or_create(&by).inc_by(points);
            }
        };
        for (reason, points) in rejections.by_reason() {
            count(reason, *points);
        }
        count("string", dropped.strings);
    }

    pub(super) fn missing(&self, topic: &str, messages: i64) {
        self.missing.get_or_create(&[("topic", topic.to_owned())]).inc_by(messages.unsigned_abs());
    }

    pub(super) fn waits(&self, partition: &Partition) {
        self.retries.get_or_create(&[("topic", partition.of.topic.to_string())]).inc();
    }

    pub(super) fn rebalanced(&self, kind: &'static str, partitions: usize) {
        self.rebalances.get_or_create(&[("kind", kind)]).inc();
        self.partitions.set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    pub(super) fn halted(&self) {
        self.halted.inc();
    }

    pub(super) fn lags(&self, partition: &Partition, now_ms: i64) {
        let by = by_partition(partition);
        self.lag.get_or_create(&by).set(partition.progress.lag());
        if let Some(seconds) = partition.progress.lag_seconds(now_ms) {
            self.lag_seconds.get_or_create(&by).set(seconds);
        }
    }

    /// It is somebody else's now.
    pub(super) fn left(&self, partition: &Partition) {
        let by = by_partition(partition);
        self.lag.remove(&by);
        self.lag_seconds.remove(&by);
        if partition.progress.halted.load(std::sync::atomic::Ordering::Relaxed) {
            self.halted.dec();
        }
    }
}

fn by_partition(partition: &Partition) -> ByPartition {
    [("topic", partition.of.topic.to_string()), ("partition", partition.of.partition.to_string())]
}
