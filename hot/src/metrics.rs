//! What the hot store tells of itself at `/metrics`. The registry adds the prefix `thermocline_`.

mod rocksdb;

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::gauge::Gauge;
use runtime::metrics::registry::Registry;
use runtime::{Durations, durations};
use schemas::reject::Appended;

use self::rocksdb::RocksDbMetrics;
use crate::seal::SealStats;
use crate::store::Core;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct HotMetrics {
    appended_points: Counter<u64, AtomicU64>,
    rejected_points: Counter<u64, AtomicU64>,
    /// Appends refused because as much was under way as the bounds allow.
    pub(crate) overloaded: Counter<u64, AtomicU64>,
    flushed_points: Counter<u64, AtomicU64>,
    /// 5 ms to 41 s.
    flush_seconds: Durations<5_000, 14>,
    seals: Counter<u64, AtomicU64>,
    sealed_points: Counter<u64, AtomicU64>,
    sealed_bytes: Counter<u64, AtomicU64>,
    pub(crate) run_merges: Counter<u64, AtomicU64>,
    pub(crate) dropped_runs: Counter<u64, AtomicU64>,
    pub(crate) dropped_families: Counter<u64, AtomicU64>,
    pub(crate) dropped_class_ranges: Counter<u64, AtomicU64>,
    pub(crate) forgotten_series: Counter<u64, AtomicU64>,
    head_points: Gauge<i64, AtomicI64>,
    head_bytes: Gauge<i64, AtomicI64>,
    log_bytes: Gauge<i64, AtomicI64>,
    queued_points: Gauge<i64, AtomicI64>,
    runs: Gauge<i64, AtomicI64>,
    epochs_outstanding: Gauge<i64, AtomicI64>,
    overlaid_hours: Gauge<i64, AtomicI64>,
    series: Gauge<i64, AtomicI64>,
    index_bytes: Gauge<i64, AtomicI64>,
    decoded_bytes: Gauge<i64, AtomicI64>,
    decoded_hits: Gauge<i64, AtomicI64>,
    decoded_misses: Gauge<i64, AtomicI64>,
    unwritable: Gauge<i64, AtomicI64>,
    rocksdb: RocksDbMetrics,
}

impl HotMetrics {
    /// Adds every metric to a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let counters = [
            ("hot_appended_points", "Points that became durable and visible", &self.appended_points),
            ("hot_rejected_points", "Points and series of accepted batches that were refused", &self.rejected_points),
            ("hot_append_overloads", "Appends refused because too much was under way", &self.overloaded),
            ("hot_flushed_points", "Points written into runs", &self.flushed_points),
            ("hot_seals", "Hours sealed, again or for the first time", &self.seals),
            ("hot_sealed_points", "Points merged by seals", &self.sealed_points),
            ("hot_sealed_data_bytes", "Bytes written by seals", &self.sealed_bytes),
            ("hot_run_merges", "Times that several runs became one", &self.run_merges),
            ("hot_dropped_runs", "Runs deleted after all their hours were sealed", &self.dropped_runs),
            ("hot_dropped_families", "Column families that retention dropped whole", &self.dropped_families),
            (
                "hot_dropped_class_ranges",
                "Column families that retention removed one class from",
                &self.dropped_class_ranges,
            ),
            ("hot_forgotten_series", "Series that left the index with their last point", &self.forgotten_series),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        durations::register(registry, "hot_flush_duration", "How long flushes took", &self.flush_seconds);
        let gauges = [
            ("hot_head_points", "Points in the head, repeats counted", &self.head_points),
            ("hot_head_memory_bytes", "Memory of the head, estimated", &self.head_bytes),
            ("hot_log_bytes", "Bytes of log records that are in no run yet", &self.log_bytes),
            ("hot_queued_points", "Points that wait for the group commit", &self.queued_points),
            ("hot_runs", "Runs that some hour still needs", &self.runs),
            ("hot_epochs_outstanding", "Epochs that are in no run yet", &self.epochs_outstanding),
            ("hot_overlaid_hours", "Hours with points newer than their base", &self.overlaid_hours),
            ("hot_series", "Series in the index", &self.series),
            ("hot_index_memory_bytes", "Memory of the index, estimated", &self.index_bytes),
            ("hot_rollup_cache_bytes", "1-hour rollups that are kept decoded", &self.decoded_bytes),
            (
                "hot_rollup_cache_hits",
                "Reads of an hour of a metric that found it kept decoded, since the start",
                &self.decoded_hits,
            ),
            (
                "hot_rollup_cache_misses",
                "Reads of an hour of a metric that had to decode it, since the start",
                &self.decoded_misses,
            ),
            ("hot_unwritable", "Whether points are refused since the data directory takes no writes", &self.unwritable),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        self.rocksdb.register(registry);
    }

    /// Brings the gauges up to date.
    pub(crate) fn refresh(&self, core: &Core) {
        let view = core.view();
        let set = |gauge: &Gauge<i64, AtomicI64>, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let generations = view.generations();
        set(&self.head_points, generations.iter().map(|generation| generation.points()).sum());
        set(&self.head_bytes, generations.iter().map(|generation| generation.bytes()).sum());
        set(&self.log_bytes, generations.iter().map(|generation| generation.log_bytes()).sum());
        set(&self.queued_points, core.queue().points() as u64);
        set(&self.runs, view.runs().len() as u64);
        set(&self.epochs_outstanding, generations.len() as u64);
        set(&self.overlaid_hours, view.overlay_hours().len() as u64);
        let index = core.index().stats();
        set(&self.series, index.series);
        set(&self.index_bytes, index.memory_bytes as u64);
        let decoded = core.publication().decoded();
        set(&self.decoded_bytes, decoded.bytes());
        let (hits, misses) = decoded.hits_and_misses();
        set(&self.decoded_hits, hits);
        set(&self.decoded_misses, misses);
        set(&self.unwritable, u64::from(core.check_writable().is_err()));
        self.rocksdb.refresh(core.engine());
    }

    pub(crate) fn appended(&self, appended: &Appended) {
        self.appended_points.inc_by(appended.accepted);
        self.rejected_points.inc_by((appended.rejected_points.len() + appended.rejected_series.len()) as u64);
    }

    pub(crate) fn flushed(&self, points: u64, took: Duration) {
        self.flushed_points.inc_by(points);
        self.flush_seconds.observe(took);
    }

    pub(crate) fn sealed(&self, stats: &SealStats) {
        self.seals.inc();
        self.sealed_points.inc_by(stats.points);
        self.sealed_bytes.inc_by(stats.raw_bytes + stats.minute_bytes + stats.hour_bytes);
    }
}
