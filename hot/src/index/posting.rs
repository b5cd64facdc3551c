//! A set of series: a few numbers in place, more of them as a roaring bitmap.
//!
//! Most label values of a wide index name a handful of series (an address, a pod), for which a bitmap would cost ten
//! times the numbers themselves.

use roaring::RoaringBitmap;
use schemas::Sid;
use smallvec::SmallVec;

/// From this many series on a set is a bitmap.
const FEW_MAX: usize = 32;

#[derive(Debug, Clone)]
pub(super) enum Posting {
    /// Ascending.
    Few(SmallVec<[u32; 4]>),
    Many(RoaringBitmap),
}

impl Default for Posting {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Posting {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Few(sids) => sids.len() as u64,
            Self::Many(bitmap) => bitmap.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(sids) => sids.is_empty(),
            Self::Many(bitmap) => bitmap.is_empty(),
        }
    }

    pub(super) fn insert(&mut self, sid: Sid) {
        match self {
            Self::Few(sids) => {
                if let Err(at) = sids.binary_search(&sid.0) {
                    sids.insert(at, sid.0);
                }
                if sids.len() > FEW_MAX {
                    *self = Self::Many(self.to_bitmap());
                }
            }
            Self::Many(bitmap) => {
                // Numbers are given out in order, and appending skips the search.
                if bitmap.try_push(sid.0).is_err() {
                    bitmap.insert(sid.0);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, sid: Sid) {
        match self {
            Self::Few(sids) => {
                if let Ok(at) = sids.binary_search(&sid.0) {
                    sids.remove(at);
                }
            }
            Self::Many(bitmap) => {
                bitmap.remove(sid.0);
            }
        }
    }

    pub(super) fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Few(sids) => sids.iter().copied().collect(),
            Self::Many(bitmap) => bitmap.clone(),
        }
    }

    pub(super) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Self::Few(sids) => set.extend(sids),
            Self::Many(bitmap) => *set |= bitmap,
        }
    }

    pub(super) fn keep_in(&self, set: &mut RoaringBitmap) {
        match self {
            Self::Few(sids) => *set = sids.iter().copied().filter(|sid| set.contains(*sid)).collect(),
            Self::Many(bitmap) => *set &= bitmap,
        }
    }

    pub(super) fn take_from(&self, set: &mut RoaringBitmap) {
        match self {
            Self::Few(sids) => {
                for sid in sids {
                    set.remove(*sid);
                }
            }
            Self::Many(bitmap) => *set -= bitmap,
        }
    }

    pub(super) fn intersects(&self, set: &RoaringBitmap) -> bool {
        match self {
            Self::Few(sids) => sids.iter().any(|sid| set.contains(*sid)),
            Self::Many(bitmap) => !bitmap.is_disjoint(set),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_posting_is_a_set_whatever_its_shape() {
        let mut posting = Posting::default();
        let mut model = BTreeSet::new();
        for i in 0..200_u32 {
            let sid = i * 7_919 % 5_003;
            posting.insert(Sid(sid));
            posting.insert(Sid(sid));
            model.insert(sid);
            assert_eq!(posting.len(), model.len() as u64);
        }
        let listed = |posting: &Posting| posting.to_bitmap().iter().collect::<BTreeSet<_>>();
        assert_eq!(listed(&posting), model);
        for sid in model.clone() {
            posting.remove(Sid(sid));
            model.remove(&sid);
            assert_eq!((posting.is_empty(), listed(&posting)), (model.is_empty(), model.clone()));
        }
    }

    #[test]
    fn both_shapes_combine_with_a_set_alike() {
        for members in [3_u32, 300] {
            let mut posting = Posting::default();
            (0..members).for_each(|i| posting.insert(Sid(i * 2)));
            let set: RoaringBitmap = (0..4).chain([100_000]).collect();
            let apply = |change: fn(&Posting, &mut RoaringBitmap)| {
                let mut set = set.clone();
                change(&posting, &mut set);
                set.iter().take(6).collect::<Vec<_>>()
            };
            assert_eq!(apply(Posting::keep_in), vec![0, 2]);
            assert_eq!(apply(Posting::take_from), vec![1, 3, 100_000]);
            assert_eq!(apply(Posting::add_to)[..5], [0, 1, 2, 3, 4]);
            assert!(posting.intersects(&set));
            assert!(!posting.intersects(&RoaringBitmap::from_iter([1, 3])));
        }
    }
}
