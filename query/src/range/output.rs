//! The answer while it grows: points of output series, in order of time.

use std::sync::Arc;

use super::groups::Outputs;
use crate::answer::AnswerSeries;
use crate::error::QueryError;
use crate::limits::{QueryLimits, Share};
use crate::request::Fill;
use crate::selection::Routes;

/// One point of the answer.
type Point = (i64, Option<f64>);

/// Points of output series.
#[derive(Debug)]
pub(super) struct Answer {
    outputs: Arc<Outputs>,
    points: Vec<Vec<Point>>,
    total: u64,
    points_max: u64,
    share: Share,
}

impl Answer {
    pub(super) fn new(outputs: Arc<Outputs>, share: Share, limits: &QueryLimits) -> Self {
        let points = vec![Vec::new(); outputs.len()];
        Self { outputs, points, total: 0, points_max: limits.points_max, share }
    }

    /// Appends points, later than those before, to an output series.
    pub(super) fn extend(&mut self, output: usize, points: impl IntoIterator<Item = (i64, f64)>) {
        let list = &mut self.points[output];
        let before = list.len();
        list.extend(points.into_iter().map(|(ts, value)| (ts, Some(value))));
        self.total += (list.len() - before) as u64;
    }

    /// Fails once the answer is larger than the limits allow. To be called between works.
    pub(super) fn check(&mut self) -> Result<(), QueryError> {
        if self.total > self.points_max {
            return Err(self.too_many(self.total));
        }
        // Lists grow by doubling, so half as much again is about what they hold.
        let points = usize::try_from(self.total).unwrap_or(usize::MAX);
        let lists = self.points.len() * size_of::<Vec<Point>>();
        self.share.resize(points.saturating_mul(size_of::<Point>()).saturating_mul(3) / 2 + lists)
    }

    fn too_many(&self, points: u64) -> QueryError {
        QueryError::TooLarge(format!(
            "the answer has {points} points or more, and at most {} are given at once: ask for a coarser granularity \
             (granularity=1h, 1d or auto), a shorter range, or fewer series",
            self.points_max
        ))
    }

    /// Output series that have points.
    pub(super) fn present(&self) -> Vec<usize> {
        (0..self.points.len()).filter(|&output| !self.points[output].is_empty()).collect()
    }

    pub(super) fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The largest sum of one series' values, which are counts.
    pub(super) fn largest_sum(&self) -> u64 {
        let sum = |list: &Vec<Point>| list.iter().filter_map(|(_, value)| *value).sum::<f64>();
        let largest = self.points.iter().map(sum).fold(0.0, f64::max);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts: whole, and not negative")]
        let largest = largest as u64;
        largest
    }

    /// Puts something into empty buckets of series that have any points.
    pub(super) fn fill(&mut self, fill: Fill, routes: &Routes) -> Result<(), QueryError> {
        if fill == Fill::None {
            return Ok(());
        }
        let (range, width) = (routes.range, routes.need.width().0);
        let buckets = u64::try_from(range.length().0 / width).unwrap_or(0);
        let filled = buckets.saturating_mul(self.present().len() as u64);
        if filled > self.points_max {
            return Err(self.too_many(filled));
        }
        // Their memory is taken before they are made.
        self.total = self.total.max(filled);
        self.check()?;
        for list in self.points.iter_mut().filter(|list| !list.is_empty()) {
            let given = std::mem::take(list);
            *list = filled_points(&given, fill, range.start().0, range.end().0, width);
        }
        self.total = self.points.iter().map(|list| list.len() as u64).sum();
        self.check()
    }

    /// The series in the order of their names, at most `limit`, and how many more there were.
    pub(super) fn into_series(mut self, limit: Option<usize>) -> (Vec<AnswerSeries>, usize) {
        let mut present = self.present();
        present.sort_by(|&a, &b| self.outputs.name(a).cmp(self.outputs.name(b)));
        let kept = limit.unwrap_or(usize::MAX).min(present.len());
        let truncated = present.len() - kept;
        present.truncate(kept);
        let series = present.into_iter().map(|output| {
            let name = self.outputs.name(output);
            AnswerSeries {
                metric: name.metric.clone(),
                labels: name.labels.clone(),
                points: std::mem::take(&mut self.points[output]),
            }
        });
        (series.collect(), truncated)
    }
}

/// Every bucket of `[start, end)`, and the points that are given.
fn filled_points(given: &[Point], fill: Fill, start: i64, end: i64, width: i64) -> Vec<Point> {
    let buckets = usize::try_from((end - start) / width).unwrap_or(0);
    let mut out = Vec::with_capacity(buckets + given.len());
    let mut given = given.iter().copied().peekable();
    let mut previous = None;
    let mut bucket = start;
    while bucket < end {
        // Coarser data may begin before the range does.
        while let Some(point) = given.next_if(|(ts, _)| *ts <= bucket) {
            previous = point.1;
            out.push(point);
        }
        if out.last().is_none_or(|(ts, _)| *ts < bucket) {
            out.push((bucket, if fill == Fill::Previous { previous } else { None }));
        }
        bucket += width;
    }
    out.extend(given);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_as_asked() {
        let given = [(10, Some(1.0)), (40, Some(4.0))];
        let null = filled_points(&given, Fill::Null, 0, 60, 10);
        let values: Vec<_> = null.iter().map(|(_, v)| *v).collect();
        assert_eq!(values, [None, Some(1.0), None, None, Some(4.0), None]);
        assert!(null.iter().map(|(ts, _)| *ts).eq((0..6).map(|i| i * 10)));
        let previous: Vec<_> = filled_points(&given, Fill::Previous, 0, 60, 10).iter().map(|(_, v)| *v).collect();
        assert_eq!(previous, [None, Some(1.0), Some(1.0), Some(1.0), Some(4.0), Some(4.0)]);
    }

    #[test]
    fn coarser_data_that_begins_before_the_range_is_kept() {
        let filled = filled_points(&[(0, Some(1.0))], Fill::Null, 20, 40, 10);
        assert_eq!(filled, [(0, Some(1.0)), (20, None), (30, None)]);
    }
}
