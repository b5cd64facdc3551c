//! A log record: the points of one append, column by column (`docs/formats/log.md`).
//!
//! sids, timestamps, values ─▶ version, kind, count, runs of sid deltas, runs of timestamp deltas of deltas, raw f64,
//! histograms if there are any, crc32c ─▶ the same columns in the same order
//!
//! Points keep their arrival order, which decides who wins (SET-1). A steady sender's sids and timestamps cost nearly
//! nothing, so a point takes little over eight bytes. Encoding is one pass, since it stands in the way of every append.

use std::sync::Arc;

use thiserror::Error;

use crate::chunk::FormatError;
use crate::histogram::{Histogram, codec};
use crate::ids::Sid;
use crate::points::{float_of_sender, is_histogram};
use crate::varint::{ReadError, Reader, put_f64, put_ivarint, put_uvarint};

/// The first byte of every record.
pub const VERSION: u8 = 1;
/// The second byte: all points are floats.
pub const KIND_FLOAT: u8 = 0;
/// The second byte: some points are native histograms.
pub const KIND_HISTOGRAMS: u8 = 1;

const CHECKSUM_BYTES: usize = 4;

/// Why bytes are not a log record.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum LogRecordError {
    #[error("log record has checksum {found:08x}, but {expected:08x} was written")]
    Checksum { expected: u32, found: u32 },
    #[error("log record has version {found}, which this version of thermocline does not know")]
    Version { found: u8 },
    #[error("log record holds points of kind {found}, which this version of thermocline does not know")]
    Kind { found: u8 },
    #[error("log record is malformed: {0}")]
    Read(#[from] ReadError),
    #[error("log record is malformed: its columns do not hold {count} points")]
    Count { count: u64 },
    #[error("log record is malformed: a series number is out of range")]
    Sid,
    #[error("log record is malformed: a histogram: {0}")]
    Histogram(FormatError),
}

/// The columns of a record, in arrival order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogPoints {
    pub sids: Vec<Sid>,
    /// In ms.
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    /// Of each value that stands for a native histogram, in order.
    pub histograms: Vec<Arc<Histogram>>,
}

