//! Answers for time of which raw points are kept nowhere, from the finest buckets that are, as near as they come.
//!
//! windows before the split: rows of rollups ─▶ rounded windows, newest samples, or quantiles of sketches ─┐
//! windows behind it: raw points ─▶ as asked ──────────────────────────────────────────────────────────────┴▶ a column + a note
//!
//! A series without rows of that time is answered from its points as if nothing were gone. What rollups cannot tell is
//! refused, with what would be possible: an answer is never silently empty.

use promql::ast::Edges;
use promql::column::Column;
use promql::histogram::Subject;
use promql::notes::{Level, Note};
use promql::range::{Args, RangeCall, RangeFunction, evaluate, is_of_moments, last, of_moments};
use promql::storage::{SeriesData, Sink, StorageError, Wanted, Windows};
use schemas::points::stale;
use schemas::rollup::{BucketMoments, Moments, Rollup};
use schemas::{Points, TimestampMs};

use super::block::{Block, Delta};
use super::storage::{Rows, as_storage_error};
use super::texts;
use super::windows::Cuts;
use crate::error::QueryError;
use crate::read::{Part, RowSummary};

impl Block<'_> {
    /// Windows before the split from buckets that do not fit them, those behind from points.
    pub(super) fn read_both(&mut self, buckets: &Rows<BucketMoments>, sink: Sink<'_>) -> Result<(), StorageError> {
        let set = self.set;
        let rows = buckets.read(set.tiers, &self.series).map_err(as_storage_error)?;
        let sketches = set.sketches.iter().find(|sketches| sketches.width == buckets.width);
        let mut sketches = match sketches {
            Some(sketches) => sketches.read(set.tiers, &self.series).map_err(as_storage_error)?,
            None => Vec::new(),
        }
        .into_iter();
        let windows = set.windows;
        let older = Windows { count: self.plan.split, ..windows };
        let newer = Windows { first_end: windows.end(older.count), count: windows.count - older.count, ..windows };
        for (series, rows) in self.series.clone().zip(rows) {
            let sketches = sketches.next().unwrap_or_default();
            let encoded = self.encoded(&(series..series + 1), Delta::Ahead).map_err(as_storage_error)?;
            if !self.has_only_rows(&rows, &older) {
                self.one_from_points(&encoded, series, sink)?;
                continue;
            }
            self.decode(&encoded, series).map_err(as_storage_error)?;
            let before = self.approximate(&rows, &sketches, &older).map_err(as_storage_error)?;
            let after = self.of_points(&newer).map_err(as_storage_error)?;
            let mut column = Column::empty(windows.count);
            before.iter().for_each(|(step, value)| column.set(step, value));
            after.iter().for_each(|(step, value)| column.set(older.count + step, value));
            self.say();
            sink(series, SeriesData::Column(column))?;
        }
        Ok(())
    }

    /// Whether a series has rows that windows need, of time of which its points are gone.
    fn has_only_rows(&self, rows: &[Part<BucketMoments>], older: &Windows) -> bool {
        let (first, last) = (older.span().0, older.end(older.count.saturating_sub(1)));
        let reach = first.min(older.first_end.saturating_sub(self.plan.width.0));
        let gone_before = self.plan.raw_from.unwrap_or(TimestampMs::MAX).0;
        rows.iter().any(|row| row.start < gone_before && row.start + row.width > reach && row.start <= last)
    }

    /// The column of the decoded points.
    fn of_points(&self, windows: &Windows) -> Result<Column, QueryError> {
        let mut column = Column::empty(windows.count);
        match &self.set.wanted {
            _ if windows.count == 0 => {}
            Wanted::Points => {}
            Wanted::Last => last(&self.points, windows, &mut column),
            Wanted::Function { function, args } => {
                let args = Args::constants(args);
                let call = RangeCall {
                    function: *function,
                    args: &args,
                    edges: Edges::Plain,
                    lookback: 0,
                    steps: (windows.first_end, windows.step),
                    subject: Subject { metric: "", span: promql::Span::new(0, 0) },
                };
                evaluate(&call, &self.points, windows, &mut column, &mut self.set.notes.lock())
                    .map_err(|error| QueryError::impossible(error.to_string()))?;
            }
        }
        Ok(column)
    }

    /// Windows over buckets that do not fit them.
    fn approximate(
        &mut self,
        rows: &[Part<BucketMoments>],
        sketches: &[Part<Rollup>],
        windows: &Windows,
    ) -> Result<Column, QueryError> {
        let (raw_from, width) = (self.plan.raw_from, self.plan.width);
        match &self.set.wanted {
            Wanted::Last => Ok(self.newest(rows, windows)),
            Wanted::Points => Err(QueryError::impossible(texts::needs_points(None, raw_from, width))),
            Wanted::Function { function: RangeFunction::QuantileOverTime, args } => {
                Ok(self.quantiles(sketches, args.first().copied().unwrap_or(f64::NAN), windows))
            }
            Wanted::Function { function, .. } if is_of_moments(*function) => self.rounded(*function, rows, windows),
            Wanted::Function { function, .. } => {
                Err(QueryError::impossible(texts::needs_points(Some(*function), raw_from, width)))
            }
        }
    }

    fn rounded(
        &mut self,
        function: RangeFunction,
        rows: &[Part<BucketMoments>],
        windows: &Windows,
    ) -> Result<Column, QueryError> {
        let cuts = Cuts::rounded(windows, self.plan.width.0);
        let longer = cuts.width.saturating_mul(i64::try_from(cuts.per_window).unwrap_or(i64::MAX));
        let scale = stretch(function, windows.range, longer)
            .ok_or_else(|| QueryError::impossible(texts::too_short(function, windows.range, self.plan.width)))?;
        self.cut(&cuts, 1)?;
        rows.iter().for_each(|row| self.sections.add_bucket(0, &row.value));
        let mut column = Column::empty(windows.count);
        self.sections.slide(0, &cuts, windows, |window, moments, start, end| {
            if let Some(value) = of_moments(function, moments, start, end) {
                column.set_float(window, value * scale);
            }
        });
        Ok(column)
    }

    /// The newest sample of each bucket, at the time it had, as if it were all that was kept; and the points behind.
    fn newest(&self, rows: &[Part<BucketMoments>], windows: &Windows) -> Column {
        let gone_before = self.plan.raw_from.unwrap_or(TimestampMs::MAX).0;
        let mut newest = Points::default();
        for row in rows.iter().filter(|row| row.start < gone_before) {
            let moments: Moments = row.value.closed();
            if moments.count > 0 {
                newest.push(moments.last_ts, moments.last);
            }
            if let Some(at) = moments.stale_ts.filter(|&at| moments.count == 0 || at > moments.last_ts) {
                newest.push(at, stale());
            }
        }
        newest.extend_from(&self.points);
        let mut column = Column::empty(windows.count);
        let lookback = windows.range.max(self.plan.width.0);
        last(&newest, &Windows { range: lookback, ..*windows }, &mut column);
        column
    }

    /// Quantiles of the sketches of rounded windows, by nearest rank. The sample at a window's start stands for the one at
    /// its end: sketches do not keep edges apart.
    fn quantiles(&self, rows: &[Part<Rollup>], q: f64, windows: &Windows) -> Column {
        let cuts = Cuts::rounded(windows, self.plan.width.0);
        let mut column = Column::empty(windows.count);
        for window in 0..windows.count {
            let sections = cuts.of_window(windows.end(window));
            let (start, end) = (cuts.time(sections.start), cuts.time(sections.end));
            let from = rows.partition_point(|row| row.start < start);
            let mut inside = rows[from..].iter().take_while(|row| row.start < end);
            let Some(mut whole) = inside.next().map(|row| row.value.clone()) else { continue };
            inside.for_each(|row| whole.append(&row.value));
            if let Some((value, error)) = RowSummary::quantile(&whole, q) {
                self.set.tiers.reader.provenance.tally.quantile_error(error);
                column.set_float(window, value);
            }
        }
        column
    }

    fn say(&self) {
        let text = texts::coarser(&self.set.wanted, self.plan.raw_from, self.plan.width);
        self.set.notes.lock().add(Note { level: Level::Info, text, span: None });
    }
}

/// By what the value of a function over a longer window is multiplied; `None` if there is no telling.
fn stretch(function: RangeFunction, asked: i64, longer: i64) -> Option<f64> {
    use RangeFunction::{CountOverTime, Delta, Increase, Resets, SumOverTime};
    if asked == longer {
        return Some(1.0);
    }
    match function {
        SumOverTime | CountOverTime | Resets => None,
        #[expect(clippy::cast_precision_loss, reason = "lengths of windows are far below 2^53 ms")]
        Increase | Delta => Some(asked as f64 / longer as f64),
        _ => Some(1.0),
    }
}
