//! What jobs did, for the admin API and the log.

use schemas::tier_map::{ColdTable, Form};
use schemas::{DurationMs, Epoch, Hour, Resolution, RetentionClass};

/// Result of a flush.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// The newest epoch on disk as a run; `None` when there was nothing to flush.
    pub through: Option<Epoch>,
    pub points: u64,
}

/// An hour that could not be done; the others were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourFailure {
    pub hour: Hour,
    pub reason: String,
}

/// Result of a seal round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealReport {
    pub sealed: Vec<Hour>,
    pub points: u64,
    pub series: u64,
    pub bytes: u64,
    pub quarantined: Vec<HourFailure>,
}

/// Result of an archive round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    pub archived: Vec<Hour>,
    /// Hours whose data Delta already held.
    pub unchanged: Vec<Hour>,
    pub rows: u64,
    pub bytes: u64,
    pub quarantined: Vec<HourFailure>,
    /// The round ended early: the object store cannot be reached, or refuses.
    pub archive_away: bool,
}

/// One thing that retention would do, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDrop {
    pub place: DropPlace,
    pub class: RetentionClass,
    /// Data before this hour goes …
    pub before: Hour,
    /// … which is how far the policy asks; `before` is less when DROP-1 holds some of it back.
    pub wanted: Hour,
    /// The duration that asks for it.
    pub keep: DurationMs,
    /// What goes with it; rows for Delta and for rollups, points for raw.
    pub series: u64,
    pub points: u64,
    pub bytes: u64,
    /// Why less goes than wanted.
    pub held_back: Option<String>,
}

/// A place that data is dropped from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropPlace {
    Local { form: Form, resolution: Resolution },
    Cold { table: ColdTable },
}

/// A dry run of retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPlan {
    pub drops: Vec<PlannedDrop>,
}

/// Result of a retention round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    pub drops: Vec<PlannedDrop>,
    pub families_dropped: u64,
    pub runs_dropped: u64,
    pub series_forgotten: u64,
    pub delta_files_removed: u64,
}
