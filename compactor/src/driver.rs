//! The driver: looks at the store every second, decides by [`crate::plan`], and runs what is due.
//!
//! tick ─▶ seal due hours ─▶ archive round ─▶ retention round ─▶ merge and drop runs
//!
//! The admin actions (`flush_now`, `seal_now`, `archive_now`) are the same jobs without the waiting. A bad hour is
//! quarantined with its reason, tried again later ([`Rounds`]), and holds back only itself. While the archive's
//! object store is away, one hour a round finds it out; those that would only wait for the same are put off.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cold::Archive;
use futures::FutureExt;
use hot::{FlushOutcome, Store};
use parking_lot::Mutex;
use runtime::metrics::registry::Registry;
use runtime::{Causes, Clock, CpuPool};
use schemas::tier_map::{ColdTable, Owner};
use schemas::{DurationMs, Epoch, Hour, Retention, RetentionClass, TimestampMs};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archived, Archiver};
use crate::error::CompactorError;
use crate::metrics::Metrics;
use crate::order::{self, Turns};
use crate::plan::{self, HourState, SealDecision, SealTiming};
use crate::report::{ArchiveReport, FlushReport, HourFailure, RetentionPlan, RetentionReport, SealReport};
use crate::retention::Retainer;
use crate::rounds::Rounds;
use crate::seal::{Sealed, Sealer};

/// How often the driver looks.
const TICK: Duration = Duration::from_secs(1);
/// What the driver is told.
#[derive(Debug, Clone)]
pub struct Settings {
    pub timing: SealTiming,
    /// How often sealed hours are archived.
    pub archive_every: DurationMs,
    pub retention: Retention,
}

/// Runs the jobs of the tiers. One a process.
#[derive(Debug)]
pub struct Compactor {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    pool: CpuPool,
    sealer: Sealer,
    archiver: Archiver,
    retainer: Retainer,
    timing: SealTiming,
    archive_every: DurationMs,
    retention: Mutex<Retention>,
    turns: Turns,
    late: Mutex<BTreeMap<Hour, Noticed>>,
    rounds: Mutex<Rounds>,
    metrics: Metrics,
}

/// When points newer than an hour's base were noticed.
#[derive(Debug, Clone, Copy)]
struct Noticed {
    first_seen: TimestampMs,
    last_change: TimestampMs,
    newest: Epoch,
}

impl Compactor {
    pub fn new(
        store: Arc<Store>,
        archive: Arc<Archive>,
        clock: Arc<dyn Clock>,
        pool: CpuPool,
        settings: Settings,
    ) -> Arc<Self> {
        let sealer = Sealer { store: Arc::clone(&store), archive: Arc::clone(&archive), pool: pool.clone() };
        let archiver = Archiver { store: Arc::clone(&store), archive: Arc::clone(&archive), pool: pool.clone() };
        let retainer = Retainer { store: Arc::clone(&store), archive, pool: pool.clone() };
        Arc::new(Self {
            store,
            clock,
            pool,
            sealer,
            archiver,
            retainer,
            timing: settings.timing,
            archive_every: settings.archive_every,
            retention: Mutex::new(settings.retention),
            turns: Turns::default(),
            late: Mutex::default(),
            rounds: Mutex::default(),
            metrics: Metrics::default(),
        })
    }

    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Replaces the durations; the next retention round obeys them.
    pub fn set_retention(&self, retention: Retention) {
        *self.retention.lock() = retention;
    }

    pub fn retention(&self) -> Retention {
        *self.retention.lock()
    }

