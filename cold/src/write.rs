//! Writes one sealed hour of one class to the tables.
//!
//! series in order ─[`HourWriter::push`]─▶ ⊕ rows of the table, if any ([`held`]) ─▶ columns of raw, 1 m, 1 h ─▶ Parquet parts
//! (memory, then temporary files) ─[`HourWriter::commit`]─▶ series → raw → rollup_1m → rollup_1h, each: decide → upload →
//! read back → commit
//!
//! Rows never lack their names, so `series` goes first. An hour that the tables already hold through the same epoch
//! commits nothing; what was there of it before is replaced in the same commit (MOVE-1). Rollups are made of the rows that are
//! committed to `raw`, all writers' rows among them. Memory is bounded by a row group a table, not by the hour. Not here: when
//! an hour is due, and who may still read what was replaced.

mod held;
mod properties;
mod raw;
mod rolling;
mod rollup;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::crash_point;
use schemas::file_tags::Holding;
use schemas::labels::hash_canonical;
use schemas::object_path::{DataFile, PartitionDir, Subject};
use schemas::rollup::bucketize;
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::{DurationMs, Epoch, Hour, Labels, Offsets, Points, RetentionClass, SeriesId};

pub use self::held::{Feed, HourBase};
use self::held::{Held, HeldRows};
use self::raw::RawColumns;
pub(crate) use self::rolling::{Part, RollingWriter};
use self::rollup::RollupColumns;
pub(crate) use self::upload::upload;
use crate::archive::{Archive, AttemptGuard};
use crate::error::ColdError;
use crate::hour::{Decision, Holdings, HourTarget, commit_hour, decide};
use crate::series::SeenSeries;
use crate::table::{NewFile, Table};

/// A series as it is archived.
#[derive(Debug, Clone, Copy)]
pub struct ArchivedSeries<'a> {
    pub series_id: SeriesId,
    pub labels: &'a Labels,
}

/// What archiving an hour did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HourCommit {
    /// The versions that hold the hour.
    pub versions: DeltaVersions,
    /// Rows of the data tables that were committed.
    pub rows: u64,
    /// Bytes of the files that were committed, `series` included.
    pub bytes: u64,
    /// The tables already held the hour; nothing was committed.
    pub unchanged: bool,
}

/// Takes the points of one hour and class, series by series, and commits them. CPU work is in [`HourWriter::push`]
/// and [`HourWriter::finish_columns`], I/O in [`HourWriter::commit`].
pub struct HourWriter {
    archive: Arc<Archive>,
    hour: Hour,
    class: RetentionClass,
    through: Epoch,
    /// How far Kafka's partitions are in through that epoch.
    offsets: Offsets,
    /// What the table holds of the hour and the new files are to hold as well …
    base: Holdings,
    /// … with the rows that are still to come of it.
    held: Option<HeldRows>,
    /// The base has our rows already, among others'.
    is_held: bool,
    // Boxed: the encoders of twenty columns are large, and writers move between threads.
    raw: Box<RawColumns>,
    minutes: Box<RollupColumns>,
    hours: Box<RollupColumns>,
    /// What encoding took so far, in the order of [`ColdTable::DATA`].
    took: [Duration; 3],
    seen: Vec<SeenSeries>,
    last: Option<(String, SeriesId)>,
}

impl std::fmt::Debug for HourWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hour, class, through, .. } = self;
        f.debug_struct("HourWriter")
            .field("hour", hour)
            .field("class", class)
            .field("through", through)
            .finish_non_exhaustive()
    }
}

impl HourWriter {
    pub(crate) fn new(archive: Arc<Archive>, hour: Hour, class: RetentionClass, through: Epoch) -> Self {
        Self {
            archive,
            hour,
            class,
            through,
            offsets: Offsets::default(),
            base: Holdings::default(),
            held: None,
            is_held: false,
            raw: Box::default(),
            minutes: Box::new(RollupColumns::new(ColdTable::Rollup1m)),
            hours: Box::new(RollupColumns::new(ColdTable::Rollup1h)),
            took: [Duration::ZERO; 3],
            seen: Vec::new(),
            last: None,
        }
    }

    /// Says how far Kafka's partitions are in by the end of the epoch.
    #[must_use]
    pub fn with_offsets(mut self, offsets: Offsets) -> Self {
        self.offsets = offsets;
        self
    }

