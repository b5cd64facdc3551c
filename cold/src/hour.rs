//! Decides what a commit of one hour has to change, and commits it against all comers.
//!
//! newest files of the table ─[`decide`]─▶ done | replace these ─put the next version─▶ won | read again, decide again
//!
//! *Done* means that a live file of this incarnation holds the hour through our epoch or a later one, so neither the order
//! of hours nor a lost reply matters: whoever looks again finds the files. Pure but for the last function.

use std::collections::BTreeSet;
use std::sync::Arc;

use runtime::invariant;
use schemas::file_tags::Holding;
use schemas::{Hour, RetentionClass};

use crate::error::ColdError;
use crate::table::{Change, LiveFile, NewFile, Step, Table, TableState};
use crate::write::TableCommit;

/// The hour that a commit is about.
#[derive(Debug)]
pub(crate) struct HourTarget {
    pub(crate) hour: Hour,
    pub(crate) class: RetentionClass,
    /// What the new files will say of themselves.
    pub(crate) holding: Holding,
    /// The new files include whatever this version holds of the hour, from all writers.
    pub(crate) replaced: Option<Arc<TableState>>,
}

/// What a commit has to do.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The table holds the hour through our epoch.
    Done,
    /// These files go as the new ones come.
    Replace(Vec<Arc<LiveFile>>),
}

/// Looks at the files of the hour. Pure.
pub(crate) fn decide(state: &TableState, target: &HourTarget) -> Result<Decision, ColdError> {
    let mut replace = Vec::new();
    for file in state.holding(target.hour, target.class) {
        let ours = file.holds().iter().find(|held| held.hour == target.hour && same_writer(held, &target.holding));
        if ours.is_some_and(|held| held.through >= target.holding.through) {
            return Ok(Decision::Done);
        }
        let included = target.replaced.as_ref().is_some_and(|base| base.files.contains_key(&file.path));
        if ours.is_none() && !included {
            continue;
        }
        if file.holds().len() > 1 {
            // Only a compaction makes such files, and it leaves alone what may still be sealed again.
            return Err(ColdError::damaged(
                "file",
                file.path.as_ref(),
                "holds several hours and cannot be replaced by one",
            ));
        }
        replace.push(Arc::clone(file));
    }
    Ok(Decision::Replace(replace))
}

fn same_writer(a: &Holding, b: &Holding) -> bool {
    a.node == b.node && a.incarnation == b.incarnation
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
    let state = state.await?;
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

/// After a commit the incarnation's rows of the hour are exactly the new files.
fn check_committed(state: &TableState, target: &HourTarget, ours: &BTreeSet<String>) {
    let held = state.holding(target.hour, target.class);
    let stray = held
        .filter(|file| file.holds().iter().any(|held| same_writer(held, &target.holding)))
        .find(|file| !ours.contains(file.path.as_ref()));
    invariant!("MOVE-1", stray.is_none(), "hour {} is also in {:?}", target.hour, stray.map(|file| &file.path));
}
