//! The ordering rules, all of them.
//!
//! 1. Data moves by: write new → verify → record → publish → delete the old after its last reader (MOVE-1). Jobs get
//!    this order from the steps that `hot` and `cold` offer: `HourSeal::write` then `finish`; `HourWriter::commit`
//!    then `record_archived`; `raise_thresholds` then `drop_unowned`.
//! 2. Seal, archive and drop of the same hour exclude each other: each holds the hour's lock from before it reads
//!    the hour's state until after it has recorded its result. An hour must not change its owner under a seal.
//! 3. A seal flushes first; it holds nothing that a flush needs.
//! 4. Merging runs and dropping runs exclude each other: both go through [`Turns::runs`].
//! 5. Hours are sealed and archived in any order: each table's *through* is kept by the hour. One bad hour
//!    holds back nothing but its own drop, and the thresholds behind it.
//! 6. Where Delta owns any of an hour's raw points, a seal commits the whole hour to Delta first, then ingests what is
//!    local, then records both throughs in one synced write. Only the seal commits such an hour: an archive job would
//!    replace it by its local half ([`farthest_raw_owner`]). Where raw is kept nowhere any more, nothing is sealed: a
//!    commit would take the coarser rows away.
//! 7. Nothing is dropped from RocksDB unless every table that the class is promised holds what the seal holds
//!    (DROP-1, [`droppable_through`]).
//! 8. Before the last raw copy of a range goes, in any tier: raise the intake floor, flush, seal and archive what
//!    overlays it; only then raise the threshold.

use schemas::tier_map::{Form, Owner, TierMap};
use schemas::{Epoch, Hour, Resolution, RetentionClass};
use tokio::sync::Mutex;

/// Jobs that must take turns. Hours exclude each other by `hot::Store::lock_hours` (rule 2).
#[derive(Debug, Default)]
pub struct Turns {
    /// Rule 4: merging runs, dropping runs and families.
    pub runs: Mutex<()>,
    /// One seal round at a time: a second one would only wait for the first one's hours.
    pub seals: Mutex<()>,
    /// One archive round at a time: commits to one table by one node are serial anyway.
    pub archives: Mutex<()>,
    /// One retention round at a time.
    pub retention: Mutex<()>,
}

/// How far `hot_lo` may rise from `from` towards `wanted` (rule 7): up to the first hour whose base is not archived.
/// Hours without a base hold nothing that could be lost: runs and head overlay whoever owns them next.
pub fn droppable_through(map: &TierMap, class: RetentionClass, from: Hour, wanted: Hour) -> Hour {
    if wanted <= from {
        return from;
    }
    map.sealed_through
        .range(from..wanted)
        .find(|(hour, through)| **through > Epoch::ZERO && !map.is_archived(class, **hour))
        .map_or(wanted, |(hour, _)| *hour)
}

/// Who owns the raw points of an hour, of whichever form they leave earlier: the choice of rule 6. A metric of that
/// form may appear with the very points that are sealed, so what forms there are plays no part.
pub fn farthest_raw_owner(map: &TierMap, class: RetentionClass, hour: Hour) -> Owner {
    let owners = Form::ALL.map(|form| map.owner(class, form, Resolution::Raw, hour));
    if owners.contains(&Owner::Expired) {
        Owner::Expired
    } else if owners.contains(&Owner::Cold) {
        Owner::Cold
    } else {
        Owner::Local
    }
}

#[cfg(test)]
mod tests {
    use schemas::tier_map::{ColdTable, Thresholds};

    use super::*;

    fn map_with(sealed: &[u32], archived: &[u32]) -> TierMap {
        let mut map = TierMap::default();
        for &hour in sealed {
            map.sealed_through.insert(Hour(hour), Epoch(5));
        }
        for table in ColdTable::DATA {
            for &hour in archived {
                let hours = map.archived_through.entry((table, RetentionClass::DEFAULT)).or_default();
                hours.insert(Hour(hour), Epoch(5));
            }
        }
        map
    }

    #[test]
    fn drop_stops_at_the_first_hour_that_is_not_archived() {
        let map = map_with(&[1, 2, 4, 6], &[1, 2, 6]);
        assert_eq!(droppable_through(&map, RetentionClass::DEFAULT, Hour(0), Hour(9)), Hour(4));
    }

    #[test]
    fn hours_without_data_do_not_hold_back_a_drop() {
        let map = map_with(&[1], &[1]);
        assert_eq!(droppable_through(&map, RetentionClass::DEFAULT, Hour(0), Hour(9)), Hour(9));
    }

    #[test]
    fn a_threshold_never_moves_back() {
        let map = map_with(&[], &[]);
        assert_eq!(droppable_through(&map, RetentionClass::DEFAULT, Hour(5), Hour(3)), Hour(5));
    }

    #[test]
    fn an_hour_is_as_far_away_as_the_form_that_leaves_first() {
        let mut map = map_with(&[], &[]);
        let mut raise = |form, hot_lo, cold_lo| {
            let to = Thresholds { hot_lo: Hour(hot_lo), cold_lo: Hour(cold_lo) };
            map.thresholds.insert((RetentionClass::DEFAULT, form, Resolution::Raw), to);
        };
        raise(Form::Raw, 8, 2);
        raise(Form::Raw1m, 5, 1);
        let owner = |hour| farthest_raw_owner(&map, RetentionClass::DEFAULT, Hour(hour));
        assert_eq!([8, 7, 5, 4, 2].map(owner), [Owner::Local, Owner::Cold, Owner::Cold, Owner::Cold, Owner::Cold]);
        assert_eq!([1, 0].map(owner), [Owner::Expired, Owner::Expired]);
    }
}
