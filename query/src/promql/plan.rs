//! How each metric's windows are answered. Pure.
//!
//! (tier map, class, metric, what is wanted, windows) ─▶ routes for points and for buckets ─▶ [`Plan`]
//!
//! Rollups of whole minutes or hours answer exactly where a function is one of moments and its windows begin and end on
//! bucket starts: `(b, b + w] = open(b) · edge(b + w)`. They are taken where they are cheaper (hours always, minutes where
//! a metric has rows of them), or where raw points are kept nowhere any more. Otherwise raw points answer. Windows that reach
//! back to where raw points are gone, and do not fit buckets, are answered from the finest buckets that are kept, as near as
//! they come; an answer says so.

use promql::range::{RangeFunction, is_of_moments};
use promql::storage::{Wanted, Windows};
use schemas::tier_map::{Form, Owner};
use schemas::time::{HOUR_MS, MINUTE_MS};
use schemas::{DurationMs, MetricId, Resolution, RetentionClass, TierMap, TimeRange, TimestampMs};

use crate::router::{Need, Segment, route};

/// How the windows of one metric are answered: the first `split` of them from buckets, the others from points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) split: usize,
    /// Of the buckets.
    pub(super) width: DurationMs,
    /// Whether buckets answer exactly what is asked.
    pub(super) exact: bool,
    /// From here on raw points are kept.
    pub(super) raw_from: Option<TimestampMs>,
}

impl Plan {
    fn of_points() -> Self {
        Self { split: 0, width: DurationMs::MINUTE, exact: true, raw_from: None }
    }

    /// What the windows before the split need.
    pub(super) fn need(&self) -> Need {
        Need::Windows { width: self.width }
    }
}

/// What is asked, of every metric alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) windows: Windows,
    /// All time that points in any window can have.
    pub(super) range: TimeRange,
}

