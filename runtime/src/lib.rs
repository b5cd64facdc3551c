//! How a process lives: time, tasks, shutdown, CPU work, retry, telemetry, invariants.
//!
//! start ─▶ named tasks under one [`Tasks`] ─▶ shutdown asked ─▶ every task ends in order ─▶ exit
//!
//! Knows nothing of metrics data. The only place that asks the operating system for the time, spawns tasks and
//! threads, or installs a log subscriber; `clippy.toml` bans those calls elsewhere and names these replacements.

pub mod backoff;
pub mod causes;
pub mod clock;
pub mod cpu_pool;
pub mod crash;
pub mod durations;
pub mod invariant;
pub mod logging;
pub mod tasks;
pub mod workers;

pub use backoff::Backoff;
pub use causes::Causes;
pub use clock::{Clock, ManualClock, SystemClock};
pub use cpu_pool::CpuPool;
pub use crash::{crash_point, panic_point};
pub use durations::Durations;
pub use tasks::Tasks;
pub use workers::Workers;

/// The registry that every crate's metrics are registered in; the server renders it at `/metrics`.
pub use prometheus_client as metrics;
