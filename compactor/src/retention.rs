//! Retention: raises thresholds as far as durations ask and DROP-1 allows, then deletes what nobody owns.
//!
//! durations ─▶ wanted thresholds (`plan::wanted_thresholds`, pure) ─▶ guards (`order::droppable_through`,
//! `order::last_copies_through`) ─▶ raise, publish ─▶ delete families, runs, Delta partitions (`order::deletable_through`)
//!
//! A threshold never moves back: data that is gone does not return with a longer duration.

use std::collections::BTreeSet;
use std::sync::Arc;

use cold::Archive;
use hot::{Store, View};
use runtime::CpuPool;
use schemas::labels::METRIC_NAME;
use schemas::tier_map::{ColdTable, Form, Thresholds};
use schemas::time::HourRange;
use schemas::{DurationMs, Hour, LabelMatcher, Resolution, Retention, RetentionClass, TierMap, TimestampMs};

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
    /// Why it does not rise as far as is wanted.
    held_by: Option<HeldBy>,
}

/// What a threshold waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldBy {
    /// The hour is sealed, and not archived (rule 7).
    Unarchived(Hour),
    /// The hour has points that are not sealed yet (rule 8).
    Unsealed(Hour),
}

impl std::fmt::Display for HeldBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unarchived(hour) => write!(f, "hour {hour} is not archived yet"),
            Self::Unsealed(hour) => write!(f, "hour {hour} has points that are not sealed yet"),
        }
    }
}

impl Retainer {
    /// What would go now, counted from what is stored. Reads the hours that would go; changes nothing.
    pub(crate) async fn plan(&self, retention: &Retention, now: TimestampMs) -> Result<RetentionPlan, CompactorError> {
        let view = self.store.view();
        let rises = rises(view.map(), &newer_hours(&view), retention, now);
        let (counting, counted) = (Arc::clone(&view), rises.clone());
        let mut drops = self
            .pool
            .run(move || counted.iter().map(|rise| local_drop(&counting, rise)).collect::<Result<Vec<_>, _>>())
            .await?;
        for (table, keep) in plan::cold_durations(retention) {
            // As the thresholds would be by then.
            let of_table: Vec<&Rise> =
                rises.iter().filter(|rise| ColdTable::of(rise.wanted.resolution) == table).collect();
            let held_by = of_table.iter().filter_map(|rise| rise.held_by).next();
            let cold_los = of_table.iter().map(|rise| rise.to.cold_lo);
            drops.push(self.cold_drop(table, keep, now, cold_los, held_by).await?);
        }
        Ok(RetentionPlan { drops })
    }

