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
//!    overlays it; only then raise the threshold. It waits for every hour whose seal has failed or not come yet: without
//!    its raw points an hour's rollups could never take in what came late ([`last_copies_through`]).
//! 9. Delta lets go only of hours that the published map calls expired, for each form ([`deletable_through`]).
//! 10. A round passes over hours that somebody else works on (rule 2). Who asks for a seal or an archive wants all hours,
//!     and so takes the others' turns beside its own: that of retention first, so that no two such wait for each other.

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

/// How far `cold_lo` of raw points may rise towards `wanted` (rule 8): up to the first hour that can still be sealed and
/// has points newer than its base. `newer`: the hours that have such points.
pub fn last_copies_through(
    map: &TierMap,
    class: RetentionClass,
    newer: impl IntoIterator<Item = Hour>,
    wanted: Hour,
) -> Hour {
    let can_be_sealed = |hour: &Hour| farthest_raw_owner(map, class, *hour) != Owner::Expired;
    newer.into_iter().filter(can_be_sealed).min().map_or(wanted, |first| first.min(wanted))
}

/// How far Delta may let go of a resolution towards `wanted` (rule 9), by the `cold_lo` of each form: rows of an hour that
/// is expired for one form may be another's.
pub fn deletable_through(cold_los: impl IntoIterator<Item = Hour>, wanted: Hour) -> Hour {
    cold_los.into_iter().min().map_or(wanted, |first| first.min(wanted))
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
    fn the_last_raw_copy_stays_until_what_overlays_it_is_sealed() {
        let mut map = map_with(&[3, 5], &[3, 5]);
        let through = |map: &TierMap, newer: &[u32]| {
            last_copies_through(map, RetentionClass::DEFAULT, newer.iter().map(|&hour| Hour(hour)), Hour(8)).0
        };
        assert_eq!([through(&map, &[]), through(&map, &[9, 12]), through(&map, &[7, 5])], [8, 8, 5]);
        // Nobody can seal it any more, so there is nothing to wait for.
        let gone = Thresholds { hot_lo: Hour(6), cold_lo: Hour(6) };
        map.thresholds.insert((RetentionClass::DEFAULT, Form::Raw, Resolution::Raw), gone);
        assert_eq!([through(&map, &[5]), through(&map, &[5, 7])], [8, 7]);
    }

    #[test]
    fn delta_keeps_what_any_form_may_still_read_there() {
        assert_eq!(deletable_through([Hour(4), Hour(6)], Hour(8)), Hour(4));
        assert_eq!(deletable_through([Hour(9), Hour(12)], Hour(8)), Hour(8));
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
