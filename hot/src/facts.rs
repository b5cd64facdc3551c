//! The meta family: what the store knows of itself, read whole at start and written fact by fact.
//!
//! [`MetaRecord`]s ─load▶ [`Facts`] · a [`Change`] ─▶ the facts as they will be ─▶ one synced write ─▶ published
//!
//! Nothing is guessed from data: an hour is sealed because a record says so. A change is learned by the code that reads
//! it back at the next start, so what is in memory and what is on the disk cannot differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocksdb::{IteratorMode, WriteBatch};
use schemas::meta::{FORMAT_VERSION, MetaKey, MetaRecord, RunRecord};
use schemas::{Epoch, Hour, RetentionClass, TierMap};

use crate::db::{Engine, META};
use crate::error::{Context, HotError};
use crate::offsets::OffsetBook;

/// Runs by epoch, oldest first.
pub(crate) type Runs = BTreeMap<Epoch, Arc<RunRecord>>;

/// Everything that the meta family holds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) map: Arc<TierMap>,
    pub(crate) runs: Arc<Runs>,
    /// Every point up to this epoch is in runs.
    pub(crate) checkpoint: Epoch,
    /// What was raised by hand; thresholds raise it further.
    pub(crate) floors: Arc<BTreeMap<RetentionClass, Hour>>,
    /// Names the life of this data in the archive.
    pub(crate) incarnation: Arc<str>,
}

impl Facts {
    /// Reads all records; gives a new directory its version and its incarnation. Kafka's offsets, which are written with
    /// points, go to their own book.
    pub(crate) fn load(engine: &Engine, offsets: &OffsetBook) -> Result<Self, HotError> {
        let mut facts = Self { map: Arc::new(TierMap { version: 1, ..TierMap::default() }), ..Self::default() };
        let mut format = None;
        for entry in engine.db().iterator_cf(&engine.meta(), IteratorMode::Start) {
            let (key, value) = entry.context("cannot read the meta family")?;
            match MetaRecord::decode(&key, &value) {
                Ok(MetaRecord::Format(version)) => format = Some(version),
                Ok(MetaRecord::KafkaOffset(epoch, of, offset)) => offsets.learn(epoch, of, offset),
                Ok(record) => facts.learn(record),
                // A newer version may have written what this one cannot read: say that rather than "damaged".
                Err(_) if format.is_some_and(|found| found > FORMAT_VERSION) => break,
                Err(error) => return Err(HotError::damaged("meta record", META, &key, error)),
            }
        }
        match format {
            Some(found) if found > FORMAT_VERSION => Err(HotError::NewerFormat { found, known: FORMAT_VERSION }),
            Some(_) => Ok(facts),
            None => facts.found(engine),
        }
    }

    /// The first records of a new directory.
    fn found(self, engine: &Engine) -> Result<Self, HotError> {
        let mut change = Change::default();
        change.put(MetaRecord::Format(FORMAT_VERSION));
        change.put(MetaRecord::Incarnation(format!("{:032x}", rand::random::<u128>())));
        change.write(engine, &self, "cannot found the hot store")
    }

    fn learn(&mut self, record: MetaRecord) {
        match record {
            MetaRecord::Format(_) | MetaRecord::KafkaOffset(..) => {}
            MetaRecord::Incarnation(name) => self.incarnation = name.into(),
            MetaRecord::Checkpoint(epoch) => self.checkpoint = epoch,
            MetaRecord::Run(run) => {
                Arc::make_mut(&mut self.runs).insert(run.epoch, Arc::new(run));
            }
            MetaRecord::SealedThrough(hour, through) => {
                self.map_mut().sealed_through.insert(hour, through);
            }
            MetaRecord::ArchivedThrough(table, class, hour, through) => {
                self.map_mut().archived_through.entry((table, class)).or_default().insert(hour, through);
            }
            MetaRecord::Thresholds(class, form, resolution, thresholds) => {
                self.map_mut().thresholds.insert((class, form, resolution), thresholds);
            }
            MetaRecord::Form(class, day, metric, form) => {
                Arc::make_mut(&mut self.map_mut().forms).insert((class, day, metric), form);
            }
            MetaRecord::Quarantine(hour, reason) => {
                self.map_mut().quarantined.insert(hour, reason);
            }
            MetaRecord::IntakeFloor(class, hour) => {
                Arc::make_mut(&mut self.floors).insert(class, hour);
            }
            MetaRecord::Delta(versions) => self.map_mut().delta = versions,
            MetaRecord::MapVersion(version) => self.map_mut().version = version,
        }
    }

    fn forget(&mut self, key: MetaKey) {
        match key {
            MetaKey::Run(epoch) => {
                Arc::make_mut(&mut self.runs).remove(&epoch);
            }
            MetaKey::SealedThrough(hour) => {
                self.map_mut().sealed_through.remove(&hour);
            }
            MetaKey::ArchivedThrough(table, class, hour) => {
                let archived = &mut self.map_mut().archived_through;
                if let Some(hours) = archived.get_mut(&(table, class)) {
                    hours.remove(&hour);
                    if hours.is_empty() {
                        archived.remove(&(table, class));
                    }
                }
            }
            MetaKey::Form(class, day, metric) => {
                Arc::make_mut(&mut self.map_mut().forms).remove(&(class, day, metric));
            }
            MetaKey::Quarantine(hour) => {
                self.map_mut().quarantined.remove(&hour);
            }
            MetaKey::KafkaOffset(..) => {}
        }
    }

    fn map_mut(&mut self) -> &mut TierMap {
        Arc::make_mut(&mut self.map)
    }
}

/// Facts that change together: what is no longer so, then what is.
#[derive(Default)]
pub(crate) struct Change {
    forgotten: Vec<MetaKey>,
    records: Vec<MetaRecord>,
    batch: WriteBatch,
    recorded: Option<&'static str>,
}

impl Change {
    pub(crate) fn put(&mut self, record: MetaRecord) {
        self.records.push(record);
    }

    pub(crate) fn forget(&mut self, key: MetaKey) {
        self.forgotten.push(key);
    }

    /// What else must become durable in the same write.
    pub(crate) fn batch(&mut self) -> &mut WriteBatch {
        &mut self.batch
    }

    /// The crash point between the disk and the view.
    pub(crate) fn crash_when_recorded(&mut self, point: &'static str) {
        self.recorded = Some(point);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.forgotten.is_empty() && self.records.is_empty() && self.batch.is_empty()
    }

    /// Writes all of it, and waits until it is on the disk; returns the facts as they are from then on. Each write that
    /// changes the tier map raises its version, durably, so that a version never stands for two maps.
    pub(crate) fn write(mut self, engine: &Engine, facts: &Facts, what: &'static str) -> Result<Facts, HotError> {
        let meta = engine.meta();
        let mut after = facts.clone();
        for key in self.forgotten {
            self.batch.delete_cf(&meta, key.bytes());
            after.forget(key);
        }
        let mut learn = |after: &mut Facts, record: MetaRecord| {
            self.batch.put_cf(&meta, record.key(), record.value());
            after.learn(record);
        };
        for record in self.records {
            learn(&mut after, record);
        }
        if !Arc::ptr_eq(&after.map, &facts.map) {
            learn(&mut after, MetaRecord::MapVersion(facts.map.version + 1));
        }
        engine.write_synced(self.batch, what)?;
        if let Some(point) = self.recorded {
            runtime::crash_point(point);
        }
        Ok(after)
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("forgotten", &self.forgotten).field("records", &self.records).finish()
    }
}
