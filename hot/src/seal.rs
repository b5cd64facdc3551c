//! Seals an hour: merges its newer runs into its base, encodes, and rolls up, in one pass.
//!
//! base of the hour ⊕ newer runs ──by (class, metric, sid)──▶ raw chunks, 1 m rows, 1 h rows ──▶ staged files
//! ──finish──▶ sync the WAL ─▶ ingest ─▶ synced meta `sealed_through` ─▶ publish
//!
//! A seal may run again: the same points give the same bytes under the same keys (SEAL-1), so a crash anywhere costs
//! only the work, and later runs are merged by sealing again. Then only the series that they touch are written. Reads
//! overlay what a seal has not reached, so none can miss a point; between ingestion and record they overlay it once
//! more, which changes nothing (SET-1). Where Delta owns the base, the caller brings it, and commits the merged hour
//! to Delta before `finish`. Not here: when an hour is due, Delta itself.

mod form;
mod merge;
mod output;

use std::sync::Arc;

use runtime::crash_point;
use schemas::meta::{MetaRecord, quarantine_key};
use schemas::tier_map::{ColdTable, DeltaVersions, Owner};
use schemas::time::HourRange;
use schemas::{Epoch, Hour, MetricId, Points, Resolution, RetentionClass, SeriesAddress};

use crate::cursor::Access;
use crate::error::{BoxError, HotError};
use crate::facts::Change;
use crate::locks::HoursGuard;
use crate::staging::Staged;
use crate::store::Core;
use crate::view::View;

/// The base of a series whose raw points Delta owns: settled points of the hour.
pub type ColdBase<'a> = &'a mut dyn FnMut(SeriesAddress) -> Result<Points, BoxError>;
/// Sees every series' settled points, by address.
pub type Tee<'a> = &'a mut dyn FnMut(SeriesAddress, &Points) -> Result<(), BoxError>;

/// What a seal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealStats {
    /// Series merged.
    pub series: u64,
    /// Points of these series after merging.
    pub points: u64,
    /// Bytes of raw chunks written, keys included.
    pub raw_bytes: u64,
    /// Bytes of 1-minute rows written, keys included.
    pub minute_bytes: u64,
    /// Bytes of 1-hour rows written, keys included.
    pub hour_bytes: u64,
}

/// A seal that has begun. Holds the hour's lock; dropping it leaves the hour as it was.
#[derive(Debug)]
pub struct HourSeal {
    core: Arc<Core>,
    guard: HoursGuard,
    view: Arc<View>,
    hour: Hour,
    through: Epoch,
    /// Metrics that newer runs hold.
    metrics: Vec<(RetentionClass, MetricId)>,
    staged: Vec<Staged>,
    stats: SealStats,
}

impl HourSeal {
    pub(crate) fn begin(core: &Arc<Core>, hour: Hour) -> Result<Option<Self>, HotError> {
        let Some(guard) = core.locks().try_lock(HourRange { start: hour, end: hour.next() }) else { return Ok(None) };
        let in_head = |view: &View| view.generations().iter().any(|generation| generation.holds_hour(hour));
        let mut view = core.view();
        if in_head(&view) {
            drop(view);
            core.flush()?;
            view = core.view();
        }
        let newer = |held: &schemas::meta::RunHour, epoch| {
            epoch > view.map().sealed_through(hour) || epoch > crate::through::of_raw(view.map(), held)
        };
        if !view.runs().iter().any(|(&epoch, run)| run.hour(hour).is_some_and(|held| newer(held, epoch))) {
            return Ok(None);
        }
        let metrics = merge::newer_metrics(&view, hour)?;
        let through = view.checkpoint();
        let core = Arc::clone(core);
        Ok(Some(Self { core, guard, view, hour, through, metrics, staged: Vec::new(), stats: SealStats::default() }))
    }

    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// The epoch that the hour will be sealed through.
    pub fn through(&self) -> Epoch {
        self.through
    }

