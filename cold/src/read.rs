//! Reads points and rollups back, from any version that is still known.
//!
//! [`ColdSelection`] ─prune files by partition, tags, statistics─▶ one Parquet scan a file ([`plan`]) ─▶ runs of rows a series
//!   ─merge by (metric, series) ([`merge`])─▶ one item a series, in time order
//!
//! Within a file, row groups and pages are skipped by their statistics. Where two files hold the same hour, from several
//! nodes, both are united and the later commit wins (SET-1). What the tier map lays over the archive's data is not here,
//! nor is where to read (`query`).

mod columns;
mod merge;
mod others;
mod plan;
mod reader;

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use schemas::labels::METRIC_NAME;
use schemas::matcher::{LabelMatcher, MatchOp};
use schemas::rollup::Bucket;
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::time::HourRange;
use schemas::{Hour, Points, Resolution, RetentionClass, SeriesId, TimeRange};

use self::columns::{BUCKET_COLUMNS, LEAN_BUCKET_COLUMNS, POINT_COLUMNS, SERIES_COLUMNS, SeriesRows};
pub(crate) use self::merge::SeriesKey;
use self::merge::{Wanted, merge, series_of};
pub(crate) use self::others::OthersHours;
use self::plan::Predicates;
pub(crate) use self::plan::ScanContext;
use crate::archive::Archive;
use crate::error::ColdError;
use crate::series::{SeriesEntry, conform, entries_of};
use crate::store::ReadCounters;
use crate::table::{LiveFile, TableState};

/// Files that are opened at the same time.
const OPEN_AT_ONCE: usize = 16;

/// What to read. Every part narrows.
#[derive(Debug, Clone)]
pub struct ColdSelection {
    pub class: Option<RetentionClass>,
    pub metric: Option<String>,
    /// Sorted.
    pub series: Option<Vec<SeriesId>>,
    /// Of points: their times; of buckets: their starts.
    pub range: TimeRange,
}

impl ColdSelection {
    /// Everything in a range.
    pub fn all(range: TimeRange) -> Self {
        Self { class: None, metric: None, series: None, range }
    }
}

/// Which series to look for. Every part narrows.
#[derive(Debug, Clone, Default)]
pub struct SeriesSelection {
    /// All must match.
    pub matchers: Vec<LabelMatcher>,
    /// Sorted.
    pub ids: Option<Vec<SeriesId>>,
    /// The archive may have data in it.
    pub range: Option<TimeRange>,
}

/// A data file, as the snapshot of a table knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdFile {
    /// Below the table.
    pub path: Arc<str>,
    pub bytes: u64,
    /// The hours that it may hold rows of, in no order.
    pub hours: Vec<HourRange>,
}

/// Series as the archive names them.
pub type EntryStream = BoxStream<'static, Result<SeriesEntry, ColdError>>;
/// A stream of one item a series.
pub type SeriesStream<T> = BoxStream<'static, Result<(SeriesId, T), ColdError>>;
/// The same, with the name of the metric.
pub(crate) type KeyedStream<T> = BoxStream<'static, Result<(SeriesKey, T), ColdError>>;

