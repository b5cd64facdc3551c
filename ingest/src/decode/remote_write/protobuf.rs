//! The protobuf wire format, as far as remote write needs it: fields of a message, in place.
//!
//! A reader walks one message inside the body; places are offsets into the body, so that errors name the byte.

use std::ops::Range;

use crate::decode::DecodeError;

/// The value of a field.
pub(super) enum Field {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    /// A string, bytes or a message: where it lies in the body.
    Bytes(Range<usize>),
}

/// Reads the fields of `body[at..end]`.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, end: body.len() }
    }

    /// A reader of a message inside this one. `range` comes from a [`Field::Bytes`] of it.
    pub(super) fn within(&self, range: Range<usize>) -> Self {
        Self { body: self.body, at: range.start, end: range.end }
    }

    /// What is left of the message.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.body[self.at..self.end]
    }

    /// Passes over `len` bytes that somebody else has read.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), DecodeError> {
        self.advance(len)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        &self.body[range]
    }

    /// Number and value of the next field; `None` at the end of the message.
    #[inline]
    pub(super) fn next_field(&mut self) -> Result<Option<(u64, Field)>, DecodeError> {
        if self.at >= self.end {
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

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.body[..self.end].get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            Some(_) | None => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.body[..self.end].get(self.at) else {
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
        match self.body[self.at..self.end].first_chunk::<8>() {
            Some(chunk) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.malformed("the message ends inside a number")),
        }
    }

    #[inline]
    fn bytes(&mut self) -> Result<Range<usize>, DecodeError> {
        let len = self.varint()?;
        let start = self.at;
        // A length past 2^64 on a 32-bit machine is past the end as well.
        self.advance(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(start..self.at)
    }

    #[inline]
    fn advance(&mut self, len: usize) -> Result<(), DecodeError> {
        match self.at.checked_add(len) {
            Some(end) if end <= self.end => {
                self.at = end;
                Ok(())
            }
            Some(_) | None => {
                let bytes = if len == 1 { "byte" } else { "bytes" };
                Err(self.malformed(&format!("a field of {len} {bytes} ends after its message")))
            }
        }
    }

    #[cold]
    fn malformed(&self, what: &str) -> DecodeError {
        DecodeError::Malformed {
            format: "remote write request",
            place: format!("byte {}", self.at),
            what: what.to_owned(),
        }
    }
}
