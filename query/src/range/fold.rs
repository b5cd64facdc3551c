//! Makes values of buckets, and joins those of a group's series.
//!
//! parts of a work ─▶ whole buckets ─▶ a value each, or a cell of the span's grid (output × bucket) ─▶ the answer
//!
//! Works come in order of time; a span's grid is turned into values once all its works are in.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use schemas::rollup::Totals;
use schemas::time::HourRange;

use super::groups::{Joining, Outputs};
use super::output::Answer;
use super::{Asked, WORKS_IN_FLIGHT, plan};
use crate::error::QueryError;
use crate::limits::Share;
use crate::provenance::Tally;
use crate::read::{Parts, Question, Reader, Summary};
use crate::request::Agg;

/// What a work gives.
enum Folded<S> {
    /// Values by output series and time; the memory they take.
    Values(Vec<(usize, i64, f64)>, Share),
    /// Partials of merged series.
    Merged(Grid<S>),
    /// Values of series, as if they were points.
    Combined(Grid<Totals>),
}

/// How a work's parts are folded.
#[derive(Debug, Clone)]
struct Folding {
    agg: Agg,
    width: i64,
    outputs: Arc<Outputs>,
    /// First millisecond of the span, and its buckets.
    start: i64,
    buckets: usize,
}

impl Asked<'_> {
    pub(super) async fn fold<S: Summary>(
        &self,
        question: &Question,
        outputs: &Arc<Outputs>,
        answer: &mut Answer,
    ) -> Result<(), QueryError> {
        self.fold_with::<S>(question, outputs, self.request.agg, answer).await
    }

    /// Reads all works of a question and folds them into `answer`.
    pub(super) async fn fold_with<S: Summary>(
        &self,
        question: &Question,
        outputs: &Arc<Outputs>,
        agg: Agg,
        answer: &mut Answer,
    ) -> Result<(), QueryError> {
        let width = question.routes.need.width().0;
        let works = plan::works(question);
        let mut results = futures::stream::iter(works)
            .map(|work| {
                let span = work.hours;
                let folding = Folding::new(agg, width, Arc::clone(outputs), span);
                let reader = Arc::clone(&self.reader);
                async move {
                    let shared = Arc::clone(&reader);
                    let finish = move |parts: Parts<S>| folding.fold(parts, &shared);
                    Ok::<_, QueryError>((span, reader.read(question, work, finish).await?))
                }
            })
            .buffered(WORKS_IN_FLIGHT);
        let mut pending: Option<(HourRange, Folded<S>)> = None;
        while let Some((span, folded)) = results.try_next().await? {
            match (&mut pending, folded) {
                (Some((current, Folded::Merged(grid))), Folded::Merged(more)) if *current == span => grid.join(more),
                (Some((current, Folded::Combined(grid))), Folded::Combined(more)) if *current == span => {
                    grid.join(more);
                }
                (_, folded) => {
                    if let Some((_, done)) = pending.replace((span, folded)) {
                        done.settle(agg, outputs, &self.reader.provenance.tally, answer)?;
                    }
                }
            }
        }
        pending.map_or(Ok(()), |(_, done)| done.settle(agg, outputs, &self.reader.provenance.tally, answer))
    }
}

impl Folding {
    fn new(agg: Agg, width: i64, outputs: Arc<Outputs>, span: HourRange) -> Self {
        let time = span.time();
        let start = time.start().0.div_euclid(width) * width;
        let buckets = usize::try_from((time.end().0 - start + width - 1) / width).unwrap_or(0);
        Self { agg, width, outputs, start, buckets }
    }

    fn fold<S: Summary>(&self, parts: Parts<S>, reader: &Reader) -> Result<Folded<S>, QueryError> {
        let width = schemas::DurationMs(self.width);
        let mut share = reader.budget.share();
        let tally = &reader.provenance.tally;
        let own_value = matches!(self.agg, Agg::Rate | Agg::Increase);
        match self.outputs.joining {
            Joining::Each => {
                let mut values = Vec::with_capacity(parts.len());
                share.grow(values.capacity() * size_of::<(usize, i64, f64)>())?;
                for bucket in parts.into_buckets(width) {
                    if let Some(value) = valued(&bucket.value, self.agg, bucket.start, bucket.width, tally) {
                        values.push((self.outputs.of(bucket.series), bucket.start, value));
                    }
                }
                Ok(Folded::Values(values, share))
            }
            Joining::Merge if !own_value => {
                let mut grid = self.grid(share)?;
                for bucket in parts.into_buckets(width) {
                    let output = self.outputs.of(bucket.series);
                    grid.add(output, bucket.start, bucket.width, bucket.value);
                }
                Ok(Folded::Merged(grid))
            }
            Joining::Merge | Joining::Combine(_) => {
                let mut grid = self.grid(share)?;
                for bucket in parts.into_buckets(width) {
                    if let Some(value) = valued(&bucket.value, self.agg, bucket.start, bucket.width, tally) {
                        let output = self.outputs.of(bucket.series);
                        grid.add(output, bucket.start, bucket.width, Totals::of_value(value));
                    }
                }
                Ok(Folded::Combined(grid))
            }
        }
    }

