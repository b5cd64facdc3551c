//! One Delta table: its log, the versions that are in use, and the one way to change it.
//!
//! open or create ─▶ [`Table::refresh`] ─▶ [`TableState`] ─decide─▶ [`Change`] ─[`Table::try_commit`]─▶ [`Commit`]
//!
//! Commits are optimistic: putting the next version if it is absent is the whole guard; there is no lock to expire. After
//! a conflict, a lost reply or any other failure the caller reads again, looks for its own files, and decides again
//! (`hour`, `series`). Protocol is reader 1, writer 2: no deletion vectors, no column mapping.
//! `deltalake-core` replays logs and checkpoints, and knows the JSON; the loop around the put is ours.

mod create;
mod files;
mod stats;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deltalake_core::kernel::{Action, EagerSnapshot};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, commit_uri_from_version, default_logstore, get_actions};
use deltalake_core::{DeltaTable, checkpoints};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error as StoreError, ObjectStore, PutMode, PutOptions};
use parking_lot::Mutex;
use runtime::{Backoff, Clock};
use schemas::tier_map::ColdTable;

use self::create::{check_compatible, commit_bytes, create};
pub(crate) use self::files::{LiveFile, NewFile, TableState};
pub(crate) use self::stats::FileStats;
use crate::error::{ColdError, Doing};
use crate::metrics::Metrics;
use crate::store::Location;

/// A checkpoint every so many versions: what a reader has to replay at most.
const CHECKPOINT_EVERY: u64 = 32;
/// Versions kept in memory for readers of older tier maps; others are read again from the log.
const RECENT_MAX: usize = 16;
/// From this many versions behind, the checkpoint is quicker than the commits.
const REPLAY_MAX: u64 = 64;
/// Tries of one commit before its job gives up and comes back later.
const COMMIT_TRIES: u32 = 12;

/// What a commit changes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) add: Vec<NewFile>,
    pub(crate) remove: Vec<Arc<LiveFile>>,
    /// Said in the log's `commitInfo`.
    pub(crate) why: &'static str,
}

/// What became of a commit.
pub(crate) enum Commit {
    Won(Arc<TableState>),
    /// Another writer has this version, or the store's answer to our own put was lost.
    Lost,
    /// The put failed, and may or may not have taken effect.
    Unknown(ColdError),
}

/// What a commit has to do, by the newest files of its table.
pub(crate) enum Step {
    /// Nothing (any more).
    Done,
    Commit(Change),
}

struct States {
    latest: Arc<TableState>,
    recent: VecDeque<Arc<TableState>>,
}

