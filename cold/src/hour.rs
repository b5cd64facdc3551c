//! Decides what a commit of one hour has to change, and commits it against all comers.
//!
//! newest files of the table ─[`decide`]─▶ done | replace these | overtaken ─put the next version─▶ won | read again, decide again
//!
//! Nouns: a *writer* is an incarnation of a node; the *holdings* of a file say whose rows of the hour it has, each complete
//! through an epoch. Holdings grow only: a commit is made only over files whose holdings it includes, so that of several
//! writers none can take away another's rows, and an hour is in one set of files however many wrote it. *Done* means that a
//! live file has what we would bring, so neither the order of hours nor a lost reply matters: whoever looks again finds
//! the files. *Overtaken* means that a live file has what we would take away: its rows are to be read first, which is the
//! caller's ([`crate::HourBase`]). Each time that one writer is overtaken, another has got through. Pure but for the last function.

use std::collections::BTreeSet;
use std::sync::Arc;

use runtime::{Causes, invariant};
use schemas::file_tags::Holding;
use schemas::{Epoch, Hour, RetentionClass};

use crate::error::{ColdError, Doing};
use crate::table::{Change, LiveFile, NewFile, Step, Table, TableState};
use crate::write::TableCommit;

/// Whose rows of one hour, complete through which epoch of each. One entry a writer, by node and incarnation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holdings(Vec<Holding>);

impl Holdings {
    /// What a file says that it holds of an hour.
    pub(crate) fn of_file(file: &LiveFile, hour: Hour) -> Self {
        let mut holdings = Self::default();
        file.holds().iter().filter(|held| held.hour == hour).for_each(|held| holdings.join(held));
        holdings
    }

    /// Adds what one writer has; of two entries of a writer the later counts.
    pub(crate) fn join(&mut self, other: &Holding) {
        let key = |held: &Holding| (held.node.clone(), held.incarnation.clone());
        match self.0.binary_search_by_key(&key(other), key) {
            Ok(at) if self.0[at].through < other.through => self.0[at] = other.clone(),
            Ok(_) => {}
            Err(at) => self.0.insert(at, other.clone()),
        }
    }

    pub(crate) fn join_all(&mut self, other: &Self) {
        other.0.iter().for_each(|held| self.join(held));
    }

    /// Whether everything that `other` has is in.
    pub(crate) fn include(&self, other: &Self) -> bool {
        other.0.iter().all(|held| self.through(held).is_some_and(|through| through >= held.through))
    }

    /// Through which epoch the rows of a writer are in.
    pub(crate) fn through(&self, writer: &Holding) -> Option<Epoch> {
        self.0.iter().find(|held| same_writer(held, writer)).map(|held| held.through)
    }

    /// Whether somebody else than this writer has rows.
    pub(crate) fn are_shared(&self, writer: &Holding) -> bool {
        self.0.iter().any(|held| !same_writer(held, writer))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Holding> {
        self.0.iter()
    }

    pub(crate) fn to_vec(&self) -> Vec<Holding> {
        self.0.clone()
    }
}

impl From<Holding> for Holdings {
    fn from(held: Holding) -> Self {
        Self(vec![held])
    }
}

pub(crate) fn same_writer(a: &Holding, b: &Holding) -> bool {
    a.node == b.node && a.incarnation == b.incarnation
}

/// The hour that a commit is about.
#[derive(Debug)]
pub(crate) struct HourTarget {
    pub(crate) hour: Hour,
    pub(crate) class: RetentionClass,
    /// What the new files will say of themselves.
    pub(crate) holds: Holdings,
}

/// What a commit has to do.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The table has all of it.
    Done,
    /// These files go as the new ones come.
    Replace(Vec<Arc<LiveFile>>),
}

/// The files that hold rows of an hour in a class. Files of other programs, which do not say, are left alone.
pub(crate) fn files_of(state: &TableState, hour: Hour, class: RetentionClass) -> Result<Vec<Arc<LiveFile>>, ColdError> {
    let files: Vec<Arc<LiveFile>> = state.holding(hour, class).map(Arc::clone).collect();
    match files.iter().find(|file| file.holds().iter().any(|held| held.hour != hour)) {
        // Only a compaction makes such files, and it leaves alone what may still be sealed again.
        Some(file) => {
            Err(ColdError::damaged("file", file.path.as_ref(), "holds several hours and cannot be replaced by one"))
        }
        None => Ok(files),
    }
}

