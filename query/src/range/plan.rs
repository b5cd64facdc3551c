//! Chooses the granularity, and cuts a question into pieces of work.

use std::sync::Arc;

use schemas::rollup::Totals;
use schemas::time::{HOUR_MS, HourRange, MINUTE_MS};
use schemas::{DurationMs, Hour};

use super::Asked;
use super::groups::Outputs;
use super::output::Answer;
use crate::error::QueryError;
use crate::hours::Hours;
use crate::read::{Question, Work};
use crate::request::{Agg, Fill, Granularity, RangeRequest};
use crate::router::Need;
use crate::selection::Selection;

/// Memory that the parts of a piece of local work take at most about: they are made and folded in the processor's cache.
const LOCAL_WORK_BYTES: usize = 2 << 20;
/// The same where Delta is read: each work opens the files of its hours anew, so works are larger.
const COLD_WORK_BYTES: usize = 48 << 20;
/// Series that a piece of work holds at least, so that what a scan of an hour costs by itself is shared.
const SERIES_PER_WORK_MIN: usize = 256;
/// Raw points that one hour of one series is taken for where nobody has counted: one every ten seconds.
const POINTS_PER_HOUR: usize = 360;
/// Memory of a raw point, of moments, and of a rollup with its sketch.
const POINT_BYTES: usize = 16;
const MOMENTS_BYTES: usize = 144;
const ROLLUP_BYTES: usize = 480;
/// Up to so many hours points are counted by the minute rather than by the hour, to be exact near the ends.
const COUNTED_BY_MINUTE_MS: i64 = 6 * HOUR_MS;

impl Asked<'_> {
    /// The finest granularity that gives at most `max_points` a series and that data is kept for.
    ///
    /// Raw is taken only where a point is its own aggregate and no series are merged, and only for ranges of at most
    /// `max_points` minutes; longer ranges of sparse series get minutes, which hold the same points.
    pub(super) async fn choose_granularity(&self, selection: &Arc<Selection>) -> Result<Granularity, QueryError> {
        let request = self.request;
        let alone = !request.is_grouped() || (request.merge_all && selection.len() <= 1);
        if alone && may_be_raw(request) {
            let raw = self.routes(selection, Need::Points);
            if raw.is_exact() && self.points_a_series_max(selection).await? <= request.max_points as u64 {
                return Ok(Granularity::Raw);
            }
        }
        for granularity in fitting(request) {
            let width = granularity.width().unwrap_or(DurationMs::DAY);
            if self.routes(selection, Need::Moments { width }).is_exact() {
                return Ok(granularity);
            }
        }
        Ok(Granularity::Day)
    }

    /// The most points that any series has in the range, rounded outward to whole minutes or hours.
    async fn points_a_series_max(&self, selection: &Arc<Selection>) -> Result<u64, QueryError> {
        let by_minute = self.request.range.length().0 <= COUNTED_BY_MINUTE_MS;
        let width = if by_minute { DurationMs::MINUTE } else { DurationMs::HOUR };
        let question = self.question(selection, Need::Moments { width }).await?;
        let outputs = Arc::new(Outputs::each(selection));
        let mut counts = Answer::new(Arc::clone(&outputs), self.reader.budget.share(), self.limits);
        self.fold_with::<Totals>(&question, &outputs, Agg::Count, &mut counts).await?;
        Ok(counts.largest_sum())
    }
}

/// Granularities that `auto` may choose, the finest first.
pub(super) fn candidates(request: &RangeRequest) -> impl Iterator<Item = Granularity> + '_ {
    let raw = may_be_raw(request).then_some(Granularity::Raw);
    raw.into_iter().chain(fitting(request)).chain([Granularity::Day])
}

/// Whether a point can be its own aggregate, and a point a minute is not more than was asked for.
fn may_be_raw(request: &RangeRequest) -> bool {
    request.agg.keeps_single_points() && request.fill == Fill::None && fits(request, DurationMs::MINUTE)
}

/// Those finer than days that give at most `max_points` buckets.
fn fitting(request: &RangeRequest) -> impl Iterator<Item = Granularity> + '_ {
    let all = [Granularity::Minute, Granularity::Hour];
    all.into_iter().filter(|granularity| granularity.width().is_some_and(|width| fits(request, width)))
}

fn fits(request: &RangeRequest, width: DurationMs) -> bool {
    let buckets = request.range.align_outward(width).length().0 / width.0;
    usize::try_from(buckets).is_ok_and(|buckets| buckets <= request.max_points)
}

/// Cuts a question into works, in order of time; within a span of hours, of series. Works begin and end where there
/// can be data, so there are no more of them than hours with data, however long the range.
pub(crate) fn works(question: &Question) -> Vec<Work> {
    let Question { selection, routes, hours } = question;
    let span = routes.range.hours();
    let step = hours_per_bucket(routes.need);
    // Whole buckets on either side of the change.
    let cold_end = Hour(routes.cold_end().0.next_multiple_of(step)).clamp(span.start, span.end);
    let cold = HourRange { start: span.start, end: cold_end };
    let local = HourRange { start: cold_end, end: span.end };
    let mut works = Vec::new();
    cut(&mut works, selection.len(), routes.need, hours, cold, COLD_WORK_BYTES);
    cut(&mut works, selection.len(), routes.need, hours, local, LOCAL_WORK_BYTES);
    works
}

