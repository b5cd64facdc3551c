//! Chunks: the points of one series over a span of time, compressed without loss.
//!
//! points ─▶ header with statistics · timestamps · values · crc32c ─▶ bytes ─▶ the same points, bit for bit
//!
//! *Values* that are decimal fractions become integers, their differences of the order that suits them, and bits in blocks of
//! 32; others keep the bits in which neighbours differ. Decimal is taken only where dividing gives back
//! the very same double, so −0, NaN payloads, ±∞ and subnormals survive. *Timestamps* at a constant interval cost
//! nothing. *Statistics* are the moments of the floats, so that a chunk inside one window need not be decoded. *Native
//! histograms*, if there are any, follow the column of floats, in which their stand-ins keep their places.
//!
//! The same points give the same bytes (SEAL-1). Bytes from outside never panic: the checksum is verified before anything
//! else, and what passes it is still distrusted. The format is described in `docs/formats/chunk.md`.
//! Not here: which chunks overlap, and who wins there (`hot`).

mod bitpack;
pub(crate) mod column;
mod decimal;
pub(crate) mod format_error;
mod header;
mod histograms;
pub(crate) mod ints;
#[cfg(test)]
mod tests;
mod timestamps;
mod xor;

pub use format_error::FormatError;
pub use header::ChunkHeader;

use thiserror::Error;

use crate::points::{Histograms, Points, is_histogram};
use crate::rollup::Moments;
use crate::varint::Reader;
use column::{ColumnDecoder, ColumnEncoder};
use timestamps::{Spacing, TimestampEncoder, read_timestamps};

/// The first byte of every chunk.
pub const VERSION: u8 = 1;
/// The second byte: all points are floats.
pub const KIND_FLOAT: u8 = 0;
/// The second byte: some points are native histograms.
pub const KIND_HISTOGRAMS: u8 = 1;
/// The most points that a chunk holds: an hour has no more timestamps.
pub const MAX_POINTS: usize = 3_600_000;

const CHECKSUM_BYTES: usize = 4;

/// Why bytes are not a chunk.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ChunkError {
    /// The bytes were changed or cut after they were written.
    #[error("chunk has checksum {found:08x}, but {expected:08x} was written")]
    Checksum { expected: u32, found: u32 },
    /// Written by a newer Thermocline.
    #[error("chunk has version {found}, which this version of thermocline does not know")]
    Version { found: u8 },
    /// Points of a kind that this version does not know.
    #[error("chunk holds points of kind {found}, which this version of thermocline does not know")]
    Kind { found: u8 },
    /// Checked bytes that no encoder writes.
    #[error("chunk is malformed: {0}")]
    Malformed(#[from] FormatError),
}

/// Writes chunks. Reuse one to save allocations; what it wrote before has no influence.
#[derive(Debug, Default)]
pub struct ChunkEncoder {
    timestamps: TimestampEncoder,
    column: ColumnEncoder,
}

impl ChunkEncoder {
    /// Appends the chunk of these floats to `out`: 1 to [`MAX_POINTS`], timestamps (ms) sorted and unique, any values.
    ///
    /// # Panics
    /// If there are no points or too many, or the columns differ in length.
    pub fn encode(&mut self, timestamps: &[i64], values: &[f64], out: &mut Vec<u8>) {
        self.encode_with(timestamps, values, &Histograms::default(), out);
    }

    /// Appends the chunk of the points of `points` at `indexes` to `out`, as [`ChunkEncoder::encode`] does.
    pub fn encode_points(&mut self, points: &Points, indexes: std::ops::Range<usize>, out: &mut Vec<u8>) {
        let (timestamps, values) = (&points.timestamps[indexes.clone()], &points.values[indexes]);
        self.encode_with(timestamps, values, &points.histograms, out);
    }

