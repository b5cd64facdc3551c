//! Functions of range vectors: all values of one series from its points.
//!
//! points ─ without staleness markers, floats and histograms apart (`samples`) ─▶ windows, by two indexes that only
//! advance ─▶ floats alone: whole columns (`floats`, `increases`; by `prefixes`, `sliding`) · with histograms: window by
//! window (`histograms`) · `anchored`, `smoothed`: windows with edges (`edges`) ─▶ a [`Column`]
//!
//! Where samples say when their counters began ([`Starts`]), `rate`, `increase`, `irate` and `resets` see more resets,
//! and a counter that began inside of a window counts from zero there ([`evaluate_started`]).
//!
//! Nouns: a *window* is `(end − range, end]`; a *step* is a place of the column. Where all steps have the same window
//! (`@`), there is one window and many steps.
//!
//! RANGE-1: what [`of_moments`] answers is what [`evaluate`] gives for the same samples.
//! Numbers are those of Prometheus. Sums over windows that overlap are differences of sums kept so exactly that what
//! left a window leaves no trace (`prefixes`), or are built from parts, each compensated (`sliding`). Not here: which
//! points there are (`storage`), and labels (`eval`).

mod call;
mod edges;
mod floats;
mod histograms;
mod increases;
mod moments;
mod prefixes;
mod samples;
mod sliding;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use schemas::Points;
use schemas::points::{is_histogram, is_stale};
use thiserror::Error;

pub use call::{Arg, Args, RangeCall, RangeFunction};
pub use edges::{extended, smoothed};
pub use moments::{is_of_moments, needs_points, of_moments};
pub(crate) use window::quantile_of;

use crate::ast::Edges;
use crate::column::Column;
use crate::notes::Notes;
use crate::starts::Starts;
use crate::storage::Windows;
use samples::Samples;

/// Why a function has no value at all.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RangeError {
    #[error("invalid smoothing factor. Expected: 0 < sf < 1, got: {0:.6}")]
    SmoothingFactor(f64),
    #[error("invalid trend factor. Expected: 0 < tf < 1, got: {0:.6}")]
    TrendFactor(f64),
}

/// Fills `out`, of one place a step, with what the function makes of each window; where it has no value the place is
/// empty. `absent_over_time` gives 1 where there is a sample, as `present_over_time` does: who calls turns that
/// round.
///
/// `points` are settled, at least those in the windows, and of selectors with edges those within the lookback beside
/// them.
///
/// # Panics
/// If there are several windows, but not one a step.
pub fn evaluate(
    call: &RangeCall<'_>,
    points: &Points,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) -> Result<(), RangeError> {
    evaluate_with(call, points, None, windows, out, notes)
}

/// The same of points that say when their counters began.
///
/// # Panics
/// If there are several windows, but not one a step.
pub fn evaluate_started(
    call: &RangeCall<'_>,
    points: &Points,
    starts: &Starts,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) -> Result<(), RangeError> {
    let starts = Some(starts).filter(|starts| call.function.heeds_starts() && !starts.is_empty());
    evaluate_with(call, points, starts, windows, out, notes)
}

fn evaluate_with(
    call: &RangeCall<'_>,
    points: &Points,
    starts: Option<&Starts>,
    windows: &Windows,
    out: &mut Column,
    notes: &mut Notes,
) -> Result<(), RangeError> {
    assert!(windows.count == out.len() || windows.count == 1, "one window a step, or one for all");
    if windows.count == 1 && out.len() > 1 && !call.depends_on_step() {
        let mut one = Column::empty(1);
        evaluate_with(call, points, starts, windows, &mut one, notes)?;
        if let Some(value) = one.get(0) {
            (0..out.len()).for_each(|step| out.set(step, value.clone()));
        }
        return Ok(());
    }
    let samples = Samples { starts, ..Samples::new(points, call.reach(windows)) };
    match call.edges {
        Edges::Plain if samples.histograms.is_empty() => floats::column(call, &samples, windows, out, notes),
        Edges::Plain => histograms::column(call, &samples, windows, out, notes),
        Edges::Anchored | Edges::Smoothed => {
            edges::column(call, &samples, windows, out, notes);
            Ok(())
        }
    }
}

/// The newest point of each window, where it is a sample: an instant selector. Fills `out`, of one place a step.
///
/// # Panics
/// If there are several windows, but not one a step.
pub fn last(points: &Points, windows: &Windows, out: &mut Column) {
    assert!(windows.count == out.len() || windows.count == 1, "one window a step, or one for all");
    let (first, _) = windows.span();
    let mut behind = points.timestamps.partition_point(|&ts| ts < first);
    for step in 0..out.len() {
        let end = windows.end(if windows.count == 1 { 0 } else { step });
        while points.timestamps.get(behind).is_some_and(|&ts| ts <= end) {
            behind += 1;
        }
        let Some(newest) =
            behind.checked_sub(1).filter(|&at| points.timestamps[at] > end.saturating_sub(windows.range))
        else {
            continue;
        };
        let value = points.values[newest];
        if is_histogram(value) {
            if let Some(histogram) = points.histograms.get(points.timestamps[newest]) {
                out.set_histogram(step, Arc::clone(histogram));
            }
        } else if !is_stale(value) {
            out.set_float(step, value);
        }
    }
}
