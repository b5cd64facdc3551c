//! The table of series: one row an id, with its labels and the days between which the archive may have data of it.
//!
//! series seen in an hour ─▶ plan against the [`index`] ─▶ rewrite the files that hold changed rows, new rows in a new file
//!   ─▶ one commit ─▶ index follows
//!
//! Ids are unique at every version. A day changes each active series once; between, an hour adds only series that are
//! new, so a commit touches the few files that hold what changed, and small files are joined when there are many. The
//! index keeps 24 bytes a series in memory, and 64 bits of the labels' hash that are not part of the id: two series with
//! one id are told apart before the second is archived.

mod index;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;
use runtime::crash_point;
use schemas::labels::Labels;
use schemas::object_path::{DataFile, Subject};
use schemas::{Day, SeriesHash, SeriesId};

use self::index::SeriesIndex;
pub use self::rows::SeriesEntry;
use self::rows::fetch_rows;
use self::rows::{NewRow, rewrite};
pub(crate) use self::rows::{conform, entries_of};
use crate::archive::Archive;
use crate::error::ColdError;
use crate::table::{Change, Commit, LiveFile, Table, TableState, Tries};
use crate::write::{TableCommit, upload};

/// A file with fewer rows is small.
const SMALL_FILE_ROWS: u64 = 32 << 10;
/// This many small files are joined.
const SMALL_FILES_MAX: usize = 8;

/// A series that an hour holds.
#[derive(Debug, Clone)]
pub(crate) struct SeenSeries {
    pub(crate) id: SeriesId,
    /// The low half of the labels' hash.
    pub(crate) check: u64,
    pub(crate) labels: Labels,
}

impl SeenSeries {
    pub(crate) fn check_of(hash: SeriesHash) -> u64 {
        u64::try_from(hash.0 & u128::from(u64::MAX)).unwrap_or(u64::MAX)
    }
}

/// The table and what is known of its rows.
pub(crate) struct SeriesTable {
    table: Table,
    index: RwLock<SeriesIndex>,
    /// One rewrite at a time in this process: two would only make each other lose.
    rewriting: tokio::sync::Mutex<()>,
}

/// A change of rows: what changes in files that exist, and what is new.
#[derive(Debug, Default)]
struct Plan {
    touched: BTreeMap<Arc<str>, Arc<LiveFile>>,
    /// New dates of rows that exist.
    dates: BTreeMap<i64, (Day, Day)>,
    /// Rows that go.
    gone: BTreeSet<i64>,
    new: Vec<NewRow>,
}

impl SeriesTable {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, index: RwLock::default(), rewriting: tokio::sync::Mutex::default() }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Whether the table is known to say already that the series has data on that day.
    pub(crate) fn knows(&self, id: SeriesId, check: u64, day: Day) -> bool {
        self.index.read().get(id.0).is_some_and(|row| row.check == check && row.first <= day && day <= row.last)
    }

    /// Makes the table say that each series has data on `day`.
    pub(crate) async fn upsert(
        &self,
        archive: &Archive,
        seen: &[SeenSeries],
        day: Day,
    ) -> Result<TableCommit, ColdError> {
        if seen.is_empty() {
            return Ok(TableCommit { version: self.table.latest().version, bytes: 0, unchanged: true });
        }
        let _turn = self.rewriting.lock().await;
        self.commit(archive, |index, state| plan_upsert(index, state, seen, day)).await
    }

    /// Removes the rows of series whose last data is from before `before`; says how many.
    pub(crate) async fn forget_before(&self, archive: &Archive, before: Day) -> Result<(TableCommit, u64), ColdError> {
        let _turn = self.rewriting.lock().await;
        let mut gone = 0;
        let committed = self.commit(archive, |index, state| {
            let plan = plan_forget(index, state, before);
            gone = plan.gone.len();
            Ok(plan)
        });
        let committed = committed.await?;
        Ok((committed, u64::try_from(gone).unwrap_or(u64::MAX)))
    }

    /// How many rows say that their last data is from before `before`.
    pub(crate) async fn count_before(&self, before: Day) -> Result<u64, ColdError> {
        let state = self.table.refresh().await?;
        self.follow(&state).await?;
        let count = self.index.read().ids_ending_before(before).count();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Plans, rewrites and commits until the plan is empty or a commit won.
    async fn commit(
        &self,
        archive: &Archive,
        mut plan: impl FnMut(&SeriesIndex, &TableState) -> Result<Plan, Refused>,
    ) -> Result<TableCommit, ColdError> {
        let mut tries = Tries::new(self.table.kind());
        let mut tried: Option<Change> = None;
        while tries.next().await {
            let state = self.table.refresh().await?;
            self.follow(&state).await?;
            if let Some(change) = &tried
                && change.add.iter().any(|file| state.files.contains_key(file.path.as_str()))
            {
                // The reply to an earlier try was lost.
                self.table.note_commit(&change.add);
                return Ok(committed(&state, change));
            }
            let planned = plan(&self.index.read(), &state);
            let plan = match planned {
                Ok(plan) => plan,
                Err(refused) => return Err(self.explain(archive, &state, refused).await),
            };
            if plan.is_empty() {
                return Ok(TableCommit { version: state.version, bytes: 0, unchanged: true });
            }
            let attempt = archive.begin_attempt();
            let change = self.write(archive, attempt.attempt(), plan).await?;
            crash_point("cold.series.uploaded");
            let outcome = self.table.try_commit(&state, &change).await?;
            match outcome {
                Commit::Won(state) => {
                    crash_point("cold.series.committed");
                    self.follow(&state).await?;
                    return Ok(committed(&state, &change));
                }
                Commit::Lost => {}
                Commit::Unknown(error) => tries.failed(error),
            }
            tried = Some(change);
        }
        Err(tries.give_up())
    }

    /// Writes and uploads the files that a plan asks for.
    async fn write(
        &self,
        archive: &Archive,
        attempt: schemas::object_path::Attempt,
        plan: Plan,
    ) -> Result<Change, ColdError> {
        let mut old = Vec::with_capacity(plan.touched.len());
        for file in plan.touched.values() {
            old.push(fetch_rows(&self.table, file).await?);
        }
        let Plan { touched, dates, gone, new } = plan;
        let parts = tokio::task::spawn_blocking(move || rewrite(old, &dates, &gone, &new)).await;
        let parts = parts.map_err(|panicked| ColdError::Io {
            doing: "cannot rewrite the table of series",
            source: std::io::Error::other(panicked),
        })??;
        let mut add = Vec::with_capacity(parts.len());
        for (number, part) in (0..).zip(parts) {
            let incarnation = archive.incarnation().clone();
            let name = DataFile { subject: Subject::Series, incarnation, attempt, part: number };
            add.push(upload(&self.table, name.to_string(), part, None, Vec::new()).await?);
        }
        Ok(Change { add, remove: touched.into_values().collect(), why: "series" })
    }

    /// Brings the index to a state of the table.
    async fn follow(&self, state: &TableState) -> Result<(), ColdError> {
        let missing = self.index.write().forget_files_not_in(state);
        for file in missing {
            let batches = fetch_rows(&self.table, &file).await?;
            self.index.write().add_file(&file.path, &batches)?;
        }
        Ok(())
    }

    /// Names both series of a collision.
    async fn explain(&self, archive: &Archive, state: &TableState, refused: Refused) -> ColdError {
        archive.metrics().series_collisions.inc();
        let Refused { id, second } = refused;
        let path = self.index.read().file_of(id).map(str::to_owned);
        let file = path.and_then(|path| state.files.get(path.as_str()).map(Arc::clone));
        let mut first = "an archived series".to_owned();
        if let Some(file) = file
            && let Ok(batches) = fetch_rows(&self.table, &file).await
            && let Ok(entries) = entries_of(&batches)
            && let Some(entry) = entries.into_iter().find(|entry| entry.series_id.0 == id)
        {
            first = entry.labels.to_string();
        }
        ColdError::SeriesCollision { id: SeriesId(id), first, second }
    }
}