/// A table of the archive.
pub(crate) struct Table {
    kind: ColdTable,
    log: LogStoreRef,
    /// The table as root.
    store: Arc<dyn ObjectStore>,
    /// The path of the table in the whole store.
    path: Path,
    states: Mutex<States>,
    /// Whether this process has committed since it started, so that no put of an earlier one can still win.
    committed: AtomicBool,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("kind", &self.kind).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Table {
    /// Opens the table, or makes it.
    pub(crate) async fn open(
        kind: ColdTable,
        location: &Location,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, ColdError> {
        let (url, path) = location.table(kind.as_str())?;
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&location.store), path.clone()));
        let config = StorageConfig::default();
        let log = default_logstore(Arc::clone(&store), Arc::clone(&location.store), &url, &config);
        let reading = || format!("cannot read the Delta log of {url}");
        if !log.is_delta_table_location().await.doing(reading)? {
            create(kind, store.as_ref()).await?;
        }
        let snapshot = EagerSnapshot::try_new(log.as_ref(), None).await.doing(reading)?;
        check_compatible(kind, &snapshot)?;
        let latest = Arc::new(state_of(kind, &snapshot)?);
        let states = Mutex::new(States { latest, recent: VecDeque::new() });
        Ok(Self { kind, log, store, path, states, committed: AtomicBool::new(false), clock, metrics })
    }

    pub(crate) fn kind(&self) -> ColdTable {
        self.kind
    }

    /// The table as the root of a store.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The path of a file of the table in the whole store.
    pub(crate) fn whole_path(&self, file: &str) -> Path {
        self.path.parts().chain(Path::from(file).parts()).collect()
    }

    /// The newest version that this process knows.
    pub(crate) fn latest(&self) -> Arc<TableState> {
        Arc::clone(&self.states.lock().latest)
    }

    pub(crate) fn has_committed(&self) -> bool {
        self.committed.load(Ordering::Acquire)
    }

    /// The files of a version, from memory if it is among the recent ones.
    pub(crate) async fn at(&self, version: u64) -> Result<Arc<TableState>, ColdError> {
        if let Some(known) = self.known(version) {
            return Ok(known);
        }
        let state = self.load(Some(version)).await?;
        self.remember(&state);
        Ok(state)
    }

    /// Reads the commits made since the newest known version.
    pub(crate) async fn refresh(&self) -> Result<Arc<TableState>, ColdError> {
        let mut state = self.latest();
        let newest = self.newest_version(state.version).await?;
        if newest > state.version.saturating_add(REPLAY_MAX) {
            state = self.load(None).await?;
        }
        while state.version < newest {
            let next = state.version + 1;
            let reading = || format!("cannot read version {next} of {}", self.path);
            let Some(bytes) = self.log.read_commit_entry(next).await.doing(reading)? else {
                state = self.load(None).await?;
                break;
            };
            let actions = get_actions(next, &bytes).doing(reading)?;
            state = Arc::new(state.next(&actions)?);
        }
        self.remember(&state);
        Ok(state)
    }

    /// Tries to make the version after `base`.
    pub(crate) async fn try_commit(&self, base: &TableState, change: &Change) -> Result<Commit, ColdError> {
        let version = base.version + 1;
        let now_ms = self.clock.now_ms();
        let removes = change.remove.iter().map(|file| Action::Remove(file.remove(now_ms, true)));
        let adds = change.add.iter().map(|file| Action::Add(file.add(version, now_ms)));
        let actions: Vec<Action> = removes.chain(adds).collect();
        let bytes = commit_bytes(self.kind, actions.clone(), change.why)?;
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&commit_uri_from_version(Some(version)), bytes.into(), create).await {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                self.metrics.conflicts.inc();
                return Ok(Commit::Lost);
            }
            Err(source) => {
                let doing = format!("cannot tell whether version {version} of {} was committed", self.path);
                return Ok(Commit::Unknown(ColdError::Store { doing, source }));
            }
        }
        let state = Arc::new(base.next(&actions)?);
        self.remember(&state);
        self.note_commit(&change.add);
        self.checkpoint_if_due(version).await;
        Ok(Commit::Won(state))
    }

    /// Decides and tries until nothing is left to do, and returns the state that says so. After a conflict, a lost reply or
    /// a failed read, `decide` sees the newest files again.
    pub(crate) async fn commit_until_done(
        &self,
        mut decide: impl FnMut(&TableState) -> Result<Step, ColdError> + Send,
    ) -> Result<Arc<TableState>, ColdError> {
        let mut tries = Tries::new(self.kind);
        while tries.next().await {
            let state = match self.refresh().await {
                Err(error) if error.is_retryable() => {
                    tries.failed(error);
                    continue;
                }
                state => state?,
            };
            let change = match decide(&state)? {
                Step::Done => return Ok(state),
                Step::Commit(change) => change,
            };
            match self.try_commit(&state, &change).await? {
                Commit::Won(state) => return Ok(state),
                Commit::Lost => {}
                Commit::Unknown(error) => tries.failed(error),
            }
        }
        Err(tries.give_up())
    }

    /// Notes a commit of ours, also one whose reply was lost and that was found later.
    pub(crate) fn note_commit(&self, added: &[NewFile]) {
        self.committed.store(true, Ordering::Release);
        self.metrics.commits.inc();
        self.metrics.rows_written.inc_by(added.iter().filter_map(|file| file.stats.rows).sum());
    }

    /// Paths that an older version in retention may still refer to.
    pub(crate) async fn tombstones(&self, version: u64) -> Result<Vec<String>, ColdError> {
        let reading = || format!("cannot read removed files of {}", self.path);
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        table.load_version(version).await.doing(reading)?;
        let snapshot = table.snapshot().doing(reading)?;
        let removed = snapshot.all_tombstones(self.log.as_ref());
        removed.map_ok(|removed| removed.path().into_owned()).try_collect().await.doing(reading)
    }

    /// Whether a version that this process keeps for its readers refers to a file.
    pub(crate) fn is_in_use(&self, path: &str) -> bool {
        let states = self.states.lock();
        std::iter::once(&states.latest).chain(&states.recent).any(|state| state.files.contains_key(path))
    }

    fn known(&self, version: u64) -> Option<Arc<TableState>> {
        let states = self.states.lock();
        std::iter::once(&states.latest).chain(&states.recent).find(|state| state.version == version).map(Arc::clone)
    }

    fn remember(&self, state: &Arc<TableState>) {
        let mut states = self.states.lock();
        if state.version == states.latest.version || states.recent.iter().any(|known| known.version == state.version) {
            return;
        }
        let older = if state.version > states.latest.version {
            std::mem::replace(&mut states.latest, Arc::clone(state))
        } else {
            Arc::clone(state)
        };
        states.recent.push_front(older);
        states.recent.truncate(RECENT_MAX);
    }

    async fn load(&self, version: Option<u64>) -> Result<Arc<TableState>, ColdError> {
        let reading = || format!("cannot read the Delta log of {}", self.path);
        let snapshot = EagerSnapshot::try_new(self.log.as_ref(), version).await.doing(reading)?;
        check_compatible(self.kind, &snapshot)?;
        Ok(Arc::new(state_of(self.kind, &snapshot)?))
    }

    /// The newest version in the log, by one LIST behind `known`.
    async fn newest_version(&self, known: u64) -> Result<u64, ColdError> {
        let offset = commit_uri_from_version(Some(known));
        let listing = self.store.list_with_offset(Some(&Path::from("_delta_log")), &offset);
        let newest = listing.try_fold(known, |newest, object| {
            let version = object.location.filename().and_then(version_of_commit);
            std::future::ready(Ok(version.map_or(newest, |version| version.max(newest))))
        });
        newest.await.doing(|| format!("cannot list the Delta log of {}", self.path))
    }

    /// A failed checkpoint harms nobody: readers replay more commits, and the next one that is due tries again.
    async fn checkpoint_if_due(&self, version: u64) {
        if !(version + 1).is_multiple_of(CHECKPOINT_EVERY) {
            return;
        }
        if let Err(error) = self.checkpoint(version).await {
            self.metrics.checkpoint_failures.inc();
            tracing::warn!(table = self.kind.as_str(), version, %error, "checkpoint failed");
        }
    }

    async fn checkpoint(&self, version: u64) -> Result<(), deltalake_core::DeltaTableError> {
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        table.load_version(version).await?;
        checkpoints::create_checkpoint(&table, None).await?;
        let deleted = checkpoints::cleanup_metadata(&table, None).await?;
        tracing::debug!(table = self.kind.as_str(), version, deleted, "checkpoint written, old log entries deleted");
        Ok(())
    }
}