/// Looks at the files of the hour. Pure.
pub(crate) fn decide(state: &TableState, target: &HourTarget) -> Result<Decision, ColdError> {
    let files = files_of(state, target.hour, target.class)?;
    let held: Vec<Holdings> = files.iter().map(|file| Holdings::of_file(file, target.hour)).collect();
    if held.iter().any(|held| held.include(&target.holds)) {
        return Ok(Decision::Done);
    }
    if held.iter().all(|held| target.holds.include(held)) {
        return Ok(Decision::Replace(files));
    }
    Err(ColdError::Overtaken { hour: target.hour, table: state.table })
}

/// Commits uploaded files, deciding again whenever another writer was first or a reply was lost.
pub(crate) async fn commit_hour(
    table: &Table,
    target: &HourTarget,
    files: Vec<NewFile>,
) -> Result<TableCommit, ColdError> {
    let ours: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let landed =
        |state: &TableState| !ours.is_empty() && ours.iter().all(|path| state.files.contains_key(path.as_str()));
    let mut replied = true;
    let state = table.commit_until_done(|state| {
        if landed(state) {
            replied = false;
            return Ok(Step::Done);
        }
        Ok(match decide(state, target)? {
            Decision::Done => Step::Done,
            Decision::Replace(old) if old.is_empty() && files.is_empty() => Step::Done,
            Decision::Replace(old) => Step::Commit(Change { add: files.clone(), remove: old, why: "archive" }),
        })
    });
    let state = match state.await {
        Err(error @ ColdError::Overtaken { .. }) => {
            discard(table, &files).await;
            return Err(error);
        }
        state => state?,
    };
    if !replied {
        // The reply to an earlier try was lost: it was ours all the same.
        table.note_commit(&files);
    }
    if !landed(&state) {
        return Ok(TableCommit { version: state.version, bytes: 0, unchanged: true });
    }
    check_committed(&state, target, &ours);
    Ok(TableCommit { version: state.version, bytes: files.iter().map(|file| file.bytes).sum(), unchanged: false })
}

/// Deletes uploads that will never be committed. That they have been overtaken was decided on a version that another writer
/// took, so no put of ours is under way that could still refer to them.
async fn discard(table: &Table, files: &[NewFile]) {
    for file in files {
        let path = object_store::path::Path::from(file.path.as_str());
        let deleted = object_store::ObjectStoreExt::delete(table.store().as_ref(), &path).await;
        if let Err(error) = deleted.doing(|| format!("cannot delete {path}")) {
            tracing::debug!(error = %Causes(&error), "an upload that was overtaken stays until the next sweep");
        }
    }
}

/// After a commit the rows of the hour are exactly the new files, whoever wrote them.
fn check_committed(state: &TableState, target: &HourTarget, ours: &BTreeSet<String>) {
    let mut held = state.holding(target.hour, target.class);
    let stray = held.find(|file| !ours.contains(file.path.as_ref()));
    invariant!("UNITE-1", stray.is_none(), "hour {} is also in {:?}", target.hour, stray.map(|file| &file.path));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(list: &[(&str, u32)]) -> Holdings {
        let mut holdings = Holdings::default();
        for &(node, through) in list {
            holdings.join(&Holding::new(node, "1", Hour(5), Epoch(through)));
        }
        holdings
    }

    #[test]
    fn of_two_entries_of_a_writer_the_later_counts() {
        assert_eq!(held(&[("b", 3), ("a", 2), ("b", 7), ("b", 4)]), held(&[("a", 2), ("b", 7)]));
    }

    #[test]
    fn holdings_include_those_that_are_behind_in_every_writer() {
        let both = held(&[("a", 2), ("b", 7)]);
        for behind in [held(&[]), held(&[("a", 2)]), held(&[("a", 1), ("b", 7)]), both.clone()] {
            assert!(both.include(&behind), "{behind:?}");
        }
        for beside in [held(&[("a", 3)]), held(&[("a", 1), ("b", 8)]), held(&[("c", 1)])] {
            assert!(!both.include(&beside), "{beside:?}");
        }
    }
}
