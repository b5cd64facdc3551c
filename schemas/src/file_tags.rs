//! Tags of a data file in the Delta log: what it holds, by whom, through which arrival (`docs/formats/delta.md`).
//!
//! [`FileTags`] ─▶ one tag, `thermocline` = JSON ─▶ `add.tags` of the commit ─▶ snapshot ─▶ [`FileTags`]
//!
//! An hour is archived exactly if a live file says so here; nothing else is asked. A file may hold rows of several writers,
//! each complete through an epoch of its own. Versioned: a reader that meets a newer version says so instead of guessing, and
//! a key that it does not know is left out. Other programs' tags are left alone.

pub(crate) mod offsets;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::Epoch;
use crate::kafka::Offsets;
use crate::time::Hour;

/// The key of the tag.
pub const TAG: &str = "thermocline";

/// The version that is written.
const VERSION: u32 = 1;

/// A tag that cannot be used.
#[derive(Debug, Error)]
pub enum TagError {
    #[error("tag {TAG} is not what it should be")]
    Damaged(#[from] serde_json::Error),
    #[error("tag {TAG} has version {found}, and this program reads up to {VERSION}")]
    Newer { found: u32 },
}

/// What a data file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTags {
    #[serde(rename = "v")]
    version: u32,
    /// The Delta version whose commit added the file: between nodes, the later commit wins.
    pub commit: u64,
    /// Whose rows of which hours; none for the table of series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Holding>,
}

/// One node's rows of one hour, complete through an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub node: String,
    pub incarnation: String,
    #[serde(with = "hour")]
    pub hour: Hour,
    /// Every point that arrived up to this epoch of the incarnation is in.
    #[serde(with = "epoch")]
    pub through: Epoch,
    /// How far Kafka's partitions were in by the end of that epoch: a point of this hour that lies before, in its partition,
    /// is in. Empty where nothing came from Kafka.
    #[serde(with = "offsets", default, skip_serializing_if = "Offsets::is_empty")]
    pub offsets: Offsets,
}

impl Holding {
    /// Without offsets.
    pub fn new(node: &str, incarnation: &str, hour: Hour, through: Epoch) -> Self {
        let [node, incarnation] = [node, incarnation].map(str::to_owned);
        Self { node, incarnation, hour, through, offsets: Offsets::default() }
    }
}

impl FileTags {
    pub fn new(commit: u64, holds: Vec<Holding>) -> Self {
        Self { version: VERSION, commit, holds }
    }

    /// The value of the tag.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are always JSON")
    }

    pub fn decode(text: &str) -> Result<Self, TagError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v: found } = serde_json::from_str(text)?;
        if found > VERSION {
            return Err(TagError::Newer { found });
        }
        Ok(serde_json::from_str(text)?)
    }
}

mod hour {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Hour;

    pub(super) fn serialize<S: Serializer>(hour: &Hour, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(hour.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hour, D::Error> {
        u32::deserialize(deserializer).map(Hour)
    }
}

mod epoch {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::ids::Epoch;

    pub(super) fn serialize<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(epoch.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
        u32::deserialize(deserializer).map(Epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::TopicPartition;

    #[test]
    fn tags_are_golden_and_read_back() {
        let of = |topic: &str, partition, next| (TopicPartition::new(topic, partition), next);
        let hour = Hour(498_679);
        let alone = Holding::new("a", "a-1", hour, Epoch(12));
        let offsets = [of("metrics", 0, 57), of("metrics", 11, 9), of("a/b", 1, 0)].into_iter().collect();
        let both = vec![Holding { offsets, ..alone.clone() }, Holding::new("b", "b-7", hour, Epoch(3))];
        let told = [FileTags::new(7, vec![alone]), FileTags::new(3, Vec::new()), FileTags::new(8, both)];
        let golden = include_str!("../../tests/golden/file_tags/v1/tags.jsonl");
        assert_eq!(golden.lines().count(), told.len());
        for (line, tags) in golden.lines().zip(told) {
            assert_eq!(tags.encode(), line);
            assert_eq!(FileTags::decode(line).expect("a golden line"), tags);
        }
    }

    #[test]
    fn offsets_that_cannot_be_are_errors() {
        for offsets in [r#"{"t":{"-1":3}}"#, r#"{"t":{"0":-3}}"#, r#"{"t":{"x":3}}"#, r#"{"t":7}"#, "[]"] {
            let holding = format!(r#"{{"node":"a","incarnation":"1","hour":1,"through":1,"offsets":{offsets}}}"#);
            let text = format!(r#"{{"v":1,"commit":1,"holds":[{holding}]}}"#);
            assert!(FileTags::decode(&text).is_err(), "{offsets}");
        }
    }

    #[test]
    fn a_newer_version_and_damage_are_errors() {
        assert!(matches!(FileTags::decode(r#"{"v":2,"other":1}"#), Err(TagError::Newer { found: 2 })));
        assert!(matches!(FileTags::decode("{"), Err(TagError::Damaged(_))));
        assert!(FileTags::decode(r#"{"v":1,"commit":-1}"#).is_err());
    }
}
