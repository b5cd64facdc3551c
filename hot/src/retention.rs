//! How hours change their owner, and how what nobody owns any more goes (MOVE-1, DROP-1, GC-1).
//!
//! record (synced) ─▶ publish the map ─▶ last reader of older maps ends ─▶ families, class ranges, runs go, then what was
//! recorded of them (`forget`)
//!
//! Thresholds of the map only rise. What the new owner must hold is checked against the records here as well as by
//! whoever asks (DROP-1). Everything dropped is found again at the next call or at the next start, so a crash in between
//! leaves only work. Not here: how long anything is kept (`compactor`).

mod forget;

use runtime::crash_point;
use schemas::keys::Family;
use schemas::meta::{MetaKey, MetaRecord};
use schemas::tier_map::{ColdTable, DeltaVersions, Form, Owner, Thresholds};
use schemas::{Epoch, Hour, Resolution, RetentionClass, TierMap};

use crate::error::HotError;
use crate::locks::HoursGuard;
use crate::run_files;
use crate::store::{Core, Store};

/// What a drop removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropOutcome {
    /// Families removed as a whole.
    pub families: Vec<String>,
    /// Families from which all data of one class was removed.
    pub class_ranges: Vec<(String, RetentionClass)>,
    /// Runs that every owner of every hour of them is through.
    pub runs: Vec<Epoch>,
    pub series_forgotten: u64,
    /// Records of hours that no tier keeps anything of.
    pub records_forgotten: u64,
    /// Something could go, but readers of older views were still at work: call again later.
    pub readers_in_the_way: bool,
}

impl Store {
    /// Records that an hour of a class is in Delta, in every table, through an epoch; publishes.
    pub fn record_archived(
        &self,
        hour: Hour,
        class: RetentionClass,
        through: Epoch,
        versions: DeltaVersions,
        guard: &HoursGuard,
    ) -> Result<(), HotError> {
        debug_assert!(guard.covers(hour), "the hour is locked by whoever archives it");
        let core = self.core();
        core.publication().record(core.engine(), "cannot record an archived hour", |state, change| {
            if through > state.facts().checkpoint {
                return Err(HotError::OutOfOrder {
                    what: "archived through an epoch that is in no run",
                    hour,
                    through,
                });
            }
            for table in ColdTable::DATA {
                change.put(MetaRecord::ArchivedThrough(table, class, hour, through));
            }
            change.put(MetaRecord::Delta(state.facts().map.delta.newest(versions)));
            Ok(())
        })
    }

    /// Records why an hour cannot be sealed or archived, or (`None`) that it can again.
    pub fn record_quarantine(&self, hour: Hour, reason: Option<String>) -> Result<(), HotError> {
        let core = self.core();
        core.publication().record(core.engine(), "cannot record a quarantine", |_, change| {
            match reason {
                Some(reason) => change.put(MetaRecord::Quarantine(hour, reason)),
                None => change.forget(MetaKey::Quarantine(hour)),
            }
            Ok(())
        })
    }

    /// Records newer versions of the Delta tables, and publishes a map that speaks of them.
    pub fn record_versions(&self, versions: DeltaVersions) -> Result<(), HotError> {
        let core = self.core();
        core.publication().record(core.engine(), "cannot record the versions of the archive", |state, change| {
            let recorded = state.facts().map.delta;
            let newest = recorded.newest(versions);
            if newest != recorded {
                change.put(MetaRecord::Delta(newest));
            }
            Ok(())
        })
    }

    /// Raises the thresholds of one (class, form, resolution): hours below change their owner. Synced, then published;
    /// dropping what RocksDB then no longer owns is [`Store::drop_unowned`]'s. `guard` covers the hours that change.
    pub fn raise_thresholds(
        &self,
        class: RetentionClass,
        form: Form,
        resolution: Resolution,
        to: Thresholds,
        guard: &HoursGuard,
    ) -> Result<(), HotError> {
        let core = self.core();
        core.publication().record(core.engine(), "cannot record thresholds", |state, change| {
            let map = &state.facts().map;
            let from = map.thresholds(class, form, resolution);
            check_rise(map, (class, resolution), from, to, guard)?;
            change.put(MetaRecord::Thresholds(class, form, resolution, to));
            change.crash_when_recorded("hot.drop.recorded");
            Ok(())
        })?;
        crash_point("hot.drop.published");
        Ok(())
    }
}

