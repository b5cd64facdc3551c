//! Flush: the head of an ended epoch becomes a run on disk, then its log is dropped.
//!
//! switch generation and log ─▶ sync the WAL ─▶ write the run ─▶ synced meta {run, checkpoint, activity} ─▶ publish (run
//! in, generation out) ─▶ drop the log ─▶ flush small families
//!
//! The WAL is synced first, so that series records are on disk before files that use their numbers. A crash anywhere
//! replays the epoch or finds the run; never both, since the checkpoint and the run are recorded in one write. A flush
//! that fails leaves its generation readable, and the next flush begins with it. A flush waits for no seal.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use runtime::{crash_point, invariant};
use schemas::Epoch;
use schemas::keys::Family;
use schemas::meta::MetaRecord;

use crate::committer::Switch;
use crate::error::HotError;
use crate::facts::Change;
use crate::head::Generation;
use crate::run;
use crate::store::Core;

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushOutcome {
    /// No ended epoch, and no points in the active one.
    Nothing,
    /// Every point up to and including `through` is in runs; `points` were written, each (series, timestamp) once.
    Flushed { through: Epoch, points: u64 },
}

impl Core {
    /// Flushes every ended epoch, and the active one if it holds points.
    pub(crate) fn flush(&self) -> Result<FlushOutcome, HotError> {
        let _one_at_a_time = self.flushes().lock();
        let timer = std::time::Instant::now();
        let mut outcome = FlushOutcome::Nothing;
        // What was replayed at start, or what a failed flush left.
        self.flush_ended(&mut outcome)?;
        let active = Arc::clone(self.view().generations().last().expect("a view has an active generation"));
        if !active.is_empty() {
            self.switch(active.epoch().next())?;
            self.flush_ended(&mut outcome)?;
        }
        if let FlushOutcome::Flushed { points, .. } = outcome {
            self.metrics().flushed(points, timer.elapsed());
        }
        Ok(outcome)
    }

    fn flush_ended(&self, outcome: &mut FlushOutcome) -> Result<(), HotError> {
        loop {
            let view = self.view();
            let [ended, _, ..] = view.generations() else { return Ok(()) };
            let written = self.flush_generation(ended)?;
            let before = match outcome {
                FlushOutcome::Nothing => 0,
                FlushOutcome::Flushed { points, .. } => *points,
            };
            *outcome = FlushOutcome::Flushed { through: ended.epoch(), points: before + written };
        }
    }

    /// Ends the active epoch: one step for head and log (EPOCH-1), made by the committer.
    fn switch(&self, next: Epoch) -> Result<(), HotError> {
        self.engine().ensure_family(Family::Log(next))?;
        let (done, switched) = sync_channel(1);
        let order = Switch { next: Arc::new(Generation::new(next)), done };
        self.queue().switch(order).map_err(|_closed| HotError::Closed)?;
        switched.recv().map_err(|_committer_is_gone| HotError::Closed)?;
        crash_point("hot.flush.switched");
        Ok(())
    }

    /// Returns the points written.
    fn flush_generation(&self, generation: &Arc<Generation>) -> Result<u64, HotError> {
        let epoch = generation.epoch();
        let engine = self.engine();
        engine.sync_wal()?;
        crash_point("hot.flush.synced");
        let (staged, record) = run::write_generation(engine, self.staging(), generation)?;
        let points = record.points();
        invariant!(
            "SET-1",
            points <= generation.points(),
            "the run of epoch {epoch} has {points} points, its head had {}",
            generation.points()
        );
        staged.ingest(engine)?;
        crash_point("hot.flush.run_written");
        self.record_run(epoch, record)?;
        crash_point("hot.flush.published");
        // The run is what counts from here on: what follows is repeated at the next start if it fails.
        if let Err(error) = engine.drop_family(Family::Log(epoch)).and_then(|_| engine.flush_small_families()) {
            tracing::warn!(%error, epoch = epoch.0, "cleaning up after a flush failed");
        }
        crash_point("hot.flush.log_dropped");
        tracing::debug!(epoch = epoch.0, points, "flushed");
        Ok(points)
    }

    /// Records the run and the checkpoint, and publishes: the run goes in as the generation goes out.
    fn record_run(&self, epoch: Epoch, record: schemas::meta::RunRecord) -> Result<(), HotError> {
        let engine = self.engine();
        let record_durably = |record: &schemas::meta::RunRecord| {
            let mut change = Change::default();
            if !record.hours.is_empty() {
                change.put(engine, &MetaRecord::Run(record.clone()));
            }
            change.put(engine, &MetaRecord::Checkpoint(epoch));
            let activity = self.index().persist_active(change.batch());
            let written = change.write(engine, "cannot record a run");
            if written.is_err() {
                self.index().restore_active(activity);
            }
            written
        };
        self.publication().record(
            |_| {
                record_durably(&record)?;
                crash_point("hot.flush.checkpoint");
                Ok(())
            },
            |state| {
                invariant!("EPOCH-1", epoch > state.checkpoint, "epoch {epoch} is flushed after {}", state.checkpoint);
                state.checkpoint = epoch;
                state.ended.retain(|ended| ended.epoch() != epoch);
                if !record.hours.is_empty() {
                    state.runs_mut().insert(epoch, Arc::new(record.clone()));
                }
            },
        )
    }
}
