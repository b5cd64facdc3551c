//! Reads a block of series that are answered alike.
//!
//! points: hours of Delta ─┐
//!         local hours ────┴▶ pieces by series ─▶ sections: statistics of chunks that no window cuts, others decoded ─▶ a column
//!                                              └ or, where windows are short, decoded in order of time ─▶ the evaluator's windows
//! buckets: rows of rollups ─▶ sections ─▶ windows ─▶ a column
//!
//! Where buckets do not tell (native histograms have none; sums past what a double holds), points are asked. Not here: what
//! is chosen when (`plan`), and where points are gone (`coarse`).

use std::collections::BTreeSet;
use std::ops::Range;

use promql::column::Column;
use promql::range::{RangeFunction, is_of_moments, needs_points, of_moments};
use promql::storage::{SeriesData, Sink, StorageError, Wanted, Windows};
use schemas::chunk::{ChunkDecoder, ChunkError, read_header};
use schemas::points::STALE_BITS;
use schemas::rollup::BucketMoments;
use schemas::time::{HOUR_MS, HourRange};
use schemas::{Hour, Points};

use super::ahead::by_series;
use super::plan::Plan;
use super::storage::{Rows, TierSeries, as_storage_error};
use super::windows::{Cuts, Sections};
use crate::error::QueryError;
use crate::limits::Share;
use crate::read::{Encoded, Piece, Work};

/// Encoded bytes that are gathered at once, about.
const ARENA_BYTES: usize = 8 << 20;
/// Bytes that an hour of a series is taken for.
const CHUNK_BYTES: usize = 512;
/// Memory of a point.
const POINT_BYTES: usize = 16;
/// Memory that sections of series read together take, about: the processor's cache.
const SECTIONS_BYTES: usize = 1 << 20;
/// Statistics of chunks can stand for their points only between cuts that are further apart than a chunk is long; shorter
/// sections of decoded points cost more than the evaluator's windows over them.
const STATISTICS_FROM_MS: i64 = 2 * HOUR_MS;

/// How raw points of hours that Delta owns are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delta {
    /// Together with those of neighbouring series, since these will be asked for as well.
    Ahead,
    /// By themselves: others are answered without.
    Apart,
    /// Not at all.
    Not,
}

/// See the module.
pub(super) struct Block<'a> {
    pub(super) set: &'a TierSeries<'a>,
    pub(super) plan: Plan,
    pub(super) series: Range<usize>,
    decoder: ChunkDecoder,
    /// Of one series.
    pub(super) points: Points,
    pub(super) sections: Sections,
    /// Of the buffers above.
    share: Share,
}

impl<'a> Block<'a> {
    pub(super) fn new(set: &'a TierSeries<'a>, plan: Plan, series: Range<usize>) -> Self {
        let (decoder, points, sections) = (ChunkDecoder::default(), Points::default(), Sections::default());
        Self { set, plan, series, decoder, points, sections, share: set.tiers.reader.budget.share() }
    }

    pub(super) fn read(mut self, sink: Sink<'_>) -> Result<(), StorageError> {
        let windows = self.set.windows;
        match self.set.buckets(self.plan.width).filter(|_| self.plan.split > 0) {
            None if self.set.newest_alone => self.newest_first(sink),
            None => self.read_points(self.series.clone(), Delta::Ahead, sink),
            Some(buckets) if self.plan.exact && self.plan.split == windows.count => self.read_buckets(buckets, sink),
            Some(buckets) => self.read_both(buckets, sink),
        }
    }

