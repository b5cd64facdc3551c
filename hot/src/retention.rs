//! How hours change their owner, and how what nobody owns any more goes (MOVE-1, DROP-1, GC-1).
//!
//! record (synced) ─▶ publish the map ─▶ last reader of older maps ends ─▶ families, class ranges, runs, series go
//!
//! Thresholds of the map only rise. What the new owner must hold is checked against the records here as well as by
//! whoever asks (DROP-1). Everything dropped is found again at the next call or at the next start, so a crash in between
//! leaves only work. Not here: how long anything is kept (`compactor`).

use std::collections::BTreeSet;
use std::sync::Arc;

use rocksdb::WriteBatch;
use runtime::crash_point;
use schemas::keys::Family;
use schemas::meta::{self, MetaRecord, form_key, quarantine_key};
use schemas::tier_map::{ColdTable, DeltaVersions, Form, Owner, Thresholds};
use schemas::{Day, Epoch, Hour, MetricId, Resolution, RetentionClass, TierMap};

use crate::error::HotError;
use crate::facts::Change;
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
        core.publication().record(
            |state| {
                if through > state.checkpoint {
                    return Err(HotError::OutOfOrder {
                        what: "archived through an epoch that is in no run",
                        hour,
                        through,
                    });
                }
                let mut change = Change::default();
                for table in ColdTable::DATA {
                    change.put(core.engine(), &MetaRecord::ArchivedThrough(table, class, hour, through));
                }
                change.put(core.engine(), &MetaRecord::Delta(versions));
                change.write(core.engine(), "cannot record an archived hour")
            },
            |state| {
                let map = state.map_mut();
                for table in ColdTable::DATA {
                    map.archived_through.entry((table, class)).or_default().insert(hour, through);
                }
                map.delta = versions;
            },
        )
    }

    /// Records why an hour cannot be sealed or archived, or (`None`) that it can again.
    pub fn record_quarantine(&self, hour: Hour, reason: Option<String>) -> Result<(), HotError> {
        let core = self.core();
        core.publication().record(
            |_| {
                let mut change = Change::default();
                match &reason {
                    Some(reason) => change.put(core.engine(), &MetaRecord::Quarantine(hour, reason.clone())),
                    None => change.remove(core.engine(), &quarantine_key(hour)),
                }
                change.write(core.engine(), "cannot record a quarantine")
            },
            |state| {
                let quarantined = &mut state.map_mut().quarantined;
                match &reason {
                    Some(reason) => quarantined.insert(hour, reason.clone()),
                    None => quarantined.remove(&hour),
                };
            },
        )
    }

    /// Records newer versions of the Delta tables, and publishes a map that speaks of them.
    pub fn record_versions(&self, versions: DeltaVersions) -> Result<(), HotError> {
        let core = self.core();
        if core.view().map().delta == versions {
            return Ok(());
        }
        core.publication().record(
            |_| {
                let mut change = Change::default();
                change.put(core.engine(), &MetaRecord::Delta(versions));
                change.write(core.engine(), "cannot record the versions of the archive")
            },
            |state| state.map_mut().delta = versions,
        )
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
        core.publication().record(
            |state| {
                let from = state.map().thresholds(class, form, resolution);
                check_rise(state.map(), (class, form, resolution), from, to, guard)?;
                let mut change = Change::default();
                change.put(core.engine(), &MetaRecord::Thresholds(class, form, resolution, to));
                change.write(core.engine(), "cannot record thresholds")?;
                crash_point("hot.drop.recorded");
                Ok(())
            },
            |state| {
                state.map_mut().thresholds.insert((class, form, resolution), to);
            },
        )?;
        crash_point("hot.drop.published");
        Ok(())
    }
}

/// Thresholds rise, `cold_lo ≤ hot_lo`, and whatever hour Delta is to own, it holds (DROP-1).
fn check_rise(
    map: &TierMap,
    (class, form, resolution): (RetentionClass, Form, Resolution),
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
        if to.owner(hour) == Owner::Cold && archived < sealed && holds(map, class, form, hour) {
            let through = through_of(hour);
            return Err(HotError::OutOfOrder { what: "an hour that is not archived cannot be Delta's", hour, through });
        }
    }
    Ok(())
}

/// Whether a class can have anything of a form in an hour.
fn holds(map: &TierMap, class: RetentionClass, form: Form, hour: Hour) -> bool {
    crate::through::forms(map, class, hour.day()).any(|present| present == form)
}

impl Core {
    pub(crate) fn raise_intake_floor(&self, class: RetentionClass, hour: Hour) -> Result<(), HotError> {
        self.publication().record(
            |state| {
                let from = state.floors.get(&class).copied().unwrap_or_default();
                if hour < from {
                    return Err(HotError::ThresholdFell { from, to: hour });
                }
                let mut change = Change::default();
                change.put(self.engine(), &MetaRecord::IntakeFloor(class, hour));
                change.write(self.engine(), "cannot record an intake floor")
            },
            |state| {
                Arc::make_mut(&mut state.floors).insert(class, hour);
            },
        )?;
        // Appends that checked the floor before it rose end before this is granted.
        drop(self.intake().write());
        Ok(())
    }

