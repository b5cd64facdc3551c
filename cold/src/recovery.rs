//! What a node that lost its disk finds in the archive: how far everything is there, and from where Kafka is to be read again.
//!
//! live files' tags ─▶ last hour, what each hour has of each partition · positions ─▶ start ─▶ [`Recovery`]
//!
//! Only what this node's own incarnations wrote tells what need not be taken in again. Another node's end offset of a partition
//! says nothing about messages before it was given that partition: those may have been on the lost disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::position::{Position, starts};
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::{Hour, Offsets, RetentionClass, TopicPartition};

use crate::archive::Archive;
use crate::error::ColdError;
use crate::table::TableState;

/// What a new incarnation of a node begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The versions that all of this is about.
    pub versions: DeltaVersions,
    /// The last hour that the archive has anything of, from whichever node. It and all before are Delta's.
    pub last_hour: Option<Hour>,
    /// Per partition the first message to read again; a partition that is missing is read from its beginning.
    pub start: Offsets,
    /// The incarnations that are followed.
    pub follows: BTreeSet<String>,
    /// By hour, how far each partition is in the archive as these incarnations took it in.
    pub archived: BTreeMap<Hour, Offsets>,
}

impl Recovery {
    /// The first hour that is not the archive's.
    pub fn first_hour(&self) -> Hour {
        self.last_hour.map_or(Hour(0), Hour::next)
    }

    /// Whether a point of this hour that comes from this message is in the archive already.
    pub fn has(&self, hour: Hour, of: &TopicPartition, offset: i64) -> bool {
        self.archived.get(&hour).and_then(|ends| ends.get(of)).is_some_and(|end| offset < end)
    }
}

impl Archive {
    /// What a new incarnation of this node begins with: everything that is archived as its base, and the least of the positions
    /// of those before it. Call it with an incarnation that has written nothing.
    pub async fn recovery(&self) -> Result<Recovery, ColdError> {
        let positions = self.positions(self.node()).await?;
        let others: Vec<Position> =
            positions.into_iter().filter(|position| position.incarnation != self.incarnation().as_str()).collect();
        let (start, mut follows) = starts(&others);
        let states = self.newest_states().await?;
        let of_node = |node: &str, incarnation: &str| node == self.node() && incarnation != self.incarnation().as_str();
        follows.extend(incarnations(&states, of_node));
        Ok(self.recovered(&states, start, follows))
    }

    /// The same for an incarnation that began so and was stopped: what it still has to go by. `None` for one that did not begin
    /// so.
    pub async fn resumed_recovery(&self) -> Result<Option<Recovery>, ColdError> {
        let positions = self.positions(self.node()).await?;
        let ours = positions.into_iter().find(|position| position.incarnation == self.incarnation().as_str());
        let Some(Position { offsets: start, follows: Some(follows), .. }) = ours else { return Ok(None) };
        let states = self.newest_states().await?;
        Ok(Some(self.recovered(&states, start, follows)))
    }

    async fn newest_states(&self) -> Result<Vec<Arc<TableState>>, ColdError> {
        self.refresh().await?;
        Ok(ColdTable::DATA.iter().map(|&kind| self.table(kind).latest()).collect())
    }

    fn recovered(&self, states: &[Arc<TableState>], start: Offsets, follows: BTreeSet<String>) -> Recovery {
        let hours = states.iter().flat_map(|state| state.files.values()).flat_map(|file| file.holds());
        let last_hour = hours.map(|held| held.hour).max();
        let archived = archived(states, self.node(), &follows);
        Recovery { versions: self.versions(), last_hour, start, follows, archived }
    }
}

/// The incarnations that have rows.
fn incarnations(states: &[Arc<TableState>], wanted: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
    let held = states.iter().flat_map(|state| state.files.values()).flat_map(|file| file.holds());
    held.filter(|held| wanted(&held.node, &held.incarnation)).map(|held| held.incarnation.clone()).collect()
}

/// How far the partitions are in each hour, by these incarnations. An hour counts as far as all tables have it: a node that
/// died between two commits had not archived it.
fn archived(states: &[Arc<TableState>], node: &str, incarnations: &BTreeSet<String>) -> BTreeMap<Hour, Offsets> {
    let mut of_tables: Vec<BTreeMap<(Hour, &str), Offsets>> = Vec::new();
    for state in states {
        let mut of_table: BTreeMap<(Hour, &str), Offsets> = BTreeMap::new();
        let files = state.files.values().filter(|file| file.class == Some(RetentionClass::DEFAULT));
        for held in files.flat_map(|file| file.holds()) {
            if held.node == node && incarnations.contains(&held.incarnation) {
                of_table.entry((held.hour, &held.incarnation)).or_default().advance_all(&held.offsets);
            }
        }
        of_tables.push(of_table);
    }
    let Some((first, others)) = of_tables.split_first() else { return BTreeMap::new() };
    let mut archived: BTreeMap<Hour, Offsets> = BTreeMap::new();
    for (key, offsets) in first {
        let in_all = |of: &TopicPartition, next: i64| -> Option<i64> {
            others.iter().try_fold(next, |least, table| Some(least.min(table.get(key)?.get(of)?)))
        };
        let ends = offsets.iter().filter_map(|(of, next)| Some((of.clone(), in_all(of, next)?)));
        let ends: Offsets = ends.collect();
        if !ends.is_empty() {
            archived.entry(key.0).or_default().advance_all(&ends);
        }
    }
    archived
}
