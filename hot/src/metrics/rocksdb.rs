//! What RocksDB tells of itself: its properties, summed over the families.

use std::sync::atomic::AtomicI64;

use rocksdb::properties::{
    ACTUAL_DELAYED_WRITE_RATE, BACKGROUND_ERRORS, BLOCK_CACHE_CAPACITY, BLOCK_CACHE_USAGE, CUR_SIZE_ALL_MEM_TABLES,
    ESTIMATE_PENDING_COMPACTION_BYTES, IS_WRITE_STOPPED, LIVE_SST_FILES_SIZE, PropName,
};
use runtime::metrics::metrics::gauge::Gauge;
use runtime::metrics::registry::Registry;

use crate::db::{Engine, FamilyHandle};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RocksDbMetrics {
    families: Gauge<i64, AtomicI64>,
    files: Gauge<i64, AtomicI64>,
    file_bytes: Gauge<i64, AtomicI64>,
    memtable_bytes: Gauge<i64, AtomicI64>,
    pending_compaction_bytes: Gauge<i64, AtomicI64>,
    cache_bytes: Gauge<i64, AtomicI64>,
    cache_capacity_bytes: Gauge<i64, AtomicI64>,
    writes_slowed: Gauge<i64, AtomicI64>,
    writes_stopped: Gauge<i64, AtomicI64>,
    background_errors: Gauge<i64, AtomicI64>,
}

impl RocksDbMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("rocksdb_families", "Column families", &self.families),
            ("rocksdb_live_sst_files", "Table files that the newest state lists", &self.files),
            ("rocksdb_live_sst_bytes", "Bytes of these table files", &self.file_bytes),
            ("rocksdb_memtable_bytes", "Memory of memtables; those of logs hold an epoch", &self.memtable_bytes),
            (
                "rocksdb_pending_compaction_bytes",
                "Bytes that compactions are yet to rewrite, estimated",
                &self.pending_compaction_bytes,
            ),
            (
                "rocksdb_block_cache_usage_bytes",
                "Blocks in the cache that the families of points and rollups share",
                &self.cache_bytes,
            ),
            ("rocksdb_block_cache_capacity_bytes", "What this cache may hold", &self.cache_capacity_bytes),
            ("rocksdb_writes_slowed", "Whether RocksDB slows writes down (1) or not (0)", &self.writes_slowed),
            ("rocksdb_writes_stopped", "Whether RocksDB takes no writes (1) or does (0)", &self.writes_stopped),
            (
                "rocksdb_background_errors",
                "Flushes and compactions of RocksDB that failed since the start",
                &self.background_errors,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }

    /// Asks every family. What cannot be told, because a family goes meanwhile, counts as nothing.
    pub(super) fn refresh(&self, engine: &Engine) {
        let names = engine.family_names();
        let families: Vec<FamilyHandle<'_>> = names.iter().filter_map(|name| engine.db().cf_handle(name)).collect();
        let property = |family: &FamilyHandle<'_>, property: &PropName| {
            engine.db().property_int_value_cf(family, property).ok().flatten().unwrap_or(0)
        };
        let set = |gauge: &Gauge<i64, AtomicI64>, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let sum = |of_each: &PropName| families.iter().map(|family| property(family, of_each)).sum::<u64>();
        set(&self.families, families.len() as u64);
        let files = families.iter().map(|family| engine.db().get_column_family_metadata_cf(family).file_count as u64);
        set(&self.files, files.sum());
        set(&self.file_bytes, sum(LIVE_SST_FILES_SIZE));
        set(&self.memtable_bytes, sum(CUR_SIZE_ALL_MEM_TABLES));
        set(&self.pending_compaction_bytes, sum(ESTIMATE_PENDING_COMPACTION_BYTES));
        // Of the database, whichever family is asked.
        let shared = |of_all: &PropName| property(&engine.meta(), of_all);
        set(&self.cache_bytes, shared(BLOCK_CACHE_USAGE));
        set(&self.cache_capacity_bytes, shared(BLOCK_CACHE_CAPACITY));
        set(&self.writes_slowed, u64::from(shared(ACTUAL_DELAYED_WRITE_RATE) > 0));
        set(&self.writes_stopped, shared(IS_WRITE_STOPPED));
        set(&self.background_errors, shared(BACKGROUND_ERRORS));
    }
}