fn cut(works: &mut Vec<Work>, all: usize, need: Need, hours: &Hours, span: HourRange, work_bytes: usize) {
    let step = hours_per_bucket(need);
    let step_bytes = hour_bytes(need) * usize::try_from(step).unwrap_or(1);
    let series = (work_bytes / step_bytes).max(SERIES_PER_WORK_MIN).min(all).max(1);
    let steps = u32::try_from(work_bytes / (step_bytes * series)).unwrap_or(u32::MAX).max(1);
    let mut rest = span;
    while let Some(first) = hours.within(rest).next() {
        // Buckets are whole where the span's own ends do not cut them.
        let start = Hour(first.0 - first.0 % step).max(rest.start);
        let most = HourRange { start, end: Hour(start.0.saturating_add(step.saturating_mul(steps))).min(span.end) };
        let last = hours.last_within(most).unwrap_or(first);
        let end = Hour(last.next().0.next_multiple_of(step)).min(most.end);
        works.extend(
            (0..all)
                .step_by(series)
                .map(|first| Work { series: first..(first + series).min(all), hours: HourRange { start, end } }),
        );
        rest.start = end;
    }
}

/// Hours that belong together because they share a bucket.
fn hours_per_bucket(need: Need) -> u32 {
    u32::try_from(need.width().0 / HOUR_MS).map_or(1, |hours| hours.max(1))
}

/// Memory that the parts of one series take in one hour.
fn hour_bytes(need: Need) -> usize {
    let parts = usize::try_from(HOUR_MS / need.width().0.clamp(MINUTE_MS, HOUR_MS)).unwrap_or(60);
    match need {
        Need::Points => POINTS_PER_HOUR * POINT_BYTES,
        Need::Moments { .. } | Need::Windows { .. } => parts * MOMENTS_BYTES,
        Need::Sketches { .. } => parts * ROLLUP_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use hot::SeriesInfo;
    use proptest::prelude::*;
    use schemas::tier_map::{Form, Thresholds};
    use schemas::{Labels, MetricId, Resolution, RetentionClass, SeriesAddress, SeriesId, Sid, TierMap};

    use super::*;
    use crate::selection::Routes;

    fn selection(series: u32) -> Selection {
        let info = |sid: u32| SeriesInfo {
            address: SeriesAddress { class: RetentionClass::DEFAULT, metric: MetricId(sid % 3), sid: Sid(sid) },
            series_id: SeriesId(i64::from(sid)),
            labels: Labels::new([("__name__", "m")]).expect("valid"),
        };
        Selection::new((0..series).map(info).collect())
    }

    fn map(hot_lo: u32) -> TierMap {
        let mut map = TierMap::default();
        for form in Form::ALL {
            for resolution in Resolution::ALL {
                let thresholds = Thresholds { hot_lo: Hour(hot_lo), cold_lo: Hour(0) };
                map.thresholds.insert((RetentionClass::DEFAULT, form, resolution), thresholds);
            }
        }
        map
    }

    fn question(series: u32, hot_lo: u32, need: Need, range: HourRange, held: Vec<HourRange>) -> Question {
        let selection = Arc::new(selection(series));
        let routes = Routes::new(&map(hot_lo), &selection, need, range.time());
        let hours = Hours::of(held, routes.range.hours());
        Question { selection, routes: Arc::new(routes), hours: Arc::new(hours) }
    }

    fn span(start: u32, end: u32) -> HourRange {
        HourRange { start: Hour(start), end: Hour(end) }
    }

    proptest! {
        #[test]
        fn works_hold_every_hour_with_data_of_every_series_once_and_cut_no_bucket(
            series in 1_u32..3_000, start in 0_u32..1_000, length in 1_u32..1_000, hot_lo in 0_u32..2_000,
            width in prop_oneof![Just(None), Just(Some(DurationMs::MINUTE)), Just(Some(DurationMs::DAY))],
            held in proptest::collection::vec((0_u32..2_000, 1_u32..300), 0..6),
        ) {
            let need = width.map_or(Need::Points, |width| Need::Moments { width });
            let held = held.into_iter().map(|(start, length)| span(start, start + length)).collect();
            let question = question(series, hot_lo, need, span(start, start + length), held);
            let all = question.routes.range.hours();
            let with_data = |hours: HourRange| question.hours.within(hours).count();
            let works = works(&question);
            let read: usize = works.iter().map(|work| work.series.len() * with_data(work.hours)).sum();
            prop_assert_eq!(read, question.selection.len() * with_data(all));
            let step = hours_per_bucket(need);
            let (mut at, mut series) = (all, 0);
            for work in &works {
                prop_assert_eq!(work.series.start, series);
                if series > 0 {
                    prop_assert_eq!(work.hours, at, "the rest of the series, of the same hours");
                }
                prop_assert!(series > 0 || work.hours.start >= at.start, "later than those before");
                prop_assert!(work.hours.start.0.is_multiple_of(step));
                prop_assert!(work.hours.end.0.is_multiple_of(step) || work.hours.end == all.end);
                prop_assert!(with_data(work.hours) > 0);
                let last = work.series.end == question.selection.len();
                at = if last { HourRange { start: work.hours.end, end: all.end } } else { work.hours };
                series = if last { 0 } else { work.series.end };
            }
        }
    }

    #[test]
    fn a_range_to_the_end_of_time_makes_works_of_hours_with_data_only() {
        for (need, step) in [(Need::Points, 1), (Need::Moments { width: DurationMs::DAY }, 24)] {
            for hot_lo in [0, 500_000] {
                let held = vec![span(5, 6), span(490_000, 490_002), span(60_000_000, 60_000_001)];
                let question = question(1, hot_lo, need, span(0, Hour::MAX.0), held);
                let works: Vec<HourRange> = works(&question).into_iter().map(|work| work.hours).collect();
                let whole = |start: u32, end: u32| span(start / step * step, end.next_multiple_of(step));
                assert_eq!(works, [whole(5, 6), whole(490_000, 490_002), whole(60_000_000, 60_000_001)]);
            }
        }
    }
}
