//! What the consumer is told. Plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::error::KafkaError;
use regex::Regex;

use crate::message::MessageFormat;

/// Options of librdkafka that are ours to set, since what is promised depends on them.
const OURS: [&str; 13] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.commit.enable",
    "enable.partition.eof",
    "isolation.level",
    "partition.assignment.strategy",
    "enable.idempotence",
    "transactional.id",
];

/// A consumer of one group.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    pub group: String,
    /// The name of this node, told with each committed offset.
    pub node: String,
    /// Whether the node's name is its own for ever: then a restart gets its partitions back at once.
    pub is_static: bool,
    /// Passed to librdkafka, TLS and SASL among them.
    pub client: BTreeMap<String, String>,
    /// The first that matches a topic holds for it.
    pub topics: Vec<TopicRule>,
    /// Threads that decode and store.
    pub threads: usize,
    /// How often the group's offsets follow.
    pub commit_every: Duration,
    /// How often topics that match a pattern are looked for.
    pub refresh_every: Duration,
    pub reset: Reset,
}

impl KafkaConfig {
    /// Whether partitions that nobody has read begin at their end.
    pub(super) fn begins_at_end(&self) -> bool {
        self.client.get("auto.offset.reset").is_some_and(|at| matches!(at.as_str(), "latest" | "largest" | "end"))
    }
}

/// Without the values of options, which may be secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, group, node, client, topics, .. } = self;
        let options: Vec<_> = client.keys().collect();
        let mut told = f.debug_struct("KafkaConfig");
        told.field("brokers", brokers).field("group", group).field("node", node);
        told.field("client", &options).field("topics", topics).finish_non_exhaustive()
    }
}

/// How the messages of some topics are taken.
#[derive(Debug, Clone)]
pub struct TopicRule {
    pub topic: TopicName,
    pub format: MessageFormat,
    pub on_error: OnError,
    pub delivery: Delivery,
}

/// One topic, or those whose whole name a pattern matches; a pattern never matches a topic of dead letters.
#[derive(Debug, Clone)]
pub enum TopicName {
    Exact(String),
    Pattern(Regex),
}

/// What becomes of a message that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It is copied to the dead letters.
    #[default]
    Dlq,
    /// It is counted and left.
    Skip,
    /// Its partition stops there until a restart.
    Halt,
}

/// What may happen to a message when something is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The group's offset goes ahead of the points: a crash may lose a slice, nothing is read twice.
    AtMostOnce,
    /// The group's offset follows the points: after a crash some messages are read again, and until they all are, a
    /// correction may be hidden by the value that it corrects.
    AtLeastOnce,
    /// The offset is stored with the points: a crash neither loses nor repeats anything on this disk.
    NoDuplicates,
    /// And the archive is told the offsets, so that the same holds for a node that loses its disk.
    #[default]
    ExactlyOnce,
}

impl Delivery {
    /// Whether offsets are stored with the points.
    pub(crate) fn stores_offsets(self) -> bool {
        match self {
            Self::AtMostOnce | Self::AtLeastOnce => false,
            Self::NoDuplicates | Self::ExactlyOnce => true,
        }
    }

    pub(crate) fn tells_archive(self) -> bool {
        self == Self::ExactlyOnce
    }
}

/// Where a partition starts that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// At the larger of our own offset and the group's.
    #[default]
    Never,
    /// At the group's, which somebody has set back.
    Group,
}

/// Whether librdkafka knows an option, and it is not ours; else why not.
pub fn check_client_option(name: &str, value: &str) -> Result<(), String> {
    if OURS.contains(&name) {
        return Err(format!("librdkafka: {name} is set by thermocline and cannot be changed"));
    }
    let mut config = rdkafka::ClientConfig::new();
    config.set(name, value);
    // The value may be a secret under a name that was mistyped: it is not repeated.
    config.create_native_config().map(drop).map_err(|error| match error {
        KafkaError::ClientConfig(_, why, ..) if !why.contains(value) => format!("librdkafka: {name}: {why}"),
        _ => format!("librdkafka: {name}: librdkafka does not take this value"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked_before_anything_is_opened() {
        assert_eq!(check_client_option("fetch.max.bytes", "52428800"), Ok(()));
        assert!(check_client_option("fetch.max.bites", "1").is_err_and(|why| why.contains("fetch.max.bites")));
        assert!(check_client_option("fetch.max.bytes", "many").is_err());
        let mistyped = check_client_option("sasl.pasword", "hunter2");
        assert!(mistyped.is_err_and(|why| why.contains("sasl.pasword") && !why.contains("hunter2")));
        assert!(check_client_option("enable.auto.commit", "true").is_err_and(|why| why.contains("set by thermocline")));
    }
}
