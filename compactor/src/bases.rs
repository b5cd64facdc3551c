//! A commit of an hour that others may overtake: begins anew over what they have, until it is through.
//!
//! known base ─▶ rows written ─commit─▶ done, or overtaken ─▶ newest base ─▶ written again …
//!
//! Whoever overtakes has committed, so all writers together go on; one that is overtaken again and again comes back with
//! the next round.

use cold::{Archive, ColdError, HourBase};
use schemas::{Hour, RetentionClass};

/// Commits of one job that others may overtake.
const TRIES: u32 = 8;

/// The bases of one hour, as they are tried.
#[derive(Debug)]
pub(crate) struct Bases<'a> {
    archive: &'a Archive,
    hour: Hour,
    class: RetentionClass,
    tries: u32,
}

impl<'a> Bases<'a> {
    pub(crate) fn of(archive: &'a Archive, hour: Hour, class: RetentionClass) -> Self {
        Self { archive, hour, class, tries: 0 }
    }

    /// What to write over: as it is known at first, then as it is.
    pub(crate) async fn next(&mut self) -> Result<HourBase, ColdError> {
        self.tries += 1;
        if self.tries == 1 {
            self.archive.known_hour(self.hour, self.class)
        } else {
            self.archive.newest_hour(self.hour, self.class).await
        }
    }

    /// Whether the failure is that another writer was first, and the job is to begin anew.
    pub(crate) fn begins_anew(&self, failure: &ColdError) -> bool {
        let is_overtaken = matches!(failure, ColdError::Overtaken { .. });
        if is_overtaken {
            tracing::debug!(hour = %self.hour, tries = self.tries, %failure, "its rows are taken in");
        }
        is_overtaken && self.tries < TRIES
    }
}
