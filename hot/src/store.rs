//! The store: its parts, its start, its threads, its end.
//!
//! open: families ─▶ orphans swept ─▶ facts ─▶ index ─▶ runs that no fact names dropped ─▶ logs replayed, all but the
//! newest flushed ─▶ committer
//!
//! Threads: the *committer* (see `committer`), the *syncer* (each second: the write-ahead log to disk in
//! `Durability::Normal`, and a try whether writes that failed go again), the *flusher* (flushes when an epoch is over its
//! size or age). They end with the store; dropping it without [`Store::close`] leaves the logs to be replayed, as a crash
//! would. When one dies before its time the store takes no more points, and says so.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use runtime::metrics::registry::Registry;
use runtime::{Causes, Clock};
use schemas::keys::Family;
use schemas::reject::Appended;
use schemas::time::HourRange;
use schemas::{Epoch, Hour, Offsets, PointBatch, RetentionClass, TimestampMs};

use crate::committer::{self, CommitQueue};
use crate::config::{Durability, StoreConfig};
use crate::db::Engine;
use crate::error::{AppendError, HotError};
use crate::facts::Facts;
use crate::flush::FlushOutcome;
use crate::head::Generation;
use crate::index::Index;
use crate::inventory::Inventory;
use crate::locks::{HourLocks, HoursGuard};
use crate::log;
use crate::metrics::HotMetrics;
use crate::offsets::{OffsetBook, SourceOffsets};
use crate::publication::{Publication, State};
use crate::retention::DropOutcome;
use crate::run_merge::MergeOutcome;
use crate::seal::HourSeal;
use crate::staging::Staging;
use crate::threads::{Stop, Vital};
use crate::view::{DecodedHours, View};
use crate::writable::{Unwritable, Writes};

