//! Unites files that are each sorted by (metric, series): one item a series, in the order of the table.
//!
//! batches of one file ─[`series_of`]─▶ (series, rows) … ─[`Source`]─▶ [`merge`]: the least series, from all files that have it

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use schemas::tier_map::ColdTable;

use super::columns::{Batch, SeriesRows};
use super::{ColdSelection, KeyedStream};
use crate::error::ColdError;
use crate::store::ReadCounters;
use crate::table::LiveFile;

/// A series in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) metric: String,
    pub(crate) id: i64,
}

/// The series of a selection. Scans drop only whole pages of others.
#[derive(Debug)]
pub(crate) struct Wanted {
    metric: Option<String>,
    ids: Option<HashSet<i64>>,
}

impl Wanted {
    pub(crate) fn new(selection: &ColdSelection) -> Self {
        let ids = selection.series.as_ref().map(|series| series.iter().map(|id| id.0).collect());
        Self { metric: selection.metric.clone(), ids }
    }

    fn has(&self, key: &SeriesKey) -> bool {
        self.metric.as_ref().is_none_or(|metric| *metric == key.metric)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&key.id))
    }
}

/// One file's series, from the least on.
pub(crate) struct FileSeries<T> {
    commit: u64,
    stream: BoxStream<'static, Result<(SeriesKey, T), ColdError>>,
}

struct Grouping<T> {
    table: ColdTable,
    file: Arc<LiveFile>,
    batches: SendableRecordBatchStream,
    wanted: Arc<Wanted>,
    counters: ReadCounters,
    /// The batch that is being cut, and where.
    batch: Option<(Batch, usize)>,
    /// The series whose end has not been seen.
    open: Option<(SeriesKey, T)>,
}

/// Cuts a file's batches into series.
pub(crate) fn series_of<T: SeriesRows>(
    table: ColdTable,
    file: Arc<LiveFile>,
    batches: SendableRecordBatchStream,
    wanted: Arc<Wanted>,
    counters: ReadCounters,
) -> FileSeries<T> {
    let commit = file.commit();
    let grouping = Grouping { table, file, batches, wanted, counters, batch: None, open: None };
    let stream = futures::stream::try_unfold(grouping, |mut grouping| async move {
        Ok(grouping.next().await?.map(|series| (series, grouping)))
    });
    FileSeries { commit, stream: stream.boxed() }
}

impl<T: SeriesRows> Grouping<T> {
    async fn next(&mut self) -> Result<Option<(SeriesKey, T)>, ColdError> {
        loop {
            while let Some((batch, at)) = self.batch.take().filter(|(batch, at)| *at < batch.rows()) {
                let run = batch.run_from(at);
                let key = batch.key(at);
                if !self.wanted.has(&key) {
                    self.batch = Some((batch, run.end));
                    continue;
                }
                self.counters.add_rows(run.len());
                let rows = T::from_batch(&batch, run.clone()).map_err(|problem| self.damaged(problem))?;
                self.batch = Some((batch, run.end));
                match &mut self.open {
                    Some((open, all)) if *open == key => all.append(rows),
                    open => {
                        if open.as_ref().is_some_and(|(open, _)| *open > key) {
                            return Err(self.damaged("its rows are not in order".to_owned()));
                        }
                        if let Some(whole) = open.replace((key, rows)) {
                            return Ok(Some(whole));
                        }
                    }
                }
            }
            let table = self.table;
            match self.batches.try_next().await.map_err(|source| ColdError::Scan { table, source })? {
                Some(batch) => {
                    let batch = Batch::new(batch).map_err(|problem| self.damaged(problem))?;
                    self.batch = Some((batch, 0));
                }
                None => return Ok(self.open.take()),
            }
        }
    }

    fn damaged(&self, problem: String) -> ColdError {
        ColdError::damaged("table", self.file.path.as_ref(), problem)
    }
}

/// A file whose least series is known.
pub(crate) struct Source<T> {
    series: FileSeries<T>,
    head: Option<(SeriesKey, T)>,
}

impl<T: SeriesRows> Source<T> {
    /// Reads up to the first series.
    pub(crate) async fn open(mut series: FileSeries<T>) -> Result<Self, ColdError> {
        let head = series.stream.try_next().await?;
        Ok(Self { series, head })
    }
}

struct Merging<T> {
    sources: Vec<Source<T>>,
    heads: BinaryHeap<Reverse<(SeriesKey, usize)>>,
}

/// All series of all files, each once.
pub(crate) fn merge<T: SeriesRows>(sources: Vec<Source<T>>) -> KeyedStream<T> {
    let head = |(i, source): (usize, &Source<T>)| source.head.as_ref().map(|(key, _)| Reverse((key.clone(), i)));
    let heads = sources.iter().enumerate().filter_map(head).collect();
    let merging = Merging { sources, heads };
    futures::stream::try_unfold(merging, |mut merging| async move {
        Ok(merging.next().await?.map(|series| (series, merging)))
    })
    .boxed()
}

impl<T: SeriesRows> Merging<T> {
    async fn next(&mut self) -> Result<Option<(SeriesKey, T)>, ColdError> {
        let mut least: Option<SeriesKey> = None;
        let mut parts: Vec<(u64, T)> = Vec::new();
        while let Some(Reverse((key, i))) = self.heads.peek().cloned() {
            if least.as_ref().is_some_and(|least| *least != key) {
                break;
            }
            self.heads.pop();
            let source = &mut self.sources[i];
            if let Some((_, rows)) = source.head.take() {
                parts.push((source.series.commit, rows));
            }
            source.head = source.series.stream.try_next().await?;
            if let Some((next, _)) = &source.head {
                self.heads.push(Reverse((next.clone(), i)));
            }
            least = Some(key);
        }
        Ok(least.map(|key| (key, unite(parts))))
    }
}

/// Puts parts of a series together: behind each other where their times are apart, else the later commit over the earlier.
fn unite<T: SeriesRows>(mut parts: Vec<(u64, T)>) -> T {
    parts.sort_by_key(|(commit, rows)| (rows.span(), *commit));
    let apart = parts.windows(2).all(|pair| match (pair[0].1.span(), pair[1].1.span()) {
        (Some((_, end)), Some((start, _))) => end < start,
        _ => true,
    });
    if !apart {
        parts.sort_by_key(|(commit, _)| *commit);
    }
    let mut whole = T::default();
    for (_, part) in parts {
        if apart {
            whole.append(part);
        } else {
            whole = whole.overlaid_with(part);
        }
    }
    whole
}
