//! Removing what runs and seals leave behind in RocksDB: whole files first, and a range tombstone for the rest.
//!
//! Deleting files heeds no snapshot, so whoever calls this has waited for the last reader (GC-1), or there is none yet.

use std::collections::BTreeSet;

use rocksdb::{BottommostLevelCompaction, CompactOptions, WriteBatch};
use schemas::keys::{Family, parse_run_key, run_epoch_prefix, sealed_hour_prefix};
use schemas::{Epoch, Hour, RetentionClass};

use crate::cursor::{Access, Cursor, prefix_end};
use crate::db::{Engine, Snapshot};
use crate::error::{Context, HotError};
use crate::publication::Runs;

/// Files of one family that may overlap in an hour before they are compacted. Each costs a read one more seek; compacting
/// at once would rewrite the hour for every late point.
const OVERLAPPING_FILES_MAX: usize = 4;

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
    let mut hours_of_classes: BTreeSet<(RetentionClass, usize)> = BTreeSet::new();
    for class in files.iter().filter(|file| file.column_family_name == name).filter_map(first_class) {
        let prefix = sealed_hour_prefix(class, hour);
        let holds_hour = |file: &&rocksdb::LiveFile| {
            file.column_family_name == name
                && file.start_key.as_ref().is_some_and(|start| start[..prefix.len().min(start.len())] <= prefix[..])
                && file.end_key.as_ref().is_some_and(|end| end.as_slice() >= &prefix[..])
        };
        hours_of_classes.insert((class, files.iter().filter(holds_hour).count()));
    }
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for (class, overlapping) in hours_of_classes {
        if overlapping >= OVERLAPPING_FILES_MAX {
            let prefix = sealed_hour_prefix(class, hour);
            let end = prefix_end(&prefix);
            engine.db().compact_range_cf_opt(&handle, Some(prefix.as_slice()), end.as_deref(), &options);
            tracing::debug!(family = name, %hour, overlapping, "compacted an hour that was sealed repeatedly");
        }
    }
}

fn first_class(file: &rocksdb::LiveFile) -> Option<RetentionClass> {
    file.start_key.as_ref()?.first().map(|&class| RetentionClass(class))
}
