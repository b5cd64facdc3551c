//! The fates of series that came lately, so that a steady sender pays for its rules once a series.
//!
//! Most fates are one word (no rule speaks of the series, or one drops it): they are in [`words`]. The others are in two
//! generations of a map: when the younger is full it becomes the older, and the older goes. What is asked for again
//! moves from the older to the younger, so that series that keep coming stay.

mod words;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use schemas::SeriesHash;

use self::words::{Word, Words, tag};
use super::plan::{Fate, Steps};
use super::rule::{Action, Rules};

/// Nothing is known of the series, or not here.
pub(super) const UNKNOWN: Word = 0;
/// [`Fate::Untouched`].
pub(super) const UNTOUCHED: Word = 1;
/// The word of a fate that counts in slot 0.
const FIRST_SLOT: Word = 2;

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Sets of words, each 64 bytes for up to seven series.
    pub(super) sets: usize,
    /// Series of one generation.
    pub(super) series: usize,
    /// Bytes of their fates, beside the map itself.
    pub(super) bytes: usize,
}

impl Room {
    /// 32 MiB of words, room for a million series; and two generations of 128 MiB for those whose labels change or whose points
    /// are thinned out, about 300 and 100 bytes each.
    pub(super) const DEFAULT: Self = Self { sets: 1 << 19, series: (1 << 19) / 8 * 7, bytes: 128 << 20 };
}

type Generation = HashMap<u64, Arc<Steps>, BuildHasherDefault<AlreadyHashed>>;

/// Fates by series.
#[derive(Debug)]
pub(super) struct FateCache {
    room: Room,
    words: Words,
    young: Generation,
    old: Generation,
    /// Of the younger generation.
    bytes: usize,
}

/// Where a fate of several steps was found.
#[derive(Debug)]
pub(super) enum Found<'c> {
    Young(&'c Arc<Steps>),
    /// About to be forgotten: insert it again.
    Old(&'c Arc<Steps>),
}

impl FateCache {
    pub(super) fn new(room: Room) -> Self {
        let words = Words::new(room.sets);
        Self { room, words, young: Generation::default(), old: Generation::default(), bytes: 0 }
    }

    /// The fate of a series where it is a word.
    #[inline]
    pub(super) fn word(&self, series: SeriesHash) -> Word {
        self.words.get(tag(series))
    }

    /// The fate of a series where it is several steps.
    pub(super) fn steps(&self, series: SeriesHash) -> Option<Found<'_>> {
        match self.young.get(&tag(series)) {
            Some(steps) => Some(Found::Young(steps)),
            None => self.old.get(&tag(series)).map(Found::Old),
        }
    }

    pub(super) fn insert(&mut self, series: SeriesHash, fate: &Fate) {
        match fate {
            Fate::Untouched => self.words.insert(tag(series), UNTOUCHED),
            Fate::Drop { slot } | Fate::Count { slot } => {
                let word = Word::try_from(*slot).ok().and_then(|slot| slot.checked_add(FIRST_SLOT));
                self.words.insert(tag(series), word.expect("rules are bounded so that their slots fit"));
            }
            Fate::Steps(steps) => self.insert_steps(tag(series), steps),
        }
    }

    fn insert_steps(&mut self, tag: u64, steps: &Arc<Steps>) {
        let bytes = steps.heap_bytes();
        if self.young.len() >= self.room.series || self.bytes + bytes > self.room.bytes {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self.young.insert(tag, Arc::clone(steps)).is_none() {
            self.bytes += bytes;
        }
    }
}

/// The fate that a word stands for, under these rules; none if it is [`UNKNOWN`].
pub(super) fn fate_of(word: Word, rules: &Rules) -> Option<Fate> {
    match word {
        UNKNOWN => None,
        UNTOUCHED => Some(Fate::Untouched),
        _ => {
            let slot = usize::from(word - FIRST_SLOT);
            let drops = rules.of_slot(slot).is_some_and(|rule| *rule.action() == Action::Drop);
            Some(if drops { Fate::Drop { slot } } else { Fate::Count { slot } })
        }
    }
}

/// Halves of series hashes are hashes already.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> SeriesHash {
        SeriesHash(u128::from(crate::mix::splitmix64(1, n)) << 64)
    }

    fn steps(bytes: usize) -> Fate {
        let relabelled = Some((vec![0; bytes].into_boxed_slice(), hash(0)));
        Fate::Steps(Arc::new(Steps { steps: Box::default(), relabelled }))
    }

    #[test]
    fn what_keeps_coming_stays_and_the_rest_is_forgotten() {
        let mut cache = FateCache::new(Room { sets: 2, series: 2, bytes: 10_000 });
        cache.insert(hash(1), &steps(1));
        for n in 10..20 {
            cache.insert(hash(n), &steps(2));
            let again = match cache.steps(hash(1)) {
                Some(Found::Old(steps)) => Some(Fate::Steps(Arc::clone(steps))),
                Some(Found::Young(_)) => None,
                None => panic!("it came with every step"),
            };
            if let Some(fate) = again {
                cache.insert(hash(1), &fate);
            }
        }
        assert!(cache.young.len() + cache.old.len() <= 4, "{cache:?}");
        assert!(cache.steps(hash(10)).is_none());
    }

    #[test]
    fn bytes_bound_it_as_well() {
        let mut cache = FateCache::new(Room { sets: 2, series: 1_000, bytes: 1_000 });
        for n in 0..100 {
            cache.insert(hash(n), &steps(400));
        }
        assert!(cache.young.len() + cache.old.len() <= 4, "{cache:?}");
        assert!(cache.steps(hash(99)).is_some());
    }

    #[test]
    fn every_slot_of_a_full_list_has_a_word() {
        let rule = |n: usize| {
            let action = if n.is_multiple_of(2) { Action::Drop } else { Action::Keep };
            crate::controls::Rule::new(format!("r{n}"), Vec::new(), action).expect("valid")
        };
        let rules = Rules::new((0..crate::controls::RULES_MAX).map(rule).collect()).expect("as many as may be");
        let mut cache = FateCache::new(Room { sets: 1 << 8, series: 1, bytes: 1 });
        for (n, index) in (0..).zip(0..rules.len()) {
            let slot = index * crate::controls::plan::SLOTS_PER_RULE;
            let fate = if index.is_multiple_of(2) { Fate::Drop { slot } } else { Fate::Count { slot: slot + 1 } };
            cache.insert(hash(n), &fate);
            assert_eq!(fate_of(cache.word(hash(n)), &rules), Some(fate));
        }
        assert_eq!(fate_of(cache.word(hash(1_000)), &rules), None);
    }
}
