//! A word a series: what becomes of those, nearly all, of which no rule or a single one speaks.
//!
//! Sets of seven series, a cache line each, by the low bits of the series' tag: a look touches one line, and the looks of
//! a batch do not wait for each other. When a set overflows and sets hold two series in the mean, there are twice as many of
//! them, up to a bound; else one series of the set makes room.

use schemas::SeriesHash;

/// Series in a set.
const WAYS: usize = 7;
/// Sets of a new table.
const SETS_MIN: usize = 1 << 6;

/// What is remembered of a series; 0 is nothing.
pub(super) type Word = u8;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Set {
    tags: [u64; WAYS],
    words: [Word; WAYS],
}

/// Words by series.
#[derive(Debug)]
pub(super) struct Words {
    /// A power of two of them.
    sets: Vec<Set>,
    sets_max: usize,
    series: usize,
}

/// What a series is known by here: the upper half of its hash. Series with the same half have the same series id, of
/// which the store takes one only, so telling them apart would gain nothing.
pub(super) fn tag(series: SeriesHash) -> u64 {
    u64::try_from(series.0 >> 64).expect("64 bits")
}

impl Words {
    /// `sets_max` is a power of two.
    pub(super) fn new(sets_max: usize) -> Self {
        Self { sets: vec![Set::default(); SETS_MIN.min(sets_max)], sets_max, series: 0 }
    }

    fn at(&self, tag: u64) -> usize {
        usize::try_from(tag & (self.sets.len() as u64 - 1)).expect("less than there are sets")
    }

    #[inline]
    pub(super) fn get(&self, tag: u64) -> Word {
        let Set { tags, words } = &self.sets[self.at(tag)];
        // All ways, without a branch: a tag stands in one at most.
        tags.iter().zip(words).fold(0, |found, (known, word)| found | if *known == tag { *word } else { 0 })
    }

    pub(super) fn insert(&mut self, tag: u64, word: Word) {
        if self.place(tag, word) {
            return;
        }
        if self.sets.len() < self.sets_max && self.series >= 2 * self.sets.len() {
            self.grow();
        }
        if !self.place(tag, word) {
            // The same place whenever this series comes: of eight that come in turn, most stay.
            let (at, way) = (self.at(tag), (tag >> 32) % WAYS as u64);
            let set = &mut self.sets[at];
            let way = usize::try_from(way).expect("less than there are ways");
            (set.tags[way], set.words[way]) = (tag, word);
        }
    }

    /// Whether there was room.
    fn place(&mut self, tag: u64, word: Word) -> bool {
        let at = self.at(tag);
        let Set { tags, words } = &mut self.sets[at];
        let known = (0..WAYS).find(|way| tags[*way] == tag && words[*way] != 0);
        let Some(way) = known.or_else(|| words.iter().position(|word| *word == 0)) else { return false };
        self.series += usize::from(words[way] == 0);
        (tags[way], words[way]) = (tag, word);
        true
    }

    /// Twice as many sets: each of the old ones becomes two, so nothing overflows.
    fn grow(&mut self) {
        let doubled = vec![Set::default(); self.sets.len() * 2];
        self.series = 0;
        for set in std::mem::replace(&mut self.sets, doubled) {
            for (tag, word) in set.tags.into_iter().zip(set.words).filter(|(_, word)| *word != 0) {
                let placed = self.place(tag, word);
                debug_assert!(placed, "half of a set has room in a set");
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sets.iter().flat_map(|set| set.words).filter(|word| *word != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::splitmix64;

    #[test]
    fn a_set_is_a_cache_line() {
        assert_eq!((size_of::<Set>(), align_of::<Set>()), (64, 64));
    }

    #[test]
    fn nearly_every_series_keeps_its_word_while_there_is_room() {
        let mut words = Words::new(1 << 16);
        let word = |n: u64| Word::try_from(n % 255 + 1).expect("a byte");
        for n in 0..4_000 {
            words.insert(splitmix64(1, n), word(n));
        }
        // Repeats and the tag 0 are like any other.
        words.insert(splitmix64(1, 7), 9);
        assert_eq!(words.get(0), 0);
        words.insert(0, 3);
        assert_eq!((words.get(0), words.get(splitmix64(1, 7)), words.get(splitmix64(2, 0))), (3, 9, 0));
        let found = (0..4_000).filter(|n| *n != 7).map(|n| (words.get(splitmix64(1, n)), word(n)));
        let (known, forgotten): (Vec<_>, Vec<_>) = found.partition(|(found, _)| *found != 0);
        assert!(known.iter().all(|(found, word)| found == word));
        assert!(forgotten.len() < 40, "{} of 4000", forgotten.len());
        assert_eq!((words.len(), words.sets.len()), (words.series, 1 << 11));
    }

    #[test]
    fn it_stays_within_its_bound_and_knows_who_came_last() {
        let mut words = Words::new(2);
        for n in 0..10_000 {
            words.insert(splitmix64(1, n), 5);
            assert_eq!(words.get(splitmix64(1, n)), 5);
        }
        assert_eq!((words.sets.len(), words.len()), (2, 2 * WAYS));
        assert_eq!(words.get(splitmix64(1, 9_990)), 5);
    }

    #[test]
    fn series_that_crowd_into_one_set_make_room_for_each_other() {
        let mut words = Words::new(1 << 8);
        for n in 0..100_u64 {
            words.insert(n << 32, 1);
        }
        assert_eq!((words.sets.len(), words.len()), (SETS_MIN, WAYS), "they alone are no reason to grow");
        assert_eq!(words.get(99 << 32), 1);
    }
}
