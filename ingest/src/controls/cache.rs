//! The fates of series that came lately, so that a steady sender pays for its rules once a series.
//!
//! Two generations: when the younger is full it becomes the older, and the older goes. What is asked for again moves
//! from the older to the younger, so that series that keep coming stay.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use schemas::SeriesHash;

use super::plan::Fate;

/// Bounds of one generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Series; 7/8 of a power of two is what a hash table holds before it grows.
    pub(super) series: usize,
    /// Bytes of fates beside the table itself.
    pub(super) bytes: usize,
}

impl Room {
    /// Two generations: 900,000 series in 33 MiB of tables, and 128 MiB for changed labels (about 300 bytes a series).
    pub(super) const DEFAULT: Self = Self { series: (1 << 19) / 8 * 7, bytes: 64 << 20 };
}

type Generation = HashMap<u128, Fate, BuildHasherDefault<AlreadyHashed>>;

/// Fates by series.
#[derive(Debug)]
pub(super) struct FateCache {
    room: Room,
    young: Generation,
    old: Generation,
    /// Of the younger generation.
    bytes: usize,
}

/// Where a fate was found.
#[derive(Debug)]
pub(super) enum Found<'c> {
    Young(&'c Fate),
    /// About to be forgotten: insert it again.
    Old(&'c Fate),
}

impl FateCache {
    pub(super) fn new(room: Room) -> Self {
        Self { room, young: Generation::default(), old: Generation::default(), bytes: 0 }
    }

    pub(super) fn get(&self, series: SeriesHash) -> Option<Found<'_>> {
        match self.young.get(&series.0) {
            Some(fate) => Some(Found::Young(fate)),
            None => self.old.get(&series.0).map(Found::Old),
        }
    }

    pub(super) fn insert(&mut self, series: SeriesHash, fate: Fate) {
        let bytes = fate.heap_bytes();
        if self.young.len() >= self.room.series || self.bytes + bytes > self.room.bytes {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self.young.insert(series.0, fate).is_none() {
            self.bytes += bytes;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Series hashes are hashes already: their low half serves.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The low bytes are the first on the machines that we run on; any eight would do.
        for (at, byte) in bytes.iter().take(8).enumerate() {
            self.0 ^= u64::from(*byte) << (8 * at);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = u64::try_from(hash & u128::from(u64::MAX)).expect("64 bits");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controls::plan::Steps;

    fn hash(n: u128) -> SeriesHash {
        SeriesHash(n)
    }

    #[test]
    fn what_keeps_coming_stays_and_the_rest_is_forgotten() {
        let mut cache = FateCache::new(Room { series: 2, bytes: 1_000 });
        cache.insert(hash(1), Fate::Drop { slot: 1 });
        for n in 10..20 {
            cache.insert(hash(n), Fate::Untouched);
            let again = match cache.get(hash(1)) {
                Some(Found::Old(fate)) => Some(fate.clone()),
                Some(Found::Young(_)) => None,
                None => panic!("it came with every step"),
            };
            if let Some(fate) = again {
                cache.insert(hash(1), fate);
            }
        }
        assert!(cache.len() <= 4, "{}", cache.len());
        assert!(cache.get(hash(10)).is_none());
    }

    #[test]
    fn bytes_bound_it_as_well() {
        let steps = || {
            let relabelled = Some((vec![0; 400].into_boxed_slice(), hash(0)));
            Fate::Steps(Arc::new(Steps { steps: Box::default(), relabelled }))
        };
        let mut cache = FateCache::new(Room { series: 1_000, bytes: 1_000 });
        for n in 0..100 {
            cache.insert(hash(n), steps());
        }
        assert!(cache.len() <= 4, "{}", cache.len());
        assert!(cache.get(hash(99)).is_some());
    }
}