    /// `histograms` may have more than those of these points.
    fn encode_with(&mut self, timestamps: &[i64], values: &[f64], histograms: &Histograms, out: &mut Vec<u8>) {
        assert!((1..=MAX_POINTS).contains(&timestamps.len()), "a chunk has points, and not too many");
        debug_assert!(timestamps.windows(2).all(|pair| pair[0] < pair[1]), "timestamps are sorted and unique");
        let start = out.len();
        let moments = Moments::from_points(timestamps, values);
        let stand_ins = match moments.count == values.len() as u64 {
            true => 0,
            false => values.iter().filter(|&&value| is_histogram(value)).count() as u64,
        };
        let spacing = Spacing::of(timestamps);
        let column = self.column.plan(values);
        header::put(out, timestamps, spacing, column, &moments, stand_ins);
        self.timestamps.put_body(spacing, timestamps, out);
        self.column.put_body(column, out);
        if stand_ins > 0 {
            histograms::put(timestamps, values, histograms, out);
        }
        let checksum = checksum(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }
}

/// Reads chunks. Reuse one to save allocations.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    column: ColumnDecoder,
    whole: Points,
}

impl ChunkDecoder {
    /// Appends all points of a chunk to `out`; on an error `out` is as before.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Points) -> Result<(), ChunkError> {
        let before = out.len();
        let result = self.decode_into(bytes, out);
        if result.is_err() {
            out.timestamps.truncate(before);
            out.values.truncate(before);
        }
        result
    }

    /// Appends the points of a chunk in `[start_ms, end_ms)` to `out`; on an error `out` is as before.
    pub fn decode_range(
        &mut self,
        bytes: &[u8],
        start_ms: i64,
        end_ms: i64,
        out: &mut Points,
    ) -> Result<(), ChunkError> {
        let header = read_header(bytes)?;
        if start_ms <= header.first_ms && header.last_ms < end_ms {
            return self.decode(bytes, out);
        }
        if start_ms > header.last_ms || end_ms <= header.first_ms {
            return checked_body(bytes).map(drop);
        }
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        let result = self.decode_into(bytes, &mut whole);
        if result.is_ok() {
            out.extend_from_range(&whole, whole.index_range(start_ms, end_ms));
        }
        self.whole = whole;
        result
    }

    fn decode_into(&mut self, bytes: &[u8], out: &mut Points) -> Result<(), ChunkError> {
        let mut reader = Reader::new(checked_body(bytes)?);
        let layout = header::read(&mut reader)?;
        let points = layout.header.points as usize;
        let before = out.len();
        read_timestamps(&mut reader, layout.spacing, layout.header.first_ms, points, &mut out.timestamps)?;
        self.column.read_body(layout.column, &mut reader, points, &mut out.values)?;
        let histograms = match layout.header.histograms {
            0 => Vec::new(),
            _ => histograms::read(&mut reader, &out.timestamps[before..], &out.values[before..])?,
        };
        if !reader.is_empty() {
            return Err(FormatError::Impossible("trailing bytes").into());
        }
        // Last, since what they replace could not be brought back.
        for (timestamp_ms, histogram) in histograms {
            out.histograms.insert(timestamp_ms, histogram);
        }
        Ok(())
    }
}

/// What a chunk says of itself, without decoding it and without verifying its checksum.
pub fn read_header(bytes: &[u8]) -> Result<ChunkHeader, ChunkError> {
    Ok(header::read(&mut Reader::new(bytes))?.header)
}

/// The checksum of a chunk's bytes but the last four, which hold it.
pub fn checksum(body: &[u8]) -> u32 {
    crc32c::crc32c(body)
}

/// The bytes before the checksum, if it is right.
fn checked_body(bytes: &[u8]) -> Result<&[u8], ChunkError> {
    let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(ChunkError::Checksum { expected: 0, found: checksum(bytes) });
    };
    let (expected, found) = (u32::from_le_bytes(*stored), checksum(body));
    if expected == found { Ok(body) } else { Err(ChunkError::Checksum { expected, found }) }
}
