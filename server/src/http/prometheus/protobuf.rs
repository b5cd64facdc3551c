//! The protobuf wire format, as far as remote read and federation need it: fields of a message, in and out.

/// The value of a field of a message that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    /// Four or eight bytes that nothing here reads.
    Fixed,
    Bytes(&'a [u8]),
}

/// Reads the fields of a message one by one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Number and value of the next field; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Field::Fixed)?,
            wire => return Err(format!("proto: wire type {wire} is unknown")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("proto: unexpected end of the message")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("proto: a number has more than ten bytes".to_owned())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A field of a number; 0 is what an absent one means.
pub(super) fn put_uint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        put_uint_always(out, field, value);
    }
}

/// Of fields where 0 is not the same as absent.
pub(super) fn put_uint_always(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    put_varint(out, value);
}

/// `int64`: a negative number takes ten bytes.
pub(super) fn put_int(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint(out, field, value.cast_unsigned());
}

/// `sint64`: small numbers of either sign are short.
pub(super) fn put_sint(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint(out, field, zigzag(value));
}

/// Of fields where 0 is not the same as absent.
pub(super) fn put_sint_always(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint_always(out, field, zigzag(value));
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn put_double(out: &mut Vec<u8>, field: u8, value: f64) {
    if value.to_bits() != 0 {
        put_double_always(out, field, value);
    }
}

/// Of fields where 0 is not the same as absent.
pub(super) fn put_double_always(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push((field << 3) | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        put_message(out, field, value);
    }
}

/// Of a list, where an empty element counts.
pub(super) fn put_message(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push((field << 3) | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut message = Vec::new();
        put_uint(&mut message, 1, 300);
        put_int(&mut message, 2, -1);
        put_double(&mut message, 3, 1.5);
        put_bytes(&mut message, 4, b"text");
        put_sint(&mut message, 5, -2);
        let mut reader = Reader::new(&message);
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field().expect("whole") {
            fields.push(field);
        }
        let expected = [
            (1, Field::Varint(300)),
            (2, Field::Varint(u64::MAX)),
            (3, Field::Fixed),
            (4, Field::Bytes(b"text")),
            (5, Field::Varint(3)),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn no_part_of_a_message_panics() {
        let mut message = Vec::new();
        put_uint(&mut message, 1, u64::MAX);
        put_double(&mut message, 3, 1.5);
        put_bytes(&mut message, 4, b"text");
        for end in 0..message.len() {
            let mut reader = Reader::new(&message[..end]);
            while let Ok(Some(_)) = reader.next_field() {}
        }
        assert!(Reader::new(&[0xff; 11]).next_field().is_err());
        assert!(Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).next_field().is_err());
        assert!(Reader::new(&[0x0b]).next_field().is_err(), "groups are of another age");
    }
}
