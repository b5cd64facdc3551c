//! Decoders, one a protocol: plain bytes in, a [`PointBatch`] and an account of what was refused out.
//!
//! bytes ─▶ `<protocol>::decode(bytes, …, scope, batch)` ─▶ points pushed to the batch, the rest told in [`Decoded`]
//!
//! All decoders share one rule: what can be told apart from its neighbours (a point, a line, a series) is refused by
//! itself and the rest is kept; only bytes in which nothing can be told apart any more are a [`DecodeError`]. A series
//! is added to the batch only together with a point of it, so refused points leave no series behind.
//! Not here: decompression ([`crate::body`]) and what becomes of the batch ([`crate::intake`]).

pub mod json;
pub mod line_protocol;
pub mod otlp;
pub mod prom_text;
pub mod remote_write;
pub mod remote_write_v2;

mod collector;
pub(crate) mod native_histogram;
pub mod protobuf;
#[cfg(test)]
pub(crate) mod testing;

use schemas::{RejectReason, TimeRange};
use thiserror::Error;

pub(crate) use collector::Collector;

use crate::limits::Limits;

/// Refused items that are told to the sender; the rest are only counted.
pub const TOLD_MAX: usize = 20;

/// What a decoder may know of the world.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The time of points that bring none, in ms.
    pub now_ms: i64,
    /// Points outside are refused: too old before it, too far in the future after it.
    pub window: TimeRange,
    pub limits: &'a Limits,
}

/// A body that cannot be read at all. Nothing of it was taken.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// HTTP 400.
    #[error("malformed {format} at {place}: {what}")]
    Malformed { format: &'static str, place: String, what: String },
    /// HTTP 413.
    #[error("the request has more than {limit} points: send it in pieces")]
    TooManyPoints { limit: u64 },
}

impl DecodeError {
    /// Whether the same body may be taken later. Never: it is the body that is at fault.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// A point, line or series that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// As the protocol counts: JSON points and remote-write series from 0, lines from 1.
    pub index: u64,
    /// How many points this refusal cost.
    pub points: u64,
    pub reason: RejectReason,
}

/// Everything that was refused: counted by reason, and the first [`TOLD_MAX`] in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    points: u64,
    /// Items with a refusal, and the index of the last of them.
    items: u64,
    last: Option<u64>,
    first: Vec<Rejected>,
    by_reason: Vec<(&'static str, u64)>,
}

impl Rejections {
    /// Adds one. Its index may lie before those of earlier ones; the first are kept by index.
    pub fn add(&mut self, rejected: Rejected) {
        self.points += rejected.points;
        self.items += u64::from(self.last != Some(rejected.index));
        self.last = Some(rejected.index);
        let code = rejected.reason.code();
        match self.by_reason.iter_mut().find(|(known, _)| *known == code) {
            Some((_, points)) => *points += rejected.points,
            None => self.by_reason.push((code, rejected.points)),
        }
        if self.first.len() < TOLD_MAX || self.first.last().is_some_and(|last| rejected.index < last.index) {
            let at = self.first.partition_point(|known| known.index <= rejected.index);
            self.first.insert(at, rejected);
            self.first.truncate(TOLD_MAX);
        }
    }

    /// Adds those of another body.
    pub(crate) fn add_all(&mut self, other: Self) {
        self.items += other.items;
        self.last = other.last.or(self.last);
        for (code, points) in other.by_reason {
            self.points += points;
            match self.by_reason.iter_mut().find(|(known, _)| *known == code) {
                Some((_, known)) => *known += points,
                None => self.by_reason.push((code, points)),
            }
        }
        self.first.extend(other.first);
        self.first.truncate(TOLD_MAX);
    }

    /// Points refused.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Things of the body that were refused, wholly or in part: lines, series, data points. Refusals of one that do not
    /// follow each other count as several.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The first by index, at most [`TOLD_MAX`].
    pub fn first(&self) -> &[Rejected] {
        &self.first
    }

