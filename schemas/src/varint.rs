//! Variable-length integers and a bounds-checked reader: the letters that every persisted format is written in.
//!
//! value ─▶ LEB128 (7 bits a byte, low first; signed values zigzag first) ─▶ bytes ─▶ [`Reader`] ─▶ value or [`ReadError`]
//!
//! Reading never panics and never allocates. Only the shortest form of a number is written; longer forms are read.

use thiserror::Error;

/// The longest encoding of a 64-bit number.
pub const MAX_VARINT_BYTES: usize = 10;

/// Why bytes cannot be read.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The bytes end inside a value.
    #[error("bytes end at {at} inside a value")]
    Truncated { at: usize },
    /// A variable-length integer that does not fit 64 bits.
    #[error("integer at byte {at} is wider than 64 bits")]
    Overlong { at: usize },
}

/// Appends an unsigned integer, 1 to 10 bytes.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f).to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a signed integer; small magnitudes of either sign are short.
#[inline]
pub fn put_ivarint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// Appends the eight bytes of a float, little-endian, bit for bit.
#[inline]
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Bytes that [`put_uvarint`] takes for `value`.
#[inline]
pub fn uvarint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Bytes that [`put_ivarint`] takes for `value`.
#[inline]
pub fn ivarint_len(value: i64) -> usize {
    uvarint_len(zigzag(value))
}

/// Maps signed to unsigned so that small magnitudes stay small: 0, −1, 1, −2 become 0, 1, 2, 3.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads values from the front of a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The position of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Everything that is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let taken = self.rest().get(..len).ok_or(ReadError::Truncated { at: self.bytes.len() })?;
        self.at += len;
        Ok(taken)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let byte = *self.bytes.get(self.at).ok_or(ReadError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub fn u32_le(&mut self) -> Result<u32, ReadError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    #[inline]
    pub fn u64_le(&mut self) -> Result<u64, ReadError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    #[inline]
    pub fn f64(&mut self) -> Result<f64, ReadError> {
        Ok(f64::from_bits(self.u64_le()?))
    }

    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, ReadError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(ReadError::Overlong { at: start });
            }
            value |= low << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ReadError::Overlong { at: start })
    }

    #[inline]
    pub fn ivarint(&mut self) -> Result<i64, ReadError> {
        Ok(unzigzag(self.uvarint()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_integer_comes_back() {
        for bit in 0..64 {
            for value in [1_u64 << bit, (1_u64 << bit) - 1, u64::MAX >> bit] {
                let mut bytes = Vec::new();
                put_uvarint(&mut bytes, value);
                assert_eq!(bytes.len(), uvarint_len(value));
                assert_eq!(Reader::new(&bytes).uvarint(), Ok(value));
                let signed = value.cast_signed();
                bytes.clear();
                put_ivarint(&mut bytes, signed);
                assert_eq!(bytes.len(), ivarint_len(signed));
                assert_eq!(Reader::new(&bytes).ivarint(), Ok(signed));
            }
        }
    }

    #[test]
    fn truncated_and_overlong_integers_are_errors() {
        assert_eq!(Reader::new(&[0x80, 0x80]).uvarint(), Err(ReadError::Truncated { at: 2 }));
        assert_eq!(Reader::new(&[0xff; 11]).uvarint(), Err(ReadError::Overlong { at: 0 }));
        let mut too_wide = [0x80_u8; 10];
        too_wide[9] = 2;
        assert_eq!(Reader::new(&too_wide).uvarint(), Err(ReadError::Overlong { at: 0 }));
        assert!(Reader::new(&[1, 2, 3]).u32_le().is_err());
    }
}
