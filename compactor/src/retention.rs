//! Retention: raises thresholds as far as durations ask and DROP-1 allows, then deletes what nobody owns.
//!
//! durations ─▶ wanted thresholds (`plan::wanted_thresholds`, pure) ─▶ guard (`order::droppable_through`) ─▶ raise, publish
//! ─▶ delete families, runs, Delta partitions
//!
//! A threshold never moves back: data that is gone does not return with a longer duration.

use std::collections::BTreeSet;
use std::sync::Arc;

use cold::Archive;
use hot::{Store, View};
use runtime::CpuPool;
use schemas::labels::METRIC_NAME;
use schemas::tier_map::{ColdTable, Thresholds};
use schemas::time::HourRange;
use schemas::{DurationMs, Hour, LabelMatcher, Retention, RetentionClass, TierMap, TimestampMs};

use crate::error::CompactorError;
use crate::order;
use crate::plan::{self, Wanted};
use crate::report::{DropPlace, PlannedDrop, RetentionPlan, RetentionReport};

/// How long a series stays in the table of series after its last data.
const NAMES_KEPT_LONGER: DurationMs = DurationMs::days(7);

/// The parts that retention works with.
#[derive(Debug, Clone)]
pub(crate) struct Retainer {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
}

/// One threshold and how far it may rise now.
#[derive(Debug, Clone, Copy)]
struct Rise {
    wanted: Wanted,
    from: Thresholds,
    to: Thresholds,
}

impl Retainer {
    /// What would go now, counted from what is stored. Reads the hours that would go; changes nothing.
    pub(crate) async fn plan(&self, retention: &Retention, now: TimestampMs) -> Result<RetentionPlan, CompactorError> {
        let view = self.store.view();
        let rises = rises(view.map(), retention, now);
        let counting = Arc::clone(&view);
        let mut drops = self
            .pool
            .run(move || rises.into_iter().map(|rise| local_drop(&counting, &rise)).collect::<Result<Vec<_>, _>>())
            .await?;
        for (table, keep) in plan::cold_durations(retention) {
            drops.push(self.cold_drop(table, keep, now).await?);
        }
        Ok(RetentionPlan { drops })
    }

    /// What would leave a Delta table: whole partitions.
    async fn cold_drop(
        &self,
        table: ColdTable,
        keep: DurationMs,
        now: TimestampMs,
    ) -> Result<PlannedDrop, CompactorError> {
        let before = Hour::containing(now.minus(keep)).day();
        let expired = self.archive.plan_expire(table, RetentionClass::DEFAULT, before).await?;
        let hour = before.hours().start;
        let series = if expired.files == 0 { 0 } else { self.archived_series(hour).await? };
        Ok(PlannedDrop {
            place: DropPlace::Cold { table },
            class: RetentionClass::DEFAULT,
            before: hour,
            wanted: hour,
            keep,
            series,
            points: expired.rows,
            bytes: expired.bytes,
            held_back: None,
        })
    }