impl Archive {
    /// Raw points of these files.
    pub(crate) async fn scan_points_of(
        &self,
        files: Vec<Arc<LiveFile>>,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<KeyedStream<Points>, ColdError> {
        self.scan_files(ColdTable::Raw, &POINT_COLUMNS, files, selection, counters).await
    }

    /// Raw points, series by series in the order of the table (metric, series id), sorted by time and settled. Memory is
    /// what the scans of the selected files hold: at most one row group's selected pages a file.
    pub async fn scan_points(
        &self,
        versions: &DeltaVersions,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<SeriesStream<Points>, ColdError> {
        self.scan_series(ColdTable::Raw, &POINT_COLUMNS, versions, selection, counters).await
    }

    /// Rollups with their sketches, series by series, in time order.
    pub async fn scan_buckets(
        &self,
        versions: &DeltaVersions,
        resolution: Resolution,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<SeriesStream<Vec<Bucket>>, ColdError> {
        self.scan_series(ColdTable::of(resolution), &BUCKET_COLUMNS, versions, selection, counters).await
    }

    /// [`Archive::scan_buckets`] without sketches, which are most of the bytes: for all but quantiles.
    pub async fn scan_lean_buckets(
        &self,
        versions: &DeltaVersions,
        resolution: Resolution,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<SeriesStream<Vec<Bucket>>, ColdError> {
        self.scan_series(ColdTable::of(resolution), &LEAN_BUCKET_COLUMNS, versions, selection, counters).await
    }

    /// Series that match all matchers and may have data in `range`, sorted by (metric, series id). Reads the pages of
    /// the metric if a matcher names one, else the whole table.
    pub async fn select_series(
        &self,
        versions: &DeltaVersions,
        matchers: &[LabelMatcher],
        range: Option<TimeRange>,
    ) -> Result<Vec<SeriesEntry>, ColdError> {
        self.find_series(versions, matchers, range, &ReadCounters::default()).await
    }

    /// [`Archive::select_series`], counted for a query.
    pub async fn find_series(
        &self,
        versions: &DeltaVersions,
        matchers: &[LabelMatcher],
        range: Option<TimeRange>,
        counters: &ReadCounters,
    ) -> Result<Vec<SeriesEntry>, ColdError> {
        let wanted = SeriesSelection { matchers: matchers.to_vec(), ids: None, range };
        let mut found: Vec<SeriesEntry> = self.stream_series(versions, wanted, counters).await?.try_collect().await?;
        found.sort_by(|a, b| (a.labels.metric(), a.series_id).cmp(&(b.labels.metric(), b.series_id)));
        Ok(found)
    }

    /// The same in the order of the table's files, read as they are asked for.
    pub async fn stream_series(
        &self,
        versions: &DeltaVersions,
        wanted: SeriesSelection,
        counters: &ReadCounters,
    ) -> Result<EntryStream, ColdError> {
        let table = self.table(ColdTable::Series);
        let state = self.state(ColdTable::Series, versions).await?;
        let selection = wanted.rows();
        let predicates = Predicates::new(ColdTable::Series, &selection)?;
        let mut files = Vec::new();
        for file in prune(&state, &selection) {
            let batches = self.scan_context().file_stream(table, &file, &SERIES_COLUMNS, &predicates, counters)?;
            files.push(batches.map(move |batch| {
                let batch = batch.map_err(|source| ColdError::Scan { table: ColdTable::Series, source })?;
                entries_of(&[conform(&batch, &file.path)?])
            }));
        }
        let entries = futures::stream::iter(files).flatten();
        let selected = entries.map_ok(move |mut entries| {
            entries.retain(|entry| wanted.names(entry));
            futures::stream::iter(entries.into_iter().map(Ok))
        });
        Ok(selected.try_flatten().boxed())
    }

    /// The files that a scan of the selection opens. None is opened here.
    pub async fn files(
        &self,
        table: ColdTable,
        versions: &DeltaVersions,
        selection: &ColdSelection,
    ) -> Result<Vec<ColdFile>, ColdError> {
        let state = self.state(table, versions).await?;
        let summary = |file: Arc<LiveFile>| ColdFile {
            path: Arc::clone(&file.path),
            bytes: file.bytes,
            hours: file.hours(table),
        };
        Ok(prune(&state, selection).into_iter().map(summary).collect())
    }

    async fn scan_series<T: SeriesRows>(
        &self,
        table: ColdTable,
        columns: &'static [&'static str],
        versions: &DeltaVersions,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<SeriesStream<T>, ColdError> {
        let state = self.state(table, versions).await?;
        let rows = self.scan_files(table, columns, prune(&state, selection), selection, counters).await?;
        Ok(rows.map_ok(|(key, rows)| (SeriesId(key.id), rows)).boxed())
    }

    /// Unites what these files have of a selection.
    async fn scan_files<T: SeriesRows>(
        &self,
        table: ColdTable,
        columns: &'static [&'static str],
        files: Vec<Arc<LiveFile>>,
        selection: &ColdSelection,
        counters: &ReadCounters,
    ) -> Result<KeyedStream<T>, ColdError> {
        let predicates = Predicates::new(table, selection)?;
        let wanted = Arc::new(Wanted::new(selection));
        let mut opening = Vec::with_capacity(files.len());
        for file in files {
            let batches = self.scan_context().file_stream(self.table(table), &file, columns, &predicates, counters)?;
            opening.push(series_of::<T>(table, file, batches, Arc::clone(&wanted), counters.clone()));
        }
        let sources = futures::stream::iter(opening).map(merge::Source::open).buffer_unordered(OPEN_AT_ONCE);
        let range = selection.range;
        let merged = merge(sources.try_collect().await?);
        let trimmed = merged.try_filter_map(move |(key, rows): (SeriesKey, T)| {
            let rows = rows.within(range);
            std::future::ready(Ok((!rows.is_empty()).then_some((key, rows))))
        });
        Ok(trimmed.boxed())
    }

    async fn state(&self, kind: ColdTable, versions: &DeltaVersions) -> Result<Arc<TableState>, ColdError> {
        match versions.get(kind) {
            Some(version) => self.table(kind).at(version).await,
            None => Ok(Arc::new(TableState::of_adds(kind, 0, [])?)),
        }
    }
}

/// The files in which a selected row may be. Pure.
pub(crate) fn prune(state: &TableState, selection: &ColdSelection) -> Vec<Arc<LiveFile>> {
    let ids: Option<Vec<i64>> = selection.series.as_ref().map(|series| series.iter().map(|id| id.0).collect());
    let files = state.files.values().filter(|file| {
        file.may_touch(state.table, selection.range)
            && selection.class.is_none_or(|class| file.class.is_none_or(|of_file| of_file == class))
            && selection.metric.as_deref().is_none_or(|metric| file.may_hold_metric(metric))
            && ids.as_deref().is_none_or(|ids| file.may_hold_series(ids))
    });
    files.map(Arc::clone).collect()
}

impl SeriesSelection {
    /// The rows in which such series may be.
    fn rows(&self) -> ColdSelection {
        let names_metric =
            |m: &&LabelMatcher| m.name() == METRIC_NAME && m.op() == MatchOp::Equal && !m.value().is_empty();
        let metric = self.matchers.iter().find(names_metric).map(|matcher| matcher.value().to_owned());
        let everywhere = HourRange { start: Hour(0), end: Hour::MAX }.time();
        ColdSelection { metric, series: self.ids.clone(), ..ColdSelection::all(everywhere) }
    }

    fn names(&self, entry: &SeriesEntry) -> bool {
        let SeriesEntry { series_id, labels, first, last } = entry;
        let in_range = self.range.is_none_or(|range| {
            let days = first.hours().start.start()..last.hours().end.start();
            days.start < range.end() && range.start() < days.end
        });
        in_range
            && self.ids.as_ref().is_none_or(|ids| ids.binary_search(series_id).is_ok())
            && self.matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
    }
}
