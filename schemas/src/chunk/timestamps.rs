//! The timestamps of a chunk: nothing but the interval where it is constant, which is the usual case.

use super::format_error::FormatError;
use super::ints::{IntEncoder, LIMIT, read_ints};
use crate::varint::{Reader, put_ivarint, put_uvarint};

/// How a chunk's timestamps are written; its code is in the flags of the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// All `interval_ms` apart.
    Constant { interval_ms: u64 },
    /// Distances to the first, as a stream of integers.
    Irregular { span_ms: u64 },
    /// Distances too wide for a stream, as plain integers.
    Huge { span_ms: u64 },
}

impl Spacing {
    pub(super) const CONSTANT: u8 = 0;
    pub(super) const IRREGULAR: u8 = 1;
    pub(super) const HUGE: u8 = 2;

    /// The spacing of sorted unique timestamps.
    pub(super) fn of(timestamps: &[i64]) -> Self {
        let (first, last) = (timestamps[0], timestamps[timestamps.len() - 1]);
        let span_ms = last.wrapping_sub(first).cast_unsigned();
        let interval = timestamps.get(1).map_or(0, |second| second.wrapping_sub(first));
        if timestamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == interval) {
            return Self::Constant { interval_ms: interval.cast_unsigned() };
        }
        if span_ms < LIMIT.cast_unsigned() { Self::Irregular { span_ms } } else { Self::Huge { span_ms } }
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Constant { .. } => Self::CONSTANT,
            Self::Irregular { .. } => Self::IRREGULAR,
            Self::Huge { .. } => Self::HUGE,
        }
    }

    /// Appends the part that the header holds.
    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Constant { interval_ms: number }
            | Self::Irregular { span_ms: number }
            | Self::Huge { span_ms: number } => {
                put_uvarint(out, number);
            }
        }
    }

    pub(super) fn read(code: u8, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let number = reader.uvarint()?;
        match code {
            Self::CONSTANT => Ok(Self::Constant { interval_ms: number }),
            Self::IRREGULAR => Ok(Self::Irregular { span_ms: number }),
            Self::HUGE => Ok(Self::Huge { span_ms: number }),
            _ => Err(FormatError::Impossible("timestamp spacing")),
        }
    }

    /// The last of `count` timestamps.
    pub(super) fn last_ms(self, first_ms: i64, count: usize) -> i64 {
        match self {
            Self::Constant { interval_ms } => {
                first_ms.wrapping_add(interval_ms.wrapping_mul(count.saturating_sub(1) as u64).cast_signed())
            }
            Self::Irregular { span_ms } | Self::Huge { span_ms } => first_ms.wrapping_add(span_ms.cast_signed()),
        }
    }
}

/// Writes the timestamp block of a chunk.
#[derive(Debug, Default)]
pub(super) struct TimestampEncoder {
    distances: Vec<i64>,
    stream: IntEncoder,
}

impl TimestampEncoder {
    pub(super) fn put_body(&mut self, spacing: Spacing, timestamps: &[i64], out: &mut Vec<u8>) {
        let first = timestamps[0];
        match spacing {
            Spacing::Constant { .. } => {}
            Spacing::Irregular { .. } => {
                self.distances.clear();
                self.distances.extend(timestamps.iter().map(|ts| ts - first));
                self.stream.plan(&self.distances);
                self.stream.put(out);
            }
            Spacing::Huge { .. } => {
                timestamps.windows(2).for_each(|pair| put_ivarint(out, pair[1].wrapping_sub(pair[0])));
            }
        }
    }
}

/// Appends `count` timestamps, which rise and end where the header says, or fails.
pub(super) fn read_timestamps(
    reader: &mut Reader<'_>,
    spacing: Spacing,
    first_ms: i64,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), FormatError> {
    let start = out.len();
    match spacing {
        Spacing::Constant { interval_ms } => {
            let mut next = first_ms;
            out.extend((0..count).map(|_| {
                let ts = next;
                next = next.wrapping_add(interval_ms.cast_signed());
                ts
            }));
        }
        Spacing::Irregular { .. } => {
            out.resize(start + count, 0);
            let timestamps = &mut out[start..];
            read_ints(reader, 0, timestamps)?;
            timestamps.iter_mut().for_each(|ts| *ts = ts.wrapping_add(first_ms));
        }
        Spacing::Huge { .. } => {
            out.push(first_ms);
            let mut last = first_ms;
            for _ in 1..count {
                last = last.wrapping_add(reader.ivarint()?);
                out.push(last);
            }
        }
    }
    let timestamps = &out[start..];
    let rising = match spacing {
        Spacing::Constant { interval_ms } => {
            // One check for all: the whole way is as long as its steps.
            let span = u128::from(interval_ms) * (count as u128 - 1);
            let room = (i128::from(i64::MAX) - i128::from(first_ms)).unsigned_abs();
            (interval_ms > 0 || count == 1) && span <= room
        }
        Spacing::Irregular { .. } | Spacing::Huge { .. } => timestamps.windows(2).all(|pair| pair[0] < pair[1]),
    };
    if rising && timestamps.last() == Some(&spacing.last_ms(first_ms, count)) {
        Ok(())
    } else {
        Err(FormatError::Impossible("timestamps"))
    }
}