    pub(crate) fn drop_unowned(&self) -> Result<DropOutcome, HotError> {
        let _no_run_is_merged = self.runs().lock();
        let mut outcome = DropOutcome::default();
        self.forget_runs()?;
        let unowned = self.unowned()?;
        let doomed_runs = self.doomed_runs()?;
        if unowned.is_empty() && doomed_runs.is_empty() {
            self.forget_series(&mut outcome)?;
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
            outcome.runs.push(epoch);
        }
        crash_point("hot.drop.runs_deleted");
        for unowned in unowned {
            self.drop_family(unowned, &mut outcome)?;
            crash_point("hot.drop.family_dropped");
        }
        self.forget_series(&mut outcome)?;
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
            self.forget_forms(family)?;
            outcome.families.push(family.to_string());
            return Ok(());
        }
        for class in classes {
            run_files::delete_class(self.engine(), family, class)?;
            outcome.class_ranges.push((family.to_string(), class));
        }
        Ok(())
    }

    /// Takes runs out of the records and the map that every owner is through.
    fn forget_runs(&self) -> Result<(), HotError> {
        let view = self.view();
        let through = |(epoch, run): (&Epoch, &Arc<meta::RunRecord>)| {
            run.hours.iter().all(|held| crate::through::of_all(view.map(), held) >= *epoch).then_some(*epoch)
        };
        let done: Vec<Epoch> = view.runs().iter().filter_map(through).collect();
        drop(view);
        if done.is_empty() {
            return Ok(());
        }
        self.publication().record(
            |_| {
                let mut change = Change::default();
                for &epoch in &done {
                    change.remove(self.engine(), &meta::run_key(epoch));
                }
                change.write(self.engine(), "cannot forget runs")
            },
            |state| {
                let runs = state.runs_mut();
                for epoch in &done {
                    runs.remove(epoch);
                }
            },
        )?;
        crash_point("hot.drop.runs_forgotten");
        tracing::debug!(runs = done.len(), "runs are in their bases");
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

    /// Forgets the forms of a day of which no family of chunks is left.
    fn forget_forms(&self, dropped: Family) -> Result<(), HotError> {
        let (Family::Raw(day) | Family::Raw1m(day)) = dropped else { return Ok(()) };
        let families = self.engine().point_families();
        let hours = day.hours();
        let needed = [Family::Raw(day), Family::Raw1m(day), Family::Minute(hours.start.week())];
        if needed.iter().any(|family| families.contains(family)) {
            return Ok(());
        }
        let of_day: Vec<(RetentionClass, Day, MetricId)> =
            self.view().map().forms.keys().copied().filter(|(_, of, _)| *of == day).collect();
        self.publication().record(
            |_| {
                let mut change = Change::default();
                for (class, day, metric) in &of_day {
                    change.remove(self.engine(), &form_key(*class, *day, *metric));
                }
                change.write(self.engine(), "cannot forget the forms of a day")
            },
            |state| {
                let forms = Arc::make_mut(&mut state.map_mut().forms);
                for key in &of_day {
                    forms.remove(key);
                }
            },
        )
    }

    /// Forgets series whose last active day has left every tier.
    fn forget_series(&self, outcome: &mut DropOutcome) -> Result<(), HotError> {
        let view = self.view();
        let mut classes: BTreeSet<RetentionClass> = view.map().thresholds.keys().map(|(class, _, _)| *class).collect();
        classes.insert(RetentionClass::DEFAULT);
        for family in self.engine().point_families().into_iter().filter(|family| family.hours().is_some()) {
            classes.extend(view.classes_in(family)?);
        }
        let first_kept =
            classes.iter().map(|&class| first_kept_hour(view.map(), class)).min().unwrap_or_default().day();
        if first_kept == Day(0) {
            return Ok(());
        }
        let in_use = |sid| view.generations().iter().any(|generation| generation.holds_series(sid));
        let mut batch = WriteBatch::default();
        outcome.series_forgotten = self.index().forget_inactive(first_kept, &in_use, &mut batch);
        self.engine().write_synced(batch, "cannot forget inactive series")?;
        if outcome.series_forgotten > 0
            && let Err(error) = self.commit_index()
        {
            // Then they go with the next commit; after a crash before it they are forgotten once more.
            tracing::debug!(%error, "records of forgotten series are not deleted yet");
        }
        Ok(())
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

/// The first hour of which some tier keeps something of a class.
fn first_kept_hour(map: &TierMap, class: RetentionClass) -> Hour {
    let mut first = Hour::MAX;
    for form in Form::ALL {
        for resolution in Resolution::ALL {
            let thresholds = map.thresholds(class, form, resolution);
            first = first.min(thresholds.cold_lo.min(thresholds.hot_lo));
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::HourLocks;
    use schemas::time::HourRange;

    const CLASS: RetentionClass = RetentionClass::DEFAULT;

    fn rise(map: &TierMap, to: Thresholds) -> Result<(), HotError> {
        let locks = Arc::new(HourLocks::default());
        let guard = locks.try_lock(HourRange { start: Hour(0), end: Hour(100) }).expect("free");
        let what = (CLASS, Form::Raw1m, Resolution::Raw);
        check_rise(map, what, map.thresholds(CLASS, Form::Raw1m, Resolution::Raw), to, &guard)
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
