//! What can go wrong in the hot store, by what the caller can do about it.

use std::io::ErrorKind;
use std::time::Duration;

use schemas::{Epoch, Hour, SeriesAddress};
use thiserror::Error;

use crate::writable::Unwritable;

/// An error of a caller's own closure, carried through.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the store.
#[derive(Debug, Error)]
pub enum HotError {
    /// RocksDB refused or failed. A full disk is one of these ([`HotError::is_disk_full`]).
    #[error("{context}")]
    Storage { context: &'static str, source: rocksdb::Error },
    /// A file operation beside RocksDB failed.
    #[error("{context}")]
    Io { context: &'static str, source: std::io::Error },
    /// Bytes on disk do not decode. Names the family and the key.
    #[error("damaged {what} in {family} at key {key}: {reason}")]
    Damaged { what: &'static str, family: String, key: String, reason: String },
    /// The directory was written by a newer version.
    #[error("the directory has format version {found}, and this program reads up to {known}")]
    NewerFormat { found: u32, known: u32 },
    /// A seal met a series whose base Delta owns, and was not given that base.
    #[error("the base of series {address:?} in hour {hour} is in the archive, and the seal was not given it")]
    ColdBaseMissing { hour: Hour, address: SeriesAddress },
    /// What the caller's base source or tee reported.
    #[error("the caller's part of a seal failed")]
    Caller { source: BoxError },
    /// A step that would break an ordering rule of the protocol.
    #[error("{what} (hour {hour}, through {through})")]
    OutOfOrder { what: &'static str, hour: Hour, through: Epoch },
    /// A threshold of the tier map only rises.
    #[error("threshold of the tier map cannot go back from {from} to {to}")]
    ThresholdFell { from: Hour, to: Hour },
    /// The store is closing: its threads have ended.
    #[error("the store is closed")]
    Closed,
}

impl HotError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Storage { .. } | Self::Io { .. } | Self::Caller { .. } => true,
            Self::Damaged { .. }
            | Self::NewerFormat { .. }
            | Self::ColdBaseMissing { .. }
            | Self::OutOfOrder { .. }
            | Self::ThresholdFell { .. }
            | Self::Closed => false,
        }
    }

    /// Whether there is no room on the disk. Reads go on.
    pub fn is_disk_full(&self) -> bool {
        match self {
            // RocksDB says it in its text only: the message of `NoSpace`, or that of the operating system.
            Self::Storage { source, .. } => {
                let said = source.to_string();
                ["No space left on device", "Disk quota exceeded"].iter().any(|full| said.contains(full))
            }
            Self::Io { source, .. } => matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
            Self::Damaged { .. }
            | Self::NewerFormat { .. }
            | Self::ColdBaseMissing { .. }
            | Self::Caller { .. }
            | Self::OutOfOrder { .. }
            | Self::ThresholdFell { .. }
            | Self::Closed => false,
        }
    }

    pub(crate) fn damaged(
        what: &'static str,
        family: impl Into<String>,
        key: &[u8],
        reason: impl std::fmt::Display,
    ) -> Self {
        use std::fmt::Write as _;
        let mut hex = String::with_capacity(key.len() * 2);
        for byte in key {
            write!(hex, "{byte:02x}").expect("a string takes any text");
        }
        Self::Damaged { what, family: family.into(), key: hex, reason: reason.to_string() }
    }
}

/// Adds what was being done to an error of RocksDB or of the file system.
pub(crate) trait Context<T> {
    fn context(self, context: &'static str) -> Result<T, HotError>;
}

impl<T> Context<T> for Result<T, rocksdb::Error> {
    fn context(self, context: &'static str) -> Result<T, HotError> {
        self.map_err(|source| HotError::Storage { context, source })
    }
}

impl<T> Context<T> for Result<T, std::io::Error> {
    fn context(self, context: &'static str) -> Result<T, HotError> {
        self.map_err(|source| HotError::Io { context, source })
    }
}

/// Why nothing of a batch was applied.
#[derive(Debug, Error)]
pub enum AppendError {
    /// As much is under way as the bounds allow, or as much waits to be flushed as two epochs may hold.
    #[error("the store is busy")]
    Overloaded { retry_after: Duration },
    /// More new series a second than the limit.
    #[error("too many new series a second")]
    TooManyNewSeries { retry_after: Duration },
    /// The data directory takes no writes.
    #[error("{why}")]
    Unwritable { why: Unwritable, retry_after: Duration },
}

impl AppendError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::TooManyNewSeries { .. } => true,
            Self::Unwritable { why: Unwritable::DiskFull | Unwritable::Failing, .. } => true,
            Self::Unwritable { why: Unwritable::Closed, .. } => false,
        }
    }
}
