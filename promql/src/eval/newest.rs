//! Times of the newest samples: when they were, and when their counters began.

use schemas::points::{is_histogram, is_stale};
use schemas::{LabelMatcher, Labels, Points};

use super::EvalError;
use super::context::Context;
use super::grid::Steps;
use super::labels::printed;
use super::stream::Stream;
use crate::column::Column;
use crate::math::seconds;
use crate::notes::Notes;
use crate::storage::{Selection, SeriesData, Wanted, Windows};

/// Which samples there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    All,
    /// Histograms are an error.
    Floats,
}

impl<'q> Context<'q> {
    /// The time of the newest sample at each step, seconds.
    pub(super) fn timestamps(
        &'q self,
        matchers: Vec<LabelMatcher>,
        windows: Windows,
        kinds: Kinds,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let selection = Selection { matchers, windows, wanted: Wanted::Points };
        let set = self.storage.select(&selection)?;
        let reader = Box::new(move |labels: &Labels, data: SeriesData<'_>, out: &mut Column, _: &mut Notes| {
            self.read(data, &windows, out, steps.count, |points, _, out| {
                let met = each_newest(points, &windows, out, seconds);
                if kinds == Kinds::Floats && met == Kinds::All {
                    let text = "this should be an info metric, with float samples";
                    return Err(EvalError::Execution(format!("{text}: {}", printed(labels))));
                }
                Ok(())
            })
        });
        Ok(Stream::selected(self, set, reader))
    }

    /// When the counter of the newest sample at each step began, seconds; zero where that is not known.
    pub(super) fn start_timestamps(
        &'q self,
        matchers: Vec<LabelMatcher>,
        windows: Windows,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let selection = Selection { matchers, windows, wanted: Wanted::Points };
        let set = self.storage.select(&selection)?;
        let reader = Box::new(move |_: &Labels, data: SeriesData<'_>, out: &mut Column, _: &mut Notes| {
            self.read(data, &windows, out, steps.count, |points, starts, out| {
                each_newest(points, &windows, out, |time| starts.map_or(0.0, |starts| seconds(starts.get(time))));
                Ok(())
            })
        });
        Ok(Stream::selected(self, set, reader))
    }
}

/// What follows from the time (ms) of the newest point of each window, unless that is a staleness marker; and what points
/// these were.
fn each_newest(points: &Points, windows: &Windows, out: &mut Column, value: impl Fn(i64) -> f64) -> Kinds {
    let (mut behind, mut kinds) = (0, Kinds::Floats);
    for step in 0..out.len() {
        let end = windows.end(if windows.count == 1 { 0 } else { step });
        while points.timestamps.get(behind).is_some_and(|&time| time <= end) {
            behind += 1;
        }
        let Some(newest) = behind.checked_sub(1) else { continue };
        let time = points.timestamps[newest];
        if time > end.saturating_sub(windows.range) && !is_stale(points.values[newest]) {
            out.set_float(step, value(time));
            if is_histogram(points.values[newest]) {
                kinds = Kinds::All;
            }
        }
    }
    kinds
}