    /// Series that the archive has data of before an hour.
    async fn archived_series(&self, before: Hour) -> Result<u64, CompactorError> {
        let everything = [LabelMatcher::not_equal(METRIC_NAME, "")];
        let until = HourRange { start: Hour(0), end: before }.time();
        let found = self.archive.select_series(&self.archive.versions(), &everything, Some(until)).await?;
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    /// When the last raw copy of some hours is about to go: raises the intake floor to the first hour that stays, and
    /// returns it (rule 8).
    pub(crate) async fn last_copies_rise(
        &self,
        retention: &Retention,
        now: TimestampMs,
    ) -> Result<Option<Hour>, CompactorError> {
        let class = RetentionClass::DEFAULT;
        let floor = plan::wanted_intake_floor(retention, now);
        if floor <= Hour::containing(self.store.intake_floor()) {
            return Ok(None);
        }
        let store = Arc::clone(&self.store);
        self.pool.run(move || store.raise_intake_floor(class, floor)).await?;
        Ok(Some(floor))
    }

    /// Raises every threshold as far as it may go, each under the lock of the hours that change their owner (rule 2).
    pub(crate) async fn raise_thresholds(
        &self,
        retention: &Retention,
        now: TimestampMs,
        report: &mut RetentionReport,
    ) -> Result<(), CompactorError> {
        let view = self.store.view();
        for rise in rises(view.map(), retention, now) {
            if rise.to == rise.from {
                continue;
            }
            let changing = changing_hours(view.map(), &rise);
            let Some(guard) = self.store.lock_hours(changing) else { continue };
            // Looked at again under the lock: a seal may have finished since.
            let current = self.store.view();
            let allowed = order::droppable_through(current.map(), rise.wanted.class, rise.from.hot_lo, rise.to.hot_lo);
            if allowed < rise.to.hot_lo {
                continue;
            }
            let (store, to, wanted) = (Arc::clone(&self.store), rise.to, rise.wanted);
            self.pool
                .run(move || store.raise_thresholds(wanted.class, wanted.form, wanted.resolution, to, &guard))
                .await?;
            runtime::crash_point("compactor.drop.recorded");
            report.drops.push(outline(&rise));
        }
        Ok(())
    }

    /// Deletes what no threshold can reach: column families, runs, Delta partitions.
    pub(crate) async fn delete_unowned(
        &self,
        retention: &Retention,
        now: TimestampMs,
        report: &mut RetentionReport,
    ) -> Result<(), CompactorError> {
        let store = Arc::clone(&self.store);
        let dropped = self.pool.run(move || store.drop_unowned()).await?;
        runtime::crash_point("compactor.drop.deleted");
        report.families_dropped += u64::try_from(dropped.families.len()).unwrap_or(u64::MAX);
        report.runs_dropped += u64::try_from(dropped.runs.len()).unwrap_or(u64::MAX);
        report.series_forgotten += dropped.series_forgotten;
        for (table, keep) in plan::cold_durations(retention) {
            let before = Hour::containing(now.minus(keep)).day();
            let expired = self.archive.expire(table, RetentionClass::DEFAULT, before).await?;
            report.delta_files_removed += expired.files;
        }
        // A series' name goes a week after the last table that could hold its data let it go.
        let longest = plan::cold_durations(retention).into_iter().map(|(_, keep)| keep).max().unwrap_or_default();
        let forgotten = Hour::containing(now.minus(longest).minus(NAMES_KEPT_LONGER)).day();
        self.archive.expire(ColdTable::Series, RetentionClass::DEFAULT, forgotten).await?;
        let (store, versions) = (Arc::clone(&self.store), self.archive.versions());
        if store.view().map().delta != versions {
            self.pool.run(move || store.record_versions(versions)).await?;
        }
        Ok(())
    }
}

/// How far each threshold may rise towards what the durations want.
fn rises(map: &TierMap, retention: &Retention, now: TimestampMs) -> Vec<Rise> {
    plan::wanted_thresholds(retention, now)
        .into_iter()
        .map(|wanted| {
            let from = map.thresholds(wanted.class, wanted.form, wanted.resolution);
            let hot_lo = order::droppable_through(map, wanted.class, from.hot_lo, wanted.thresholds.hot_lo);
            let cold_lo = from.cold_lo.max(wanted.thresholds.cold_lo.min(hot_lo));
            Rise { wanted, from, to: Thresholds { hot_lo, cold_lo } }
        })
        .collect()
}

/// The hours that change their owner: from the first one that can hold data.
fn changing_hours(map: &TierMap, rise: &Rise) -> HourRange {
    let end = rise.to.hot_lo.max(rise.to.cold_lo);
    let first = map.sealed_through.keys().next().copied().unwrap_or(end);
    HourRange { start: first.max(rise.from.cold_lo).min(end), end }
}

fn outline(rise: &Rise) -> PlannedDrop {
    let Wanted { class, form, resolution, thresholds, keep } = rise.wanted;
    let held = rise.to.hot_lo < thresholds.hot_lo;
    PlannedDrop {
        place: DropPlace::Local { form, resolution },
        class,
        before: rise.to.hot_lo,
        wanted: thresholds.hot_lo,
        keep,
        series: 0,
        points: 0,
        bytes: 0,
        held_back: held.then(|| format!("hour {} is not archived yet", rise.to.hot_lo)),
    }
}

/// The outline of a drop with the counts of what is stored below its threshold.
fn local_drop(view: &View, rise: &Rise) -> Result<PlannedDrop, CompactorError> {
    let mut drop = outline(rise);
    let mut series = BTreeSet::new();
    let hours = view.map().sealed_through.range(rise.from.hot_lo..rise.to.hot_lo.max(rise.from.hot_lo));
    for (&hour, _) in hours {
        let contents = view.contents(hour, rise.wanted.class, rise.wanted.form, rise.wanted.resolution)?;
        drop.points += contents.points;
        drop.bytes += contents.bytes;
        series.extend(contents.series);
    }
    drop.series = u64::try_from(series.len()).unwrap_or(u64::MAX);
    Ok(drop)
}

#[cfg(test)]
mod tests {
    use schemas::tier_map::{ColdTable, Form};
    use schemas::{Epoch, Resolution};

    use super::*;

    #[test]
    fn thresholds_rise_only_past_archived_hours() {
        let now = TimestampMs(Hour(1_000).start().0);
        let retention = Retention { hot_raw: DurationMs::hours(100), ..Retention::default() };
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(880), Epoch(3));
        let raw = |map: &TierMap| {
            let found = rises(map, &retention, now);
            let of_raw = |r: &&Rise| r.wanted.form == Form::Raw && r.wanted.resolution == Resolution::Raw;
            found.iter().find(of_raw).expect("raw has a threshold").to.hot_lo
        };
        assert_eq!(raw(&map), Hour(880));
        for table in ColdTable::DATA {
            map.archived_through.entry((table, RetentionClass::DEFAULT)).or_default().insert(Hour(880), Epoch(3));
        }
        assert_eq!(raw(&map), Hour(900));
    }

    #[test]
    fn longer_durations_do_not_move_a_threshold_back() {
        let now = TimestampMs(Hour(10_000).start().0);
        let mut map = TierMap::default();
        let high = Thresholds { hot_lo: Hour(9_999), cold_lo: Hour(9_000) };
        for form in Form::ALL {
            for resolution in Resolution::ALL {
                map.thresholds.insert((RetentionClass::DEFAULT, form, resolution), high);
            }
        }
        assert!(rises(&map, &Retention::default(), now).iter().all(|rise| rise.to == high));
    }
}
