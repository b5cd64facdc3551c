//! What is recorded goes once nobody asks for it: runs, forms, series, hours.
//!
//! every owner is through a run ─▶ the run · no family of its chunks is left ─▶ a day's forms · the last active day has
//! left every tier ─▶ a series · no tier keeps anything of it ─▶ an hour's throughs
//!
//! Each is found again at the next call, so a crash in between leaves only work.

use std::collections::BTreeSet;
use std::sync::Arc;

use rocksdb::WriteBatch;
use runtime::crash_point;
use schemas::keys::Family;
use schemas::meta::{MetaKey, RunRecord};
use schemas::tier_map::Form;
use schemas::time::HourRange;
use schemas::{Day, Epoch, Hour, Resolution, RetentionClass, TierMap};

use super::DropOutcome;
use crate::error::HotError;
use crate::store::Core;
use crate::view::View;

impl Core {
    /// Takes runs out of the records and the map that every owner is through.
    pub(super) fn forget_runs(&self) -> Result<(), HotError> {
        let view = self.view();
        let through = |(epoch, run): (&Epoch, &Arc<RunRecord>)| {
            run.hours.iter().all(|held| crate::through::of_all(view.map(), held) >= *epoch).then_some(*epoch)
        };
        let done: Vec<Epoch> = view.runs().iter().filter_map(through).collect();
        drop(view);
        if done.is_empty() {
            return Ok(());
        }
        self.publication().record(self.engine(), "cannot forget runs", |_, change| {
            done.iter().for_each(|&epoch| change.forget(MetaKey::Run(epoch)));
            Ok(())
        })?;
        crash_point("hot.drop.runs_forgotten");
        tracing::debug!(runs = done.len(), "runs are in their bases");
        Ok(())
    }

    /// Forgets Kafka offsets of epochs that nobody can ask about any more: those before the oldest run, and before the
    /// oldest seal that is not archived.
    pub(super) fn forget_offsets(&self) -> Result<(), HotError> {
        let view = self.view();
        let map = view.map();
        let runs = view.runs().keys().map(|epoch| Epoch(epoch.0.saturating_sub(1)));
        let unarchived =
            map.sealed_through.iter().filter(|(hour, _)| !map.is_archived(RetentionClass::DEFAULT, **hour));
        let oldest = runs.chain(unarchived.map(|(_, through)| *through)).chain([view.checkpoint()]).min();
        let keys = self.offsets().superseded(oldest.unwrap_or_default());
        if keys.is_empty() {
            return Ok(());
        }
        self.publication().record(self.engine(), "cannot forget Kafka offsets", |_, change| {
            keys.iter().for_each(|key| change.forget(key.clone()));
            Ok(())
        })?;
        self.offsets().forget(&keys);
        Ok(())
    }

    /// Forgets the forms of a day of which no family of chunks is left.
    pub(super) fn forget_forms(&self, dropped: Family) -> Result<(), HotError> {
        let (Family::Raw(day) | Family::Raw1m(day)) = dropped else { return Ok(()) };
        let families = self.engine().point_families();
        let hours = day.hours();
        let needed = [Family::Raw(day), Family::Raw1m(day), Family::Minute(hours.start.week())];
        if needed.iter().any(|family| families.contains(family)) {
            return Ok(());
        }
        self.publication().record(self.engine(), "cannot forget the forms of a day", |state, change| {
            let of_day = state.facts().map.forms.keys().filter(|(_, of, _)| *of == day);
            of_day.for_each(|&(class, day, metric)| change.forget(MetaKey::Form(class, day, metric)));
            Ok(())
        })
    }

    /// Forgets what no tier has data of any more.
    pub(super) fn forget_expired(&self, outcome: &mut DropOutcome) -> Result<(), HotError> {
        let view = self.view();
        let first_kept = self.first_kept(&view)?;
        if first_kept.day() == Day(0) {
            return Ok(());
        }
        self.forget_series(&view, first_kept, outcome)?;
        self.forget_hours(&view, first_kept, outcome)
    }

    /// The first hour of which some tier keeps something of some class.
    fn first_kept(&self, view: &View) -> Result<Hour, HotError> {
        let mut classes: BTreeSet<RetentionClass> = view.map().thresholds.keys().map(|(class, _, _)| *class).collect();
        classes.insert(RetentionClass::DEFAULT);
        for family in self.engine().point_families().into_iter().filter(|family| family.hours().is_some()) {
            classes.extend(view.classes_in(family)?);
        }
        Ok(classes.iter().map(|&class| first_kept_hour(view.map(), class)).min().unwrap_or_default())
    }

    /// Forgets series whose last active day has left every tier.
    fn forget_series(&self, view: &View, first_kept: Hour, outcome: &mut DropOutcome) -> Result<(), HotError> {
        let in_use = |sid| view.generations().iter().any(|generation| generation.holds_series(sid));
        let mut batch = WriteBatch::default();
        outcome.series_forgotten = self.index().forget_inactive(first_kept.day(), &in_use, &mut batch);
        self.engine().write_synced(batch, "cannot forget inactive series")?;
        self.metrics().forgotten_series.inc_by(outcome.series_forgotten);
        if outcome.series_forgotten > 0
            && let Err(error) = self.commit_index()
        {
            // Then they go with the next commit; after a crash before it they are forgotten once more.
            tracing::debug!(%error, "records of forgotten series are not deleted yet");
        }
        Ok(())
    }

    /// Forgets through which epoch hours are sealed and archived that no tier keeps anything of, and that no run and no
    /// head holds. Nobody asks any more: an expired hour has no owner, its points are refused, and thresholds never fall.
    fn forget_hours(&self, view: &View, first_kept: Hour, outcome: &mut DropOutcome) -> Result<(), HotError> {
        let in_runs = view.runs().values().flat_map(|run| run.hours.iter().map(|held| held.hour));
        let first_held = in_runs.chain(view.head_hours()).min();
        let end = first_held.map_or(first_kept, |held| held.min(first_kept));
        let old = old_records(view.map(), end);
        if old.is_empty() {
            return Ok(());
        }
        let Some(_guard) = self.locks().try_lock(HourRange { start: Hour(0), end }) else { return Ok(()) };
        self.publication().record(self.engine(), "cannot forget expired hours", |_, change| {
            old.iter().for_each(|key| change.forget(key.clone()));
            Ok(())
        })?;
        outcome.records_forgotten = old.len() as u64;
        Ok(())
    }
}

/// What is recorded of hours before `end`.
fn old_records(map: &TierMap, end: Hour) -> Vec<MetaKey> {
    let sealed = map.sealed_through.range(..end).map(|(&hour, _)| MetaKey::SealedThrough(hour));
    let quarantined = map.quarantined.range(..end).map(|(&hour, _)| MetaKey::Quarantine(hour));
    let archived = map.archived_through.iter().flat_map(|(&(table, class), hours)| {
        hours.range(..end).map(move |(&hour, _)| MetaKey::ArchivedThrough(table, class, hour))
    });
    sealed.chain(quarantined).chain(archived).collect()
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
