//! Moments of windows, from moments of parts.
//!
//! rows of rollups · statistics of chunks · points ─▶ [`Sections`]: moments between one cut and the next ─slide─▶ moments of
//! each window ─▶ values
//!
//! A window is a run of sections, and so is never looked at point by point. Windows that overlap share their sections: of a
//! run of them only what came newly in is added, and what left is never taken away, since moments have no inverse.

use std::ops::Range;

use promql::storage::Windows;
use schemas::Points;
use schemas::rollup::{BucketMoments, Moments};

/// Moments of left-open stretches of time `(origin + i·width, origin + (i + 1)·width]`, of some series.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// ms.
    origin: i64,
    /// ms.
    width: i64,
    /// Of each series.
    count: usize,
    /// Series by series.
    moments: Vec<Moments>,
    /// Of the last slide: from each section to the middle.
    suffixes: Vec<Moments>,
}

/// Where windows lie among sections, all of the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) origin: i64,
    pub(super) width: i64,
    pub(super) sections: usize,
    pub(super) per_window: usize,
}

impl Cuts {
    /// The widest sections that windows are made of.
    pub(super) fn exact(windows: &Windows) -> Self {
        let width = if windows.count > 1 { gcd(windows.range, windows.step) } else { windows.range }.max(1);
        let origin = windows.first_end.saturating_sub(windows.range);
        Self::new(origin, width, windows.range, windows.end(windows.count.saturating_sub(1)))
    }

    /// Sections of whole buckets for windows that they do not fit: each window ends with the last bucket that ended by then,
    /// and is as long as asked for, rounded up.
    pub(super) fn rounded(windows: &Windows, width: i64) -> Self {
        let range = windows.range.max(1).saturating_add(width - 1).div_euclid(width) * width;
        let floor = |time: i64| time.div_euclid(width) * width;
        let origin = floor(windows.first_end).saturating_sub(range);
        Self::new(origin, width, range, floor(windows.end(windows.count.saturating_sub(1))))
    }

    fn new(origin: i64, width: i64, range: i64, last_end: i64) -> Self {
        let count = |length: i64| usize::try_from(length / width).unwrap_or(0);
        Self { origin, width, sections: count(last_end.saturating_sub(origin)), per_window: count(range) }
    }

    /// Memory of the sections of a series.
    pub(super) fn bytes(&self) -> usize {
        self.sections.saturating_mul(size_of::<Moments>())
    }

    /// The sections of a window that ends at a time: the cut at or before it.
    pub(super) fn of_window(&self, end: i64) -> Range<usize> {
        let behind = usize::try_from(end.saturating_sub(self.origin).div_euclid(self.width)).unwrap_or(0);
        behind.saturating_sub(self.per_window)..behind
    }

    /// The time of a cut.
    pub(super) fn time(&self, cut: usize) -> i64 {
        self.origin.saturating_add(i64::try_from(cut).unwrap_or(i64::MAX).saturating_mul(self.width))
    }
}

impl Sections {
    /// Begins anew, for so many series.
    pub(super) fn reset(&mut self, cuts: &Cuts, series: usize) {
        (self.origin, self.width, self.count) = (cuts.origin, cuts.width, cuts.sections);
        self.moments.clear();
        self.moments.resize(cuts.sections.saturating_mul(series), Moments::EMPTY);
    }

    /// The section that a time is in.
    fn index(&self, time: i64) -> Option<usize> {
        let index = usize::try_from(time.saturating_sub(self.origin).saturating_sub(1).div_euclid(self.width)).ok()?;
        (index < self.count).then_some(index)
    }

    /// Whether times from `first` to `last` share one section, or none.
    pub(super) fn share_one(&self, first: i64, last: i64) -> bool {
        let section = |time: i64| time.saturating_sub(self.origin).saturating_sub(1).div_euclid(self.width);
        section(first) == section(last)
    }

    /// Adds moments of a stretch that begins with `time` and ends in the same section; later than all of the series before.
    pub(super) fn add(&mut self, series: usize, time: i64, moments: &Moments) {
        if let Some(index) = self.index(time) {
            self.moments[series * self.count + index].append(moments);
        }
    }

    /// Adds a bucket, later than all of the series before.
    pub(super) fn add_bucket(&mut self, series: usize, bucket: &BucketMoments) {
        let start = bucket.start.timestamp().0;
        if let Some(edge) = bucket.edge {
            self.add(series, start, &Moments::of_point(start, edge));
        }
        self.add(series, start.saturating_add(1), &bucket.open);
    }

