//! What is said where raw points are gone.

use chrono::DateTime;
use promql::range::RangeFunction;
use promql::storage::Wanted;
use schemas::{DurationMs, TimestampMs};

use crate::provenance::resolution_name;

/// That an answer comes from coarser data than it was asked of.
pub(super) fn coarser(wanted: &Wanted, raw_from: Option<TimestampMs>, width: DurationMs) -> String {
    let width = resolution_name(width);
    let how = match wanted {
        Wanted::Function { function: RangeFunction::QuantileOverTime, .. } => {
            format!("windows were rounded to whole buckets of {width}, whose quantiles are right to about 1 %")
        }
        Wanted::Function { .. } => format!("windows were rounded to whole buckets of {width}"),
        Wanted::Last | Wanted::Points => format!("the newest sample of each bucket of {width} stands for it"),
    };
    format!("PromQL info: raw samples are kept{}; before that, rollups of {width} answered, and {how}", since(raw_from))
}

/// That only raw points could answer, and they are gone. Without a function, the points themselves were asked for.
pub(super) fn needs_points(
    function: Option<RangeFunction>,
    raw_from: Option<TimestampMs>,
    width: DurationMs,
) -> String {
    let what = function.map_or("a range of samples", RangeFunction::name);
    format!(
        "{what} needs raw samples, which are kept{}; of the time before, rollups of {} are kept, which answer rate, increase, \
         delta, resets and avg, min, max, sum, count, first, last, present and quantile _over_time",
        since(raw_from),
        resolution_name(width)
    )
}

/// That a window is shorter than the buckets that are kept.
pub(super) fn too_short(function: RangeFunction, range_ms: i64, width: DurationMs) -> String {
    let width = resolution_name(width);
    format!(
        "{} over {}s is not what rollups of {width} can tell, and raw samples of the time are not kept: use a range that is a \
         multiple of {width}",
        function.name(),
        range_ms / 1_000
    )
}

fn since(raw_from: Option<TimestampMs>) -> String {
    let time = raw_from.and_then(|from| DateTime::from_timestamp_millis(from.0));
    time.map_or_else(String::new, |time| format!(" from {} on", time.format("%Y-%m-%dT%H:%M:%SZ")))
}
