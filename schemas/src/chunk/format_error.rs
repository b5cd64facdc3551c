//! What can be wrong inside a checked block of bytes; chunks and rollup rows wrap it in their own errors.

use thiserror::Error;

use crate::varint::ReadError;

/// Bytes that no encoder writes.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum FormatError {
    /// A field whose value no encoder writes.
    #[error("impossible {0}")]
    Impossible(&'static str),
    #[error(transparent)]
    Read(#[from] ReadError),
}
