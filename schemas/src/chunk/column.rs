//! A column of doubles, lossless bit for bit.
//!
//! doubles ─▶ decimals as integers, the odd ones out as exceptions │ or bits ─▶ repeats left out, if that pays ─▶ stream
//!
//! A column is a head (mode, places, first value) and a body, so that a chunk can put its statistics, which are written
//! relative to the head, between them. The choice between decimal and XOR is by exact size and depends on nothing
//! but the values (SEAL-1).

use super::decimal::Places;
use super::format_error::FormatError;
use super::ints::{IntEncoder, read_ints};
use super::xor::{put_xor, read_xor, xor_len};
use crate::varint::{Reader, ivarint_len, put_ivarint, put_uvarint};

const MODE_PLACES: u8 = 0x0f;
const MODE_XOR: u8 = 0x10;
const MODE_REPEATS: u8 = 0x20;
const MODE_EXCEPTIONS: u8 = 0x40;

/// Values looked at to guess the decimal places of a column.
const SAMPLES: usize = 16;
/// Bytes of an exception, its position included, for planning.
const EXCEPTION_BYTES: usize = 9;
/// Decimal streams up to this many bytes a value, with at most one exception in so many values, are taken without
/// trying XOR.
const CLEARLY_DECIMAL_BYTES: usize = 4;
const CLEARLY_DECIMAL_VALUES: usize = 32;

/// The first value of a column, and how all of them are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnHead {
    form: Form,
    repeats: bool,
    exceptions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal { places: Places, first: i64 },
    Xor { first: u64 },
}

impl ColumnHead {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let flags = if self.repeats { MODE_REPEATS } else { 0 } | if self.exceptions { MODE_EXCEPTIONS } else { 0 };
        match self.form {
            Form::Decimal { places, first } => {
                out.push(flags | places.get());
                put_ivarint(out, first);
            }
            Form::Xor { first } => {
                out.push(flags | MODE_XOR);
                out.extend_from_slice(&first.to_le_bytes());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mode = reader.u8()?;
        let (repeats, exceptions) = (mode & MODE_REPEATS != 0, mode & MODE_EXCEPTIONS != 0);
        let form = match mode & !(MODE_REPEATS | MODE_EXCEPTIONS) {
            MODE_XOR => Form::Xor { first: reader.u64_le()? },
            places if places <= MODE_PLACES => {
                let places = Places::new(places).ok_or(FormatError::Impossible("decimal places"))?;
                Form::Decimal { places, first: reader.ivarint()? }
            }
            _ => return Err(FormatError::Impossible("column mode")),
        };
        if exceptions && matches!(form, Form::Xor { .. }) {
            return Err(FormatError::Impossible("column mode"));
        }
        Ok(Self { form, repeats, exceptions })
    }

    /// The integer of `value` relative to the column's first, if the column is decimal and an integer stands for it.
    pub(crate) fn to_relative(self, value: f64) -> Option<i64> {
        match self.form {
            Form::Decimal { places, first } => places.to_int(value).map(|int| int - first),
            Form::Xor { .. } => None,
        }
    }

    /// The inverse of [`Self::to_relative`].
    pub(crate) fn at_relative(self, relative: i64) -> Result<f64, FormatError> {
        match self.form {
            Form::Decimal { places, first } => Ok(places.to_f64(first.wrapping_add(relative))),
            Form::Xor { .. } => Err(FormatError::Impossible("decimal in a column of bits")),
        }
    }
}

/// Reads a whole column that has one value, as [`ColumnHead::read`] and [`ColumnDecoder::read_body`] would.
#[inline]
pub(crate) fn read_single(reader: &mut Reader<'_>) -> Result<f64, FormatError> {
    let mode = reader.u8()?;
    let mut value = match mode & !(MODE_REPEATS | MODE_EXCEPTIONS) {
        MODE_XOR if mode & MODE_EXCEPTIONS == 0 => reader.f64()?,
        places => {
            let places = Places::new(places).ok_or(FormatError::Impossible("column mode"))?;
            places.to_f64(reader.ivarint()?)
        }
    };
    if mode & MODE_EXCEPTIONS != 0 {
        read_exceptions(reader, std::slice::from_mut(&mut value))?;
    }
    Ok(value)
}

/// Plans and writes columns. Reuse it to save allocations.
#[derive(Debug, Default)]
pub(crate) struct ColumnEncoder {
    ints: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
    bits: Vec<u64>,
    changed_ints: Changes<i64>,
    changed_bits: Changes<u64>,
    stream: IntEncoder,
    changed_stream: IntEncoder,
}

/// Values without repeats: the first and those that differ from the one before, and a bit for each but the first.
#[derive(Debug, Default)]
struct Changes<T> {
    values: Vec<T>,
    bitmap: Vec<u8>,
}

impl ColumnEncoder {
    /// Chooses how to write `values`, of which there is at least one.
    pub(crate) fn plan(&mut self, values: &[f64]) -> ColumnHead {
        assert!(!values.is_empty(), "a column has values");
        let Some((places, decimal_bytes)) = self.plan_decimal(values) else { return self.plan_xor(values).0 };
        let repeats = self.plan_changed_ints(decimal_bytes);
        let exceptions = !self.exceptions.is_empty();
        let first = self.ints[0];
        let decimal = ColumnHead { form: Form::Decimal { places, first }, repeats: repeats.is_some(), exceptions };
        let exception_bytes = self.exceptions.len() * EXCEPTION_BYTES;
        let bytes = repeats.unwrap_or(decimal_bytes) + exception_bytes + ivarint_len(first);
        let few_exceptions = self.exceptions.len() * CLEARLY_DECIMAL_VALUES <= values.len() + CLEARLY_DECIMAL_VALUES;
        if few_exceptions && bytes <= CLEARLY_DECIMAL_BYTES * values.len() + EXCEPTION_BYTES {
            return decimal;
        }
        let (xor, xor_bytes) = self.plan_xor(values);
        if xor_bytes + size_of::<u64>() < bytes { xor } else { decimal }
    }

