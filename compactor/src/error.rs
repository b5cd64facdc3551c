//! What can go wrong in a job, by what to do about it.

use schemas::Hour;
use thiserror::Error;

/// A job that did not finish. Nothing is lost: every job can be run again.
#[derive(Debug, Error)]
pub enum CompactorError {
    // Boxed: both carry what they were doing, and every result of a job would be as large.
    #[error("hot store")]
    Hot(#[source] Box<hot::HotError>),
    #[error("archive")]
    Cold(#[source] Box<cold::ColdError>),
    /// Another job works on the hour; the next round takes it.
    #[error("hour {0} is being worked on by another job")]
    HourBusy(Hour),
    /// A series of the hour is not in the index: its rows would lack their names.
    #[error("hour {hour}: series {sid} is not in the index")]
    UnknownSeries { hour: Hour, sid: u32 },
    /// What was packed a moment ago cannot be unpacked.
    #[error("hour {hour} cannot be unpacked")]
    Repack { hour: Hour, source: hot::BoxError },
    /// A defect: the job panicked. Its unit is set aside like any other failure.
    #[error("the job panicked: {0}")]
    Panicked(String),
}

impl CompactorError {
    /// Whether the object store of the archive is away: every other hour that needs it would only wait for the same.
    pub(crate) fn is_archive_away(&self) -> bool {
        cold::is_store_away(self)
    }
}

impl From<hot::HotError> for CompactorError {
    fn from(error: hot::HotError) -> Self {
        Self::Hot(Box::new(error))
    }
}

impl From<cold::ColdError> for CompactorError {
    fn from(error: cold::ColdError) -> Self {
        Self::Cold(Box::new(error))
    }
}
