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

/// Parts that a piece of work gives about: at some 130 B each, 8 MB.
const PARTS_PER_WORK: usize = 65_536;
/// Series that a piece of work holds at least, so that what a scan of an hour costs by itself is shared.
const SERIES_PER_WORK_MIN: usize = 256;
/// Raw points that one hour of one series is taken for where nobody has counted: one every ten seconds.
const POINTS_PER_HOUR: usize = 360;
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
    let (per_hour, step) = match routes.need {
        Need::Points => (POINTS_PER_HOUR, 1),
        Need::Moments { width } | Need::Sketches { width, .. } => {
            let per_hour = usize::try_from(HOUR_MS / width.0.clamp(MINUTE_MS, HOUR_MS)).unwrap_or(1);
            (per_hour, u32::try_from(width.0.max(HOUR_MS) / HOUR_MS).unwrap_or(24))
        }
    };
    let per_step = per_hour * usize::try_from(step).unwrap_or(1);
    let chunk = (PARTS_PER_WORK / per_step).clamp(SERIES_PER_WORK_MIN, selection.len().max(SERIES_PER_WORK_MIN));
    let series = chunk.min(selection.len());
    let steps = (PARTS_PER_WORK / (per_step * series.max(1))).max(1);
    let span = step.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
    let mut works = Vec::new();
    let mut start = hours.start;
    while start < hours.end {
        let end = Hour(start.0.saturating_add(span)).min(hours.end);
        for first in (0..selection.len()).step_by(series.max(1)) {
            let series = first..(first + series).min(selection.len());
            works.push(Work { series, hours: HourRange { start, end } });
        }
        start = end;
    }
    works
}