/// How often the write-ahead log is synced in [`Durability::Normal`], and how often the flusher looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// The hot store. See the crate.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens or creates the store of a directory; replays the logs that are in no run.
    pub fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>, HotError> {
        let core = Arc::new(Core::open(config, clock)?);
        let store = Arc::new(Self { core: Arc::clone(&core), threads: Mutex::default() });
        store.spawn("hot-commit", committer::run)?;
        store.spawn("hot-sync", Core::run_syncer)?;
        if core.config.background_flush {
            store.spawn("hot-flush", Core::run_flusher)?;
        }
        Ok(store)
    }

    fn spawn(&self, name: &'static str, run: impl FnOnce(&Core) + Send + 'static) -> Result<(), HotError> {
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _closes_the_queue = Vital { name, queue: &core.queue };
            run(&core);
        });
        let thread = thread.map_err(|source| HotError::Io { context: "cannot start a thread", source })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Appends a batch; blocks until it is durable (see [`Durability`]) and visible. On an error nothing was applied.
    pub fn append(&self, batch: &PointBatch) -> Result<Appended, AppendError> {
        self.core.append(batch, &SourceOffsets::none())
    }

    /// The same for points of Kafka: the offsets become durable in the same write as the points (OFF-1), also where no point
    /// of the batch is taken. On an error neither is stored.
    pub fn append_from(&self, batch: &PointBatch, offsets: &SourceOffsets) -> Result<Appended, AppendError> {
        self.core.append(batch, offsets)
    }

    /// How far Kafka's partitions are in, by what is stored with the points.
    pub fn kafka_offsets(&self) -> Offsets {
        self.core.offsets.newest()
    }

    /// The same as of the end of an epoch, of what the archive is to be told. Epochs before the oldest run and the oldest
    /// hour that is not archived may be answered with less.
    pub fn kafka_offsets_through(&self, epoch: Epoch) -> Offsets {
        self.core.offsets.through(epoch)
    }

    /// Waits until everything that was acknowledged survives a power loss.
    pub fn sync_log(&self) -> Result<(), HotError> {
        self.core.engine.sync_wal()
    }

    /// Whether points are taken, pressure aside; else why not.
    pub fn check_writable(&self) -> Result<(), Unwritable> {
        self.core.check_writable()
    }

    /// One consistent state, for a whole query. Drop it soon: what it reads is kept until then.
    pub fn view(&self) -> Arc<View> {
        self.core.view()
    }

    /// Which series there are.
    pub fn index(&self) -> &Index {
        &self.core.index
    }

    /// Names the life of this data in the archive: 32 hex digits, made with the directory.
    pub fn incarnation(&self) -> &str {
        &self.core.incarnation
    }

    /// The least intake floor of any class: no older point is taken. `append` checks each point by its class.
    pub fn intake_floor(&self) -> TimestampMs {
        let view = self.core.view();
        let classes = view.map().thresholds.keys().map(|(class, _, _)| *class).chain(view.floors().keys().copied());
        let floors = classes.chain([RetentionClass::DEFAULT]).map(|class| view.intake_floor(class));
        floors.min().unwrap_or_default()
    }

    /// Refuses points of a class before `hour` from now on, durably. When this returns, none is on its way any more.
    pub fn raise_intake_floor(&self, class: RetentionClass, hour: Hour) -> Result<(), HotError> {
        self.core.raise_intake_floor(class, hour)
    }

    /// Ends the active epoch if it holds points, and writes everything that has ended into runs.
    pub fn flush(&self) -> Result<FlushOutcome, HotError> {
        self.core.flush()
    }

    /// Writes everything that has ended into runs, the active epoch too if it is over its size or its age. The store does
    /// so by itself with [`StoreConfig::background_flush`].
    pub fn flush_due_epochs(&self) -> Result<FlushOutcome, HotError> {
        self.core.flush_due_epochs()
    }

    /// Merges runs when more than eight of them hold an hour that is not through them.
    pub fn merge_runs(&self) -> Result<MergeOutcome, HotError> {
        self.core.merge_runs()
    }

    /// Begins to seal an hour: locks it, and flushes if the head holds points of it. `None` when nothing is newer
    /// than the hour's base, or somebody else works on it.
    pub fn begin_seal(self: &Arc<Self>, hour: Hour) -> Result<Option<HourSeal>, HotError> {
        HourSeal::begin(&self.core, hour)
    }

    /// Excludes seal, archive and drop of these hours until the guard goes; `None` when somebody works on one of them.
    pub fn lock_hours(self: &Arc<Self>, hours: HourRange) -> Option<HoursGuard> {
        self.core.locks.try_lock(hours)
    }

    /// Drops what no owner needs any more. See [`DropOutcome`].
    pub fn drop_unowned(&self) -> Result<DropOutcome, HotError> {
        self.core.drop_unowned()
    }

    /// What the store holds, for `inspect`.
    pub fn inventory(&self) -> Result<Inventory, HotError> {
        self.core.inventory()
    }

    /// Adds the store's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.core.metrics.register(registry);
    }

    /// Brings gauges up to date: call before rendering metrics.
    pub fn refresh_metrics(&self) {
        self.core.metrics.refresh(&self.core);
    }

    /// Flushes, syncs, and ends the threads. Appends fail from then on; reads go on.
    pub fn close(&self) -> Result<(), HotError> {
        let flushed = self.core.flush();
        if let Err(error) = self.core.commit_index() {
            tracing::debug!(%error, "what the index has pending is not written");
        }
        self.end_threads();
        // What came between the flush and the end stays in the log.
        self.core.engine.sync_wal()?;
        match flushed {
            Ok(_) | Err(HotError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn end_threads(&self) {
        self.core.queue.close();
        self.core.stop.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the hot store panicked");
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end_threads();
    }
}

/// What all parts of the store share.
#[derive(Debug)]
pub(crate) struct Core {
    config: StoreConfig,
    clock: Arc<dyn Clock>,
    engine: Engine,
    staging: Staging,
    index: Index,
    publication: Publication,
    queue: CommitQueue,
    locks: Arc<HourLocks>,
    /// Held by the flush that is under way.
    flushes: Mutex<()>,
    /// Run merges and the dropping of runs exclude each other.
    runs: Mutex<()>,
    /// Forms of metrics are decided by one seal at a time.
    forms: Mutex<()>,
    /// Read by appends from the check of the floor until their points are in the head.
    intake: RwLock<()>,
    incarnation: Arc<str>,
    offsets: Arc<OffsetBook>,
    /// How group commits and syncs fare …
    commit_writes: Writes,
    /// … and how flushes do.
    flush_writes: Writes,
    stop: Stop,
    metrics: HotMetrics,
}

impl Core {
    fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, HotError> {
        let engine = Engine::open(&config)?;
        let staging = Staging::open(engine.dir())?;
        let offsets = Arc::new(OffsetBook::default());
        let facts = Facts::load(&engine, &offsets)?;
        let index = Index::load(engine.db(), config.limits)?;
        crate::run_files::drop_unnamed(&engine, &facts.runs)?;
        let logs = log::find(&engine, facts.checkpoint)?;
        let newest_run = facts.runs.keys().next_back().copied().unwrap_or_default();
        let next = logs.newest.max(newest_run).next();
        engine.ensure_family(Family::Log(next))?;
        let incarnation = Arc::clone(&facts.incarnation);
        let state = State::new(facts, Arc::new(Generation::new(next)));
        let publication = Publication::new(engine.db(), state, DecodedHours::new(config.rollup_cache_bytes));
        let core = Self {
            config,
            clock,
            staging,
            index,
            publication,
            queue: CommitQueue::default(),
            locks: Arc::default(),
            flushes: Mutex::default(),
            runs: Mutex::default(),
            forms: Mutex::default(),
            intake: RwLock::default(),
            incarnation,
            offsets,
            commit_writes: Writes::new("log"),
            flush_writes: Writes::new("run"),
            stop: Stop::default(),
            metrics: HotMetrics::default(),
            engine,
        };
        core.replay(&logs.outstanding)?;
        let (dir, series) = (core.config.dir.display(), core.index.series_count());
        tracing::info!(%dir, epoch = next.0, series, "opened the hot store");
        Ok(core)
    }

    /// Replays logs, oldest first. What is replayed becomes a run before the next is read: more than one is left only by
    /// a crash in a flush, and they would add up if that came again and again.
    fn replay(&self, logs: &[Epoch]) -> Result<(), HotError> {
        for (replayed, &epoch) in logs.iter().enumerate() {
            if replayed > 0
                && self.config.background_flush
                && let Err(error) = self.flush_ended_epochs()
            {
                // A full disk is no reason not to answer: it stays in memory, and the flusher tries again.
                tracing::debug!(error = %Causes(&error), "a flush at the start failed");
            }
            let generation = Arc::new(log::replay(&self.engine, &self.index, epoch, self.now_ms())?);
            self.publication.change(|state| state.ended.push(generation));
        }
        Ok(())
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn staging(&self) -> &Staging {
        &self.staging
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn publication(&self) -> &Publication {
        &self.publication
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.publication.view()
    }

    pub(crate) fn queue(&self) -> &CommitQueue {
        &self.queue
    }

    pub(crate) fn locks(&self) -> &Arc<HourLocks> {
        &self.locks
    }

    pub(crate) fn flushes(&self) -> &Mutex<()> {
        &self.flushes
    }

    pub(crate) fn runs(&self) -> &Mutex<()> {
        &self.runs
    }

    pub(crate) fn forms(&self) -> &Mutex<()> {
        &self.forms
    }

    pub(crate) fn intake(&self) -> &RwLock<()> {
        &self.intake
    }

    pub(crate) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    pub(crate) fn offsets(&self) -> &OffsetBook {
        &self.offsets
    }

    pub(crate) fn commit_writes(&self) -> &Writes {
        &self.commit_writes
    }

    pub(crate) fn flush_writes(&self) -> &Writes {
        &self.flush_writes
    }

    pub(crate) fn metrics(&self) -> &HotMetrics {
        &self.metrics
    }

    /// Whether an epoch that holds points has come to its size or its age.
    pub(crate) fn is_over(&self, active: &Generation) -> bool {
        let age_ms = active.first_arrival_ms().map_or(0, |first| self.now_ms().saturating_sub(first));
        active.size() >= self.config.log_bytes_max || age_ms >= self.config.epoch_age_max.0
    }

    /// Called by the committer after each commit: cheap, and exact only about size.
    pub(crate) fn wake_flusher_if_due(&self, active: &Generation) {
        if active.size() >= self.config.log_bytes_max {
            self.stop.wake();
        }
    }

    fn run_syncer(&self) {
        let mut seen = 0;
        while !self.stop.wait(TICK, &mut seen) {
            if self.commit_writes.trouble().is_some() {
                // Notes its outcome itself: appends are refused until it succeeds.
                self.commit_index().ok();
            } else if self.config.durability == Durability::Normal {
                self.commit_writes.note(&self.engine.sync_wal());
            }
        }
    }

    fn run_flusher(&self) {
        let mut seen = 0;
        while !self.stop.wait(TICK, &mut seen) {
            if let Err(error) = self.flush_due_epochs() {
                // Logged where it is noted, once for a lasting failure; tried again each second.
                tracing::debug!(error = %Causes(&error), "a flush failed");
            }
        }
    }
}

#[cfg(test)]
mod tests;
