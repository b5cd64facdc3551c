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

use runtime::{Causes, crash_point, invariant};
use schemas::meta::{MetaRecord, RunRecord};
use schemas::{Epoch, Hour};

use crate::committer::Switch;
use crate::error::HotError;
use crate::head::Generation;
use crate::run;
use crate::store::Core;

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushOutcome {
    /// No epoch had ended, and the active one holds no points or need not end yet.
    Nothing,
    /// Every point up to and including `through` is in runs; `points` were written, each (series, timestamp) once.
    Flushed { through: Epoch, points: u64 },
}

impl Core {
    /// Flushes every ended epoch, and the active one if it holds points.
    pub(crate) fn flush(&self) -> Result<FlushOutcome, HotError> {
        self.flush_and_end(|_| true)
    }

    /// Flushes every ended epoch, and the active one if it is over its size or its age: looked at while no other flush
    /// is under way, so that none ends an epoch that has just begun.
    pub(crate) fn flush_due_epochs(&self) -> Result<FlushOutcome, HotError> {
        self.flush_and_end(|active| self.is_over(active))
    }

    /// Flushes every ended epoch, and the active one if it holds points of an hour.
    pub(crate) fn flush_hour(&self, hour: Hour) -> Result<FlushOutcome, HotError> {
        self.flush_and_end(|active| active.holds_hour(hour))
    }

    /// Flushes every ended epoch.
    pub(crate) fn flush_ended_epochs(&self) -> Result<FlushOutcome, HotError> {
        self.flush_and_end(|_| false)
    }

    fn flush_and_end(&self, ends: impl FnOnce(&Generation) -> bool) -> Result<FlushOutcome, HotError> {
        let _one_at_a_time = self.flushes().lock();
        let flushed = self.flush_epochs(ends);
        if !matches!(flushed, Ok(FlushOutcome::Nothing)) {
            self.flush_writes().note(&flushed);
        }
        flushed
    }

    fn flush_epochs(&self, ends: impl FnOnce(&Generation) -> bool) -> Result<FlushOutcome, HotError> {
        let timer = std::time::Instant::now();
        let mut outcome = FlushOutcome::Nothing;
        // What was replayed at start, or what a failed flush left.
        self.flush_ended(&mut outcome)?;
        let active = Arc::clone(self.view().generations().last().expect("a view has an active generation"));
        if !active.is_empty() && ends(&active) {
            self.switch(active.epoch())?;
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
    fn switch(&self, active: Epoch) -> Result<(), HotError> {
        let next = self.engine().make_log_after(active)?;
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
        if let Err(error) = engine.drop_logs_through(epoch).and_then(|()| engine.flush_small_families()) {
            tracing::warn!(error = %Causes(&error), epoch = epoch.0, "cleaning up after a flush failed");
        }
        crash_point("hot.flush.log_dropped");
        tracing::debug!(epoch = epoch.0, points, "flushed");
        Ok(points)
    }

    /// Records the run and the checkpoint, and publishes: the run goes in as the generation goes out.
    fn record_run(&self, epoch: Epoch, run: RunRecord) -> Result<(), HotError> {
        let mut activity = None;
        let recorded = self.publication().record(self.engine(), "cannot record a run", |state, change| {
            let checkpoint = state.facts().checkpoint;
            invariant!("EPOCH-1", epoch > checkpoint, "epoch {epoch} is flushed after {checkpoint}");
            if !run.hours.is_empty() {
                change.put(MetaRecord::Run(run));
            }
            change.put(MetaRecord::Checkpoint(epoch));
            activity = Some(self.index().persist_active(change.batch()));
            change.crash_when_recorded("hot.flush.checkpoint");
            Ok(())
        });
        if let (Err(_), Some(unwritten)) = (&recorded, activity) {
            self.index().restore_active(unwritten);
        }
        recorded
    }
}
