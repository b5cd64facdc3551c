//! The stack of object stores below the tables, bottom up.
//!
//! ```text
//! one scan's reads     MeteredStore<ReadCounters>       what this query read
//!                              │
//! everything           MeteredStore<Metrics>            requests and bytes of the process
//!                              │
//! file://  DurableLocal        │      s3://, gs://, az://  the client of `object_store`, which signs, times out and
//!          fsyncs what         │                           retries (idempotent requests, with back-off, bounded)
//!          LocalFileSystem does not
//! ```
//!
//! Metering lies above retrying, so a figure is a request that was asked for, not one that was sent again. The root of
//! the stack is the bucket (or `/`), because the Delta kernel addresses objects by their whole path; tables see it
//! through a prefix. Nothing caches here: parsed Parquet footers are cached in `read`.
//!
//! A local directory may also hold what a writer that died left half written: [`sweep_staged`] knows the living from the
//! dead. Commits rest on put-if-absent alone, so [`probe`] proves it at start: a key is created twice.

mod local;
mod location;
mod metered;
mod probe;
mod staged;

pub(crate) use local::DurableLocal;
pub(crate) use location::Location;
pub use location::check_location;
pub(crate) use metered::MeteredStore;
pub use metered::ReadCounters;
pub(crate) use probe::probe;
pub(crate) use staged::{Swept, sweep as sweep_staged};
