//! How far the bases of an hour are: which runs are still needed, by whom.
//!
//! run's hour (its classes) × forms × resolutions ─▶ owner of each ─▶ the least of their throughs
//!
//! A run may go, and its points may be left out of a merge of runs, only when every owner that may answer for its
//! hours is through it. Hours that nobody owns any more need nothing. Both forms count, whichever metrics have: a form that
//! appears with a later seal would bring new owners, and the least must never fall.

use schemas::meta::RunHour;
use schemas::tier_map::{Form, Owner};
use schemas::{Epoch, Hour, Resolution, RetentionClass, TierMap};

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
        for form in Form::ALL {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::tier_map::{ColdTable, Thresholds};
    use schemas::{Day, MetricId};

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
    fn a_form_that_appears_takes_nothing_back() {
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(5), Epoch(9));
        let gone = Thresholds { hot_lo: Hour(6), cold_lo: Hour(0) };
        map.thresholds.insert((CLASS, Form::Raw, Resolution::Raw), gone);
        assert_eq!(of_raw(&map, &held(5)), Epoch::ZERO, "Delta owns one form and lacks it");
        Arc::make_mut(&mut map.forms).insert((CLASS, Day(0), MetricId(3)), Form::Raw);
        assert_eq!(of_raw(&map, &held(5)), Epoch::ZERO);
        map.thresholds.insert((CLASS, Form::Raw, Resolution::Raw), Thresholds { hot_lo: Hour(6), cold_lo: Hour(6) });
        assert_eq!(of_raw(&map, &held(5)), Epoch(9), "an expired owner needs nothing");
    }
}