    /// Adds the points to come to what the base holds, whoever wrote it, instead of to nothing: of two values for one moment
    /// ours is the later. Without this they are all that there is of the hour, and the commit is [`ColdError::Overtaken`]
    /// where others have rows. The feed is to be polled while the writer works.
    pub async fn over(mut self, base: &HourBase) -> Result<(Self, Feed), ColdError> {
        debug_assert!(base.hour() == self.hour && base.class() == self.class, "a base is of the same hour");
        let (rows, feed) = self.archive.feed(base).await?;
        self.held = Some(rows);
        self.is_held = base.through() >= self.through;
        self.base = base.holds().clone();
        Ok((self, feed))
    }

    /// Adds a series' settled points. Series come by rising (metric name, series id); both rollups are made here.
    pub fn push(&mut self, series: &ArchivedSeries<'_>, points: &Points) -> Result<(), ColdError> {
        let (Some(&first), Some(&last)) = (points.timestamps.first(), points.timestamps.last()) else { return Ok(()) };
        let (metric, id) = (series.labels.metric(), series.series_id);
        self.check_order(metric, id, first, last)?;
        debug_assert!(points.is_sorted_unique(), "points are settled");
        if self.is_held {
            return Ok(());
        }
        self.see(series);
        match self.held_of(metric, id)? {
            Some(held) => self.encode(metric, id, &held.overlaid_with(points)),
            None => self.encode(metric, id, points),
        }
    }

    /// What the base has of a series; everything before it is encoded.
    fn held_of(&mut self, metric: &str, id: SeriesId) -> Result<Option<Points>, ColdError> {
        loop {
            let Some(held) = &mut self.held else { return Ok(None) };
            match held.next_up_to(metric, id)? {
                Held::Before(key, points) => self.encode(&key.metric, SeriesId(key.id), &points)?,
                Held::Same(points) => return Ok(Some(points)),
                Held::Nothing => return Ok(None),
            }
        }
    }

    fn encode(&mut self, metric: &str, id: SeriesId, points: &Points) -> Result<(), ColdError> {
        let Self { raw, minutes, hours, took: [of_raw, of_minutes, of_hours], .. } = self;
        timed(of_raw, || raw.push(metric, id, points))?;
        timed(of_minutes, || push_buckets(minutes, DurationMs::MINUTE, metric, id, points))?;
        timed(of_hours, || push_buckets(hours, DurationMs::HOUR, metric, id, points))
    }

    /// Ends the columns: CPU work that [`HourWriter::commit`] would otherwise do on the thread it is polled on. Over a base it
    /// must be called: what is left of that is taken in here.
    pub fn finish_columns(&mut self) -> Result<(), ColdError> {
        while let Some((key, points)) = self.held.as_mut().map_or(Ok(None), HeldRows::next)? {
            self.encode(&key.metric, SeriesId(key.id), &points)?;
        }
        let Self { raw, minutes, hours, took: [of_raw, of_minutes, of_hours], .. } = self;
        timed(of_raw, || raw.finish())?;
        timed(of_minutes, || minutes.finish())?;
        timed(of_hours, || hours.finish())
    }

    /// Uploads, reads back and commits, table by table in archive order. Dropping the future leaves at most files that
    /// [`Archive::sweep`] finds; calling again with a new writer goes on where this one ended.
    pub async fn commit(mut self) -> Result<HourCommit, ColdError> {
        if self.held.as_ref().is_some_and(|held| !held.is_at_end()) {
            return Err(ColdError::OutOfOrder(format!(
                "hour {} is committed before its columns are finished",
                self.hour
            )));
        }
        self.finish_columns()?;
        for (table, took) in ColdTable::DATA.into_iter().zip(self.took) {
            self.archive.metrics().encoded(table, took);
        }
        let tables = [
            (ColdTable::Raw, self.raw.take_parts()),
            (ColdTable::Rollup1m, self.minutes.take_parts()),
            (ColdTable::Rollup1h, self.hours.take_parts()),
        ];
        let Self { archive, hour, class, through, offsets, base: mut holds, seen, .. } = self;
        let ours = archive.writer(hour, through);
        holds.join(&Holding { offsets, ..ours });
        let target = HourTarget { hour, class, holds };
        Committer { archive, target }.commit(seen, tables).await
    }

    fn check_order(&mut self, metric: &str, id: SeriesId, first: i64, last: i64) -> Result<(), ColdError> {
        let hour = self.hour.range();
        if first < hour.start().0 || last >= hour.end().0 {
            return Err(ColdError::OutOfOrder(format!("series {} has points outside hour {}", id.0, self.hour)));
        }
        match &mut self.last {
            Some((name, previous)) if name == metric => {
                if *previous >= id {
                    return Err(ColdError::OutOfOrder(format!("series {} comes after {}", id.0, previous.0)));
                }
                *previous = id;
            }
            Some((name, _)) if name.as_str() > metric => {
                return Err(ColdError::OutOfOrder(format!("metric {metric:?} comes after {name:?}")));
            }
            last => *last = Some((metric.to_owned(), id)),
        }
        Ok(())
    }