    /// Runs until `stop`. Failures, panics among them, are logged and tried again at the next tick.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_failure = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let failure = contained(Box::pin(self.tick(&stop))).await.err().map(|error| Causes(&error).to_string());
            // What lasts (a full disk) is said once, not each second.
            if failure != last_failure {
                match &failure {
                    Some(error) => tracing::error!(error, "background work failed; it is tried again each second"),
                    None => tracing::info!("background work goes on"),
                }
                last_failure = failure;
            }
        }
    }

    async fn tick(&self, stop: &CancellationToken) -> Result<(), CompactorError> {
        let due = self.due_seals();
        if !due.is_empty() {
            self.seal_hours(due, stop).await;
        }
        let due = self.rounds.lock().begin_due(self.archive_every, self.now());
        if due.archive {
            self.archive_round(stop).await;
        }
        let mut retained = Ok(());
        if due.retention {
            retained = self.apply_retention().await.map(drop);
        }
        let turn = self.turns.runs.lock().await;
        let store = Arc::clone(&self.store);
        self.pool.run(move || store.merge_runs()).await?;
        drop(turn);
        // Last: it may be the archive's failure, which is none of the runs'.
        retained
    }

    /// Ends the active epoch and writes everything ended as a run.
    pub async fn flush_now(&self) -> Result<FlushReport, CompactorError> {
        let store = Arc::clone(&self.store);
        Ok(match self.pool.run(move || store.flush()).await? {
            FlushOutcome::Nothing => FlushReport::default(),
            FlushOutcome::Flushed { through, points } => FlushReport { through: Some(through), points },
        })
    }

    /// Seals every hour that has ended and is not sealed through the newest arrival, without waiting.
    pub async fn seal_now(&self) -> Result<SealReport, CompactorError> {
        let _retention = self.turns.retention.lock().await;
        let _archives = self.turns.archives.lock().await;
        self.flush_now().await?;
        let hours = plan::seals_without_waiting(&self.hour_states(), self.now());
        Ok(self.seal_hours(hours, &CancellationToken::new()).await)
    }

    /// Archives every sealed hour that some table lacks.
    pub async fn archive_now(&self) -> Result<ArchiveReport, CompactorError> {
        let _retention = self.turns.retention.lock().await;
        let _seals = self.turns.seals.lock().await;
        Ok(self.archive_round(&CancellationToken::new()).await)
    }

    /// What retention with these durations would drop now. Changes nothing.
    pub async fn plan_retention(&self, retention: &Retention) -> Result<RetentionPlan, CompactorError> {
        self.retainer.plan(retention, self.now()).await
    }

    /// When retention is applied next by itself.
    pub fn next_retention(&self) -> TimestampMs {
        self.rounds.lock().next_retention(self.now())
    }

    /// Drops what the durations no longer keep and DROP-1 allows.
    pub async fn apply_retention(&self) -> Result<RetentionReport, CompactorError> {
        let _turn = self.turns.retention.lock().await;
        let retention = self.retention();
        let now = self.now();
        let mut report = RetentionReport::default();
        let rising = self.retainer.last_copies_rise(&retention, now).await?;
        if let Some(floor) = rising {
            // Rule 8: what overlays the last raw copy is sealed and archived before that copy goes.
            self.flush_now().await?;
            let doomed = self.hour_states().into_iter().filter(|state| state.hour < floor && state.newest.is_some());
            let doomed: Vec<Hour> = doomed.map(|state| state.hour).collect();
            self.seal_hours(doomed, &CancellationToken::new()).await;
            self.archive_round(&CancellationToken::new()).await;
        }
        self.retainer.raise_thresholds(&retention, now, &mut report).await?;
        let _runs = self.turns.runs.lock().await;
        self.retainer.delete_unowned(&retention, now, &mut report).await?;
        Ok(report)
    }

    async fn seal_hours(&self, hours: Vec<Hour>, stop: &CancellationToken) -> SealReport {
        let _turn = self.turns.seals.lock().await;
        let mut report = SealReport::default();
        let mut archive_away = false;
        for hour in hours {
            if stop.is_cancelled() {
                break;
            }
            if archive_away && self.is_sealed_into_the_archive(hour) {
                self.rounds.lock().failed(hour, self.now());
                report.quarantined.push(HourFailure { hour, reason: "seal: put off, the archive is away".to_owned() });
                continue;
            }
            match contained(self.sealer.seal(hour)).await {
                Ok(Sealed::Done(stats)) => {
                    self.metrics.hours_sealed.inc();
                    self.metrics.points_sealed.inc_by(stats.points);
                    report.sealed.push(hour);
                    report.points += stats.points;
                    report.series += stats.series;
                    report.bytes += stats.raw_bytes + stats.minute_bytes + stats.hour_bytes;
                    self.release(hour).await;
                }
                Ok(Sealed::NothingToDo) => {}
                Err(error) => {
                    archive_away |= error.is_archive_away();
                    report.quarantined.push(self.quarantine(hour, "seal", &error).await);
                }
            }
        }
        if !report.sealed.is_empty() {
            self.drop_sealed_runs().await;
        }
        report
    }

    /// Runs whose points are in bases are the same bytes twice.
    async fn drop_sealed_runs(&self) {
        let _turn = self.turns.runs.lock().await;
        let store = Arc::clone(&self.store);
        if let Err(error) = self.pool.run(move || store.drop_unowned()).await {
            tracing::warn!(error = %Causes(&error), "sealed runs could not be dropped; the next retention round tries again");
        }
    }

    fn is_sealed_into_the_archive(&self, hour: Hour) -> bool {
        order::farthest_raw_owner(self.store.view().map(), RetentionClass::DEFAULT, hour) == Owner::Cold
    }

    async fn archive_round(&self, stop: &CancellationToken) -> ArchiveReport {
        let _turn = self.turns.archives.lock().await;
        let class = RetentionClass::DEFAULT;
        let waiting = self.hours_to_archive(class);
        self.metrics.hours_waiting_archive.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        let mut report = ArchiveReport::default();
        for hour in waiting {
            if stop.is_cancelled() {
                break;
            }
            match contained(self.archiver.archive(hour, class)).await {
                Ok(Archived::Committed(commit)) => {
                    self.metrics.hours_archived.inc();
                    self.metrics.rows_archived.inc_by(commit.rows);
                    report.archived.push(hour);
                    report.rows += commit.rows;
                    report.bytes += commit.bytes;
                    self.release(hour).await;
                }
                Ok(Archived::Unchanged) => report.unchanged.push(hour),
                Ok(Archived::Busy) => {}
                Err(error) => {
                    report.quarantined.push(self.quarantine(hour, "archive", &error).await);
                    if error.is_archive_away() {
                        report.archive_away = true;
                        break;
                    }
                }
            }
        }
        if !report.archive_away {
            self.archiver.tell_position(class).await;
        }
        self.rounds.lock().archive_ended(!report.quarantined.is_empty(), self.now());
        if !report.archived.is_empty() {
            self.sweep_once().await;
        }
        let left = self.hours_to_archive(class).len();
        self.metrics.hours_waiting_archive.set(i64::try_from(left).unwrap_or(i64::MAX));
        report
    }

    /// Deletes files that an earlier life of this process left behind in the archive. Only after a commit of ours to
    /// every table is it certain that a put in flight at the crash has lost.
    async fn sweep_once(&self) {
        if self.rounds.lock().swept {
            return;
        }
        match self.archiver.archive.sweep().await {
            Ok(report) => self.rounds.lock().swept = report.tables == ColdTable::ALL.len() as u64,
            Err(error) => {
                let error = Causes(&error);
                tracing::warn!(%error, "orphan files could not be swept; tried again after the next commit");
            }
        }
    }

    /// Sealed hours that some table lacks, oldest first.
    fn hours_to_archive(&self, class: RetentionClass) -> Vec<Hour> {
        let view = self.store.view();
        let map = view.map();
        map.sealed_through.keys().copied().filter(|&hour| !map.is_archived(class, hour)).collect()
    }

    /// Hours whose seal is due, without those that failed a short while ago.
    fn due_seals(&self) -> Vec<Hour> {
        let now = self.now();
        let decisions = plan::seals(&self.hour_states(), self.timing, now);
        let rounds = self.rounds.lock();
        decisions
            .into_iter()
            .filter(|(_, decision)| match decision {
                SealDecision::First | SealDecision::Again { .. } => true,
                SealDecision::Wait { .. } | SealDecision::Keep => false,
            })
            .map(|(hour, _)| hour)
            .filter(|hour| rounds.may_be_tried(*hour, now))
            .collect()
    }

    /// The hours with points newer than their base, and since when that is known.
    fn hour_states(&self) -> Vec<HourState> {
        let now = self.now();
        let view = self.store.view();
        let mut late = self.late.lock();
        let newer = view.overlay_hours();
        let present: BTreeSet<Hour> = newer.iter().map(|(hour, _)| *hour).collect();
        late.retain(|hour, _| present.contains(hour));
        newer
            .into_iter()
            .map(|(hour, newest)| {
                let fresh = Noticed { first_seen: now, last_change: now, newest };
                let noticed = late.entry(hour).or_insert(fresh);
                if noticed.newest != newest {
                    (noticed.newest, noticed.last_change) = (newest, now);
                }
                HourState {
                    hour,
                    sealed_through: view.map().sealed_through(hour),
                    newest: Some(newest),
                    first_seen: noticed.first_seen,
                    last_change: noticed.last_change,
                }
            })
            .collect()
    }

    async fn quarantine(&self, hour: Hour, job: &str, error: &CompactorError) -> HourFailure {
        let reason = format!("{job}: {}", Causes(error));
        tracing::error!(%hour, job, error = %Causes(error), "hour set aside; the rest goes on");
        self.metrics.failures.inc();
        self.rounds.lock().failed(hour, self.now());
        self.record_quarantine(hour, Some(reason.clone())).await;
        HourFailure { hour, reason }
    }

    async fn release(&self, hour: Hour) {
        self.rounds.lock().succeeded(hour);
        if self.store.view().map().quarantined.contains_key(&hour) {
            self.record_quarantine(hour, None).await;
        }
    }

    async fn record_quarantine(&self, hour: Hour, reason: Option<String>) {
        let store = Arc::clone(&self.store);
        if let Err(error) = self.pool.run(move || store.record_quarantine(hour, reason)).await {
            tracing::error!(%hour, error = %Causes(&error), "quarantine could not be recorded");
        }
        let quarantined = self.store.view().map().quarantined.len();
        self.metrics.quarantined.set(i64::try_from(quarantined).unwrap_or(i64::MAX));
    }

    fn now(&self) -> TimestampMs {
        TimestampMs(self.clock.now_ms())
    }
}

/// Runs a job on one unit, so that a panic in it costs that unit only.
async fn contained<T>(job: impl Future<Output = Result<T, CompactorError>>) -> Result<T, CompactorError> {
    AssertUnwindSafe(job).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(CompactorError::Panicked(text.unwrap_or("no message").to_owned()))
    })
}