impl Question<'_> {
    /// For a metric of floats.
    pub(super) fn plan(&self, map: &TierMap, class: RetentionClass, metric: MetricId) -> Plan {
        self.of_whole_buckets(map, class, metric).unwrap_or_else(|| self.of_points(map, class, metric))
    }

    /// Exactly from rollups, where that can be and pays.
    fn of_whole_buckets(&self, map: &TierMap, class: RetentionClass, metric: MetricId) -> Option<Plan> {
        let raw_from = raw_from(&route(map, class, metric, Need::Points, self.range));
        let width = self.exact_width().filter(|_| raw_from.is_some() || !self.is_newest_alone())?;
        let need = Need::Windows { width };
        let buckets = route(map, class, metric, need, need.cover(self.range).unwrap_or(self.range));
        let pays = width == DurationMs::HOUR || raw_from.is_some() || has_minute_rows(map, class, metric, &buckets);
        let plan = Plan { split: self.windows.count, width, exact: true, raw_from };
        (pays && buckets.iter().all(answers)).then_some(plan)
    }

    /// From points as far as they are kept: all that there is of native histograms.
    pub(super) fn of_points(&self, map: &TierMap, class: RetentionClass, metric: MetricId) -> Plan {
        let points = route(map, class, metric, Need::Points, self.range);
        let raw_from = raw_from(&points);
        let Some(from) = raw_from else { return Plan::of_points() };
        let buckets = match self.function() {
            // Rows of minutes in Delta may have no sketches.
            Some(RangeFunction::QuantileOverTime) => {
                let need = Need::Sketches { width: DurationMs::MINUTE, every: true };
                route(map, class, metric, need, self.range)
            }
            _ => points,
        };
        Plan { split: self.windows_before(from), width: coarsest(&buckets), exact: false, raw_from }
    }

    fn function(&self) -> Option<RangeFunction> {
        match self.wanted {
            Wanted::Function { function, .. } => Some(*function),
            Wanted::Last | Wanted::Points => None,
        }
    }

    /// Whether the newest point of a single window is all that counts: it is found sooner among points than in all rows.
    pub(super) fn is_newest_alone(&self) -> bool {
        use RangeFunction::{LastOverTime, PresentOverTime, TsOfLastOverTime};
        let of_newest = match self.wanted {
            Wanted::Points => false,
            Wanted::Last => true,
            Wanted::Function { function, .. } => {
                matches!(function, LastOverTime | PresentOverTime | TsOfLastOverTime)
            }
        };
        of_newest && self.windows.count == 1
    }

    /// The widest buckets that the windows are made of.
    fn exact_width(&self) -> Option<DurationMs> {
        let function = self.function()?;
        let Windows { first_end, step, count, range } = self.windows;
        let fits = |width: i64| first_end % width == 0 && range % width == 0 && (count == 1 || step % width == 0);
        let width = [HOUR_MS, MINUTE_MS].into_iter().find(|&width| range > 0 && fits(width))?;
        is_of_moments(function).then_some(DurationMs(width))
    }

    /// How many windows, from the first, hold time before `from`.
    fn windows_before(&self, from: TimestampMs) -> usize {
        let reaches_back = |window: usize| self.windows.end(window).saturating_sub(self.windows.range) + 1 < from.0;
        // Windows ascend.
        let (mut low, mut high) = (0, self.windows.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if reaches_back(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// From where on nothing coarser has to stand for points; `None`: it never has to.
fn raw_from(points: &[Segment]) -> Option<TimestampMs> {
    points.iter().rev().find(|segment| !answers(segment)).map(|segment| segment.range.end())
}

/// Whether nothing coarser than asked for has to answer; what is kept nowhere has no answer at all.
fn answers(segment: &Segment) -> bool {
    segment.source.is_none_or(|source| source.exact)
}

/// The coarsest buckets among segments.
fn coarsest(segments: &[Segment]) -> DurationMs {
    let widths = segments.iter().filter_map(|segment| segment.source?.resolution.width());
    widths.max().unwrap_or(DurationMs::MINUTE)
}

/// Whether rows of minutes, and not chunks that stand for them, are among what is read here.
fn has_minute_rows(map: &TierMap, class: RetentionClass, metric: MetricId, buckets: &[Segment]) -> bool {
    let of_minutes = buckets.iter().filter(|segment| {
        segment.source.is_some_and(|source| (source.owner, source.resolution) == (Owner::Local, Resolution::Minute))
    });
    of_minutes.into_iter().any(|segment| {
        let sealed = map.sealed_through.range(segment.hours().start..segment.hours().end);
        sealed.into_iter().any(|(hour, _)| map.form(class, metric, hour.day()) == Form::Raw)
    })
}

#[cfg(test)]
mod tests {
    use schemas::tier_map::Thresholds;
    use schemas::{Epoch, Hour};

    use super::*;

    const CLASS: RetentionClass = RetentionClass::DEFAULT;

    /// Raw points from hour 100 on, minutes from 50, hours from 0.
    fn map(form: Form) -> TierMap {
        let mut map = TierMap::default();
        for hour in 0..200 {
            map.sealed_through.insert(Hour(hour), Epoch(1));
        }
        for (resolution, lo) in [(Resolution::Raw, 100), (Resolution::Minute, 50), (Resolution::Hour, 0)] {
            for form in Form::ALL {
                let thresholds = Thresholds { hot_lo: Hour(lo), cold_lo: Hour(lo) };
                map.thresholds.insert((CLASS, form, resolution), thresholds);
            }
        }
        let days = (0..9).map(|day| ((CLASS, schemas::Day(day), MetricId(1)), form));
        map.forms = std::sync::Arc::new(days.collect());
        map
    }

    fn plan(form: Form, function: Option<RangeFunction>, first_end: i64, step: i64, count: usize, range: i64) -> Plan {
        let windows = Windows { first_end, step, count, range };
        let (start, end) = windows.span();
        let wanted = match function {
            Some(function) => Wanted::Function { function, args: Vec::new() },
            None => Wanted::Last,
        };
        let range = TimeRange::new(TimestampMs(start), TimestampMs(end + 1)).expect("ordered");
        Question { wanted: &wanted, windows, range }.plan(&map(form), CLASS, MetricId(1))
    }

    #[test]
    fn whole_hours_are_answered_from_rollups_and_other_windows_from_points() {
        let whole = plan(Form::Raw1m, Some(RangeFunction::Rate), 120 * HOUR_MS, HOUR_MS, 5, HOUR_MS);
        assert_eq!((whole.split, whole.width, whole.exact), (5, DurationMs::HOUR, true));
        for (function, first_end) in [
            (RangeFunction::Rate, 120 * HOUR_MS + 1),
            (RangeFunction::Deriv, 120 * HOUR_MS),
            (RangeFunction::QuantileOverTime, 120 * HOUR_MS),
        ] {
            assert_eq!(plan(Form::Raw1m, Some(function), first_end, HOUR_MS, 5, HOUR_MS), Plan::of_points());
        }
        assert_eq!(plan(Form::Raw1m, None, 120 * HOUR_MS, HOUR_MS, 5, HOUR_MS), Plan::of_points());
    }

    #[test]
    fn minutes_are_answered_from_rows_where_there_are_any() {
        let of = |form| plan(form, Some(RangeFunction::MaxOverTime), 120 * HOUR_MS, MINUTE_MS, 5, 5 * MINUTE_MS);
        assert_eq!((of(Form::Raw).split, of(Form::Raw).width), (5, DurationMs::MINUTE));
        assert_eq!(of(Form::Raw1m), Plan::of_points());
    }

    #[test]
    fn where_points_are_gone_buckets_answer_as_far_as_windows_reach_back() {
        let at =
            |first_end, step| plan(Form::Raw, Some(RangeFunction::MaxOverTime), first_end, step, 10, 5 * MINUTE_MS);
        let exact = at(98 * HOUR_MS, 30 * MINUTE_MS);
        assert_eq!((exact.split, exact.width, exact.exact), (10, DurationMs::MINUTE, true));
        let coarse = at(98 * HOUR_MS + 1, 30 * MINUTE_MS);
        assert_eq!((coarse.split, coarse.width, coarse.exact), (5, DurationMs::MINUTE, false));
        assert_eq!(
            coarse.raw_from,
            Some(Hour(100).start()),
            "the window ending 1 ms behind hour 100 holds earlier time"
        );
        assert_eq!(at(40 * HOUR_MS, 30 * MINUTE_MS).width, DurationMs::HOUR);
        let last = plan(Form::Raw, None, 100 * HOUR_MS, MINUTE_MS, 10, 5 * MINUTE_MS);
        assert_eq!((last.split, last.exact), (5, false));
    }
}
