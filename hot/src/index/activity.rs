//! Which series have points on which day (column family `act`).
//!
//! append ─▶ `mark` (nothing to do but for a series' first points of a day) ─▶ changed blocks ─▶ `persist` at a flush
//!
//! A bit is in memory before the points it stands for are visible, and on disk before their log is dropped: a replay
//! sets it again. Days are dropped as a whole, when every tier has let go of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;
use roaring::RoaringBitmap;
use schemas::series_record::{ActivityKey, activity_bitmap, begin_activity};
use schemas::{Day, Sid};

/// Series of one page of last days.
const PAGE: usize = 4_096;

#[derive(Debug, Default)]
struct DayActivity {
    series: RoaringBitmap,
    /// Upper halves of numbers whose block changed since it was persisted.
    changed: BTreeSet<u16>,
}

/// What [`Activity::persist`] wrote, to be handed back if the write fails.
#[derive(Debug, Default)]
pub(crate) struct PersistedActivity(Vec<ActivityKey>);

#[derive(Debug, Default)]
pub(super) struct Activity {
    days: RwLock<BTreeMap<Day, DayActivity>>,
    /// By series, the latest marked day plus one; so the ordinary mark is one comparison.
    last: RwLock<Vec<Option<Box<[AtomicU32]>>>>,
    /// Days before this one are gone; marks there are made the long way.
    first_kept: AtomicU32,
}

impl Activity {
    /// Marks series as active on a day.
    pub(super) fn mark(&self, day: Day, sids: impl Iterator<Item = Sid>) {
        let kept = day.0 >= self.first_kept.load(Ordering::Relaxed);
        let fresh: Vec<u32> = {
            let last = self.last.read();
            let marked = |sid: u32| {
                let cell =
                    last.get(sid as usize / PAGE).and_then(Option::as_ref).map(|page| &page[sid as usize % PAGE]);
                kept && cell.is_some_and(|cell| cell.load(Ordering::Acquire) == day.0 + 1)
            };
            sids.map(|sid| sid.0).filter(|sid| !marked(*sid)).collect()
        };
        if fresh.is_empty() {
            return;
        }
        let known = |days: &BTreeMap<Day, DayActivity>| {
            days.get(&day).is_some_and(|active| fresh.iter().all(|sid| active.series.contains(*sid)))
        };
        if !known(&self.days.read()) {
            let mut days = self.days.write();
            let active = days.entry(day).or_default();
            for &sid in &fresh {
                if active.series.insert(sid) {
                    active.changed.insert(high_half(sid));
                }
            }
        }
        self.remember(day, &fresh);
    }

