//! What the store holds, for `inspect` and `/tiers`.

use std::path::PathBuf;

use schemas::{Epoch, Hour};

use crate::error::{Context, HotError};
use crate::store::Core;

/// A column family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyInventory {
    pub name: String,
    /// Estimated by RocksDB.
    pub keys: u64,
    /// Of table files and memtables.
    pub bytes: u64,
    pub files: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInventory {
    pub epoch: Epoch,
    pub points: u64,
    pub hours: Vec<Hour>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    pub dir: PathBuf,
    pub incarnation: String,
    pub families: Vec<FamilyInventory>,
    pub runs: Vec<RunInventory>,
    pub active_epoch: Epoch,
    pub checkpoint: Epoch,
    /// Points in the head, repeats counted.
    pub head_points: u64,
    pub head_bytes: u64,
    pub log_bytes: u64,
    pub series: u64,
    pub index_bytes: u64,
}

impl Core {
    pub(crate) fn inventory(&self) -> Result<Inventory, HotError> {
        let view = self.view();
        let mut families = Vec::new();
        for name in self.engine().family_names() {
            families.extend(self.family_inventory(name)?);
        }
        let runs = view.runs().iter().map(|(&epoch, run)| RunInventory {
            epoch,
            points: run.points(),
            hours: run.hours.iter().map(|held| held.hour).collect(),
        });
        let index = self.index().stats();
        Ok(Inventory {
            dir: self.engine().dir().to_owned(),
            incarnation: self.incarnation().to_owned(),
            families,
            runs: runs.collect(),
            active_epoch: view.active_epoch(),
            checkpoint: view.checkpoint(),
            head_points: view.generations().iter().map(|generation| generation.points()).sum(),
            head_bytes: view.generations().iter().map(|generation| generation.bytes()).sum(),
            log_bytes: view.generations().iter().map(|generation| generation.log_bytes()).sum(),
            series: index.series,
            index_bytes: index.memory_bytes as u64,
        })
    }

    /// `None` for a family that has gone meanwhile.
    fn family_inventory(&self, name: String) -> Result<Option<FamilyInventory>, HotError> {
        let db = self.engine().db();
        let Some(family) = db.cf_handle(&name) else { return Ok(None) };
        let property = |property: &std::ffi::CStr| {
            let value = db.property_int_value_cf(&family, property).context("cannot read a property of a family")?;
            Ok::<u64, HotError>(value.unwrap_or(0))
        };
        let keys = property(c"rocksdb.estimate-num-keys")?;
        let bytes = property(c"rocksdb.total-sst-files-size")? + property(c"rocksdb.cur-size-all-mem-tables")?;
        let files = db.get_column_family_metadata_cf(&family).file_count as u64;
        Ok(Some(FamilyInventory { name, keys, bytes, files }))
    }
}
