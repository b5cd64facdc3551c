//! What can go wrong in the cold tier, by what the caller can do about it.

use std::error::Error;

use arrow::error::ArrowError;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;
use parquet::errors::ParquetError;
use schemas::file_tags::TagError;
use schemas::tier_map::ColdTable;
use schemas::{Hour, SeriesId};
use thiserror::Error;

/// A failure of the archive.
#[derive(Debug, Error)]
pub enum ColdError {
    /// The configuration cannot be used. Says what to change.
    #[error("object store {url:?}: {problem}")]
    Config { url: String, problem: String },
    /// The store replaces an object that it was asked to create: two nodes could then commit the same version.
    #[error(
        "object store {url:?} has no conditional put: {found}; commits would not be safe, so it is not used. \
         Use a store that honours If-None-Match (AWS S3, MinIO, Ceph, R2, GCS, Azure, a local directory)"
    )]
    NoConditionalPut { url: String, found: String },
    /// A table is not as this program writes it.
    #[error("table {} cannot be used: {problem}", table.as_str())]
    Incompatible { table: ColdTable, problem: String },
    /// The object store failed or refused.
    #[error("{doing}")]
    Store { doing: String, source: object_store::Error },
    /// The Delta log cannot be read or written.
    #[error("{doing}")]
    Delta { doing: String, source: DeltaTableError },
    /// Parquet bytes cannot be written or read.
    #[error("{doing}")]
    Parquet { doing: String, source: ParquetError },
    /// A scan failed.
    #[error("cannot scan table {}", table.as_str())]
    Scan { table: ColdTable, source: datafusion::error::DataFusionError },
    /// Bytes in the archive do not mean what they should.
    #[error("damaged {what} in {path}: {problem}")]
    Damaged { what: &'static str, path: String, problem: String },
    /// An uploaded object reads back differently. Nothing was committed.
    #[error("{path} reads back wrong: {problem}")]
    Verify { path: String, problem: String },
    /// Two series have the same id. The second cannot be archived; what it has stays where it is.
    #[error("series {second} has the id {} of series {first}", id.0)]
    SeriesCollision { id: SeriesId, first: String, second: String },
    /// Other writers won every attempt.
    #[error("table {} was committed to by others {attempts} times in a row", table.as_str())]
    Contended { table: ColdTable, attempts: u32 },
    /// Another writer has committed rows of the hour that ours would have taken away. Nothing was committed to this table; with
    /// those rows taken in, the same hour can be.
    #[error("hour {hour}: another writer has committed to {} meanwhile", table.as_str())]
    Overtaken { hour: Hour, table: ColdTable },
    /// Rollups of other writers cannot be united with ours without the raw points that they were made of.
    #[error("hour {hour}: {} has rows of other writers, whose raw points have left the archive", table.as_str())]
    RawGone { hour: Hour, table: ColdTable },
    /// A file on this machine, beside the archive, failed.
    #[error("{doing}")]
    Io { doing: &'static str, source: std::io::Error },
    /// A caller broke the order that a writer asks for.
    #[error("{0}")]
    OutOfOrder(String),
}

impl ColdError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store { .. } | Self::Delta { .. } | Self::Scan { .. } | Self::Io { .. } => true,
            Self::Verify { .. } | Self::Contended { .. } | Self::Overtaken { .. } => true,
            Self::Config { .. }
            | Self::NoConditionalPut { .. }
            | Self::Incompatible { .. }
            | Self::Parquet { .. }
            | Self::Damaged { .. }
            | Self::SeriesCollision { .. }
            | Self::RawGone { .. }
            | Self::OutOfOrder(_) => false,
        }
    }

    /// Whether the object store is away or refuses: nothing is wrong with what was asked, nor with what is stored.
    pub fn is_unavailable(&self) -> bool {
        is_store_away(self)
    }

    pub(crate) fn damaged(what: &'static str, path: impl Into<String>, problem: impl ToString) -> Self {
        Self::Damaged { what, path: path.into(), problem: problem.to_string() }
    }

    pub(crate) fn tag(path: &str, problem: &TagError) -> Self {
        Self::damaged("tag", path, problem)
    }
}

/// Whether a failure goes back to an object store that cannot be reached, or refuses.
pub fn is_store_away(failure: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(failure), |error| (**error).source());
    causes.find_map(|cause| cause.downcast_ref::<object_store::Error>()).is_some_and(|error| match error {
        object_store::Error::Generic { .. }
        | object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => true,
        // It answered: an object is not there, or is not as it was thought to be.
        _ => false,
    })
}

/// Gives errors of the libraries below their context.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ColdError>;
}

impl<T, E: Into<Cause>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ColdError> {
        self.map_err(|error| match error.into() {
            Cause::Store(source) => ColdError::Store { doing: what(), source },
            Cause::Delta(source) => ColdError::Delta { doing: what(), source },
            Cause::Parquet(source) => ColdError::Parquet { doing: what(), source },
        })
    }
}

/// An error of a library below.
pub(crate) enum Cause {
    Store(object_store::Error),
    Delta(DeltaTableError),
    Parquet(ParquetError),
}

impl From<object_store::Error> for Cause {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<DeltaTableError> for Cause {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(error)
    }
}

impl From<TransactionError> for Cause {
    fn from(error: TransactionError) -> Self {
        Self::Delta(error.into())
    }
}

impl From<deltalake_core::kernel::Error> for Cause {
    fn from(error: deltalake_core::kernel::Error) -> Self {
        Self::Delta(error.into())
    }
}

impl From<ParquetError> for Cause {
    fn from(error: ParquetError) -> Self {
        Self::Parquet(error)
    }
}

impl From<ArrowError> for Cause {
    fn from(error: ArrowError) -> Self {
        Self::Parquet(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_told_from_what_it_answers() {
        let away = || object_store::Error::Generic { store: "S3", source: "connection refused".into() };
        let missing = object_store::Error::NotFound { path: "a".to_owned(), source: "no such key".into() };
        let of = |source| ColdError::Store { doing: "cannot read".to_owned(), source };
        assert!(of(away()).is_unavailable() && !of(missing).is_unavailable());
        let log = DeltaTableError::ObjectStore { source: away() };
        assert!(ColdError::Delta { doing: "cannot read the log".to_owned(), source: log }.is_unavailable());
        let parquet = ParquetError::External(Box::new(away()));
        let scan = datafusion::error::DataFusionError::ParquetError(Box::new(parquet));
        assert!(ColdError::Scan { table: ColdTable::Raw, source: scan }.is_unavailable());
        assert!(!ColdError::Contended { table: ColdTable::Raw, attempts: 1 }.is_unavailable());
    }

    #[test]
    fn an_error_is_small_enough_to_be_returned_everywhere() {
        assert!(size_of::<ColdError>() <= 128, "{} bytes", size_of::<ColdError>());
    }
}
