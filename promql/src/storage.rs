//! What the evaluator asks of whoever keeps the data.
//!
//! [`Selection`] ─▶ [`Storage::select`] ─▶ [`SeriesSet`]: labels of all series (phase one) ─▶ [`SeriesSet::read`]: one series at
//! a time, over all steps (phase two; from several threads, each with its own range of series)
//!
//! A storage may answer a selection with points, or, where it knows a shorter way (statistics of a chunk, rollups), with
//! the values of the function that was asked for. Both must give the same numbers.

use std::ops::Range;

use schemas::{LabelMatcher, Labels, Points};
use thiserror::Error;

use crate::column::Column;
use crate::notes::Notes;
use crate::range::RangeFunction;
use crate::starts::Starts;

/// The windows `(end − range, end]` of a selector, offsets and `@` already applied: one for each step, ascending. Of a
/// selector that is the same at all steps (`@`), there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// End of the first window, ms.
    pub first_end: i64,
    /// From one end to the next, ms; positive where there are two or more.
    pub step: i64,
    pub count: usize,
    /// Length, ms; of an instant selector, the lookback.
    pub range: i64,
}

impl Windows {
    /// The end of a window, ms.
    pub fn end(&self, window: usize) -> i64 {
        self.first_end.saturating_add(self.step.saturating_mul(i64::try_from(window).unwrap_or(i64::MAX)))
    }

    /// The earliest and the latest time (both inclusive, ms) of points in any window.
    pub fn span(&self) -> (i64, i64) {
        let first = self.first_end.saturating_sub(self.range).saturating_add(1);
        (first, self.end(self.count.saturating_sub(1)))
    }
}

/// What is wanted of the points in each window.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The points themselves: those of [`Windows::span`], or more.
    Points,
    /// The newest point of each window, unless it is a staleness marker: an instant selector.
    Last,
    /// What a function makes of each window; with its scalar arguments where they are the same at all steps.
    Function { function: RangeFunction, args: Vec<f64> },
}

/// A selector, ready to be read.
#[derive(Debug, Clone)]
pub struct Selection {
    pub matchers: Vec<LabelMatcher>,
    pub windows: Windows,
    pub wanted: Wanted,
}

/// What a series has.
#[derive(Debug)]
pub enum SeriesData<'a> {
    /// Settled points, ascending: at least those of [`Windows::span`], staleness markers included.
    Points(&'a Points),
    /// The same, of samples that say when their counters began.
    Started(&'a Points, &'a Starts),
    /// One place a window: never given for [`Wanted::Points`].
    Column(Column),
}

/// Why there are no data.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The evaluator's own refusal, handed back by [`SeriesSet::read`].
    #[error("stopped")]
    Stopped,
    /// Too much, or not possible: the text says what is.
    #[error("{0}")]
    Refused(String),
    /// Something below failed.
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Receives a series: its position in [`SeriesSet::labels`], and what it has.
pub type Sink<'a> = &'a mut dyn FnMut(usize, SeriesData<'_>) -> Result<(), StorageError>;

/// Where series come from.
pub trait Storage: Send + Sync {
    /// The series that match. Those without data in the windows may be among them.
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, StorageError>;
}

/// The series of one selection.
pub trait SeriesSet: Send + Sync {
    /// In the order in which they are read cheapest; no two are the same.
    fn labels(&self) -> &[Labels];

    /// Reads the series at some positions, each at most once, in any order; those without data may be left out.
    fn read(&self, series: Range<usize>, sink: Sink<'_>) -> Result<(), StorageError>;

    /// How many neighbours are best read together. More are cheaper where each has little to read.
    fn at_once(&self) -> usize {
        1
    }

    /// What is to be said of what was read so far: coarser data than asked for, parts that are not kept.
    fn notes(&self) -> Notes {
        Notes::default()
    }
}