/// A series that has the id of another.
struct Refused {
    id: i64,
    second: String,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.dates.is_empty() && self.gone.is_empty() && self.new.is_empty()
    }

    fn touch(&mut self, index: &SeriesIndex, state: &TableState, id: i64) {
        let path = index.file_of(id);
        if let Some(file) = path.and_then(|path| state.files.get(path)) {
            self.touched.entry(Arc::clone(&file.path)).or_insert_with(|| Arc::clone(file));
        }
    }

    /// Small files are joined when a commit is due anyway.
    fn join_small_files(&mut self, state: &TableState) {
        let small = |file: &&Arc<LiveFile>| file.stats.rows.is_some_and(|rows| rows < SMALL_FILE_ROWS);
        let small: Vec<_> = state.files.values().filter(small).collect();
        if small.len() > SMALL_FILES_MAX {
            self.touched.extend(small.into_iter().map(|file| (Arc::clone(&file.path), Arc::clone(file))));
        }
    }
}

fn plan_upsert(index: &SeriesIndex, state: &TableState, seen: &[SeenSeries], day: Day) -> Result<Plan, Refused> {
    let mut plan = Plan::default();
    let mut fresh: BTreeMap<i64, u64> = BTreeMap::new();
    for series in seen {
        let id = series.id.0;
        let known_check = index.get(id).map(|row| row.check).or_else(|| fresh.get(&id).copied());
        if known_check.is_some_and(|check| check != series.check) {
            return Err(Refused { id, second: series.labels.to_string() });
        }
        match index.get(id) {
            Some(row) if row.first <= day && day <= row.last => {}
            Some(row) => {
                plan.touch(index, state, id);
                plan.dates.insert(id, (row.first.min(day), row.last.max(day)));
            }
            None => {
                if fresh.insert(id, series.check).is_none() {
                    plan.new.push(NewRow { id: series.id, labels: series.labels.clone(), day });
                }
            }
        }
    }
    if !plan.is_empty() {
        plan.join_small_files(state);
    }
    Ok(plan)
}

fn plan_forget(index: &SeriesIndex, state: &TableState, before: Day) -> Plan {
    let mut plan = Plan { gone: index.ids_ending_before(before).collect(), ..Plan::default() };
    for id in plan.gone.clone() {
        plan.touch(index, state, id);
    }
    plan
}

fn committed(state: &TableState, change: &Change) -> TableCommit {
    let bytes = change.add.iter().map(|file| file.bytes).sum();
    TableCommit { version: state.version, bytes, unchanged: false }
}