    /// One window: local hours from the newest back, until each series has given a sample.
    fn newest_first(&mut self, sink: Sink<'_>) -> Result<(), StorageError> {
        let (reader, question) = (&self.set.tiers.reader, &self.set.raw);
        let (first, last) = self.set.windows.span();
        let span = question.routes.range.hours();
        let local = HourRange { start: question.routes.cold_end().clamp(span.start, span.end), end: span.end };
        let markers_count = self.set.wanted == Wanted::Last;
        let mut left: Vec<usize> = self.series.clone().collect();
        let mut end = local.end;
        while let (Some(&from), Some(&to)) = (left.first(), left.last()) {
            let Some(hour) = question.hours.last_within(HourRange { start: local.start, end }) else { break };
            end = hour;
            let mut encoded = Encoded::new(reader, &(from..to + 1), 1);
            let work = Work { series: from..to + 1, hours: HourRange { start: hour, end: hour.next() } };
            encoded.read(reader, question, &work, |_| true).map_err(as_storage_error)?;
            let mut still = Vec::new();
            for series in left {
                self.decode(&encoded, series).map_err(as_storage_error)?;
                let inside = self.points.index_range(first, last.saturating_add(1));
                if self.points.values[inside].iter().any(|value| markers_count || value.to_bits() != STALE_BITS) {
                    sink(series, SeriesData::Points(&self.points))?;
                } else {
                    still.push(series);
                }
            }
            left = still;
        }
        if local.start == span.start {
            return Ok(());
        }
        self.runs_from_points(&left, Delta::Ahead, sink)
    }

    fn runs_from_points(&mut self, series: &[usize], delta: Delta, sink: Sink<'_>) -> Result<(), StorageError> {
        for run in series.chunk_by(|a, b| a + 1 == *b) {
            self.read_points(run[0]..run[run.len() - 1] + 1, delta, sink)?;
        }
        Ok(())
    }

    /// Each series from its points.
    fn read_points(&mut self, series: Range<usize>, delta: Delta, sink: Sink<'_>) -> Result<(), StorageError> {
        let at_once = (ARENA_BYTES / (self.set.hours_reached.max(1) * CHUNK_BYTES)).clamp(8, series.len().max(8));
        let mut start = series.start;
        while start < series.end {
            let some = start..(start + at_once).min(series.end);
            start = some.end;
            let encoded = self.encoded(&some, delta).map_err(as_storage_error)?;
            for one in some {
                self.one_from_points(&encoded, one, sink)?;
            }
        }
        Ok(())
    }

    pub(super) fn one_from_points(
        &mut self,
        encoded: &Encoded,
        series: usize,
        sink: Sink<'_>,
    ) -> Result<(), StorageError> {
        if encoded.pieces(series).is_empty() {
            return Ok(());
        }
        if let Some(column) = self.read_sections(encoded, series).map_err(as_storage_error)? {
            return sink(series, SeriesData::Column(column));
        }
        self.decode(encoded, series).map_err(as_storage_error)?;
        if self.points.is_empty() { Ok(()) } else { sink(series, SeriesData::Points(&self.points)) }
    }

    /// All that is kept of the raw points of some series.
    pub(super) fn encoded(&self, series: &Range<usize>, delta: Delta) -> Result<Encoded, QueryError> {
        let (tiers, question) = (self.set.tiers, &self.set.raw);
        let reader = &tiers.reader;
        let mut encoded = Encoded::new(reader, series, self.set.hours_reached);
        let hours = question.routes.range.hours();
        if question.routes.cold_end() > hours.start {
            let of_delta = |series: Range<usize>| reader.cold_points(question, &Work { series, hours }, &tiers.wait);
            let parts = match delta {
                Delta::Ahead => self.set.raw_ahead.take(series, &reader.budget, &of_delta)?,
                Delta::Apart => by_series(of_delta(series.clone())?, series),
                Delta::Not => Vec::new(),
            };
            for (series, parts) in series.clone().zip(parts) {
                parts.into_iter().for_each(|part| encoded.push_points(series, part.value));
            }
        }
        let work = Work { series: series.clone(), hours };
        encoded.read(reader, question, &work, |hour| reaches(&self.set.windows, hour))?;
        encoded.in_order();
        encoded.account()?;
        Ok(encoded)
    }

