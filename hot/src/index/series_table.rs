//! Hash of a series → its address: sixteen hash tables, each under a lock of its own.
//!
//! A table is probed by the series id (63 bits of the hash) and compared by the whole hash, so one table answers
//! both "who is this series" and "is its id taken by another".

use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use schemas::{MetricId, RetentionClass, SeriesAddress, SeriesHash, SeriesId, Sid};

/// Shards, a power of two.
pub(super) const SHARDS: usize = 16;

/// One series in a table: 32 bytes.
#[derive(Debug)]
pub(super) struct TableEntry {
    /// The hash in halves, upper first: a `u128` would be aligned to 16 bytes.
    hash: [u64; 2],
    sid: Sid,
    metric: MetricId,
    /// The latest era whose batches resolved the series.
    era: AtomicU32,
    class: RetentionClass,
}

impl TableEntry {
    pub(super) fn new(hash: SeriesHash, address: SeriesAddress, era: u32) -> Self {
        let SeriesAddress { class, metric, sid } = address;
        Self { hash: halves(hash), sid, metric, era: AtomicU32::new(era), class }
    }

    pub(super) fn address(&self) -> SeriesAddress {
        SeriesAddress { class: self.class, metric: self.metric, sid: self.sid }
    }

    /// Notes that a batch of this era resolved the series. Writes only when that is news.
    pub(super) fn touch(&self, era: u32) {
        if self.era.load(Ordering::Relaxed) < era {
            self.era.fetch_max(era, Ordering::Relaxed);
        }
    }

    pub(super) fn era(&self) -> u32 {
        self.era.load(Ordering::Relaxed)
    }

    fn series_id(&self) -> SeriesId {
        SeriesId((self.hash[0] >> 1).cast_signed())
    }
}

fn halves(hash: SeriesHash) -> [u64; 2] {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
    [half(hash.0 >> 64), half(hash.0)]
}

/// What a table is probed with: the series id, its bits shifted up so that the topmost counts.
fn probe(id: SeriesId) -> u64 {
    id.0.cast_unsigned() << 1
}

/// The shard of a series, by bits that the tables use neither for the slot nor for the tag.
pub(super) fn shard_of(id: SeriesId) -> usize {
    let [_, _, byte, ..] = id.0.to_be_bytes();
    usize::from(byte) % SHARDS
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<TableEntry>,
}

impl Shard {
    pub(super) fn find(&self, hash: SeriesHash) -> Option<&TableEntry> {
        let wanted = halves(hash);
        self.table.find(probe(hash.series_id()), |entry| entry.hash == wanted)
    }

    pub(super) fn find_id(&self, id: SeriesId) -> Option<&TableEntry> {
        self.table.find(probe(id), |entry| entry.series_id() == id)
    }

    pub(super) fn insert(&mut self, entry: TableEntry) {
        let hash = probe(entry.series_id());
        self.table.insert_unique(hash, entry, |entry| probe(entry.series_id()));
    }

    fn reserve(&mut self, additional: usize) {
        self.table.reserve(additional, |entry| probe(entry.series_id()));
    }

    /// Removes a series unless a batch of `era` or later resolved it.
    pub(super) fn remove_older(&mut self, hash: SeriesHash, era: u32) -> bool {
        let wanted = halves(hash);
        match self.table.find_entry(probe(hash.series_id()), |entry| entry.hash == wanted) {
            Ok(found) if found.get().era() < era => {
                found.remove();
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    shards: [RwLock<Shard>; SHARDS],
}

impl SeriesTable {
    pub(super) fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read()
    }

    pub(super) fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write()
    }

    /// Makes room for about `series` more.
    pub(super) fn reserve(&self, series: usize) {
        let share = series / SHARDS;
        self.shards.iter().for_each(|shard| shard.write().reserve(share + share / 8));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().table.allocation_size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_half_a_cache_line() {
        assert_eq!(size_of::<TableEntry>(), 32);
    }

    #[test]
    fn series_are_found_by_hash_and_by_id_and_stay_while_resolved() {
        let mut shard = Shard::default();
        let address = SeriesAddress { class: RetentionClass::DEFAULT, metric: MetricId(1), sid: Sid(2) };
        let hash = SeriesHash(0xdead_beef << 70 | 5);
        shard.insert(TableEntry::new(hash, address, 3));
        assert_eq!(shard.find(hash).map(TableEntry::address), Some(address));
        let same_id = SeriesHash(hash.0 ^ 1);
        assert!(shard.find(same_id).is_none());
        assert_eq!(shard.find_id(same_id.series_id()).map(TableEntry::address), Some(address));
        shard.find(hash).expect("is there").touch(5);
        shard.find(hash).expect("is there").touch(4);
        assert!(!shard.remove_older(hash, 5));
        assert!(shard.remove_older(hash, 6));
        assert!(shard.find(hash).is_none());
    }
}
