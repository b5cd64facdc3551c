//! What keeps the archive tidy: orphans and staging files swept, old partitions let go, and a look at what is there.
//!
//! A file goes from a table by a commit (expire) and stays as an object until a vacuum; an object goes only if no
//! version in retention can refer to it (GC-1). When to do either, and what must be proven before, is the compactor's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use schemas::object_path::DataFile;
use schemas::tier_map::ColdTable;
use schemas::{Day, RetentionClass};

use crate::archive::Archive;
use crate::error::{ColdError, Doing};
use crate::store::{Swept, sweep_staged};
use crate::table::{Change, LiveFile, Step, Table, TableState};

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Tables that were looked at. Others wait for a commit of ours.
    pub tables: u64,
    /// Files that were deleted, staging files of dead writers included.
    pub files: u64,
    pub bytes: u64,
}

/// What an expiry lets go, or let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExpireReport {
    pub partitions: u64,
    pub files: u64,
    /// Rows of the files, or of series that are forgotten.
    pub rows: u64,
    pub bytes: u64,
    /// The version that has them no more; for a plan, the version looked at.
    pub version: u64,
}

/// What the archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColdInventory {
    pub tables: Vec<TableInventory>,
}

/// What one table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInventory {
    pub table: ColdTable,
    pub version: u64,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// By rising time and class; none for the table of series.
    pub partitions: Vec<PartitionInventory>,
}

/// What one partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionInventory {
    /// The day, or the first of the month.
    pub first_day: Day,
    /// `None` where another program named it.
    pub class: Option<RetentionClass>,
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Archive {
    /// Deletes files of attempts of this incarnation that never became part of a table. Looks only at tables that this
    /// process has committed to since it started: an earlier process' put that was in flight has lost by then. Staging
    /// files, which only a local directory has, go as soon as their writer is dead, whoever it was.
    pub async fn sweep(&self) -> Result<SweepReport, ColdError> {
        let mut report = SweepReport::default();
        for kind in ColdTable::ALL {
            let table = self.table(kind);
            if table.has_committed() {
                report.tables += 1;
                self.sweep_table(table, &mut report).await?;
            }
        }
        self.metrics().orphans_deleted.inc_by(report.files);
        let Swept { files, bytes } = self.sweep_staging().await?;
        report.files += files;
        report.bytes += bytes;
        Ok(report)
    }

    /// Removes what dead writers left half written in a local directory.
    pub(crate) async fn sweep_staging(&self) -> Result<Swept, ColdError> {
        let roots = self.local_roots().to_vec();
        let sweeping = tokio::task::spawn_blocking(move || {
            roots.iter().try_fold(Swept::default(), |sum, root| sweep_staged(root).map(|swept| sum.and(swept)))
        });
        let swept = sweeping.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        let swept = swept.map_err(|source| ColdError::Io { doing: "cannot sweep staging files", source })?;
        self.metrics().orphans_deleted.inc_by(swept.files);
        Ok(swept)
    }

    async fn sweep_table(&self, table: &Table, report: &mut SweepReport) -> Result<(), ColdError> {
        let sweeping = || format!("cannot sweep {}", table.kind().as_str());
        // Listed first: what is committed after the list was made is not taken for an orphan by the state read later.
        let listed: Vec<_> = table.store().list(None).try_collect().await.doing(sweeping)?;
        let ours = |path: &str| {
            let file = DataFile::parse(path).ok()?;
            (file.incarnation == *self.incarnation() && !self.is_in_flight(file.attempt)).then_some(())
        };
        let mut orphans: Vec<_> =
            listed.into_iter().filter(|object| ours(object.location.as_ref()).is_some()).collect();
        let state = table.refresh().await?;
        orphans.retain(|object| !table.is_in_use(object.location.as_ref()));
        if orphans.is_empty() {
            return Ok(());
        }
        let removed: BTreeSet<String> = table.tombstones(state.version).await?.into_iter().collect();
        for orphan in orphans.into_iter().filter(|object| !removed.contains(object.location.as_ref())) {
            table.store().delete(&orphan.location).await.doing(sweeping)?;
            tracing::info!(table = table.kind().as_str(), path = %orphan.location, "orphan deleted");
            report.files += 1;
            report.bytes += orphan.size;
        }
        Ok(())
    }

    /// What [`Archive::expire`] would let go now.
    pub async fn plan_expire(
        &self,
        kind: ColdTable,
        class: RetentionClass,
        before: Day,
    ) -> Result<ExpireReport, ColdError> {
        let state = self.table(kind).refresh().await?;
        if kind == ColdTable::Series {
            let rows = self.series().count_before(before).await?;
            return Ok(ExpireReport { rows, version: state.version, ..ExpireReport::default() });
        }
        Ok(ExpireReport { version: state.version, ..totals(&expired(&state, class, before)) })
    }

    /// Takes partitions of a class that end by `before` out of a table; of `series`, rows of series (of any class) whose
    /// last data is from before. The objects stay until a vacuum, so older versions remain readable.
    pub async fn expire(&self, kind: ColdTable, class: RetentionClass, before: Day) -> Result<ExpireReport, ColdError> {
        if kind == ColdTable::Series {
            let (committed, rows) = self.series().forget_before(self, before).await?;
            return Ok(ExpireReport { rows, version: committed.version, ..ExpireReport::default() });
        }
        let mut report = ExpireReport::default();
        let state = self.table(kind).commit_until_done(|state| {
            let remove = expired(state, class, before);
            if remove.is_empty() {
                return Ok(Step::Done);
            }
            report = totals(&remove);
            Ok(Step::Commit(Change { add: Vec::new(), remove, why: "expire" }))
        });
        let version = state.await?.version;
        Ok(ExpireReport { version, ..report })
    }

    /// What the tables hold, by the newest versions.
    pub async fn inventory(&self) -> Result<ColdInventory, ColdError> {
        let mut tables = Vec::with_capacity(ColdTable::ALL.len());
        for kind in ColdTable::ALL {
            let state = self.table(kind).refresh().await?;
            tables.push(TableInventory {
                table: kind,
                version: state.version,
                files: count(state.files.len()),
                rows: state.rows(),
                bytes: state.bytes(),
                partitions: partitions(&state),
            });
        }
        Ok(ColdInventory { tables })
    }
}

/// Files of partitions that lie wholly before a day. Pure.
fn expired(state: &TableState, class: RetentionClass, before: Day) -> Vec<Arc<LiveFile>> {
    let old = |file: &&Arc<LiveFile>| {
        file.class == Some(class) && file.days(state.table).is_some_and(|(_, end)| end <= before)
    };
    state.files.values().filter(old).map(Arc::clone).collect()
}

fn totals(files: &[Arc<LiveFile>]) -> ExpireReport {
    let partitions: BTreeSet<_> = files.iter().map(|file| (file.first_day, file.class)).collect();
    ExpireReport {
        partitions: count(partitions.len()),
        files: count(files.len()),
        rows: files.iter().filter_map(|file| file.stats.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        version: 0,
    }
}

fn partitions(state: &TableState) -> Vec<PartitionInventory> {
    let mut partitions: BTreeMap<(Day, Option<RetentionClass>), PartitionInventory> = BTreeMap::new();
    for file in state.files.values() {
        let Some(first_day) = file.first_day else { continue };
        let class = file.class;
        let partition = partitions.entry((first_day, class)).or_insert(PartitionInventory {
            first_day,
            class,
            files: 0,
            rows: 0,
            bytes: 0,
        });
        partition.files += 1;
        partition.rows += file.stats.rows.unwrap_or(0);
        partition.bytes += file.bytes;
    }
    partitions.into_values().collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
