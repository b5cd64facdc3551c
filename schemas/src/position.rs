//! From where a node would have to read Kafka again if it lost its disk (`docs/formats/position.md`).
//!
//! archive round ─▶ [`Position`] ─JSON─▶ `_thermocline/nodes/<node>/<incarnation>/position-<seq>.json` ─▶ recovery: [`starts`]
//!
//! A position names for each partition the offset from which every point that this incarnation took in, and that is not in
//! the archive yet, can be read. Offsets of one incarnation only advance, so its newest document counts. A new
//! incarnation that goes on where others ended *follows* them: its positions stand for theirs from then on.
//! Versioned: a reader that meets a newer version says so instead of guessing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kafka::Offsets;

/// The version that is written.
const VERSION: u32 = 1;

/// A document that cannot be used.
#[derive(Debug, Error)]
pub enum PositionError {
    #[error("position is not what it should be")]
    Damaged(#[from] serde_json::Error),
    #[error("position has version {found}, and this program reads up to {VERSION}")]
    Newer { found: u32 },
}

/// What one incarnation of a node would have to read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    #[serde(rename = "v")]
    version: u32,
    pub node: String,
    pub incarnation: String,
    /// Counts the documents of an incarnation, from 1.
    pub seq: u64,
    /// Of one that goes on for a lost disk: the incarnations of the node whose points it reads again. Their positions are done
    /// with. There may be none that had written anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<BTreeSet<String>>,
    /// Per partition the offset of the first message that may have to be read again. A partition that is missing has to be
    /// read from its beginning.
    #[serde(with = "crate::file_tags::offsets")]
    pub offsets: Offsets,
}

impl Position {
    pub fn new(node: &str, incarnation: &str, seq: u64, follows: Option<BTreeSet<String>>, offsets: Offsets) -> Self {
        let [node, incarnation] = [node, incarnation].map(str::to_owned);
        Self { version: VERSION, node, incarnation, seq, follows, offsets }
    }

    /// The bytes of the document.
    pub fn encode(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("numbers and texts are always JSON");
        json.push(b'\n');
        json
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, PositionError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v: found } = serde_json::from_slice(bytes)?;
        if found > VERSION {
            return Err(PositionError::Newer { found });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Where a node has to begin, by the newest position of each of its incarnations, and which of these it then follows. Pure.
///
/// Of incarnations that nobody follows yet, the least offset counts, and it has to be known of each of them: a partition that
/// one of them does not name is read from its beginning, as nobody can tell what that one took in.
pub fn starts(newest: &[Position]) -> (Offsets, BTreeSet<String>) {
    let followed: BTreeSet<&str> =
        newest.iter().flat_map(|position| &position.follows).flatten().map(String::as_str).collect();
    let open: Vec<&Position> =
        newest.iter().filter(|position| !followed.contains(position.incarnation.as_str())).collect();
    let least = open.iter().map(|position| position.offsets.clone()).reduce(|a, b| a.least(&b)).unwrap_or_default();
    let named_by_all = least.iter().filter(|(of, _)| open.iter().all(|position| position.offsets.get(of).is_some()));
    let offsets = named_by_all.map(|(of, next)| (of.clone(), next)).collect();
    (offsets, newest.iter().map(|position| position.incarnation.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::TopicPartition;

    fn offsets(of: &[(i32, i64)]) -> Offsets {
        of.iter().map(|&(partition, next)| (TopicPartition::new("metrics", partition), next)).collect()
    }

    fn position(incarnation: &str, follows: &[&str], of: &[(i32, i64)]) -> Position {
        let follows = follows.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        Position::new("node-a", incarnation, 7, Some(follows).filter(|follows| !follows.is_empty()), offsets(of))
    }

    #[test]
    fn positions_are_golden_and_read_back() {
        let told = [
            position("i1", &[], &[(0, 57), (11, 9)]),
            position("i2", &["i1"], &[]),
            // Goes on for a disk of which nothing is known.
            Position::new("node-a", "i3", 1, Some(BTreeSet::new()), Offsets::new()),
        ];
        let golden = include_str!("../../tests/golden/position/v1/positions.jsonl");
        let lines: Vec<&str> = golden.split_inclusive('\n').collect();
        assert_eq!(lines.len(), told.len());
        for (line, position) in lines.into_iter().zip(told) {
            assert_eq!(String::from_utf8(position.encode()).expect("JSON is UTF-8"), line);
            assert_eq!(Position::decode(line.as_bytes()).expect("a golden line"), position);
        }
    }

    #[test]
    fn a_newer_version_and_damage_are_errors() {
        assert!(matches!(Position::decode(br#"{"v":2,"other":1}"#), Err(PositionError::Newer { found: 2 })));
        for damaged in ["", "{", "[]", r#"{"v":1,"node":"a","incarnation":"i","seq":1,"offsets":{"t":{"0":-1}}}"#] {
            assert!(matches!(Position::decode(damaged.as_bytes()), Err(PositionError::Damaged(_))), "{damaged}");
        }
    }

    #[test]
    fn a_node_begins_where_its_lost_disk_had_archived_everything() {
        let (start, follows) = starts(&[position("i1", &[], &[(0, 57), (1, 9)])]);
        assert_eq!((start, follows), (offsets(&[(0, 57), (1, 9)]), BTreeSet::from(["i1".to_owned()])));
        assert_eq!(starts(&[]), (Offsets::new(), BTreeSet::new()));
    }

    #[test]
    fn an_incarnation_that_is_followed_counts_no_more() {
        let (start, follows) = starts(&[position("i1", &[], &[(0, 5)]), position("i2", &["i1"], &[(0, 80), (2, 3)])]);
        assert_eq!(start, offsets(&[(0, 80), (2, 3)]));
        assert_eq!(follows.len(), 2);
    }

    #[test]
    fn of_several_lost_disks_the_least_counts_where_all_say_something() {
        let (start, _) = starts(&[position("i1", &[], &[(0, 5), (1, 7)]), position("i2", &[], &[(0, 3), (2, 4)])]);
        assert_eq!(start, offsets(&[(0, 3)]), "1 and 2 are read from their beginnings");
    }
}
