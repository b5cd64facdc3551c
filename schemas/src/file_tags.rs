//! Tags of a data file in the Delta log: what it holds, by whom, through which arrival (`docs/formats/delta.md`).
//!
//! [`FileTags`] ─▶ one tag, `thermocline` = JSON ─▶ `add.tags` of the commit ─▶ snapshot ─▶ [`FileTags`]
//!
//! An hour is archived exactly if a live file says so here; nothing else is asked. Versioned: a reader that meets a
//! newer version says so instead of guessing. Other programs' tags are left alone.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::Epoch;
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

    #[test]
    fn tags_are_golden_and_read_back() {
        let holding =
            Holding { node: "a".to_owned(), incarnation: "a-1".to_owned(), hour: Hour(498_679), through: Epoch(12) };
        let tags = FileTags::new(7, vec![holding]);
        let text = r#"{"v":1,"commit":7,"holds":[{"node":"a","incarnation":"a-1","hour":498679,"through":12}]}"#;
        assert_eq!(tags.encode(), text);
        assert_eq!(FileTags::decode(text).expect("written above"), tags);
        assert_eq!(FileTags::new(3, Vec::new()).encode(), r#"{"v":1,"commit":3}"#);
    }

    #[test]
    fn a_newer_version_and_damage_are_errors() {
        assert!(matches!(FileTags::decode(r#"{"v":2,"other":1}"#), Err(TagError::Newer { found: 2 })));
        assert!(matches!(FileTags::decode("{"), Err(TagError::Damaged(_))));
        assert!(FileTags::decode(r#"{"v":1,"commit":-1}"#).is_err());
    }
}