    /// Keeps what the table of series has to be told; its labels only where they are not known to be there.
    fn see(&mut self, series: &ArchivedSeries<'_>) {
        let check = SeenSeries::check_of(hash_canonical(series.labels.as_bytes()));
        if !self.archive.series().knows(series.series_id, check, self.hour.day()) {
            self.seen.push(SeenSeries { id: series.series_id, check, labels: series.labels.clone() });
        }
    }
}

/// Adds to `total` what the work takes.
fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    *total += started.elapsed();
    done
}

/// Commits an hour whose files are encoded.
struct Committer {
    archive: Arc<Archive>,
    target: HourTarget,
}

impl Committer {
    async fn commit(
        &self,
        seen: Vec<SeenSeries>,
        tables: [(ColdTable, Vec<Part>); 3],
    ) -> Result<HourCommit, ColdError> {
        let started = Instant::now();
        let archive = &self.archive;
        let mut done = HourCommit { unchanged: true, ..HourCommit::default() };
        let series = archive.series().upsert(archive, &seen, self.target.hour.day()).await?;
        done.versions.set(ColdTable::Series, series.version);
        done.bytes += series.bytes;
        done.unchanged &= series.unchanged;
        for (kind, parts) in tables {
            let (rows, bytes) = totals(&parts);
            let committed = self.commit_table(archive.table(kind), parts).await?;
            done.versions.set(kind, committed.version);
            if !committed.unchanged {
                done.rows += rows;
                done.bytes += bytes;
                done.unchanged = false;
            }
        }
        if !done.unchanged {
            archive.metrics().commit_seconds.observe(started.elapsed());
        }
        Ok(done)
    }

    async fn commit_table(&self, table: &Table, parts: Vec<Part>) -> Result<TableCommit, ColdError> {
        let state = table.latest();
        if matches!(decide(&state, &self.target)?, Decision::Done) {
            return Ok(TableCommit { version: state.version, bytes: 0, unchanged: true });
        }
        let attempt = self.archive.begin_attempt();
        let files = self.upload_parts(table, &attempt, parts).await?;
        crash_point(uploaded_point(table.kind()));
        let committed = commit_hour(table, &self.target, files).await?;
        crash_point(committed_point(table.kind()));
        Ok(committed)
    }

    async fn upload_parts(
        &self,
        table: &Table,
        attempt: &AttemptGuard,
        parts: Vec<Part>,
    ) -> Result<Vec<NewFile>, ColdError> {
        let HourTarget { hour, class, holds } = &self.target;
        let partition = PartitionDir::of(table.kind(), *hour, *class);
        let mut files = Vec::with_capacity(parts.len());
        for (number, part) in (0..).zip(parts) {
            let name = DataFile {
                subject: Subject::Hour(*hour),
                incarnation: self.archive.incarnation().clone(),
                attempt: attempt.attempt(),
                part: number,
            };
            let path = partition.map_or_else(|| name.to_string(), |directory| format!("{directory}/{name}"));
            files.push(upload(table, path, part, partition, holds.to_vec()).await?);
        }
        Ok(files)
    }
}

fn push_buckets(
    rows: &mut RollupColumns,
    width: DurationMs,
    metric: &str,
    id: SeriesId,
    points: &Points,
) -> Result<(), ColdError> {
    let mut pushed = Ok(());
    bucketize(&points.timestamps, &points.values, width, |bucket| {
        if pushed.is_ok() {
            pushed = rows.push(metric, id, &bucket);
        }
    });
    pushed
}

/// What became of one table of an hour.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableCommit {
    pub(crate) version: u64,
    pub(crate) bytes: u64,
    pub(crate) unchanged: bool,
}

fn totals(parts: &[Part]) -> (u64, u64) {
    parts.iter().fold((0, 0), |(rows, bytes), part| (rows + part.stats.rows.unwrap_or(0), bytes + part.bytes))
}

fn uploaded_point(table: ColdTable) -> &'static str {
    match table {
        ColdTable::Series => "cold.series.uploaded",
        ColdTable::Raw => "cold.raw.uploaded",
        ColdTable::Rollup1m => "cold.rollup_1m.uploaded",
        ColdTable::Rollup1h => "cold.rollup_1h.uploaded",
    }
}

fn committed_point(table: ColdTable) -> &'static str {
    match table {
        ColdTable::Series => "cold.series.committed",
        ColdTable::Raw => "cold.raw.committed",
        ColdTable::Rollup1m => "cold.rollup_1m.committed",
        ColdTable::Rollup1h => "cold.rollup_1h.committed",
    }
}
