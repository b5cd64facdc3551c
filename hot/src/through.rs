//! How far the bases of an hour are: which runs are still needed, by whom.
//!
//! run's hour (its classes) × forms of the day × resolutions ─▶ owner of each ─▶ the least of their throughs
//!
//! A run may go, and its points may be left out of a merge of runs, only when every owner that may answer for its
//! hours is through it. Hours that nobody owns any more need nothing.

use schemas::meta::RunHour;
use schemas::tier_map::{Form, Owner};
use schemas::{Day, Epoch, Hour, MetricId, Resolution, RetentionClass, TierMap};

/// What no epoch is newer than.
const EVERYTHING: Epoch = Epoch(u32::MAX);

/// The epoch through which every owner of raw points of this hour holds everything.
pub(crate) fn of_raw(map: &TierMap, held: &RunHour) -> Epoch {
    least(map, held.hour, &held.classes, &[Resolution::Raw])
}

/// The epoch through which every owner of this hour, at any resolution, holds everything.
pub(crate) fn of_all(map: &TierMap, held: &RunHour) -> Epoch {
    least(map, held.hour, &held.classes, &Resolution::ALL)
}

fn least(map: &TierMap, hour: Hour, classes: &[RetentionClass], resolutions: &[Resolution]) -> Epoch {
    let mut least = EVERYTHING;
    for &class in classes {
        for form in forms(map, class, hour.day()) {
            for &resolution in resolutions {
                least = least.min(match map.owner(class, form, resolution, hour) {
                    Owner::Local | Owner::Cold => map.owner_through(class, form, resolution, hour),
                    Owner::Expired => EVERYTHING,
                });
            }
        }
    }
    least
}

/// The forms that metrics of a class may have on a day; an undecided one is identity.
pub(crate) fn forms(map: &TierMap, class: RetentionClass, day: Day) -> impl Iterator<Item = Form> {
    let of_day = (class, day, MetricId(0))..=(class, day, MetricId(u32::MAX));
    let any_raw = map.forms.range(of_day).any(|(_, &form)| form == Form::Raw);
    std::iter::once(Form::Raw1m).chain(any_raw.then_some(Form::Raw))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::tier_map::{ColdTable, Thresholds};

    use super::*;

    const CLASS: RetentionClass = RetentionClass::DEFAULT;

    fn held(hour: u32) -> RunHour {
        RunHour { hour: Hour(hour), points: 1, classes: vec![CLASS] }
    }

    #[test]
    fn a_run_is_needed_until_every_owner_is_through_it() {
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(5), Epoch(9));
        assert_eq!((of_raw(&map, &held(5)), of_all(&map, &held(5))), (Epoch(9), Epoch(9)));
        let gone = Thresholds { hot_lo: Hour(6), cold_lo: Hour(0) };
        map.thresholds.insert((CLASS, Form::Raw1m, Resolution::Hour), gone);
        map.archived_through.entry((ColdTable::Rollup1h, CLASS)).or_default().insert(Hour(5), Epoch(7));
        assert_eq!((of_raw(&map, &held(5)), of_all(&map, &held(5))), (Epoch(9), Epoch(7)));
    }

    #[test]
    fn forms_that_no_metric_has_and_expired_owners_need_nothing() {
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(5), Epoch(9));
        let gone = Thresholds { hot_lo: Hour(6), cold_lo: Hour(0) };
        map.thresholds.insert((CLASS, Form::Raw, Resolution::Raw), gone);
        assert_eq!(of_raw(&map, &held(5)), Epoch(9));
        Arc::make_mut(&mut map.forms).insert((CLASS, Day(0), MetricId(3)), Form::Raw);
        assert_eq!(of_raw(&map, &held(5)), Epoch::ZERO);
        map.thresholds.insert((CLASS, Form::Raw, Resolution::Raw), Thresholds { hot_lo: Hour(6), cold_lo: Hour(6) });
        assert_eq!(of_raw(&map, &held(5)), Epoch(9));
    }
}