/// Counts the tries of one commit, and waits between them.
pub(crate) struct Tries {
    table: ColdTable,
    begun: u32,
    backoff: Backoff,
    failure: Option<ColdError>,
}

impl Tries {
    pub(crate) fn new(table: ColdTable) -> Self {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        Self { table, begun: 0, backoff, failure: None }
    }

    /// Whether to try (again).
    pub(crate) async fn next(&mut self) -> bool {
        if self.begun == COMMIT_TRIES {
            return false;
        }
        if self.begun > 0 {
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
        self.begun += 1;
        true
    }

    pub(crate) fn failed(&mut self, error: ColdError) {
        self.failure = Some(error);
    }

    /// Why the last try did not succeed.
    pub(crate) fn give_up(self) -> ColdError {
        self.failure.unwrap_or(ColdError::Contended { table: self.table, attempts: self.begun })
    }
}

fn state_of(kind: ColdTable, snapshot: &EagerSnapshot) -> Result<TableState, ColdError> {
    #[expect(deprecated, reason = "the only public view of a file's tags")]
    let adds: Vec<_> = snapshot.log_data().iter().map(|file| file.add_action()).collect();
    TableState::of_adds(kind, snapshot.version(), &adds)
}

fn version_of_commit(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json").filter(|digits| digits.len() == 20)?;
    digits.parse().ok()
}
