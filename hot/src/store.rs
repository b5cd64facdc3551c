//! The store: its parts, its start, its threads, its end.
//!
//! open: families ─▶ orphans swept ─▶ facts ─▶ index ─▶ runs that no fact names dropped ─▶ logs replayed ─▶ committer
//!
//! Threads: the *committer* (see `committer`), the *syncer* (`Durability::Normal`: the write-ahead log to disk each
//! second), the *flusher* (flushes when an epoch is over its size or age). They end with the store; dropping it
//! without [`Store::close`] leaves the logs to be replayed, as a crash would.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use runtime::Clock;
use runtime::metrics::registry::Registry;
use schemas::batch::MetricMetadata;
use schemas::keys::Family;
use schemas::reject::Appended;
use schemas::time::HourRange;
use schemas::{Hour, PointBatch, RetentionClass, TimestampMs};

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
use crate::publication::{Publication, State};
use crate::retention::DropOutcome;
use crate::run_merge::MergeOutcome;
use crate::seal::HourSeal;
use crate::staging::Staging;
use crate::view::View;

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
        if core.config.durability == Durability::Normal {
            store.spawn("hot-sync", Core::run_syncer)?;
        }
        if core.config.background_flush {
            store.spawn("hot-flush", Core::run_flusher)?;
        }
        Ok(store)
    }

    fn spawn(&self, name: &str, run: impl FnOnce(&Core) + Send + 'static) -> Result<(), HotError> {
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&core));
        let thread = thread.map_err(|source| HotError::Io { context: "cannot start a thread", source })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Appends a batch; blocks until it is durable (see [`Durability`]) and visible. On an error nothing was applied.
    pub fn append(&self, batch: &PointBatch) -> Result<Appended, AppendError> {
        self.core.append(batch)
    }

    /// One consistent state, for a whole query. Drop it soon: what it reads is kept until then.
    pub fn view(&self) -> Arc<View> {
        self.core.view()
    }

    /// Which series there are.
    pub fn index(&self) -> &Index {
        &self.core.index
    }

    /// What senders said of a metric.
    pub fn metadata(&self, metric: &str) -> Option<MetricMetadata> {
        self.core.index.metadata(metric)
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

    /// Whether the active epoch is over its size or its age, or an ended one waits.
    pub fn flush_due(&self) -> bool {
        self.core.flush_due()
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
    incarnation: String,
    stop: Stop,
    metrics: HotMetrics,
}

impl Core {
    fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, HotError> {
        let engine = Engine::open(&config)?;
        let staging = Staging::open(engine.dir())?;
        let facts = Facts::load(&engine)?;
        let index = Index::load(engine.db(), config.limits)?;
        crate::run_files::drop_unnamed(&engine, &facts.runs)?;
        let replayed = log::replay(&engine, &index, facts.checkpoint, clock.now_ms())?;
        let newest_run = facts.runs.keys().next_back().copied().unwrap_or_default();
        let next = replayed.newest.max(newest_run).next();
        engine.ensure_family(Family::Log(next))?;
        let active = Arc::new(Generation::new(next));
        let mut state = State::new(facts.map, facts.runs, active, facts.checkpoint);
        state.ended = replayed.generations;
        state.floors = Arc::new(facts.floors);
        let publication = Publication::new(engine.db(), state);
        tracing::info!(dir = %config.dir.display(), epoch = next.0, series = index.series_count(), "opened the hot store");
        Ok(Self {
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
            incarnation: facts.incarnation,
            stop: Stop::default(),
            metrics: HotMetrics::default(),
            engine,
        })
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

    pub(crate) fn metrics(&self) -> &HotMetrics {
        &self.metrics
    }

    fn flush_due(&self) -> bool {
        let view = self.view();
        let [.., active] = view.generations() else { return false };
        view.generations().len() > 1 || self.is_over(active)
    }

    fn is_over(&self, active: &Generation) -> bool {
        let old = active
            .first_arrival_ms()
            .is_some_and(|first| self.now_ms().saturating_sub(first) >= self.config.epoch_age_max.0);
        active.log_bytes() >= self.config.log_bytes_max || (old && !active.is_empty())
    }

    /// Called by the committer after each commit: cheap, and exact only about size.
    pub(crate) fn wake_flusher_if_due(&self, active: &Generation) {
        if active.log_bytes() >= self.config.log_bytes_max {
            self.stop.wake();
        }
    }

    fn run_syncer(&self) {
        let mut seen = 0;
        while !self.stop.wait(TICK, &mut seen) {
            if let Err(error) = self.engine.sync_wal() {
                tracing::error!(%error, "the write-ahead log cannot be synced");
            }
        }
    }

    fn run_flusher(&self) {
        // A lasting failure is logged once.
        let mut failed_before = false;
        let mut seen = 0;
        while !self.stop.wait(TICK, &mut seen) {
            if !self.flush_due() {
                continue;
            }
            match self.flush() {
                Ok(_) => failed_before = false,
                Err(error) if !failed_before => {
                    tracing::error!(%error, "a flush failed, and is tried again each second");
                    failed_before = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Tells background threads to end, or to look again before their tick.
#[derive(Debug, Default)]
struct Stop {
    state: Mutex<StopState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StopState {
    stopped: bool,
    /// Counts wakes, so that a wake between two waits is not missed.
    wakes: u64,
}

impl Stop {
    fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    fn wake(&self) {
        self.state.lock().wakes += 1;
        self.changed.notify_all();
    }

    /// Waits for a stop, a wake that was not `seen`, or the end of `tick`; `true` for a stop.
    fn wait(&self, tick: Duration, seen: &mut u64) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.stopped && state.wakes == *seen, tick);
        *seen = state.wakes;
        state.stopped
    }
}