impl LogPoints {
    pub fn clear(&mut self) {
        self.sids.clear();
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Appends the record of these points to `out`; `histograms` are those that values stand for, in order.
///
/// # Panics
/// If the columns differ in length, or there are not as many histograms as values that stand for one.
pub fn encode(sids: &[Sid], timestamps: &[i64], values: &[f64], histograms: &[Arc<Histogram>], out: &mut Vec<u8>) {
    assert!(sids.len() == timestamps.len() && sids.len() == values.len(), "one sid, one timestamp, one value a point");
    let start = out.len();
    out.reserve(values.len() * 8 + values.len() / 2 + 32);
    out.extend_from_slice(&[VERSION, if histograms.is_empty() { KIND_FLOAT } else { KIND_HISTOGRAMS }]);
    put_uvarint(out, values.len() as u64);
    let mut before = 0;
    put_runs(
        out,
        sids.iter().map(|sid| {
            let delta = i64::from(sid.0) - before;
            before = i64::from(sid.0);
            delta
        }),
    );
    let (mut before, mut delta_before) = (0_i64, 0_i64);
    put_runs(
        out,
        timestamps.iter().map(|&ts| {
            let delta = ts.wrapping_sub(before);
            let change = delta.wrapping_sub(delta_before);
            (before, delta_before) = (ts, delta);
            change
        }),
    );
    for &value in values {
        put_f64(out, value);
    }
    if !histograms.is_empty() {
        let stand_ins = values.iter().filter(|&&value| is_histogram(value)).count();
        assert_eq!(stand_ins, histograms.len(), "one histogram a value that stands for one");
        histograms.iter().for_each(|histogram| codec::put(histogram, None, out));
    }
    let checksum = checksum(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The checksum of a record's bytes but the last four, which hold it.
pub fn checksum(body: &[u8]) -> u32 {
    crc32c::crc32c(body)
}

/// Replaces what is in `out` by the points of a record.
pub fn decode(bytes: &[u8], out: &mut LogPoints) -> Result<(), LogRecordError> {
    out.clear();
    let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(ReadError::Truncated { at: bytes.len() })?;
    let (body, written) = bytes.split_at(split);
    let expected = u32::from_le_bytes(written.try_into().expect("split off four bytes"));
    let found = checksum(body);
    if expected != found {
        return Err(LogRecordError::Checksum { expected, found });
    }
    let mut reader = Reader::new(body);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(LogRecordError::Version { found: version });
    }
    let kind = reader.u8()?;
    let has_histograms = match kind {
        KIND_FLOAT => false,
        KIND_HISTOGRAMS => true,
        found => return Err(LogRecordError::Kind { found }),
    };
    let count = reader.uvarint()?;
    // Each value takes eight bytes, so the count of an intact record is bounded by its length.
    let points = usize::try_from(count).ok().filter(|&n| n <= body.len() / 8).ok_or(LogRecordError::Count { count })?;
    read_columns(&mut reader, points, out)?;
    if has_histograms {
        read_histograms(&mut reader, out)?;
    } else {
        // Written before histograms were, when a sender's float could have any bits.
        out.values.iter_mut().for_each(|value| *value = float_of_sender(*value));
    }
    if reader.is_empty() { Ok(()) } else { Err(LogRecordError::Count { count }) }
}

fn read_histograms(reader: &mut Reader<'_>, out: &mut LogPoints) -> Result<(), LogRecordError> {
    for _ in out.values.iter().filter(|&&value| is_histogram(value)) {
        out.histograms.push(Arc::new(codec::read(reader, None).map_err(LogRecordError::Histogram)?));
    }
    Ok(())
}

fn read_columns(reader: &mut Reader<'_>, points: usize, out: &mut LogPoints) -> Result<(), LogRecordError> {
    out.sids.reserve(points);
    let mut sid = 0_i64;
    read_runs(reader, points, |delta| {
        sid = sid.checked_add(delta).ok_or(LogRecordError::Sid)?;
        out.sids.push(Sid(u32::try_from(sid).map_err(|_| LogRecordError::Sid)?));
        Ok(())
    })?;
    out.timestamps.reserve(points);
    let (mut ts, mut delta) = (0_i64, 0_i64);
    read_runs(reader, points, |change| {
        delta = delta.wrapping_add(change);
        ts = ts.wrapping_add(delta);
        out.timestamps.push(ts);
        Ok(())
    })?;
    out.values.reserve(points);
    for _ in 0..points {
        out.values.push(reader.f64()?);
    }
    Ok(())
}

/// Writes numbers as (number, how often) pairs.
fn put_runs(out: &mut Vec<u8>, mut numbers: impl Iterator<Item = i64>) {
    let Some(mut current) = numbers.next() else { return };
    let mut repeats = 1_u64;
    for number in numbers {
        if number == current {
            repeats += 1;
        } else {
            put_ivarint(out, current);
            put_uvarint(out, repeats);
            (current, repeats) = (number, 1);
        }
    }
    put_ivarint(out, current);
    put_uvarint(out, repeats);
}

/// Reads pairs until they make up exactly `points` numbers.
fn read_runs(
    reader: &mut Reader<'_>,
    points: usize,
    mut each: impl FnMut(i64) -> Result<(), LogRecordError>,
) -> Result<(), LogRecordError> {
    let mut left = points as u64;
    while left > 0 {
        let number = reader.ivarint()?;
        let repeats = reader.uvarint()?;
        if repeats == 0 || repeats > left {
            return Err(LogRecordError::Count { count: points as u64 });
        }
        left -= repeats;
        for _ in 0..repeats {
            each(number)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
