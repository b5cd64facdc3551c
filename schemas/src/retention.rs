//! How long each tier keeps what. One rule a retention class; `RetentionClass::DEFAULT` has the global durations.

use crate::time::DurationMs;

/// Durations of one retention class. `hot.raw ≤ warm.rollup_1m` is not required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Raw points in RocksDB.
    pub hot_raw: DurationMs,
    /// 1-minute data in RocksDB; raw chunks that serve 1-minute reads are kept as long (identity).
    pub warm_rollup_1m: DurationMs,
    /// 1-hour rollups in RocksDB.
    pub warm_rollup_1h: DurationMs,
    /// Raw points in Delta.
    pub cold_raw: DurationMs,
    /// 1-minute rollups in Delta.
    pub cold_rollup_1m: DurationMs,
    /// 1-hour rollups in Delta.
    pub cold_rollup_1h: DurationMs,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            hot_raw: DurationMs::days(7),
            warm_rollup_1m: DurationMs::days(30),
            warm_rollup_1h: DurationMs::days(30),
            cold_raw: DurationMs::days(365),
            cold_rollup_1m: DurationMs::days(730),
            cold_rollup_1h: DurationMs::days(1_825),
        }
    }
}
