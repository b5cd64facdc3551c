//! Raw points of local hours for a reader that decodes them itself, series by series.
//!
//! hours, oldest first ─▶ chunks of all series of the work, in one forward pass an hour ─copied─▶ arena ─▶ [`Piece`]s by series
//!
//! RocksDB is read in the order of its keys (hour, then series), but a function of windows wants a series whole: so the
//! encoded chunks, a tenth of the size of their points, are gathered first. A series that newer points touch in an hour is
//! decoded and merged at once (SET-1); its piece holds points.
//!
//! The checksum of a chunk is verified where the chunk is used, decoded or not: that costs 30 ns, less than finding it did.

use std::ops::Range;

use hot::Overlay;
use schemas::chunk::ChunkDecoder;
use schemas::tier_map::Tier;
use schemas::{Epoch, Hour, Points, Resolution};

use super::local::{Scan, scans};
use super::{Partial, Question, Reader, Work};
use crate::error::QueryError;
use crate::limits::Share;

/// Bytes that a chunk has, about.
const CHUNK_BYTES: usize = 256;
/// What is made large at once goes no further than this: of a series there may be little.
const ARENA_BYTES_EXPECTED: usize = 4 << 20;
const HOURS_EXPECTED: usize = 32;

/// The points of one series in one hour.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Where its chunk lies in the arena.
    Chunk {
        hour: Hour,
        bytes: Range<usize>,
    },
    Points(Points),
}

impl Piece {
    /// No point of it is earlier, and none of an earlier piece is later, ms.
    fn start(&self) -> i64 {
        match self {
            Self::Chunk { hour, .. } => hour.start().0,
            Self::Points(points) => points.timestamps.first().copied().unwrap_or(i64::MIN),
        }
    }
}

/// Pieces of some neighbouring series.
#[derive(Debug)]
pub(crate) struct Encoded {
    first_series: usize,
    arena: Vec<u8>,
    /// By series; of each in order of time.
    pieces: Vec<Vec<Piece>>,
    /// Memory of pieces that hold points.
    points_bytes: usize,
    share: Share,
}

impl Encoded {
    /// For so many hours.
    pub(crate) fn new(reader: &Reader, series: &Range<usize>, hours: usize) -> Self {
        let pieces: Vec<Vec<Piece>> = series.clone().map(|_| Vec::with_capacity(hours.min(HOURS_EXPECTED))).collect();
        // Made large at once, since growing copies what is there.
        let arena = Vec::with_capacity(
            pieces.len().saturating_mul(hours).saturating_mul(CHUNK_BYTES).min(ARENA_BYTES_EXPECTED),
        );
        Self { first_series: series.start, arena, pieces, points_bytes: 0, share: reader.budget.share() }
    }

    /// The pieces of a series, by its position in the selection.
    pub(crate) fn pieces(&self, series: usize) -> &[Piece] {
        &self.pieces[series - self.first_series]
    }

    pub(crate) fn chunk(&self, bytes: &Range<usize>) -> &[u8] {
        &self.arena[bytes.clone()]
    }

    /// Adds points that are later than all before.
    pub(crate) fn push_points(&mut self, series: usize, points: Points) {
        self.points_bytes += points.heap_bytes();
        self.pieces[series - self.first_series].push(Piece::Points(points));
    }

    fn push_chunk(&mut self, series: usize, hour: Hour, chunk: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(chunk);
        let bytes = start..self.arena.len();
        self.pieces[series - self.first_series].push(Piece::Chunk { hour, bytes });
    }

    /// Brings the pieces of each series into the order of time: an hour of Delta may follow one that is local.
    pub(crate) fn in_order(&mut self) {
        for pieces in &mut self.pieces {
            if !pieces.is_sorted_by_key(Piece::start) {
                pieces.sort_by_key(Piece::start);
            }
        }
    }

    /// Takes what is held from the memory of the query.
    pub(crate) fn account(&mut self) -> Result<(), QueryError> {
        let pieces: usize = self.pieces.iter().map(|pieces| pieces.capacity() * size_of::<Piece>()).sum();
        self.share.resize(self.arena.capacity() + self.points_bytes + pieces)
    }

    /// Adds the raw points of those local hours that are needed.
    pub(crate) fn read(
        &mut self,
        reader: &Reader,
        question: &Question,
        work: &Work,
        is_needed: impl Fn(Hour) -> bool,
    ) -> Result<(), QueryError> {
        for hour in question.hours.within(work.hours).filter(|&hour| is_needed(hour)) {
            reader.stop.check()?;
            reader.provenance.tally.visited();
            let scans = scans(reader, question, work, hour);
            for scan in scans.iter().filter(|scan| scan.source.resolution == Resolution::Raw) {
                HourOf { reader, question, hour, scan }.read(self)?;
            }
            self.account()?;
        }
        Ok(())
    }
}

/// Raw points of some series in one local hour.
struct HourOf<'a> {
    reader: &'a Reader,
    question: &'a Question,
    hour: Hour,
    scan: &'a Scan,
}

impl HourOf<'_> {
    fn read(&self, out: &mut Encoded) -> Result<(), QueryError> {
        let view = &self.reader.view;
        let through = view.map().sealed_through(self.hour);
        let newer = match view.overlay(self.hour, through).map_err(QueryError::hot)? {
            Some(overlay) => self.newer(&overlay)?,
            None => Vec::new(),
        };
        if through == Epoch::ZERO {
            for (series, points) in newer {
                out.push_points(series, points);
            }
            return Ok(());
        }
        self.base(newer, out)
    }

    fn newer(&self, overlay: &Overlay<'_>) -> Result<Vec<(usize, Points)>, QueryError> {
        let mut newer = Vec::new();
        let first = self.scan.series.start;
        let addresses = &self.question.selection.addresses()[self.scan.series.clone()];
        let stats = overlay
            .read(addresses, &mut |at, points| newer.push((first + at, points.clone())))
            .map_err(QueryError::hot)?;
        self.reader.provenance.tally.scanned(Tier::Hot, stats);
        Ok(newer)
    }

    /// The base, with newer points (by series, ascending) merged in where there are any.
    fn base(&self, newer: Vec<(usize, Points)>, out: &mut Encoded) -> Result<(), QueryError> {
        let first = self.scan.series.start;
        let addresses = &self.question.selection.addresses()[self.scan.series.clone()];
        let mut newer = newer.into_iter().peekable();
        let mut decoder = ChunkDecoder::default();
        let mut damaged = None;
        let stats = self.reader.view.scan_chunks(self.hour, addresses, &mut |at, chunk| {
            let series = first + at;
            while let Some((before, points)) = newer.next_if(|(touched, _)| *touched < series) {
                out.push_points(before, points);
            }
            match newer.next_if(|(touched, _)| *touched == series) {
                None => out.push_chunk(series, self.hour, chunk),
                Some((_, points)) => {
                    let mut base = Points::default();
                    match decoder.decode(chunk, &mut base) {
                        Ok(()) => out.push_points(series, base.overlaid_with(&points)),
                        Err(error) => damaged = Some((at, error)),
                    }
                }
            }
        });
        self.reader.provenance.tally.scanned(self.scan.source.tier, stats.map_err(QueryError::hot)?);
        if let Some((at, error)) = damaged {
            return Err(QueryError::hot(self.reader.view.damaged_chunk(self.hour, addresses[at], error)));
        }
        for (series, points) in newer {
            out.push_points(series, points);
        }
        Ok(())
    }
}
