//! Chooses the granularity, and cuts a question into pieces of work.

use std::sync::Arc;

use schemas::rollup::Moments;
use schemas::time::{HOUR_MS, HourRange, MINUTE_MS};
use schemas::{DurationMs, Hour};

use super::Asked;
use super::groups::Outputs;
use super::output::Answer;
use crate::error::QueryError;
use crate::read::Work;
use crate::request::{Agg, Fill, Granularity};
use crate::router::Need;
use crate::selection::{Routes, Selection};

/// Memory that the parts of a piece of local work take about.
const LOCAL_WORK_BYTES: usize = 8 << 20;
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
        let fits = |width: DurationMs| {
            let buckets = request.range.align_outward(width).length().0 / width.0;
            usize::try_from(buckets).is_ok_and(|buckets| buckets <= request.max_points)
        };
        let alone = !request.is_grouped() || (request.merge_all && selection.len() == 1);
        if alone && request.agg.keeps_single_points() && request.fill == Fill::None && fits(DurationMs::MINUTE) {
            let raw = self.question(selection, Need::Points);
            if raw.routes.is_exact() && self.points_a_series_max(selection).await? <= request.max_points as u64 {
                return Ok(Granularity::Raw);
            }
        }
        let fitting = [Granularity::Minute, Granularity::Hour].into_iter().filter(|g| g.width().is_some_and(fits));
        for granularity in fitting {
            let width = granularity.width().unwrap_or(DurationMs::DAY);
            if self.question(selection, Need::Moments { width }).routes.is_exact() {
                return Ok(granularity);
            }
        }
        Ok(Granularity::Day)
    }

    /// The most points that any series has in the range, rounded outward to whole minutes or hours.
    async fn points_a_series_max(&self, selection: &Arc<Selection>) -> Result<u64, QueryError> {
        let by_minute = self.request.range.length().0 <= COUNTED_BY_MINUTE_MS;
        let width = if by_minute { DurationMs::MINUTE } else { DurationMs::HOUR };
        let question = self.question(selection, Need::Moments { width });
        let outputs = Arc::new(Outputs::each(selection));
        let mut counts = Answer::new(Arc::clone(&outputs), self.reader.budget.share(), self.limits);
        self.fold_with::<Moments>(&question, &outputs, Agg::Count, &mut counts).await?;
        Ok(counts.largest_sum())
    }
}

/// Cuts a question into works, in order of time; within a span of hours, of series.
pub(crate) fn works(selection: &Selection, routes: &Routes) -> Vec<Work> {
    let hours = routes.range.hours();
    let step = hours_per_bucket(routes.need);
    // Whole buckets on either side of the change.
    let cold_end = Hour(routes.cold_end().0.next_multiple_of(step)).clamp(hours.start, hours.end);
    let mut works = Vec::new();
    cut(&mut works, selection, routes.need, HourRange { start: hours.start, end: cold_end }, COLD_WORK_BYTES);
    cut(&mut works, selection, routes.need, HourRange { start: cold_end, end: hours.end }, LOCAL_WORK_BYTES);
    works
}

fn cut(works: &mut Vec<Work>, selection: &Selection, need: Need, hours: HourRange, work_bytes: usize) {
    let all = selection.len();
    let step = hours_per_bucket(need);
    let step_bytes = hour_bytes(need) * usize::try_from(step).unwrap_or(1);
    let series = (work_bytes / step_bytes).max(SERIES_PER_WORK_MIN).min(all).max(1);
    let steps = u32::try_from(work_bytes / (step_bytes * series)).unwrap_or(u32::MAX).max(1);
    let mut start = hours.start;
    while start < hours.end {
        let end = Hour(start.0.saturating_add(step.saturating_mul(steps))).min(hours.end);
        works.extend(
            (0..all)
                .step_by(series)
                .map(|first| Work { series: first..(first + series).min(all), hours: HourRange { start, end } }),
        );
        start = end;
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
        Need::Moments { .. } => parts * MOMENTS_BYTES,
        Need::Sketches { .. } => parts * ROLLUP_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use hot::SeriesInfo;
    use proptest::prelude::*;
    use schemas::tier_map::{Form, Thresholds};
    use schemas::{
        Labels, MetricId, Resolution, RetentionClass, SeriesAddress, SeriesId, Sid, TierMap, TimeRange, TimestampMs,
    };

    use super::*;

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

    proptest! {
        #[test]
        fn works_hold_every_hour_of_every_series_once_and_cut_no_bucket(
            series in 1_u32..3_000, start in 0_i64..1_000, length in 1_i64..1_000, hot_lo in 0_u32..2_000,
            width in prop_oneof![Just(None), Just(Some(DurationMs::MINUTE)), Just(Some(DurationMs::DAY))],
        ) {
            let selection = selection(series);
            let need = width.map_or(Need::Points, |width| Need::Moments { width });
            let ends = [start, start + length].map(|hour| TimestampMs(hour * HOUR_MS));
            let routes = Routes::new(&map(hot_lo), &selection, need, TimeRange::new(ends[0], ends[1]).expect("ordered"));
            let works = works(&selection, &routes);
            let held: usize = works.iter().map(|work| work.series.len() * work.hours.iter().len()).sum();
            prop_assert_eq!(held, selection.len() * routes.range.hours().iter().len());
            let mut at = (routes.range.hours().start, 0);
            for work in &works {
                prop_assert_eq!((work.hours.start, work.series.start), at);
                prop_assert_eq!(work.hours.start.0 % hours_per_bucket(need), 0);
                let last = work.series.end == selection.len();
                at = if last { (work.hours.end, 0) } else { (work.hours.start, work.series.end) };
            }
        }
    }
}