    /// Raises the last days, after the bits are set: who sees the day here may skip them.
    fn remember(&self, day: Day, sids: &[u32]) {
        let mut missing = Vec::new();
        {
            let last = self.last.read();
            for &sid in sids {
                match last.get(sid as usize / PAGE).and_then(Option::as_ref) {
                    Some(page) => {
                        page[sid as usize % PAGE].fetch_max(day.0 + 1, Ordering::AcqRel);
                    }
                    None => missing.push(sid),
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        let mut last = self.last.write();
        for sid in missing {
            let (page, cell) = (sid as usize / PAGE, sid as usize % PAGE);
            if last.len() <= page {
                last.resize_with(page + 1, || None);
            }
            let page = last[page].get_or_insert_with(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
            page[cell].fetch_max(day.0 + 1, Ordering::AcqRel);
        }
    }

    /// The members of `set` that were active on one of the days from `first` to `last`, both included.
    pub(super) fn among(&self, set: &RoaringBitmap, first: Day, last: Day) -> RoaringBitmap {
        let days = self.days.read();
        let mut active = RoaringBitmap::new();
        for (_, day) in days.range(first..=last) {
            active |= set & &day.series;
            if active.len() == set.len() {
                break;
            }
        }
        active
    }

    /// Series active on `first` or later.
    pub(super) fn since(&self, first: Day) -> RoaringBitmap {
        let days = self.days.read();
        days.range(first..).fold(RoaringBitmap::new(), |mut active, (_, day)| {
            active |= &day.series;
            active
        })
    }

    /// Hands the key and value of every changed block to `put`.
    pub(super) fn persist(&self, mut put: impl FnMut(ActivityKey, Vec<u8>)) -> PersistedActivity {
        let changed: Vec<ActivityKey> = {
            let mut days = self.days.write();
            let keys = |(&day, active): (&Day, &mut DayActivity)| {
                std::mem::take(&mut active.changed).into_iter().map(move |high| ActivityKey { day, high })
            };
            days.iter_mut().flat_map(keys).collect()
        };
        let days = self.days.read();
        for &key in &changed {
            let Some(active) = days.get(&key.day) else { continue };
            let first = u32::from(key.high) << 16;
            let block: RoaringBitmap = active.series.range(first..=first | 0xffff).collect();
            let mut value = begin_activity(block.serialized_size());
            block.serialize_into(&mut value).expect("memory takes every write");
            put(key, value);
        }
        PersistedActivity(changed)
    }

    /// Takes back what was handed out but not written.
    pub(super) fn restore(&self, unwritten: PersistedActivity) {
        let mut days = self.days.write();
        for key in unwritten.0 {
            if let Some(active) = days.get_mut(&key.day) {
                active.changed.insert(key.high);
            }
        }
    }

    /// Puts a block as it was persisted; the error says what is wrong with it.
    pub(super) fn load(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let key = ActivityKey::decode(key).map_err(|error| error.to_string())?;
        let bytes = activity_bitmap(value).map_err(|error| error.to_string())?;
        let block = RoaringBitmap::deserialize_from(bytes).map_err(|error| error.to_string())?;
        let strays = |sid: Option<u32>| sid.is_some_and(|sid| high_half(sid) != key.high);
        if strays(block.min()) || strays(block.max()) {
            return Err("series of another block".to_owned());
        }
        self.days.write().entry(key.day).or_default().series |= block;
        Ok(())
    }

    /// Forgets the days before `first_kept`.
    pub(super) fn drop_before(&self, first_kept: Day) {
        self.first_kept.fetch_max(first_kept.0, Ordering::Relaxed);
        let mut days = self.days.write();
        let kept = days.split_off(&first_kept);
        *days = kept;
    }

    /// Frees the pages of last days that hold removed series only; `live` is what remains.
    pub(super) fn free_pages(&self, live: &RoaringBitmap) {
        let top = live.max().map_or(0, |sid| sid as usize / PAGE);
        for (index, page) in self.last.write().iter_mut().enumerate().take(top) {
            let first = u32::try_from(index * PAGE).unwrap_or(u32::MAX);
            let end = first.saturating_add(u32::try_from(PAGE - 1).unwrap_or(u32::MAX));
            if live.range(first..=end).next().is_none() {
                *page = None;
            }
        }
    }

    /// The first and last day that have active series.
    #[cfg(test)]
    pub(super) fn extent(&self) -> Option<(Day, Day)> {
        let days = self.days.read();
        Some((*days.first_key_value()?.0, *days.last_key_value()?.0))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let pages = self.last.read().iter().flatten().count();
        let days: usize = self.days.read().values().map(|day| day.series.serialized_size()).sum();
        pages * PAGE * size_of::<AtomicU32>() + days
    }
}

fn high_half(sid: u32) -> u16 {
    u16::try_from(sid >> 16).expect("sixteen bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(activity: &Activity, day: u32) -> Vec<u32> {
        activity.among(&RoaringBitmap::from_iter(0..200_000_u32), Day(day), Day(day)).iter().collect()
    }

    fn persisted(activity: &Activity) -> (Vec<(ActivityKey, Vec<u8>)>, PersistedActivity) {
        let mut blocks = Vec::new();
        let written = activity.persist(|key, value| blocks.push((key, value)));
        (blocks, written)
    }

    #[test]
    fn days_are_kept_apart_in_any_order_of_marks() {
        let activity = Activity::default();
        let mark = |day, sids: &[u32]| activity.mark(Day(day), sids.iter().map(|sid| Sid(*sid)));
        mark(10, &[1, 2, 70_000]);
        mark(9, &[2]);
        mark(10, &[2, 3]);
        mark(9, &[1, 2]);
        assert_eq!((marked(&activity, 9), marked(&activity, 10)), (vec![1, 2], vec![1, 2, 3, 70_000]));
        assert_eq!(activity.since(Day(10)).len(), 4);
        assert_eq!(activity.extent(), Some((Day(9), Day(10))));
    }

    #[test]
    fn only_changed_blocks_are_persisted_and_an_unwritten_one_comes_again() {
        let activity = Activity::default();
        activity.mark(Day(10), [Sid(1), Sid(70_000)].into_iter());
        let (first, _) = persisted(&activity);
        assert_eq!(first.len(), 2);
        assert!(persisted(&activity).0.is_empty());
        activity.mark(Day(10), [Sid(1), Sid(70_001)].into_iter());
        let (second, written) = persisted(&activity);
        assert_eq!(second.iter().map(|(key, _)| key.high).collect::<Vec<_>>(), vec![1]);
        activity.restore(written);
        assert_eq!(persisted(&activity).0, second);

        let loaded = Activity::default();
        for (key, value) in first.iter().chain(&second) {
            loaded.load(&key.encode(), value).expect("was persisted");
        }
        assert_eq!(marked(&loaded, 10), vec![1, 70_000, 70_001]);
    }

    #[test]
    fn a_dropped_day_can_be_marked_again() {
        let activity = Activity::default();
        activity.mark(Day(10), [Sid(1)].into_iter());
        activity.drop_before(Day(11));
        assert!(marked(&activity, 10).is_empty());
        activity.mark(Day(10), [Sid(1)].into_iter());
        assert_eq!(marked(&activity, 10), vec![1]);
    }

    #[test]
    fn pages_of_removed_series_are_freed_and_others_stay() {
        let activity = Activity::default();
        activity.mark(Day(10), (0..10_000).map(Sid));
        let before = activity.memory_bytes();
        activity.free_pages(&RoaringBitmap::from_iter(4_096..10_000_u32));
        assert_eq!(before - activity.memory_bytes(), PAGE * 4);
        activity.mark(Day(11), [Sid(0), Sid(5_000)].into_iter());
        assert_eq!(marked(&activity, 11), vec![0, 5_000]);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let activity = Activity::default();
        activity.mark(Day(10), [Sid(70_000)].into_iter());
        let (blocks, _) = persisted(&activity);
        let (key, value) = &blocks[0];
        let other = ActivityKey { high: 0, ..*key };
        assert!(activity.load(&other.encode(), value).is_err());
        assert!(activity.load(&key.encode(), &value[..value.len() - 1]).is_err());
        assert!(activity.load(&key.encode()[..3], value).is_err());
    }
}