    /// Adds settled points of the first series, later than all before.
    pub(super) fn add_points(&mut self, points: &Points) {
        let mut from = points.timestamps.partition_point(|&ts| ts <= self.origin);
        while let Some(&first) = points.timestamps.get(from) {
            let Some(index) = self.index(first) else { return };
            let nth = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
            let end = self.origin.saturating_add(self.width.saturating_mul(nth));
            let here = points.timestamps[from..].partition_point(|&ts| ts <= end);
            let moments =
                Moments::from_points(&points.timestamps[from..from + here], &points.values[from..from + here]);
            self.moments[index] = self.moments[index].combine(&moments);
            from += here;
        }
    }

    /// Gives `each` the moments of every window of a series, with the times between which it lies (the first excluded).
    pub(super) fn slide(
        &mut self,
        series: usize,
        cuts: &Cuts,
        windows: &Windows,
        mut each: impl FnMut(usize, &Moments, i64, i64),
    ) {
        let moments = &self.moments[series * self.count..][..self.count];
        if cuts.per_window == 1 {
            for window in 0..windows.count {
                let section = cuts.of_window(windows.end(window));
                let whole = moments.get(section.clone()).and_then(<[_]>::first).unwrap_or(&Moments::EMPTY);
                each(window, whole, cuts.time(section.start), cuts.time(section.end));
            }
            return;
        }
        // `suffixes[i − base]` is the whole from section i to `middle`, and `newer` all from `middle` to `end`.
        let (mut base, mut middle, mut end) = (0, 0, 0);
        let mut newer = Moments::EMPTY;
        for window in 0..windows.count {
            let sections = cuts.of_window(windows.end(window));
            let behind = sections.end.min(moments.len());
            let first = sections.start.min(behind);
            if first >= middle {
                (base, middle, end, newer) = (first, behind, behind, Moments::EMPTY);
                self.suffixes.clear();
                self.suffixes.resize(behind - first, Moments::EMPTY);
                let mut whole = Moments::EMPTY;
                for section in (first..behind).rev() {
                    whole = moments[section].combine(&whole);
                    self.suffixes[section - base] = whole;
                }
            }
            while end < behind {
                newer = newer.combine(&moments[end]);
                end += 1;
            }
            let whole = self.suffixes.get(first - base).map_or(newer, |older| older.combine(&newer));
            each(window, &whole, cuts.time(sections.start), cuts.time(sections.end));
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sliding_over_sections_gives_the_moments_of_each_window(
            times in proptest::collection::btree_set(0_i64..400, 0..80), first_end in 0_i64..100, step in 1_i64..30,
            count in 1_usize..20, range in 1_i64..60,
        ) {
            let timestamps: Vec<i64> = times.into_iter().collect();
            let values = timestamps.iter().map(|ts| f64::from(u8::try_from(ts * 7 % 50).expect("small"))).collect();
            let points = Points::new(timestamps, values);
            let windows = Windows { first_end, step, count, range };
            let cuts = Cuts::exact(&windows);
            let mut sections = Sections::default();
            sections.reset(&cuts, 1);
            let half = points.index_range(i64::MIN, 200);
            sections.add_points(&points.slice(half.clone()));
            sections.add_points(&points.slice(half.end..points.len()));
            let mut got = Vec::new();
            sections.slide(0, &cuts, &windows, |window, moments, start, end| got.push((window, *moments, start, end)));
            prop_assert_eq!(got.len(), count);
            for (window, moments, start, end) in got {
                prop_assert_eq!((start, end), (windows.end(window) - range, windows.end(window)));
                let inside = points.index_range(start + 1, end + 1);
                let expected =
                    Moments::from_points(&points.timestamps[inside.clone()], &points.values[inside]);
                prop_assert_eq!(moments, expected);
            }
        }
    }

    #[test]
    fn windows_that_do_not_fit_end_with_the_last_whole_bucket() {
        let windows = Windows { first_end: 130, step: 15, count: 3, range: 50 };
        let cuts = Cuts::rounded(&windows, 60);
        assert_eq!((cuts.origin, cuts.width, cuts.per_window, cuts.sections), (60, 60, 1, 1));
        assert_eq!(cuts.of_window(130), 0..1);
        assert_eq!(cuts.of_window(160), 0..1);
    }
}