    /// Converts to integers and plans their stream; `None` if too many values are no decimals.
    fn plan_decimal(&mut self, values: &[f64]) -> Option<(Places, usize)> {
        let mut places = sampled_places(values)?;
        self.exceptions.clear();
        while !places.to_ints(values, &mut self.ints) {
            // A value that needs more places makes all of them wider; a few such are cheaper as exceptions.
            let mut more = None;
            self.exceptions.clear();
            for (at, &value) in values.iter().enumerate() {
                if places.to_int(value).is_none() {
                    more = more.max(places.enough_for(value));
                    self.exceptions.push((at, value.to_bits()));
                }
            }
            match more {
                Some(more) if self.exceptions.len() * EXCEPTION_BYTES > widening_bytes(places, more, values.len()) => {
                    places = more;
                    self.exceptions.clear();
                }
                _ => break,
            }
        }
        if self.exceptions.len() * 2 > values.len() {
            return None;
        }
        self.bridge_exceptions();
        Some((places, self.stream.plan(&self.ints)))
    }

    /// Gives exceptions the integer before them, or the first that follows, so that they cost the stream nothing.
    fn bridge_exceptions(&mut self) {
        let mut exceptions = self.exceptions.iter().map(|&(at, _)| at).peekable();
        let first_decimal = (0..self.ints.len()).find(|&at| exceptions.next_if_eq(&at).is_none()).unwrap_or(0);
        let first = self.ints[first_decimal];
        for &(at, _) in &self.exceptions {
            self.ints[at] = if at < first_decimal { first } else { self.ints[at - 1] };
        }
    }

    /// Plans the stream without repeats; its size and the bitmap's, if both together are smaller than `plain_bytes`.
    fn plan_changed_ints(&mut self, plain_bytes: usize) -> Option<usize> {
        let bitmap_bytes = (self.ints.len() - 1).div_ceil(8);
        if plain_bytes <= bitmap_bytes + 1 {
            return None;
        }
        let changes: usize = self.ints.windows(2).map(|pair| usize::from(pair[0] != pair[1])).sum();
        // Changed values rarely pack tighter than all of them do: plan the stream only if leaving the others out would
        // save an eighth.
        let hoped_bytes = bitmap_bytes + plain_bytes * changes / self.ints.len();
        if hoped_bytes * 8 > plain_bytes * 7 {
            return None;
        }
        self.changed_ints.collect(&self.ints);
        let bytes = bitmap_bytes + self.changed_stream.plan(&self.changed_ints.values);
        (bytes < plain_bytes).then_some(bytes)
    }

    fn plan_xor(&mut self, values: &[f64]) -> (ColumnHead, usize) {
        self.bits.clear();
        self.bits.extend(values.iter().map(|value| value.to_bits()));
        let mut bytes = xor_len(&self.bits);
        self.changed_bits.collect(&self.bits);
        let changed_bytes = self.changed_bits.bitmap.len() + xor_len(&self.changed_bits.values);
        let repeats = changed_bytes < bytes;
        bytes = bytes.min(changed_bytes);
        (ColumnHead { form: Form::Xor { first: self.bits[0] }, repeats, exceptions: false }, bytes)
    }