    fn grid<S: Summary>(&self, mut share: Share) -> Result<Grid<S>, QueryError> {
        let cells = self.outputs.len() * self.buckets;
        share.grow(cells * size_of::<Option<Cell<S>>>())?;
        let mut empty = Vec::new();
        empty.resize_with(cells, || None);
        let next = (self.start, 0);
        Ok(Grid { start: self.start, width: self.width, buckets: self.buckets, cells: empty, next, _share: share })
    }
}

/// The value of a bucket; its error bound is told.
fn valued<S: Summary>(partial: &S, agg: Agg, start: i64, width: i64, tally: &Tally) -> Option<f64> {
    let (value, error) = partial.value(agg, start, width)?;
    if error > 0.0 {
        tally.quantile_error(error);
    }
    Some(value)
}

/// Outputs × buckets of one span.
struct Grid<S> {
    start: i64,
    width: i64,
    buckets: usize,
    /// By output, then bucket.
    cells: Vec<Option<Cell<S>>>,
    /// Start and number of the bucket after the last one that was added to.
    next: (i64, usize),
    _share: Share,
}

struct Cell<S> {
    start: i64,
    width: i64,
    value: S,
}

impl<S: Summary> Grid<S> {
    fn add(&mut self, output: usize, start: i64, width: i64, value: S) {
        // The next bucket usually follows the last one, which saves a division.
        let bucket = if start == self.next.0 {
            self.next.1
        } else {
            // Coarser data may begin before the span: it is kept in the span's first bucket, with its own start.
            usize::try_from((start - self.start).div_euclid(self.width)).unwrap_or(0)
        };
        if start >= self.start {
            self.next = (start + self.width, bucket + 1);
        }
        if bucket < self.buckets {
            put(&mut self.cells[output * self.buckets + bucket], Cell { start, width, value });
        }
    }

    fn join(&mut self, more: Self) {
        for (cell, more) in self.cells.iter_mut().zip(more.cells) {
            if let Some(more) = more {
                put(cell, more);
            }
        }
    }

    /// Gives the value of every cell to the answer.
    fn settle(self, agg: Agg, tally: &Tally, answer: &mut Answer) {
        let mut cells = self.cells.into_iter();
        for output in 0.. {
            let row = cells.by_ref().take(self.buckets);
            let points: Vec<(i64, f64)> = row
                .flatten()
                .filter_map(|cell| {
                    valued(&cell.value, agg, cell.start, cell.width, tally).map(|value| (cell.start, value))
                })
                .collect();
            answer.extend(output, points);
            if cells.len() == 0 {
                break;
            }
        }
    }
}

fn put<S: Summary>(cell: &mut Option<Cell<S>>, more: Cell<S>) {
    match cell {
        Some(cell) => {
            cell.value.join(&more.value);
            cell.start = cell.start.min(more.start);
            cell.width = cell.width.max(more.width);
        }
        None => *cell = Some(more),
    }
}

impl<S: Summary> Folded<S> {
    fn settle(self, agg: Agg, outputs: &Outputs, tally: &Tally, answer: &mut Answer) -> Result<(), QueryError> {
        match self {
            Self::Values(values, _share) => {
                for series in values.chunk_by(|a, b| a.0 == b.0) {
                    answer.extend(series[0].0, series.iter().map(|&(_, ts, value)| (ts, value)));
                }
            }
            Self::Merged(grid) => grid.settle(agg, tally, answer),
            Self::Combined(grid) => {
                let combining = match outputs.joining {
                    Joining::Combine(group_agg) => group_agg.of_values(),
                    // Rates and increases of a group are the sums of its series' own.
                    Joining::Merge | Joining::Each => Agg::Sum,
                };
                grid.settle(combining, tally, answer);
            }
        }
        answer.check()
    }
}
