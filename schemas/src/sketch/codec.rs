//! Bytes of a sketch inside a stored row; see `docs/formats/sketch.md`. The row around it carries the checksum.
//!
//! head (scale, what follows) · zero, NaN, ±∞ counts · positive bins · negative bins; an ordinary bin takes one byte

use thiserror::Error;

use super::bins::Bins;
use super::{MAX_BINS, MIN_SCALE, Sketch};
use crate::varint::{ReadError, Reader, put_ivarint, put_uvarint};

const HEAD_SCALE: u8 = 0x0f;
const HEAD_POSITIVE: u8 = 0x10;
const HEAD_NEGATIVE: u8 = 0x20;
const HEAD_ZERO: u8 = 0x40;
const HEAD_RARE: u8 = 0x80;

/// A bin's byte: the gap to the bin before in the high three bits, the count below, both less one; the greatest
/// number of each says that the rest follows as an integer.
const GAP_SHIFT: u32 = 5;
const GAP_ESCAPE: u64 = 7;
const COUNT_ESCAPE: u64 = 31;

/// Why bytes or columns are not a sketch.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SketchError {
    #[error("sketch has scale {found}")]
    Scale { found: i32 },
    #[error("sketch has impossible bins")]
    Bins,
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Sketch {
    /// Appends the bytes of this sketch.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let rare = [self.nan_count, self.positive_infinity, self.negative_infinity];
        let flag = |present: bool, bit: u8| if present { bit } else { 0 };
        let scale = u8::try_from(self.scale - MIN_SCALE).expect("scales start at the least");
        let head = scale
            | flag(self.positive.len() > 0, HEAD_POSITIVE)
            | flag(self.negative.len() > 0, HEAD_NEGATIVE)
            | flag(self.zero_count > 0, HEAD_ZERO)
            | flag(rare.iter().any(|&count| count > 0), HEAD_RARE);
        out.push(head);
        if head & HEAD_ZERO != 0 {
            put_uvarint(out, self.zero_count);
        }
        if head & HEAD_RARE != 0 {
            rare.iter().for_each(|&count| put_uvarint(out, count));
        }
        for bins in [&self.positive, &self.negative] {
            if bins.len() > 0 {
                put_bins(out, bins);
            }
        }
    }

    /// Reads a sketch from the front of what is left.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let head = reader.u8()?;
        let scale = i8::try_from(head & HEAD_SCALE).expect("four bits") + MIN_SCALE;
        if scale > super::MAX_SCALE {
            return Err(SketchError::Scale { found: i32::from(scale) });
        }
        let mut sketch = Self { scale, ..Self::default() };
        if head & HEAD_ZERO != 0 {
            sketch.zero_count = reader.uvarint()?;
        }
        if head & HEAD_RARE != 0 {
            sketch.nan_count = reader.uvarint()?;
            sketch.positive_infinity = reader.uvarint()?;
            sketch.negative_infinity = reader.uvarint()?;
        }
        if head & HEAD_POSITIVE != 0 {
            sketch.positive = read_bins(reader)?;
        }
        if head & HEAD_NEGATIVE != 0 {
            sketch.negative = read_bins(reader)?;
        }
        sketch.checked()
    }
}

fn put_bins(out: &mut Vec<u8>, bins: &Bins) {
    put_uvarint(out, bins.len() as u64);
    let mut previous = None;
    for (index, count) in bins.iter() {
        let gap = match previous {
            None => {
                put_ivarint(out, i64::from(index));
                0
            }
            Some(previous) => u64::from(index.abs_diff(previous)) - 1,
        };
        previous = Some(index);
        let count = count - 1;
        let byte = gap.min(GAP_ESCAPE) << GAP_SHIFT | count.min(COUNT_ESCAPE);
        out.push(u8::try_from(byte).expect("three and five bits"));
        if gap >= GAP_ESCAPE {
            put_uvarint(out, gap - GAP_ESCAPE);
        }
        if count >= COUNT_ESCAPE {
            put_uvarint(out, count - COUNT_ESCAPE);
        }
    }
}

fn read_bins(reader: &mut Reader<'_>) -> Result<Bins, SketchError> {
    let len = usize::try_from(reader.uvarint()?).ok().filter(|len| (1..=MAX_BINS).contains(len));
    let len = len.ok_or(SketchError::Bins)?;
    let mut bins = Bins::with_capacity(len);
    let mut index = i32::try_from(reader.ivarint()?).map_err(|_| SketchError::Bins)?;
    for nth in 0..len {
        let byte = u64::from(reader.u8()?);
        let mut escaped = |short: u64, escape: u64| match short {
            short if short == escape => reader.uvarint()?.checked_add(escape).ok_or(SketchError::Bins),
            short => Ok(short),
        };
        let gap = escaped(byte >> GAP_SHIFT, GAP_ESCAPE)?;
        let count = escaped(byte & COUNT_ESCAPE, COUNT_ESCAPE)?.checked_add(1).ok_or(SketchError::Bins)?;
        if nth > 0 {
            let step = i32::try_from(gap).ok().and_then(|gap| gap.checked_add(1));
            index = step.and_then(|step| index.checked_add(step)).ok_or(SketchError::Bins)?;
        }
        if index == super::INFINITY_INDEX {
            return Err(SketchError::Bins);
        }
        bins.push(index, count);
    }
    Ok(bins)
}
