//! Clients of librdkafka, with the options that what is promised depends on.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::config::KafkaConfig;

/// KiB that a partition may have fetched ahead: librdkafka counts by queue, and each partition has its own.
const FETCHED_KIB_MAX: &str = "4096";

/// What every client of the cluster needs: where it is, and what the operator says of TLS and SASL.
pub(super) fn base(brokers: &str, options: &BTreeMap<String, String>) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in options {
        client.set(name, value);
    }
    client.set("bootstrap.servers", brokers).set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// The consumer.
pub(super) fn consumer(config: &KafkaConfig) -> ClientConfig {
    let mut options: BTreeMap<String, String> = [
        ("fetch.queue.backoff.ms", "50"),
        ("queued.max.messages.kbytes", FETCHED_KIB_MAX),
        ("session.timeout.ms", "15000"),
        ("socket.keepalive.enable", "true"),
        ("statistics.interval.ms", "5000"),
        ("topic.metadata.refresh.interval.ms", "30000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    options.extend(config.client.clone());
    let mut client = base(&config.brokers, &options);
    client
        .set("client.id", format!("thermocline-{}", config.node))
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false")
        // Where the brokers do not have the next message we say so, and decide (`start`).
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky");
    if config.is_static {
        client.set("group.instance.id", &config.node);
    }
    client
}

/// A producer whose messages are written once, in order, by all in-sync replicas.
pub(super) fn producer(brokers: &str, options: &BTreeMap<String, String>) -> ClientConfig {
    const OF_CONSUMERS: [&str; 10] = [
        "fetch.",
        "queued.",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "auto.offset.reset",
        "max.poll.interval.ms",
        "max.partition.fetch.bytes",
        "check.crcs",
        "isolation.level",
        "allow.auto.create.topics",
    ];
    let ours = |name: &&String| !OF_CONSUMERS.iter().any(|prefix| name.starts_with(prefix));
    let options: BTreeMap<String, String> =
        options.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut client = base(brokers, &options);
    client.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "10000");
    client
}
