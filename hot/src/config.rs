//! What a hot store is told at its start: plain values, each with a default.

use std::path::PathBuf;

use schemas::DurationMs;

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is in the write-ahead log: nothing acknowledged is lost by `kill -9`; a power loss takes at most
    /// the last second.
    #[default]
    Normal,
    /// Once the write-ahead log is on the disk (one fsync for all that wait): nothing acknowledged is ever lost.
    Sync,
}

/// Bounds on new series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimits {
    /// New series a second; over it a whole batch is refused for a moment, with nothing applied.
    pub new_per_second: u32,
    /// New series a UTC day; over it points of further new series are rejected.
    pub new_per_day: u64,
    /// Series of one metric; over it points of further new series are rejected.
    pub series_per_metric: u64,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self { new_per_second: 500_000, new_per_day: 50_000_000, series_per_metric: 5_000_000 }
    }
}

/// Everything that opens a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The directory of RocksDB; made when missing. One process owns it.
    pub dir: PathBuf,
    pub durability: Durability,
    /// An epoch ends when its log has this many bytes.
    pub log_bytes_max: u64,
    /// An epoch ends when it is this old and holds points.
    pub epoch_age_max: DurationMs,
    /// Table files that RocksDB keeps open at most; -1 for all of them.
    pub open_files_max: i32,
    /// The block cache that all families share.
    pub block_cache_bytes: usize,
    /// 1-hour rollups that are kept decoded.
    pub rollup_cache_bytes: usize,
    pub limits: SeriesLimits,
    /// How long a drop waits for readers of older views before it leaves the rest to the next one.
    pub readers_patience: DurationMs,
    /// Whether the store flushes due epochs by a thread of its own, and at its start every log but the newest. Without it,
    /// the owner calls `Store::flush` or `Store::flush_due_epochs`.
    pub background_flush: bool,
}

impl StoreConfig {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::default(),
            log_bytes_max: 512 << 20,
            epoch_age_max: DurationMs::minutes(10),
            open_files_max: 512,
            block_cache_bytes: 256 << 20,
            rollup_cache_bytes: 128 << 20,
            limits: SeriesLimits::default(),
            readers_patience: DurationMs(5_000),
            background_flush: true,
        }
    }
}