    /// Makes the points of a series from its pieces.
    pub(super) fn decode(&mut self, encoded: &Encoded, series: usize) -> Result<(), QueryError> {
        self.points.clear();
        for piece in encoded.pieces(series) {
            match piece {
                Piece::Points(points) => self.points.extend_from(points),
                Piece::Chunk { hour, bytes } => self.decode_chunk(encoded.chunk(bytes), *hour, series)?,
            }
        }
        self.share.resize(self.points.timestamps.capacity() * POINT_BYTES)
    }

    /// Appends the points of a chunk.
    fn decode_chunk(&mut self, chunk: &[u8], hour: Hour, series: usize) -> Result<(), QueryError> {
        let before = self.points.len();
        self.decoder.decode(chunk, &mut self.points).map_err(|error| self.damaged(hour, series, error))?;
        self.set.tiers.reader.provenance.tally.decoded(self.points.len() - before);
        Ok(())
    }

    fn damaged(&self, hour: Hour, series: usize, error: ChunkError) -> QueryError {
        let address = self.set.raw.selection.addresses()[series];
        QueryError::hot(self.set.tiers.reader.view.damaged_chunk(hour, address, error))
    }

    /// Makes room for the sections of so many series, and empties them.
    pub(super) fn cut(&mut self, cuts: &Cuts, series: usize) -> Result<(), QueryError> {
        // One more for sliding.
        let sections = cuts.bytes().saturating_mul(series + 1);
        self.share.resize((self.points.timestamps.capacity() * POINT_BYTES).saturating_add(sections))?;
        self.sections.reset(cuts, series);
        Ok(())
    }

    /// The column of a function from the moments between its windows' edges; `None` where points are needed.
    fn read_sections(&mut self, encoded: &Encoded, series: usize) -> Result<Option<Column>, QueryError> {
        let Wanted::Function { function, .. } = &self.set.wanted else { return Ok(None) };
        let (function, windows) = (*function, self.set.windows);
        let cuts = Cuts::exact(&windows);
        if cuts.width < STATISTICS_FROM_MS || !is_of_moments(function) {
            return Ok(None);
        }
        self.cut(&cuts, 1)?;
        for piece in encoded.pieces(series) {
            match piece {
                Piece::Points(points) if !points.histograms.is_empty() => return Ok(None),
                Piece::Points(points) => self.sections.add_points(points),
                Piece::Chunk { hour, bytes } => {
                    let chunk = encoded.chunk(bytes);
                    match read_header(chunk).ok().filter(|_| is_whole(chunk)) {
                        Some(header) if header.histograms > 0 => return Ok(None),
                        Some(header) if self.sections.share_one(header.first_ms, header.last_ms) => {
                            self.sections.add(0, header.first_ms, &header.moments);
                        }
                        // Damage is told by decoding.
                        Some(_) | None => {
                            self.points.clear();
                            self.decode_chunk(chunk, *hour, series)?;
                            self.sections.add_points(&self.points);
                        }
                    }
                }
            }
        }
        Ok(self.slid(0, function, &cuts))
    }

    /// The column of a series' sections; `None` where moments do not tell.
    fn slid(&mut self, series: usize, function: RangeFunction, cuts: &Cuts) -> Option<Column> {
        let windows = self.set.windows;
        let mut column = Column::empty(windows.count);
        let mut tells = true;
        self.sections.slide(series, cuts, &windows, |window, moments, start, end| {
            tells &= !needs_points(function, moments);
            if let Some(value) = of_moments(function, moments, start, end) {
                column.set_float(window, value);
            }
        });
        tells.then_some(column)
    }

