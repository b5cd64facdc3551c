//! The parts that a row is made of: masks of buckets, and columns of the integers or doubles that those buckets have.

use crate::chunk::FormatError;
use crate::chunk::column::{ColumnDecoder, ColumnEncoder, ColumnHead, read_single};
use crate::chunk::ints::{IntEncoder, LIMIT, read_ints};
use crate::varint::{Reader, put_ivarint};

const MASK_NONE: u8 = 0;
const MASK_ALL: u8 = 1;
const MASK_SOME: u8 = 2;

/// Which of some buckets have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mask(u64);

impl Mask {
    pub(super) fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The same, as positions of all buckets, of a mask of those that `outer` has.
    pub(super) fn within(self, outer: Self) -> Self {
        if self.0 == 0 {
            return self;
        }
        if self.0 == all(outer.count()) {
            return outer;
        }
        let ones = outer.ones().enumerate().filter(|(nth, _)| self.0 >> nth & 1 == 1);
        Self(ones.fold(0, |bits, (_, slot)| bits | 1 << slot))
    }

    /// The positions that have something, rising.
    pub(super) fn ones(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            (left != 0).then(|| {
                let next = left.trailing_zeros() as usize;
                left &= left - 1;
                next
            })
        })
    }
}

/// Appends which of at most 64 buckets have something: one byte if all or none do. Without buckets, nothing.
pub(super) fn put_mask(out: &mut Vec<u8>, present: impl Iterator<Item = bool>) {
    let (bits, len) = present.fold((0_u64, 0), |(bits, len), here| (bits | u64::from(here) << len, len + 1));
    if len == 0 {
        return;
    }
    if bits == 0 {
        out.push(MASK_NONE);
    } else if bits == all(len) {
        out.push(MASK_ALL);
    } else {
        out.push(MASK_SOME);
        out.extend_from_slice(&bits.to_le_bytes()[..len.div_ceil(8)]);
    }
}

/// Reads a mask of `len` buckets, at most 64.
pub(super) fn read_mask(reader: &mut Reader<'_>, len: usize) -> Result<Mask, FormatError> {
    if len == 0 {
        return Ok(Mask(0));
    }
    match reader.u8()? {
        MASK_NONE => Ok(Mask(0)),
        MASK_ALL => Ok(Mask(all(len))),
        MASK_SOME => {
            let mut bits = [0_u8; 8];
            bits[..len.div_ceil(8)].copy_from_slice(reader.take(len.div_ceil(8))?);
            let bits = u64::from_le_bytes(bits);
            if bits == 0 || bits >= all(len) { Err(FormatError::Impossible("mask")) } else { Ok(Mask(bits)) }
        }
        _ => Err(FormatError::Impossible("mask")),
    }
}

/// `len` ones.
fn all(len: usize) -> u64 {
    u64::MAX >> (64 - len)
}

/// Writes columns. Columns without elements take no bytes.
#[derive(Debug, Default)]
pub(super) struct ColumnWriter {
    doubles: Vec<f64>,
    ints: Vec<i64>,
    column: ColumnEncoder,
    stream: IntEncoder,
}

impl ColumnWriter {
    pub(super) fn put_doubles(&mut self, values: impl Iterator<Item = f64>, out: &mut Vec<u8>) {
        self.doubles.clear();
        self.doubles.extend(values);
        if !self.doubles.is_empty() {
            let head = self.column.plan(&self.doubles);
            head.put(out);
            self.column.put_body(head, out);
        }
    }

    /// Integers are clamped to ±2^51, which counts and offsets in an hour never reach.
    pub(super) fn put_ints(&mut self, values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
        self.ints.clear();
        self.ints.extend(values.map(|int| int.clamp(-LIMIT, LIMIT)));
        if let Some(&first) = self.ints.first() {
            put_ivarint(out, first);
            self.stream.plan(&self.ints);
            self.stream.put(out);
        }
    }
}

/// Reads columns that [`ColumnWriter`] wrote.
#[derive(Debug, Default)]
pub(super) struct ColumnReader {
    doubles: Vec<f64>,
    ints: Vec<i64>,
    column: ColumnDecoder,
}

impl ColumnReader {
    /// Gives each value of a column to the bucket that it is of.
    #[inline]
    pub(super) fn doubles(
        &mut self,
        reader: &mut Reader<'_>,
        of: Mask,
        mut set: impl FnMut(usize, f64),
    ) -> Result<(), FormatError> {
        if of.0 == 0 {
            return Ok(());
        }
        if of.count() == 1 {
            set(of.0.trailing_zeros() as usize, read_single(reader)?);
            return Ok(());
        }
        self.doubles.clear();
        let head = ColumnHead::read(reader)?;
        self.column.read_body(head, reader, of.count(), &mut self.doubles)?;
        of.ones().zip(&self.doubles).for_each(|(slot, &value)| set(slot, value));
        Ok(())
    }

    /// As [`ColumnReader::doubles`]; stops at what `set` refuses.
    #[inline]
    pub(super) fn ints(
        &mut self,
        reader: &mut Reader<'_>,
        of: Mask,
        mut set: impl FnMut(usize, i64) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        if of.0 == 0 {
            return Ok(());
        }
        let first = reader.ivarint()?;
        if of.count() == 1 {
            return set(of.0.trailing_zeros() as usize, first);
        }
        self.ints.clear();
        self.ints.resize(of.count(), 0);
        read_ints(reader, first, &mut self.ints)?;
        of.ones().zip(&self.ints).try_for_each(|(slot, &int)| set(slot, int))
    }
}