    /// Points refused by [`RejectReason::code`].
    pub fn by_reason(&self) -> &[(&'static str, u64)] {
        &self.by_reason
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// What was left out on purpose, which is no fault of the sender: counted, not refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// String fields of line protocol.
    pub strings: u64,
    pub exemplars: u64,
}

impl Dropped {
    /// Adds what another body left out.
    pub(crate) fn add(&mut self, other: Self) {
        self.strings += other.strings;
        self.exemplars += other.exemplars;
    }
}

/// What a decoder says of a body.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// Points in the body, good and bad.
    pub points_seen: u64,
    pub rejections: Rejections,
    pub dropped: Dropped,
    /// Points of the batch that came as native histograms, staleness markers among them.
    pub histograms: u64,
    /// The sender's own name for the request.
    pub batch_id: Option<String>,
    /// Where in the body the points of the batch come from.
    pub origins: Origins,
}

impl Decoded {
    /// Points that went into the batch.
    pub fn kept(&self) -> u64 {
        self.points_seen - self.rejections.points()
    }
}

/// From a point's place in a batch to its place in the body, kept as runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// First point of a run, and its index in the body.
    runs: Vec<(u32, u64)>,
    /// Whether indexes count up with the points of a run, or are shared by them.
    counting: bool,
}

impl Origins {
    /// Each point has an index of its own.
    pub(crate) fn of_points() -> Self {
        Self { runs: Vec::new(), counting: true }
    }

    /// The points of a line or a series share an index.
    pub(crate) fn of_groups() -> Self {
        Self { runs: Vec::new(), counting: false }
    }

    /// Says where `point`, the next of the batch, comes from.
    pub(crate) fn note(&mut self, point: u32, index: u64) {
        if self.runs.is_empty() || self.index_of(point) != index {
            self.runs.push((point, index));
        }
    }

    /// The index in the body of a point of the batch.
    pub fn index_of(&self, point: u32) -> u64 {
        let run = match self.runs.last() {
            Some(last) if last.0 <= point => Some(last),
            Some(_) | None => {
                self.runs.partition_point(|(first, _)| *first <= point).checked_sub(1).map(|at| &self.runs[at])
            }
        };
        match run {
            Some((first, index)) if self.counting => index + u64::from(point - first),
            Some((_, index)) => *index,
            None => u64::from(point),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(index: u64) -> Rejected {
        Rejected { index, points: 2, reason: RejectReason::InvalidValue("x".to_owned()) }
    }

    #[test]
    fn only_the_first_rejections_are_kept_and_all_are_counted() {
        let mut rejections = Rejections::default();
        for index in (0..100).rev() {
            rejections.add(rejected(index));
        }
        let kept: Vec<u64> = rejections.first().iter().map(|r| r.index).collect();
        assert_eq!(kept, (0..20).collect::<Vec<u64>>());
        assert_eq!((rejections.points(), rejections.by_reason()), (200, &[("invalid_value", 200)][..]));
    }

    #[test]
    fn a_point_is_traced_to_its_index_past_refused_ones() {
        let mut origins = Origins::of_points();
        // Indexes 2 and 3 of the body were refused.
        for (point, index) in [(0, 0), (1, 1), (2, 4), (3, 5)] {
            origins.note(point, index);
        }
        assert_eq!((0..4).map(|point| origins.index_of(point)).collect::<Vec<u64>>(), [0, 1, 4, 5]);
        assert_eq!(origins.runs.len(), 2);
    }

    #[test]
    fn points_of_a_line_share_its_number() {
        let mut origins = Origins::of_groups();
        for (point, line) in [(0, 1), (1, 1), (2, 4), (3, 4), (4, 5)] {
            origins.note(point, line);
        }
        assert_eq!((0..5).map(|point| origins.index_of(point)).collect::<Vec<u64>>(), [1, 1, 4, 4, 5]);
    }
}
