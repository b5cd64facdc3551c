//! Prometheus' order of label sets: by name, then value, of each label.
//!
//! all sets ─ next seven bytes of each ─▶ sorted ─▶ runs that are the same so far ─ next seven bytes … ─▶ positions
//!
//! Sets have much in common, which so is looked at once; what is behind the first difference is not looked at.

use std::cmp::Ordering;

use schemas::Labels;
use schemas::labels::RawLabel;

/// Bytes of a text that are compared at once.
const PIECE: usize = 7;

/// The order of two sets.
pub(super) fn compare(a: &Labels, b: &Labels) -> Ordering {
    a.raw().cmp(b.raw())
}

/// The positions of sets in their order; those that are the same stay as they were.
pub(super) fn sorted<'a>(sets: impl Iterator<Item = &'a Labels>) -> Vec<usize> {
    let unread =
        |(at, labels): (usize, &'a Labels)| Unread { piece: 0, text: &[], value: None, rest: labels.raw(), at };
    let mut all: Vec<Unread<'a, _>> = sets.enumerate().map(unread).collect();
    let mut open = vec![(0, all.len())];
    while let Some((start, end)) = open.pop() {
        let run = &mut all[start..end];
        run.iter_mut().for_each(Unread::advance);
        run.sort_by_key(|one| one.piece);
        let mut from = start;
        for same in run.chunk_by(|a, b| a.piece == b.piece) {
            let until = from + same.len();
            if same.len() > 1 && same[0].piece != 0 {
                open.push((from, until));
            }
            from = until;
        }
    }
    all.into_iter().map(|one| one.at).collect()
}

/// A set, less what was looked at.
struct Unread<'a, I> {
    /// What was looked at last, as a number of the same order: bytes, and how many these are or that there are more; zero
    /// behind the last label.
    piece: u64,
    /// Rest of the name or value.
    text: &'a [u8],
    /// That of the name.
    value: Option<&'a [u8]>,
    rest: I,
    at: usize,
}

impl<'a, I: Iterator<Item = RawLabel<'a>>> Unread<'a, I> {
    fn advance(&mut self) {
        if self.text.is_empty() {
            self.text = self.value.take().unwrap_or_else(|| {
                let label = self.rest.next();
                self.value = label.map(|label| label.value);
                label.map_or(&[], |label| label.name)
            });
        }
        self.piece = match self.text.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes) & !0xff | 8,
            None => {
                let byte = |at: usize| self.text.get(at).copied().unwrap_or_default();
                (0..PIECE).fold(0, |number, at| number << 8 | u64::from(byte(at))) << 8 | self.text.len() as u64
            }
        };
        self.text = &self.text[self.text.len().min(PIECE)..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sets() -> impl Strategy<Value = Vec<Labels>> {
        let text =
            proptest::sample::select(vec!["a", "a\0", "aaaaaaa", "aaaaaaab", "aaaaaaa\0", "aaaaaaaaaaaaaaaac", "b"]);
        let set = proptest::collection::btree_map(text.clone(), text, 0..4);
        let labels = set.prop_map(Labels::from_sorted);
        proptest::collection::vec(labels, 0..60)
    }

    proptest! {
        #[test]
        fn sets_are_sorted_as_pairs_of_texts_are(sets in sets()) {
            let mut expected: Vec<usize> = (0..sets.len()).collect();
            expected.sort_by(|a, b| sets[*a].iter().cmp(sets[*b].iter()));
            prop_assert_eq!(sorted(sets.iter()), expected);
        }

        #[test]
        fn two_sets_compare_as_pairs_of_texts_do(sets in sets()) {
            for pair in sets.windows(2) {
                prop_assert_eq!(compare(&pair[0], &pair[1]), pair[0].iter().cmp(pair[1].iter()));
            }
        }
    }
}
