//! A storage that answers what it can without handing out points: newest samples, and functions from moments.
//!
//! points in memory ─▶ minute by minute their moments, combined over each window ─▶ `of_moments` ─▶ columns; whatever moments
//! cannot tell ─▶ points. So it does what tiers do, on any data: the evaluator must give the same with either.

use std::ops::Range;

use promql::column::Column;
use promql::memory::MemoryStorage;
use promql::range::{RangeFunction, is_of_moments, last, needs_points, of_moments};
use promql::storage::{Selection, SeriesData, SeriesSet, Sink, Storage, StorageError, Wanted, Windows};
use schemas::rollup::Moments;
use schemas::{Labels, Points};

/// How long a part is whose moments are taken together, ms.
const PART_MS: i64 = 60_000;

/// See the module.
#[derive(Debug)]
pub struct Shortcuts<'a>(pub &'a MemoryStorage);

impl Storage for Shortcuts<'_> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, StorageError> {
        let series = self.0.select(selection)?;
        Ok(Box::new(Selected { series, windows: selection.windows, wanted: selection.wanted.clone() }))
    }
}

struct Selected<'a> {
    series: Box<dyn SeriesSet + 'a>,
    windows: Windows,
    wanted: Wanted,
}

impl SeriesSet for Selected<'_> {
    fn labels(&self) -> &[Labels] {
        self.series.labels()
    }

    fn read(&self, series: Range<usize>, sink: Sink<'_>) -> Result<(), StorageError> {
        self.series.read(series, &mut |at, data| match data {
            SeriesData::Points(points) => match self.column(points) {
                Some(column) => sink(at, SeriesData::Column(column)),
                None => sink(at, SeriesData::Points(points)),
            },
            // What moments do not tell.
            given @ (SeriesData::Started(..) | SeriesData::Column(_)) => sink(at, given),
        })
    }
}

impl Selected<'_> {
    /// What is wanted, where that can be told without the points.
    fn column(&self, points: &Points) -> Option<Column> {
        let (first, end) = self.windows.span();
        if points.histograms.range(first, end.saturating_add(1)).next().is_some() {
            // Moments are of floats, and what is known of resets of a histogram comes from those before it.
            return None;
        }
        let mut column = Column::empty(self.windows.count);
        match &self.wanted {
            Wanted::Points => return None,
            Wanted::Last => last(points, &self.windows, &mut column),
            Wanted::Function { function, .. } => {
                if !is_of_moments(*function) {
                    return None;
                }
                for window in 0..self.windows.count {
                    if let Some(value) = self.value(*function, points, window)? {
                        column.set_float(window, value);
                    }
                }
            }
        }
        Some(column)
    }

    /// The value of one window: the outer `None` where moments do not tell it.
    fn value(&self, function: RangeFunction, points: &Points, window: usize) -> Option<Option<f64>> {
        let end = self.windows.end(window);
        let start = end.saturating_sub(self.windows.range);
        let inside = points.index_range(start.saturating_add(1), end.saturating_add(1));
        let mut moments = Moments::EMPTY;
        let mut from = inside.start;
        while from < inside.end {
            let part = points.timestamps[from].div_euclid(PART_MS);
            let rest = &points.timestamps[from..inside.end];
            let to = from + rest.partition_point(|ts| ts.div_euclid(PART_MS) == part);
            moments = moments.combine(&Moments::from_points(&points.timestamps[from..to], &points.values[from..to]));
            from = to;
        }
        (!needs_points(function, &moments)).then(|| of_moments(function, &moments, start, end))
    }
}