/// Thresholds rise, `cold_lo ≤ hot_lo`, and whatever hour Delta is to own, it holds (DROP-1).
fn check_rise(
    map: &TierMap,
    (class, resolution): (RetentionClass, Resolution),
    from: Thresholds,
    to: Thresholds,
    guard: &HoursGuard,
) -> Result<(), HotError> {
    for (from, to) in [(from.hot_lo, to.hot_lo), (from.cold_lo, to.cold_lo), (to.cold_lo, to.hot_lo)] {
        if to < from {
            return Err(HotError::ThresholdFell { from, to });
        }
    }
    let through_of = |hour| map.sealed_through(hour);
    for (&hour, &sealed) in map.sealed_through.range(from.hot_lo..to.hot_lo) {
        debug_assert!(guard.covers(hour), "whoever moves an hour has locked it");
        let archived = map.archived_through(ColdTable::of(resolution), class, hour);
        if to.owner(hour) == Owner::Cold && archived < sealed {
            let through = through_of(hour);
            return Err(HotError::OutOfOrder { what: "an hour that is not archived cannot be Delta's", hour, through });
        }
    }
    Ok(())
}

impl Core {
    pub(crate) fn raise_intake_floor(&self, class: RetentionClass, hour: Hour) -> Result<(), HotError> {
        self.publication().record(self.engine(), "cannot record an intake floor", |state, change| {
            let from = state.facts().floors.get(&class).copied().unwrap_or_default();
            if hour < from {
                return Err(HotError::ThresholdFell { from, to: hour });
            }
            change.put(MetaRecord::IntakeFloor(class, hour));
            Ok(())
        })?;
        // Appends that checked the floor before it rose end before this is granted.
        drop(self.intake().write());
        Ok(())
    }

    pub(crate) fn drop_unowned(&self) -> Result<DropOutcome, HotError> {
        let _no_run_is_merged = self.runs().lock();
        let mut outcome = DropOutcome::default();
        self.forget_runs()?;
        self.forget_offsets()?;
        let unowned = self.unowned()?;
        let doomed_runs = self.doomed_runs()?;
        if unowned.is_empty() && doomed_runs.is_empty() {
            self.forget_expired(&mut outcome)?;
            return Ok(outcome);
        }
        // What the newest map does not reach, older ones may: their readers come first (GC-1).
        let patience = self.config().readers_patience.as_std();
        if !self.publication().readers().wait_for_older(self.view().number(), patience) {
            outcome.readers_in_the_way = true;
            return Ok(outcome);
        }
        for epoch in doomed_runs {
            run_files::delete_run(self.engine(), epoch)?;
            self.metrics().dropped_runs.inc();
            outcome.runs.push(epoch);
        }
        crash_point("hot.drop.runs_deleted");
        for unowned in unowned {
            self.drop_family(unowned, &mut outcome)?;
            crash_point("hot.drop.family_dropped");
        }
        self.forget_expired(&mut outcome)?;
        if outcome != DropOutcome::default() {
            tracing::info!(?outcome, "dropped what no tier needs");
        }
        Ok(outcome)
    }

    fn drop_family(&self, unowned: Unowned, outcome: &mut DropOutcome) -> Result<(), HotError> {
        let Unowned { family, classes, whole } = unowned;
        // A seal of another class may have been the first to write here meanwhile: a view from now on says so.
        let still_whole = || {
            self.publication().change(|_| ());
            Ok(whole && self.view().classes_in(family)?.iter().all(|class| classes.contains(class)))
        };
        if self.engine().drop_family_if(family, still_whole)? {
            self.metrics().dropped_families.inc();
            self.forget_forms(family)?;
            outcome.families.push(family.to_string());
            return Ok(());
        }
        for class in classes {
            run_files::delete_class(self.engine(), family, class)?;
            self.metrics().dropped_class_ranges.inc();
            outcome.class_ranges.push((family.to_string(), class));
        }
        Ok(())
    }

    /// Runs on disk that no record names any more. Those above the checkpoint are being flushed.
    fn doomed_runs(&self) -> Result<Vec<Epoch>, HotError> {
        let view = self.view();
        let mut epochs = run_files::epochs_on_disk(self.engine())?;
        epochs.retain(|epoch| *epoch <= view.checkpoint() && !view.runs().contains_key(epoch));
        Ok(epochs.into_iter().collect())
    }

