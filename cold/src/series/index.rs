//! What this process knows of the rows of `series`: enough to plan an upsert without reading the table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use schemas::Day;
use schemas::labels::hash_canonical;

use super::SeenSeries;
use super::rows::entries_of;
use crate::error::ColdError;
use crate::table::{LiveFile, TableState};

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesRow {
    /// Days between which the archive may have data, inclusive.
    pub(crate) first: Day,
    pub(crate) last: Day,
    /// The low half of the labels' hash.
    pub(crate) check: u64,
    file: u32,
}

/// All rows, by id.
#[derive(Debug, Default)]
pub(crate) struct SeriesIndex {
    rows: HashMap<i64, SeriesRow>,
    files: BTreeMap<String, u32>,
    paths: HashMap<u32, String>,
    next_file: u32,
}

impl SeriesIndex {
    pub(crate) fn get(&self, id: i64) -> Option<&SeriesRow> {
        self.rows.get(&id)
    }

    /// The file that holds the row.
    pub(crate) fn file_of(&self, id: i64) -> Option<&str> {
        self.paths.get(&self.rows.get(&id)?.file).map(String::as_str)
    }

    pub(crate) fn ids_ending_before(&self, before: Day) -> impl Iterator<Item = i64> + '_ {
        self.rows.iter().filter(move |(_, row)| row.last < before).map(|(&id, _)| id)
    }

    /// Drops rows of files that a state has no more, and returns the files whose rows are not known.
    pub(crate) fn forget_files_not_in(&mut self, state: &TableState) -> Vec<Arc<LiveFile>> {
        let gone: Vec<u32> = self
            .files
            .iter()
            .filter(|(path, _)| !state.files.contains_key(path.as_str()))
            .map(|(_, &number)| number)
            .collect();
        if !gone.is_empty() {
            self.rows.retain(|_, row| !gone.contains(&row.file));
            self.files.retain(|_, number| !gone.contains(number));
            self.paths.retain(|number, _| !gone.contains(number));
        }
        state.files.values().filter(|file| !self.files.contains_key(file.path.as_ref())).map(Arc::clone).collect()
    }

    /// Takes in the rows of a file. Ids are unique in the table.
    pub(crate) fn add_file(&mut self, path: &str, batches: &[RecordBatch]) -> Result<(), ColdError> {
        let file = self.next_file;
        let entries = entries_of(batches)?;
        if let Some(twice) = entries.iter().find(|entry| self.rows.contains_key(&entry.series_id.0)) {
            let problem = format!("series {} has a second row", twice.series_id.0);
            return Err(ColdError::damaged("table of series", path, problem));
        }
        for entry in entries {
            let check = SeenSeries::check_of(hash_canonical(entry.labels.as_bytes()));
            self.rows.insert(entry.series_id.0, SeriesRow { first: entry.first, last: entry.last, check, file });
        }
        self.files.insert(path.to_owned(), file);
        self.paths.insert(file, path.to_owned());
        self.next_file = self.next_file.wrapping_add(1);
        Ok(())
    }
}