    /// Windows that are made of whole buckets.
    fn read_buckets(&mut self, buckets: &Rows<BucketMoments>, sink: Sink<'_>) -> Result<(), StorageError> {
        let Wanted::Function { function, .. } = &self.set.wanted else { return Ok(()) };
        let cuts = Cuts::exact(&self.set.windows);
        let at_once = (SECTIONS_BYTES / cuts.bytes().max(1)).max(1);
        let mut unsaid = Vec::new();
        let mut said = BTreeSet::new();
        let mut start = self.series.start;
        while start < self.series.end {
            let some = start..start.saturating_add(at_once).min(self.series.end);
            start = some.end;
            self.cut(&cuts, some.len()).map_err(as_storage_error)?;
            let sections = &mut self.sections;
            let add = &mut |series: usize, bucket: &BucketMoments| sections.add_bucket(series - some.start, bucket);
            buckets.each(self.set.tiers, &some, add).map_err(as_storage_error)?;
            for series in some.clone() {
                let column = self.slid(series - some.start, *function, &cuts).filter(|column| !column.has_nothing());
                match column {
                    Some(column) if !self.hides_histograms(&column, series).map_err(as_storage_error)? => {
                        said.insert(self.set.raw.selection.group_of(series));
                        sink(series, SeriesData::Column(column))?;
                    }
                    Some(_) | None => unsaid.push(series),
                }
            }
        }
        // Most series without a row have no points either. Delta is asked only for metrics of which no series here has one, as it
        // is of native histograms.
        let has_rows = |series: &usize| said.contains(&self.set.raw.selection.group_of(*series));
        let (of_floats, others): (Vec<usize>, Vec<usize>) = unsaid.into_iter().partition(has_rows);
        self.runs_from_points(&of_floats, Delta::Not, sink)?;
        self.runs_from_points(&others, Delta::Apart, sink)
    }

    /// Whether windows without a value may be those of native histograms, which rollups know nothing of. Delta is not asked:
    /// a series whose samples became histograms did so lately.
    fn hides_histograms(&self, column: &Column, series: usize) -> Result<bool, QueryError> {
        if column.raw().iter().all(|value| value.to_bits() != STALE_BITS) {
            return Ok(false);
        }
        let (reader, question) = (&self.set.tiers.reader, &self.set.raw);
        let mut encoded = Encoded::new(reader, &(series..series + 1), self.set.hours_reached);
        let work = Work { series: series..series + 1, hours: question.routes.range.hours() };
        encoded.read(reader, question, &work, |hour| reaches(&self.set.windows, hour))?;
        Ok(encoded.pieces(series).iter().any(|piece| match piece {
            Piece::Points(points) => !points.histograms.is_empty(),
            Piece::Chunk { bytes, .. } => read_header(encoded.chunk(bytes)).is_ok_and(|header| header.histograms > 0),
        }))
    }
}

/// Whether any window holds time of an hour.
pub(super) fn reaches(windows: &Windows, hour: Hour) -> bool {
    let (start, end) = (hour.start().0, hour.end().0);
    let behind = start.saturating_sub(windows.first_end).max(0);
    // The first window that does not end before the hour.
    let first =
        if windows.count > 1 { behind.saturating_add(windows.step - 1) / windows.step } else { behind.signum() };
    usize::try_from(first).is_ok_and(|first| {
        first < windows.count && windows.end(first).saturating_sub(windows.range).saturating_add(1) < end
    })
}

/// Whether a chunk's checksum is right.
fn is_whole(chunk: &[u8]) -> bool {
    chunk
        .split_last_chunk::<4>()
        .is_some_and(|(body, stored)| schemas::chunk::checksum(body) == u32::from_le_bytes(*stored))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hours_that_no_window_holds_time_of_are_left_out(
            first_end in 0..20 * HOUR_MS, step in 1..9 * HOUR_MS, count in 1_usize..6, range in 1..5 * HOUR_MS,
            hour in 0_u32..40,
        ) {
            let windows = Windows { first_end, step, count, range };
            let hour = Hour(hour);
            let holds = |window| {
                let (first, last) = (windows.end(window) - range + 1, windows.end(window));
                first < hour.end().0 && last >= hour.start().0
            };
            prop_assert_eq!(reaches(&windows, hour), (0..count).any(holds));
        }
    }
}