    /// Appends the body of the column that was planned last, given the head that came of it.
    pub(crate) fn put_body(&self, head: ColumnHead, out: &mut Vec<u8>) {
        match (head.form, head.repeats) {
            (Form::Decimal { .. }, false) => self.stream.put(out),
            (Form::Decimal { .. }, true) => {
                out.extend_from_slice(&self.changed_ints.bitmap);
                self.changed_stream.put(out);
            }
            (Form::Xor { .. }, false) => put_xor(&self.bits, out),
            (Form::Xor { .. }, true) => {
                out.extend_from_slice(&self.changed_bits.bitmap);
                put_xor(&self.changed_bits.values, out);
            }
        }
        if head.exceptions {
            put_exceptions(&self.exceptions, out);
        }
    }
}

/// The places that the sampled values need; `None` if most of them are no decimals.
fn sampled_places(values: &[f64]) -> Option<Places> {
    let step = values.len().div_ceil(SAMPLES);
    let (mut places, mut taken, mut refused) = (Places::default(), 0, 0);
    for &value in values.iter().step_by(step) {
        taken += 1;
        match places.enough_for(value) {
            Some(enough) => places = enough,
            None => refused += 1,
        }
    }
    (refused * 2 <= taken).then_some(places)
}

/// What more decimal places cost a column: about 3.3 bits a place and value.
fn widening_bytes(from: Places, to: Places, values: usize) -> usize {
    usize::from(to.get().saturating_sub(from.get())) * values * 10 / 24
}

impl<T: Copy + PartialEq> Changes<T> {
    /// Replaces what is here by the changes in `values`, of which there is at least one.
    fn collect(&mut self, values: &[T]) {
        self.bitmap.clear();
        self.bitmap.resize((values.len() - 1).div_ceil(8), 0);
        // Without branches: where values repeat is hard to predict.
        self.values.clear();
        self.values.resize(values.len(), values[0]);
        let mut kept = 1;
        for (at, pair) in values.windows(2).enumerate() {
            let differs = pair[0] != pair[1];
            self.bitmap[at / 8] |= u8::from(differs) << (at % 8);
            self.values[kept] = pair[1];
            kept += usize::from(differs);
        }
        self.values.truncate(kept);
    }
}

fn put_exceptions(exceptions: &[(usize, u64)], out: &mut Vec<u8>) {
    put_uvarint(out, exceptions.len() as u64);
    let mut next = 0;
    for &(at, bits) in exceptions {
        put_uvarint(out, (at - next) as u64);
        out.extend_from_slice(&bits.to_le_bytes());
        next = at + 1;
    }
}

/// Reads columns. Reuse it to save allocations.
#[derive(Debug, Default)]
pub(crate) struct ColumnDecoder {
    ints: Vec<i64>,
    bits: Vec<u64>,
}

impl ColumnDecoder {
    /// Appends the `len` values of the column whose head was read. On an error, what was appended is meaningless.
    pub(crate) fn read_body(
        &mut self,
        head: ColumnHead,
        reader: &mut Reader<'_>,
        len: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let bitmap = match head.repeats {
            true => Some(reader.take(len.saturating_sub(1).div_ceil(8))?),
            false => None,
        };
        let changed = bitmap.map_or(len, |bitmap| count_changes(bitmap, len) + 1);
        match head.form {
            Form::Decimal { places, first } => {
                grow(&mut self.ints, changed);
                let ints = &mut self.ints[..changed];
                read_ints(reader, first, ints)?;
                match bitmap {
                    None => places.extend_f64(ints, out),
                    Some(bitmap) => out.extend(repeated(ints, bitmap, len).map(|int| places.to_f64(int))),
                }
            }
            Form::Xor { first } => {
                grow(&mut self.bits, changed);
                let bits = &mut self.bits[..changed];
                read_xor(reader, first, bits)?;
                match bitmap {
                    None => out.extend(bits.iter().map(|&bits| f64::from_bits(bits))),
                    Some(bitmap) => out.extend(repeated(bits, bitmap, len).map(f64::from_bits)),
                }
            }
        }
        if head.exceptions {
            read_exceptions(reader, &mut out[start..])?;
        }
        Ok(())
    }
}

fn grow<T: Copy + Default>(scratch: &mut Vec<T>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, T::default());
    }
}

/// Set bits among the first `len − 1`.
fn count_changes(bitmap: &[u8], len: usize) -> usize {
    let bits = len.saturating_sub(1);
    let whole: usize = bitmap[..bits / 8].iter().map(|byte| byte.count_ones() as usize).sum();
    let tail = bitmap.get(bits / 8).map_or(0, |byte| byte & ((1 << (bits % 8)) - 1));
    whole + tail.count_ones() as usize
}

/// Each changed value as often as the bitmap says.
fn repeated<'a, T: Copy>(changed: &'a [T], bitmap: &'a [u8], len: usize) -> impl Iterator<Item = T> + 'a {
    let mut at = 0;
    (0..len).map(move |i| {
        if i > 0 {
            let bit = i - 1;
            at += usize::from(bitmap[bit / 8] >> (bit % 8) & 1);
        }
        changed[at]
    })
}

fn read_exceptions(reader: &mut Reader<'_>, values: &mut [f64]) -> Result<(), FormatError> {
    let count = reader.uvarint()?;
    let mut next = 0_usize;
    for _ in 0..count {
        let gap = usize::try_from(reader.uvarint()?).map_err(|_| FormatError::Impossible("exception"))?;
        let at = next.checked_add(gap).filter(|&at| at < values.len()).ok_or(FormatError::Impossible("exception"))?;
        values[at] = reader.f64()?;
        next = at + 1;
    }
    Ok(())
}
