//! The cold tier: points and rollups in Delta tables of Parquet, on any object store, open to any engine.
//!
//! sealed hour ─[`HourWriter`]─▶ Parquet ─upload, read back─▶ optimistic commit ─▶ table version
//! selection ─prune─▶ Parquet scans ─merge─▶ points or buckets a series
//!
//! Nouns: an *archive* is four Delta tables under one URL (`series`, `raw`, `rollup_1m`, `rollup_1h`); an *incarnation* is
//! one life of a node's disk, and every file bears its name; *through* is the epoch up to which an hour's rows of one
//! incarnation are complete; a *base* is what the archive holds of an hour, whoever wrote it; an *attempt* is one try to write
//! files. Formats: `docs/formats/delta.md`.
//!
//! Invariants: MOVE-1 (upload → read back → commit, old files replaced in the same commit), UNITE-1 (an hour is in one set of
//! files, which holds all rows of all its writers), GC-1 (only orphans of our own incarnation are deleted, and only after a
//! commit of ours), SET-1 (between nodes the later commit wins).
//!
//! Deliberately not here: RocksDB, when an hour is due, who owns a time range, HTTP.

mod archive;
mod columns;
mod error;
mod hour;
mod metrics;
mod position;
mod read;
mod recovery;
mod series;
mod store;
mod table;
mod upkeep;
mod write;

pub use archive::{Archive, ArchiveConfig};
pub use columns::table_schema;
pub use error::{ColdError, is_store_away};
pub use metrics::Metrics;
pub use read::{ColdFile, ColdSelection, EntryStream, SeriesSelection, SeriesStream};
pub use recovery::Recovery;
pub use series::SeriesEntry;
pub use store::{ReadCounters, check_location};
pub use upkeep::{ColdInventory, ExpireReport, PartitionInventory, SweepReport, TableInventory};
pub use write::{ArchivedSeries, Feed, HourBase, HourCommit, HourWriter};
