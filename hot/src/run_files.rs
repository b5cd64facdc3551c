//! Removing what runs and seals leave behind in RocksDB: whole files first, and a range tombstone for the rest.
//!
//! Deleting files heeds no snapshot, so whoever calls this has waited for the last reader (GC-1), or there is none yet.

use std::collections::{BTreeMap, BTreeSet};

use rocksdb::{BottommostLevelCompaction, CompactOptions, WriteBatch};
use schemas::keys::{Family, parse_run_key, run_epoch_prefix, sealed_hour_prefix};
use schemas::{Epoch, Hour, RetentionClass};

use crate::cursor::{Access, Cursor, prefix_end};
use crate::db::{Engine, Snapshot};
use crate::error::{Context, HotError};
use crate::facts::Runs;

/// Files of one family that may overlap in an hour before they are compacted. Each costs a read one more seek; compacting
/// at once would rewrite the hour for every late point.
const OVERLAPPING_FILES_MAX: usize = 4;

/// Compacted earlier if the files beside the largest have a quarter of its bytes: about so much is superseded.
const SUPERSEDED_SHARE: usize = 4;

/// At start: drops runs that no fact names (a flush or a merge that a crash interrupted, a drop that it cut short).
pub(crate) fn drop_unnamed(engine: &Engine, named: &Runs) -> Result<(), HotError> {
    for epoch in epochs_on_disk(engine)? {
        if !named.contains_key(&epoch) {
            delete_run(engine, epoch)?;
            tracing::info!(epoch = epoch.0, "dropped a run that was not recorded");
        }
    }
    Ok(())
}

/// Epochs that the run family holds keys of.
pub(crate) fn epochs_on_disk(engine: &Engine) -> Result<BTreeSet<Epoch>, HotError> {
    let mut epochs = BTreeSet::new();
    let Some(family) = engine.family(Family::Run) else { return Ok(epochs) };
    let snapshot = Snapshot::take(engine.db());
    let mut cursor = Cursor::over(&snapshot, &family, &[], Access::Query);
    let mut from = Some(Epoch::ZERO);
    while let Some(epoch) = from {
        let Some((key, _)) = cursor.seek(&run_epoch_prefix(epoch))? else { break };
        let (found, ..) =
            parse_run_key(key).map_err(|error| HotError::damaged("key", Family::Run.to_string(), key, error))?;
        epochs.insert(found);
        from = found.0.checked_add(1).map(Epoch);
    }
    Ok(epochs)
}

/// Deletes everything of a run.
pub(crate) fn delete_run(engine: &Engine, epoch: Epoch) -> Result<(), HotError> {
    delete_prefix(engine, Family::Run, &run_epoch_prefix(epoch))
}

/// Deletes everything of a class in a family of sealed data.
pub(crate) fn delete_class(engine: &Engine, family: Family, class: RetentionClass) -> Result<(), HotError> {
    delete_prefix(engine, family, &[class.0])
}

fn delete_prefix(engine: &Engine, family: Family, prefix: &[u8]) -> Result<(), HotError> {
    let Some(handle) = engine.family(family) else { return Ok(()) };
    let db = engine.db();
    // Without an end the prefix is the last there is; no key is longer than this one.
    let end = prefix_end(prefix).unwrap_or_else(|| vec![0xff; 32]);
    db.delete_file_in_range_cf(&handle, prefix, &end).context("cannot delete files of a family")?;
    let left = {
        let snapshot = Snapshot::take(db);
        let mut cursor = Cursor::over(&snapshot, &handle, prefix, Access::Query);
        cursor.advance()?.is_some()
    };
    if left {
        // In level 0, or in a file that reaches beyond the range.
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&handle, prefix, end.as_slice());
        db.write(batch).context("cannot delete a range of a family")?;
        db.compact_range_cf(&handle, Some(prefix), Some(end.as_slice()));
    }
    Ok(())
}

/// Compacts an hour of a family if seals have left too many overlapping files in it.
pub(crate) fn compact_overlapping(engine: &Engine, family: Family, hour: Hour) {
    let Some(handle) = engine.family(family) else { return };
    let name = family.to_string();
    let files = match engine.db().live_files() {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "cannot list the live files");
            return;
        }
    };
    let mut classes: BTreeMap<RetentionClass, Overlapping> = BTreeMap::new();
    for file in files.iter().filter(|file| file.column_family_name == name) {
        let (Some(start), Some(end)) = (&file.start_key, &file.end_key) else { continue };
        // A file holds one class.
        let Some(&class) = start.first() else { continue };
        let prefix = sealed_hour_prefix(RetentionClass(class), hour);
        if start[..prefix.len().min(start.len())] <= prefix[..] && end.as_slice() >= &prefix[..] {
            classes.entry(RetentionClass(class)).or_default().add(file.size);
        }
    }
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for (class, overlapping) in classes.into_iter().filter(|(_, overlapping)| overlapping.is_wasteful()) {
        let prefix = sealed_hour_prefix(class, hour);
        let end = prefix_end(&prefix);
        engine.db().compact_range_cf_opt(&handle, Some(prefix.as_slice()), end.as_deref(), &options);
        tracing::debug!(family = name, %hour, files = overlapping.files, "compacted an hour that was sealed repeatedly");
    }
}

/// The files of a family that hold one hour of one class.
#[derive(Debug, Default)]
struct Overlapping {
    files: usize,
    bytes: usize,
    largest: usize,
}

impl Overlapping {
    fn add(&mut self, bytes: usize) {
        self.files += 1;
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }

    fn is_wasteful(&self) -> bool {
        self.files >= OVERLAPPING_FILES_MAX || (self.bytes - self.largest) * SUPERSEDED_SHARE >= self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_compacted_when_much_of_it_is_superseded_or_in_many_files() {
        let wasteful = |sizes: &[usize]| {
            let mut overlapping = Overlapping::default();
            sizes.iter().for_each(|&size| overlapping.add(size));
            overlapping.is_wasteful()
        };
        assert!(!wasteful(&[1_000]));
        assert!(!wasteful(&[1_000, 100]), "a few late points");
        assert!(wasteful(&[1_000, 900]), "the hour written twice");
        assert!(wasteful(&[1_000, 10, 10, 10]), "a seek each");
    }
}
