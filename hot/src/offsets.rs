//! How far Kafka's partitions are in: stored in the same write as the points (OFF-1), by the epoch that these went to.
//!
//! append with [`SourceOffsets`] ─▶ one write batch {log records, offsets of the epoch} ─▶ [`OffsetBook`] · a start reads it back
//!
//! By epoch, since the archive speaks of epochs: what an hour is *through* says which messages its rows include
//! ([`OffsetBook::through`]). An epoch's entry holds for every later one until that has its own, so an old entry goes once
//! nobody can ask about its epoch any more. Not here: the group's offsets, and where a consumer starts (`ingest`).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rocksdb::WriteBatch;
use schemas::meta::{KafkaOffset, MetaKey, MetaRecord};
use schemas::{Epoch, Offsets, TopicPartition};

use crate::db::FamilyHandle;

/// How far the sources of a batch are in, once it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOffsets {
    /// Per partition the offset of the next message.
    pub next: Offsets,
    /// Whether the archive is told, so that a node that lost its disk can go on from there.
    pub archived: bool,
}

impl SourceOffsets {
    /// Of points that did not come from Kafka.
    pub fn none() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.next.iter().map(|(of, _)| of.topic.len() + 32).sum()
    }

    /// Adds them to the write that makes their points durable.
    pub(crate) fn put(&self, epoch: Epoch, meta: &FamilyHandle<'_>, batch: &mut WriteBatch) {
        for (of, next) in self.next.iter() {
            let record = MetaRecord::KafkaOffset(epoch, of.clone(), KafkaOffset { next, archived: self.archived });
            batch.put_cf(meta, record.key(), record.value());
        }
    }
}

/// The offsets of all epochs that may be asked about.
#[derive(Debug, Default)]
pub(crate) struct OffsetBook {
    entries: Mutex<BTreeMap<TopicPartition, BTreeMap<Epoch, KafkaOffset>>>,
}

impl OffsetBook {
    /// What a write has made durable.
    pub(crate) fn learn(&self, epoch: Epoch, of: TopicPartition, offset: KafkaOffset) {
        self.entries.lock().entry(of).or_default().insert(epoch, offset);
    }

    pub(crate) fn learn_all(&self, epoch: Epoch, offsets: &SourceOffsets) {
        for (of, next) in offsets.next.iter() {
            self.learn(epoch, of.clone(), KafkaOffset { next, archived: offsets.archived });
        }
    }

    /// The newest of each partition.
    pub(crate) fn newest(&self) -> Offsets {
        let entries = self.entries.lock();
        let newest = entries.iter().filter_map(|(of, epochs)| Some((of.clone(), epochs.last_key_value()?.1.next)));
        newest.collect()
    }

    /// What was in by the end of an epoch, of what the archive is told.
    pub(crate) fn through(&self, epoch: Epoch) -> Offsets {
        let entries = self.entries.lock();
        let of_epoch = |epochs: &BTreeMap<Epoch, KafkaOffset>| {
            epochs.range(..=epoch).next_back().map(|(_, offset)| *offset).filter(|offset| offset.archived)
        };
        entries.iter().filter_map(|(of, epochs)| Some((of.clone(), of_epoch(epochs)?.next))).collect()
    }

    /// The entries that say nothing about `oldest` or a later epoch: each has a newer one at or below `oldest`.
    pub(crate) fn superseded(&self, oldest: Epoch) -> Vec<MetaKey> {
        let entries = self.entries.lock();
        let mut keys = Vec::new();
        for (of, epochs) in entries.iter() {
            let mut at_or_below: Vec<Epoch> = epochs.range(..=oldest).map(|(epoch, _)| *epoch).collect();
            at_or_below.pop();
            keys.extend(at_or_below.into_iter().map(|epoch| MetaKey::KafkaOffset(epoch, of.clone())));
        }
        keys
    }

    /// What was removed from the disk.
    pub(crate) fn forget(&self, keys: &[MetaKey]) {
        let mut entries = self.entries.lock();
        for key in keys {
            if let MetaKey::KafkaOffset(epoch, of) = key
                && let Some(epochs) = entries.get_mut(of)
            {
                epochs.remove(epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, partition: i32, next: i64, book: &OffsetBook) {
        book.learn(Epoch(epoch), TopicPartition::new("a", partition), KafkaOffset { next, archived: partition < 2 });
    }

    fn offsets(of: &[(i32, i64)]) -> Offsets {
        of.iter().map(|&(partition, next)| (TopicPartition::new("a", partition), next)).collect()
    }

    #[test]
    fn an_entry_holds_until_a_later_epoch_has_its_own() {
        let book = OffsetBook::default();
        for (epoch, partition, next) in [(3, 0, 10), (5, 0, 20), (4, 1, 7), (5, 2, 9)] {
            at(epoch, partition, next, &book);
        }
        assert_eq!(book.newest(), offsets(&[(0, 20), (1, 7), (2, 9)]));
        assert_eq!(book.through(Epoch(2)), Offsets::new());
        assert_eq!(book.through(Epoch(4)), offsets(&[(0, 10), (1, 7)]));
        assert_eq!(book.through(Epoch(9)), offsets(&[(0, 20), (1, 7)]), "the archive is not told of partition 2");
    }

    #[test]
    fn forgetting_superseded_entries_changes_no_answer_that_can_be_asked_for() {
        let book = OffsetBook::default();
        for epoch in 1..9 {
            at(epoch, 0, i64::from(epoch) * 10, &book);
        }
        at(2, 1, 5, &book);
        let asked: Vec<Offsets> = (6..10).map(|epoch| book.through(Epoch(epoch))).collect();
        let keys = book.superseded(Epoch(6));
        assert_eq!(keys.len(), 5, "epochs 1 to 5 of partition 0: {keys:?}");
        book.forget(&keys);
        assert_eq!((6..10).map(|epoch| book.through(Epoch(epoch))).collect::<Vec<_>>(), asked);
        assert_eq!(book.superseded(Epoch(6)), []);
    }
}