    /// What would leave a Delta table: whole partitions.
    async fn cold_drop(
        &self,
        table: ColdTable,
        keep: DurationMs,
        now: TimestampMs,
        cold_los: impl IntoIterator<Item = Hour>,
        held_by: Option<HeldBy>,
    ) -> Result<PlannedDrop, CompactorError> {
        let wanted = Hour::containing(now.minus(keep));
        let before = order::deletable_through(cold_los, wanted).day();
        let wanted = wanted.day().hours().start;
        let expired = self.archive.plan_expire(table, RetentionClass::DEFAULT, before).await?;
        let hour = before.hours().start;
        let series = if expired.files == 0 { 0 } else { self.archived_series(hour).await? };
        Ok(PlannedDrop {
            place: DropPlace::Cold { table },
            class: RetentionClass::DEFAULT,
            before: hour,
            wanted,
            keep,
            series,
            points: expired.rows,
            bytes: expired.bytes,
            held_back: held_by.filter(|_| hour < wanted).map(|held_by| held_by.to_string()),
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
    /// Hours that hold one back are no failure: it rises at a later round.
    pub(crate) async fn raise_thresholds(
        &self,
        retention: &Retention,
        now: TimestampMs,
        report: &mut RetentionReport,
    ) -> Result<(), CompactorError> {
        let view = self.store.view();
        for rise in rises(view.map(), &newer_hours(&view), retention, now) {
            if rise.to == rise.from {
                continue;
            }
            let changing = changing_hours(&rise);
            let Some(guard) = self.store.lock_hours(changing) else { continue };
            // Looked at again under the lock: a seal may have finished since.
            let current = self.store.view();
            let allowed = rise_of(current.map(), &newer_hours(&current), rise.wanted).to;
            if allowed.hot_lo < rise.to.hot_lo || allowed.cold_lo < rise.to.cold_lo {
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
            let wanted = Hour::containing(now.minus(keep));
            let before = order::deletable_through(cold_los(self.store.view().map(), table), wanted).day();
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
fn rises(map: &TierMap, newer: &[Hour], retention: &Retention, now: TimestampMs) -> Vec<Rise> {
    plan::wanted_thresholds(retention, now).into_iter().map(|wanted| rise_of(map, newer, wanted)).collect()
}

fn rise_of(map: &TierMap, newer: &[Hour], wanted: Wanted) -> Rise {
    let Wanted { class, form, resolution, thresholds, .. } = wanted;
    let from = map.thresholds(class, form, resolution);
    let hot_lo = order::droppable_through(map, class, from.hot_lo, thresholds.hot_lo);
    let mut cold_lo = thresholds.cold_lo.min(hot_lo);
    let mut held_by = (hot_lo < thresholds.hot_lo).then_some(HeldBy::Unarchived(hot_lo));
    if resolution == Resolution::Raw {
        let kept = order::last_copies_through(map, class, newer.iter().copied(), cold_lo);
        if kept < cold_lo {
            held_by = Some(HeldBy::Unsealed(kept));
            cold_lo = kept;
        }
    }
    Rise { wanted, from, to: Thresholds { hot_lo, cold_lo: from.cold_lo.max(cold_lo) }, held_by }
}

/// The hours with points newer than their base.
fn newer_hours(view: &View) -> Vec<Hour> {
    view.overlay_hours().into_iter().map(|(hour, _)| hour).collect()
}

/// From where on a table's rows are owned, by form.
fn cold_los(map: &TierMap, table: ColdTable) -> impl Iterator<Item = Hour> {
    let of_table = Resolution::ALL.into_iter().filter(move |&resolution| ColdTable::of(resolution) == table);
    of_table.flat_map(move |resolution| {
        Form::ALL.map(|form| map.thresholds(RetentionClass::DEFAULT, form, resolution).cold_lo)
    })
}

/// The hours that change their owner, and those between them.
fn changing_hours(rise: &Rise) -> HourRange {
    HourRange { start: rise.from.cold_lo, end: rise.to.hot_lo }
}

fn outline(rise: &Rise) -> PlannedDrop {
    let Wanted { class, form, resolution, thresholds, keep } = rise.wanted;
    PlannedDrop {
        place: DropPlace::Local { form, resolution },
        class,
        before: rise.to.hot_lo,
        wanted: thresholds.hot_lo,
        keep,
        series: 0,
        points: 0,
        bytes: 0,
        held_back: rise.held_by.map(|held_by| held_by.to_string()),
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
    use schemas::Epoch;

    use super::*;

    #[test]
    fn thresholds_rise_only_past_archived_hours() {
        let now = TimestampMs(Hour(1_000).start().0);
        let retention = Retention { hot_raw: DurationMs::hours(100), ..Retention::default() };
        let mut map = TierMap::default();
        map.sealed_through.insert(Hour(880), Epoch(3));
        let raw = |map: &TierMap| {
            let found = rises(map, &[], &retention, now);
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
        assert!(rises(&map, &[Hour(1)], &Retention::default(), now).iter().all(|rise| rise.to == high));
    }

    #[test]
    fn only_raw_points_wait_for_late_ones_and_say_so() {
        let now = TimestampMs(Hour(100_000).start().0);
        let (map, retention) = (TierMap::default(), Retention::default());
        for rise in rises(&map, &[Hour(500)], &retention, now) {
            let wanted = rise.wanted.thresholds;
            assert_eq!(rise.to.hot_lo, wanted.hot_lo, "runs overlay whoever owns the hour next");
            if rise.wanted.resolution == Resolution::Raw {
                assert_eq!((rise.to.cold_lo, rise.held_by), (Hour(500), Some(HeldBy::Unsealed(Hour(500)))));
            } else {
                assert_eq!((rise.to.cold_lo, rise.held_by), (wanted.cold_lo, None));
            }
        }
    }
}
