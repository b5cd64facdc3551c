//! The hot store: RocksDB, from the log of new points to sealed hours.
//!
//! batch ─▶ index (series → sid) ─▶ log record ─▶ one group commit ─▶ head ─▶ ack        (`append`, `head`, `log`)
//! head of an ended epoch ─flush─▶ run ─seal─▶ base of the hour: chunks, 1 m and 1 h rows (`flush`, `run`, `seal`)
//! view = snapshot + runs + head generations + tier map ─▶ base scans and overlays        (`view`)
//!
//! Nouns: an *epoch* is one life of the log and of the head generation with the same number; a *run* holds a
//! flushed epoch, sorted; a *base* holds an hour as sealed; a *view* is one consistent state that a query reads.
//!
//! Invariants kept here: SET-1, ACK-1, OFF-1, EPOCH-1, SEAL-1, MAP-1, MOVE-1, DROP-1, GC-1 (docs/invariants.md).
//! Synchronous: callers run it on threads of their own. Not here: Delta and Parquet (`cold`), when to seal or
//! drop (`compactor`), which tier answers a query (`query`), HTTP.

mod append;
mod committer;
pub mod config;
mod cursor;
mod db;
pub mod error;
mod facts;
mod flush;
mod found;
mod head;
pub mod index;
mod inventory;
mod locks;
mod log;
mod metrics;
mod offsets;
mod publication;
mod readers;
mod retention;
mod run;
mod run_files;
mod run_merge;
pub mod seal;
mod staging;
pub mod store;
mod threads;
mod through;
pub mod view;
mod writable;

pub use config::{Durability, SeriesLimits, StoreConfig};
pub use error::{AppendError, BoxError, HotError};
pub use flush::FlushOutcome;
pub use found::{FoundSeries, Founding};
pub use index::{Cardinality, Index, IndexStats, SelectError, SeriesInfo};
pub use inventory::{FamilyInventory, Inventory, RunInventory};
pub use locks::HoursGuard;
pub use offsets::SourceOffsets;
pub use retention::DropOutcome;
pub use run_merge::MergeOutcome;
pub use seal::{HourSeal, SealStats};
pub use store::Store;
pub use view::{Contents, EpochHours, Overlay, ScanStats, Timed, View};
pub use writable::Unwritable;