    /// Metrics with newer points whose raw base Delta owns: `write` must be given the bases of the hour's series.
    pub fn cold_metrics(&self) -> Vec<(RetentionClass, MetricId)> {
        let cold = |&(class, metric): &(RetentionClass, MetricId)| {
            let form = self.view.map().form(class, metric, self.hour.day());
            self.view.map().owner(class, form, Resolution::Raw, self.hour) == Owner::Cold
        };
        self.metrics.iter().copied().filter(cold).collect()
    }

    /// The state that the seal merges.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Merges, encodes, and writes to staged files; nothing is visible yet.
    ///
    /// Visits the series that newer runs touch; with a `tee`, or `cold_series` (sorted), also all others that the base
    /// or `cold_series` has, by address. `cold` gives the base of a series whose raw points Delta owns.
    pub fn write(
        &mut self,
        cold: Option<ColdBase<'_>>,
        cold_series: &[SeriesAddress],
        tee: Option<Tee<'_>>,
    ) -> Result<SealStats, HotError> {
        form::decide(&self.core, &self.view, self.hour, &self.metrics)?;
        // Forms are decided now, so the map that says them is read again; base and runs stay those of the view.
        let map = Arc::clone(self.core.view().map_arc());
        let addresses = merge::addresses(&self.view, self.hour, cold_series, tee.is_some())?;
        let mut output = output::Outputs::new(&self.core, self.hour);
        let mut merger = merge::Merger::new(&self.view, &map, self.hour, Access::Pass);
        merger.run(&addresses, cold, tee, &mut output)?;
        crash_point("hot.seal.merged");
        (self.staged, self.stats) = output.finish()?;
        crash_point("hot.seal.written");
        Ok(self.stats)
    }

    /// Makes what `write` wrote the base of the hour. `archived` names the classes whose merged hour the caller has
    /// committed to Delta: they are recorded as archived through the same epoch in the same write.
    pub fn finish(
        mut self,
        archived: impl IntoIterator<Item = (RetentionClass, DeltaVersions)>,
    ) -> Result<SealStats, HotError> {
        let engine = self.core.engine();
        // Before the files: the series records that they use (and a power loss must not take those alone).
        engine.sync_wal()?;
        crash_point("hot.seal.synced");
        let mut families = Vec::new();
        for staged in std::mem::take(&mut self.staged) {
            let family = staged.family();
            staged.ingest(engine)?;
            families.push(family);
            crash_point(output::crash_point_of(family));
        }
        self.record(archived.into_iter().collect())?;
        crash_point("hot.seal.published");
        let Self { core, guard, view, stats, hour, .. } = self;
        // Its snapshot would keep what the compaction is to remove.
        drop(view);
        for family in families {
            crate::run_files::compact_overlapping(core.engine(), family, hour);
        }
        drop(guard);
        core.metrics().sealed(&stats);
        Ok(stats)
    }

    fn record(&self, archived: Vec<(RetentionClass, DeltaVersions)>) -> Result<(), HotError> {
        let (engine, hour, through) = (self.core.engine(), self.hour, self.through);
        debug_assert!(self.guard.covers(hour));
        self.core.publication().record(
            |state| {
                let mut change = Change::default();
                change.put(engine, &MetaRecord::SealedThrough(hour, through));
                for (class, _) in &archived {
                    for table in ColdTable::DATA {
                        change.put(engine, &MetaRecord::ArchivedThrough(table, *class, hour, through));
                    }
                }
                if let Some((_, versions)) = archived.last() {
                    change.put(engine, &MetaRecord::Delta(*versions));
                }
                if state.map().quarantined.contains_key(&hour) {
                    change.remove(engine, &quarantine_key(hour));
                }
                change.write(engine, "cannot record a seal")?;
                crash_point("hot.seal.recorded");
                Ok(())
            },
            |state| {
                let map = state.map_mut();
                map.sealed_through.insert(hour, through);
                map.quarantined.remove(&hour);
                for (class, versions) in &archived {
                    for table in ColdTable::DATA {
                        map.archived_through.entry((table, *class)).or_default().insert(hour, through);
                    }
                    map.delta = *versions;
                }
            },
        )
    }
}
