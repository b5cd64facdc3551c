//! Which files of Delta a question will open, known before any is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cold::{ColdFile, ColdSelection};
use schemas::tier_map::ColdTable;

use super::scans;
use crate::error::QueryError;
use crate::read::{Question, Reader, Work};
use crate::router::addressable;

/// Up to so many scans, files are looked for by metric and series as well; of more, by class and time alone, since each
/// scan looks at every file.
const SCANS_MAX: usize = 64;

/// Files of the tables that the routes of a question lead to. A late point over a rollup may lead to raw files besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ColdFiles {
    /// Those that may hold rows, each of which takes some GETs.
    pub(crate) opened: usize,
    /// The others, which partition, tags and statistics rule out.
    pub(crate) pruned: usize,
    /// Size of those that are opened; of most only a part is read.
    pub(crate) bytes: u64,
}

impl ColdFiles {
    pub(crate) async fn of(reader: &Reader, question: &Question) -> Result<Self, QueryError> {
        let mut opened: BTreeMap<(ColdTable, Arc<str>), u64> = BTreeMap::new();
        let mut tables: BTreeSet<ColdTable> = BTreeSet::new();
        for (table, selection) in selections(question) {
            let found = reader.files(table, &selection).await?;
            opened.extend(found.into_iter().map(|file| ((table, file.path), file.bytes)));
            tables.insert(table);
        }
        let mut known = 0;
        for table in tables {
            known += reader.files(table, &ColdSelection::all(addressable())).await?.len();
        }
        Ok(Self { opened: opened.len(), pruned: known.saturating_sub(opened.len()), bytes: opened.values().sum() })
    }
}

impl Reader {
    /// The files of Delta that a selection leads to, at the versions that the query sees.
    pub(crate) async fn files(&self, table: ColdTable, selection: &ColdSelection) -> Result<Vec<ColdFile>, QueryError> {
        self.archive.files(table, &self.view.map().delta, selection).await.map_err(QueryError::cold)
    }
}

/// What the scans of all works together ask of the archive.
fn selections(question: &Question) -> Vec<(ColdTable, ColdSelection)> {
    let whole = Work { series: 0..question.selection.len(), hours: question.routes.range.hours() };
    let scans: Vec<_> = scans(question, &whole).collect();
    let mut selections: Vec<_> = scans.iter().map(|scan| (scan.table(), scan.selection(question))).collect();
    if selections.len() > SCANS_MAX {
        for (_, selection) in &mut selections {
            (selection.metric, selection.series) = (None, None);
        }
        let key = |(table, s): &(ColdTable, ColdSelection)| (*table, s.class, s.range.start(), s.range.end());
        selections.sort_unstable_by_key(key);
        selections.dedup_by_key(|selection| key(selection));
    }
    selections
}
