//! Offsets as JSON: `{"metrics":{"0":57,"11":9}}`, topic, partition, offset of the next message.
//!
//! For `#[serde(with = "crate::file_tags::offsets")]`. Topics and partitions are in rising order, so the same offsets give the
//! same bytes.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

use crate::kafka::{Offsets, TopicPartition};

/// Partitions of topics.
type ByTopic<T> = BTreeMap<T, BTreeMap<i32, i64>>;

pub(crate) fn serialize<S: Serializer>(offsets: &Offsets, serializer: S) -> Result<S::Ok, S::Error> {
    let mut topics: ByTopic<&str> = BTreeMap::new();
    for (of, next) in offsets.iter() {
        topics.entry(&of.topic).or_default().insert(of.partition, next);
    }
    topics.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Offsets, D::Error> {
    let topics = ByTopic::<String>::deserialize(deserializer)?;
    let mut offsets = Offsets::new();
    for (topic, partitions) in topics {
        for (partition, next) in partitions {
            if partition < 0 || next < 0 {
                return Err(D::Error::custom(format!("offset {next} of {topic}/{partition} is out of range")));
            }
            offsets.advance(TopicPartition::new(topic.as_str(), partition), next);
        }
    }
    Ok(offsets)
}
