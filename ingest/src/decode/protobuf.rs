//! The protobuf wire format, as far as metrics need it: fields of a message, in place.
//!
//! body ─▶ [`Reader`] ─▶ field by field ─▶ [`Reader::within`] a field that is a message itself
//!
//! A reader walks one message inside the body; places are offsets into the body, so that errors name the byte.

use std::ops::Range;

use super::DecodeError;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    /// A string, bytes or a message: where it lies in the body.
    Bytes(Range<usize>),
}

/// Reads the fields of a message from `at` on.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The body up to the end of the message.
    body: &'a [u8],
    at: usize,
    /// What the body is, for errors.
    format: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads the whole of `body`, which errors call by `format`.
    pub fn new(body: &'a [u8], format: &'static str) -> Self {
        Self { body, at: 0, format }
    }

    /// A reader of a message inside this one. `range` comes from a [`Field::Bytes`] of it.
    #[inline]
    pub fn within(&self, range: Range<usize>) -> Self {
        Self { body: &self.body[..range.end], at: range.start, format: self.format }
    }

    /// What is left of the message.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.body[self.at..]
    }

    /// Passes over `len` bytes that somebody else has read.
    #[inline]
    pub fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.advance(len)
    }

    pub fn slice(&self, range: Range<usize>) -> &'a [u8] {
        &self.body[range]
    }

    /// Number and value of the next field; `None` at the end of the message.
    // As a call it would hand its answer over in memory, which costs more than reading the field does.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<(u64, Field)>, DecodeError> {
        if self.at >= self.body.len() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed64()?),
            2 => Field::Bytes(self.bytes()?),
            5 => {
                self.advance(4)?;
                Field::Fixed32
            }
            wire => return Err(self.malformed(&format!("wire type {wire} is unknown"))),
        };
        match key >> 3 {
            0 => Err(self.malformed("field number 0")),
            number => Ok(Some((number, value))),
        }
    }

    /// Most numbers have one byte or two: keys, lengths, references.
    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match *self.rest() {
            [byte, ..] if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            [low, high, ..] if high < 0x80 => {
                self.at += 2;
                Ok(u64::from(high) << 7 | u64::from(low & 0x7f))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.body.get(self.at) else {
                return Err(self.malformed("the message ends inside a number"));
            };
            self.at += 1;
            // The tenth byte holds one bit; what a sender puts above it is lost, as in other decoders.
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("a number has more than ten bytes"))
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, DecodeError> {
        match self.rest().first_chunk::<8>() {
            Some(chunk) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.malformed("the message ends inside a number")),
        }
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<Range<usize>, DecodeError> {
        let len = self.varint()?;
        let start = self.at;
        // A length past 2^64 on a 32-bit machine is past the end as well.
        self.advance(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(start..self.at)
    }

    #[inline]
    fn advance(&mut self, len: usize) -> Result<(), DecodeError> {
        if len > self.rest().len() {
            return Err(self.too_long(len));
        }
        self.at += len;
        Ok(())
    }

    #[cold]
    fn too_long(&self, len: usize) -> DecodeError {
        let bytes = if len == 1 { "byte" } else { "bytes" };
        self.malformed(&format!("a field of {len} {bytes} ends after its message"))
    }

    /// The next of the numbers that stand packed in this field, one behind the other; `None` at its end.
    #[inline]
    pub fn next_packed_varint(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.at >= self.body.len() { Ok(None) } else { self.varint().map(Some) }
    }

    /// The next of the numbers of eight bytes that stand packed in this field; `None` at its end.
    #[inline]
    pub fn next_packed_fixed64(&mut self) -> Result<Option<u64>, DecodeError> {
        if self.at >= self.body.len() { Ok(None) } else { self.fixed64().map(Some) }
    }

    /// An error at this place of the body.
    #[cold]
    pub fn malformed(&self, what: &str) -> DecodeError {
        DecodeError::Malformed { format: self.format, place: format!("byte {}", self.at), what: what.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_end_with_their_field() {
        let mut varints = Reader::new(&[1, 0x80, 1], "message");
        let read: Vec<u64> = std::iter::from_fn(|| varints.next_packed_varint().expect("well formed")).collect();
        assert_eq!(read, [1, 128]);
        let mut cut = Reader::new(&[0; 9], "message");
        assert_eq!(cut.next_packed_fixed64(), Ok(Some(0)));
        assert!(cut.next_packed_fixed64().is_err());
    }
}
