//! What the cold tier tells about itself, at `/metrics`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::family::Family;
use runtime::metrics::registry::{Registry, Unit};
use runtime::{Durations, durations};
use schemas::tier_map::ColdTable;

/// The table, as a label.
type OfTable = [(&'static str, &'static str); 1];

/// Counters of one archive. Cheap to clone: clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) commits: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) checkpoint_failures: Counter,
    pub(crate) rows_written: Counter,
    pub(crate) bytes_written: Counter,
    pub(crate) bytes_read: Counter,
    pub(crate) gets: Counter,
    pub(crate) puts: Counter,
    pub(crate) lists: Counter,
    pub(crate) deletes: Counter,
    pub(crate) series_collisions: Counter,
    pub(crate) orphans_deleted: Counter,
    pub(crate) encode_seconds: Family<OfTable, Counter<f64, AtomicU64>>,
    /// 5 ms to 164 s.
    pub(crate) commit_seconds: Durations<5_000, 16>,
}

impl Metrics {
    /// Registers everything; the registry has the prefix `thermocline`.
    pub fn register(&self, registry: &mut Registry) {
        let cold = registry.sub_registry_with_prefix("cold");
        cold.register("commits", "Delta commits made", self.commits.clone());
        cold.register("commit_conflicts", "Delta versions that another writer took first", self.conflicts.clone());
        cold.register(
            "checkpoint_failures",
            "Delta checkpoints that could not be written; the next commit tries again",
            self.checkpoint_failures.clone(),
        );
        cold.register("written_rows", "Rows of committed data files", self.rows_written.clone());
        cold.register_with_unit("written", "Bytes sent to the object store", Unit::Bytes, self.bytes_written.clone());
        cold.register_with_unit("read", "Bytes asked of the object store", Unit::Bytes, self.bytes_read.clone());
        cold.register("object_store_gets", "GET and HEAD requests", self.gets.clone());
        cold.register("object_store_puts", "PUT requests, parts of uploads included", self.puts.clone());
        cold.register("object_store_lists", "LIST requests", self.lists.clone());
        cold.register("object_store_deletes", "Objects deleted", self.deletes.clone());
        cold.register(
            "series_collisions",
            "Series refused because another has the same id",
            self.series_collisions.clone(),
        );
        cold.register(
            "orphans_deleted",
            "Files of attempts that never became part of a table",
            self.orphans_deleted.clone(),
        );
        cold.register_with_unit(
            "encode",
            "Time that columns of archived hours took to encode, by table",
            Unit::Seconds,
            self.encode_seconds.clone(),
        );
        let help = "Time to upload, verify and commit one hour of one class";
        durations::register(cold, "commit_duration", help, &self.commit_seconds);
    }
    pub(crate) fn encoded(&self, table: ColdTable, took: Duration) {
        self.encode_seconds.get_or_create(&[("table", table.as_str())]).inc_by(took.as_secs_f64());
    }
}
