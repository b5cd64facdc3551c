//! Whether the data directory takes writes, and what is said while it does not.
//!
//! a group commit, a sync or a flush fails ─▶ [`Unwritable`] is noted ─▶ appends are refused at once, and readiness says
//! why ─▶ each second an empty commit tries ─▶ it succeeds: appends are taken again
//!
//! After a failed write RocksDB takes none until it has resumed, which it does by itself within seconds once a full disk
//! has room, and after some other failures. Nothing of a failed commit is visible, and what was acknowledged before is
//! in the log or in memory: RocksDB writes all memtables out before it resumes. Reads go on throughout.

use parking_lot::Mutex;
use runtime::Causes;
use thiserror::Error;

use crate::error::HotError;

/// Why the store takes no points, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unwritable {
    #[error("the disk of the data directory is full: make room, and writing goes on by itself")]
    DiskFull,
    #[error(
        "the data directory cannot be written, the log says why: mend it, and restart the server if that is not enough"
    )]
    Failing,
    /// The store is closed, or one of its threads has died.
    #[error("the hot store takes no more points: restart the server")]
    Closed,
}

impl Unwritable {
    /// What a failed write says of the directory; `None` if it is about something else.
    fn of(error: &HotError) -> Option<Self> {
        match error {
            error if error.is_disk_full() => Some(Self::DiskFull),
            HotError::Storage { .. } | HotError::Io { .. } => Some(Self::Failing),
            HotError::Damaged { .. }
            | HotError::NewerFormat { .. }
            | HotError::ColdBaseMissing { .. }
            | HotError::Caller { .. }
            | HotError::OutOfOrder { .. }
            | HotError::ThresholdFell { .. }
            | HotError::Closed => None,
        }
    }
}

/// One way of writing, and how the last write of its kind ended.
#[derive(Debug)]
pub(crate) struct Writes {
    what: &'static str,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    failed: bool,
    trouble: Option<Unwritable>,
}

impl Writes {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, last: Mutex::default() }
    }

    /// What stands in the way of the next write.
    pub(crate) fn trouble(&self) -> Option<Unwritable> {
        self.last.lock().trouble
    }

    /// Notes how a write ended. Logs when that changes, not each time.
    pub(crate) fn note<T>(&self, outcome: &Result<T, HotError>) {
        let error = match outcome {
            // Nobody wrote.
            Err(HotError::Closed) => return,
            Err(error) => Some(error),
            Ok(_) => None,
        };
        let trouble = error.and_then(Unwritable::of);
        let before = std::mem::replace(&mut *self.last.lock(), Last { failed: error.is_some(), trouble });
        let writing = self.what;
        match (before.failed, error) {
            (false, Some(error)) => {
                let what_to_do = trouble.map_or_else(String::new, |why| why.to_string());
                tracing::error!(writing, error = %Causes(error), what_to_do, "a write failed; it is tried again");
            }
            (true, None) => tracing::info!(writing, "writing goes on"),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: std::io::ErrorKind) -> Result<(), HotError> {
        Err(HotError::Io { context: "cannot write", source: kind.into() })
    }

    #[test]
    fn trouble_is_noted_until_a_write_succeeds() {
        let writes = Writes::new("test");
        assert_eq!(writes.trouble(), None);
        writes.note(&io(std::io::ErrorKind::StorageFull));
        assert_eq!(writes.trouble(), Some(Unwritable::DiskFull));
        writes.note(&io(std::io::ErrorKind::Other));
        assert_eq!(writes.trouble(), Some(Unwritable::Failing));
        writes.note::<()>(&Err(HotError::Closed));
        assert_eq!(writes.trouble(), Some(Unwritable::Failing), "nobody wrote");
        writes.note(&Ok(()));
        assert_eq!(writes.trouble(), None);
    }
}
