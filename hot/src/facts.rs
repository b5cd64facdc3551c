//! The meta family: what the store knows of itself, read whole at start and written fact by fact.
//!
//! [`MetaRecord`]s ─load▶ [`Facts`] ─▶ tier map, runs, checkpoint · a change ─▶ records in one synced write ─▶ publish
//!
//! Nothing is guessed from data: an hour is sealed because a record says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocksdb::{IteratorMode, WriteBatch};
use schemas::meta::{FORMAT_VERSION, MetaRecord};
use schemas::{Epoch, Hour, RetentionClass, TierMap};

use crate::db::{Engine, META};
use crate::error::{Context, HotError};
use crate::publication::Runs;

/// Everything that the meta family holds.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) map: TierMap,
    pub(crate) runs: Runs,
    pub(crate) checkpoint: Epoch,
    pub(crate) floors: BTreeMap<RetentionClass, Hour>,
    /// Names the life of this data in the archive.
    pub(crate) incarnation: String,
}

impl Facts {
    /// Reads all records; gives a new directory its version and its incarnation.
    pub(crate) fn load(engine: &Engine) -> Result<Self, HotError> {
        let mut facts = Self { map: TierMap { version: 1, ..TierMap::default() }, ..Self::default() };
        let mut format = None;
        for entry in engine.db().iterator_cf(&engine.meta(), IteratorMode::Start) {
            let (key, value) = entry.context("cannot read the meta family")?;
            match MetaRecord::decode(&key, &value) {
                Ok(MetaRecord::Format(version)) => format = Some(version),
                Ok(record) => facts.learn(record),
                // A newer version may have written what this one cannot read: say that rather than "damaged".
                Err(_) if format.is_some_and(|found| found > FORMAT_VERSION) => break,
                Err(error) => return Err(HotError::damaged("meta record", META, &key, error)),
            }
        }
        match format {
            Some(found) if found > FORMAT_VERSION => {
                return Err(HotError::NewerFormat { found, known: FORMAT_VERSION });
            }
            Some(_) => {}
            None => facts.found(engine)?,
        }
        Ok(facts)
    }

    fn learn(&mut self, record: MetaRecord) {
        let map = &mut self.map;
        match record {
            MetaRecord::Format(_) => {}
            MetaRecord::Incarnation(name) => self.incarnation = name,
            MetaRecord::Checkpoint(epoch) => self.checkpoint = epoch,
            MetaRecord::Run(run) => {
                self.runs.insert(run.epoch, Arc::new(run));
            }
            MetaRecord::SealedThrough(hour, through) => {
                map.sealed_through.insert(hour, through);
            }
            MetaRecord::ArchivedThrough(table, class, hour, through) => {
                map.archived_through.entry((table, class)).or_default().insert(hour, through);
            }
            MetaRecord::Thresholds(class, form, resolution, thresholds) => {
                map.thresholds.insert((class, form, resolution), thresholds);
            }
            MetaRecord::Form(class, day, metric, form) => {
                Arc::make_mut(&mut map.forms).insert((class, day, metric), form);
            }
            MetaRecord::Quarantine(hour, reason) => {
                map.quarantined.insert(hour, reason);
            }
            MetaRecord::IntakeFloor(class, hour) => {
                self.floors.insert(class, hour);
            }
            MetaRecord::Delta(versions) => map.delta = versions,
        }
    }

    /// The first records of a new directory.
    fn found(&mut self, engine: &Engine) -> Result<(), HotError> {
        self.incarnation = format!("{:032x}", rand::random::<u128>());
        let records = [MetaRecord::Format(FORMAT_VERSION), MetaRecord::Incarnation(self.incarnation.clone())];
        let mut change = Change::default();
        change.put_all(engine, &records);
        change.write(engine, "cannot found the hot store")
    }
}

/// Facts that change together.
#[derive(Default)]
pub(crate) struct Change {
    batch: WriteBatch,
}

impl Change {
    pub(crate) fn put(&mut self, engine: &Engine, record: &MetaRecord) {
        self.batch.put_cf(&engine.meta(), record.key(), record.value());
    }

    pub(crate) fn put_all(&mut self, engine: &Engine, records: &[MetaRecord]) {
        for record in records {
            self.put(engine, record);
        }
    }

    /// Removes the fact under a key of [`schemas::meta`].
    pub(crate) fn remove(&mut self, engine: &Engine, key: &[u8]) {
        self.batch.delete_cf(&engine.meta(), key);
    }

    /// What else must become durable in the same write.
    pub(crate) fn batch(&mut self) -> &mut WriteBatch {
        &mut self.batch
    }

    /// Writes all of it, and waits until it is on the disk.
    pub(crate) fn write(self, engine: &Engine, what: &'static str) -> Result<(), HotError> {
        engine.write_synced(self.batch, what)
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("writes", &self.batch.len()).finish()
    }
}