    /// Families, and classes in families, of which no threshold can reach anything any more.
    fn unowned(&self) -> Result<Vec<Unowned>, HotError> {
        let view = self.view();
        let mut unowned = Vec::new();
        for family in self.engine().point_families() {
            let Some(hours) = family.hours() else { continue };
            let present = view.classes_in(family)?;
            let gone = |class: &RetentionClass| local_from(view.map(), family, *class) >= hours.end;
            let classes: Vec<RetentionClass> = present.iter().copied().filter(gone).collect();
            // An empty family may be about to be filled, unless nobody could own what comes.
            let whole = classes.len() == present.len() && gone(&RetentionClass::DEFAULT);
            if whole || !classes.is_empty() {
                unowned.push(Unowned { family, classes, whole });
            }
        }
        Ok(unowned)
    }
}

/// A family, or classes in it, that nobody owns.
struct Unowned {
    family: Family,
    classes: Vec<RetentionClass>,
    /// All of it.
    whole: bool,
}

/// The first hour from which on RocksDB owns data of a class that lies in a family of this kind.
fn local_from(map: &TierMap, family: Family, class: RetentionClass) -> Hour {
    let hot_lo = |form, resolution| map.thresholds(class, form, resolution).hot_lo;
    match family {
        Family::Raw(_) => hot_lo(Form::Raw, Resolution::Raw),
        // Chunks that serve 1-minute reads too.
        Family::Raw1m(_) => hot_lo(Form::Raw1m, Resolution::Raw).min(hot_lo(Form::Raw1m, Resolution::Minute)),
        Family::Minute(_) => hot_lo(Form::Raw, Resolution::Minute),
        Family::Hour(_) => hot_lo(Form::Raw, Resolution::Hour).min(hot_lo(Form::Raw1m, Resolution::Hour)),
        Family::Run | Family::Log(_) => Hour(0),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Day;
    use schemas::time::HourRange;

    use super::*;
    use crate::locks::HourLocks;

    const CLASS: RetentionClass = RetentionClass::DEFAULT;

    fn rise(map: &TierMap, to: Thresholds) -> Result<(), HotError> {
        let locks = Arc::new(HourLocks::default());
        let guard = locks.try_lock(HourRange { start: Hour(0), end: Hour(100) }).expect("free");
        check_rise(map, (CLASS, Resolution::Raw), map.thresholds(CLASS, Form::Raw1m, Resolution::Raw), to, &guard)
    }

    #[test]
    fn an_hour_becomes_deltas_only_when_delta_holds_it() {
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(5), Epoch(9));
        let to = |hot_lo, cold_lo| Thresholds { hot_lo: Hour(hot_lo), cold_lo: Hour(cold_lo) };
        assert!(matches!(rise(&map, to(6, 0)), Err(HotError::OutOfOrder { hour: Hour(5), .. })));
        assert!(rise(&map, to(5, 0)).is_ok());
        assert!(rise(&map, to(6, 6)).is_ok(), "a policy may keep nothing in Delta");
        map.archived_through.entry((ColdTable::Raw, CLASS)).or_default().insert(Hour(5), Epoch(9));
        assert!(rise(&map, to(6, 0)).is_ok());
    }

    #[test]
    fn thresholds_never_fall() {
        let mut map = TierMap::default();
        map.thresholds.insert((CLASS, Form::Raw1m, Resolution::Raw), Thresholds { hot_lo: Hour(6), cold_lo: Hour(2) });
        for (hot_lo, cold_lo) in [(5, 2), (6, 1), (6, 7)] {
            let to = Thresholds { hot_lo: Hour(hot_lo), cold_lo: Hour(cold_lo) };
            assert!(matches!(rise(&map, to), Err(HotError::ThresholdFell { .. })), "{hot_lo} {cold_lo}");
        }
    }

    #[test]
    fn chunks_that_serve_minutes_stay_as_long_as_minutes() {
        let mut map = TierMap::default();
        let gone = Thresholds { hot_lo: Hour(48), cold_lo: Hour(0) };
        map.thresholds.insert((CLASS, Form::Raw1m, Resolution::Raw), gone);
        assert_eq!(local_from(&map, Family::Raw1m(Day(1)), CLASS), Hour(0));
        map.thresholds.insert((CLASS, Form::Raw1m, Resolution::Minute), gone);
        assert_eq!(local_from(&map, Family::Raw1m(Day(1)), CLASS), Hour(48));
    }
}
