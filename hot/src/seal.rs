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
use schemas::meta::{MetaKey, MetaRecord};
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::time::HourRange;
use schemas::{Epoch, Hour, MetricId, Points, RetentionClass, SeriesAddress};

use crate::cursor::Access;
use crate::error::{BoxError, HotError};
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
            core.flush_hour(hour)?;
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
        self.record(&archived.into_iter().collect::<Vec<_>>())?;
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

    fn record(&self, archived: &[(RetentionClass, DeltaVersions)]) -> Result<(), HotError> {
        let (hour, through) = (self.hour, self.through);
        debug_assert!(self.guard.covers(hour));
        self.core.publication().record(self.core.engine(), "cannot record a seal", |state, change| {
            let map = &state.facts().map;
            change.put(MetaRecord::SealedThrough(hour, through));
            for (class, _) in archived {
                for table in ColdTable::DATA {
                    change.put(MetaRecord::ArchivedThrough(table, *class, hour, through));
                }
            }
            if !archived.is_empty() {
                change.put(MetaRecord::Delta(newest(map.delta, archived)));
            }
            if map.quarantined.contains_key(&hour) {
                change.forget(MetaKey::Quarantine(hour));
            }
            change.crash_when_recorded("hot.seal.recorded");
            Ok(())
        })
    }
}

/// The versions of the archive once these commits are recorded.
fn newest(recorded: DeltaVersions, archived: &[(RetentionClass, DeltaVersions)]) -> DeltaVersions {
    archived.iter().fold(recorded, |newest, (_, versions)| newest.newest(*versions))
}
