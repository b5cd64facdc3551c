//! Fields of protobuf messages, written as proto3 does: what means the same absent is left out.

use schemas::varint::{put_f64, put_uvarint, zigzag};

/// A field of a number; 0 is what an absent one means.
pub fn put_uint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        put_uint_always(out, field, value);
    }
}

/// Of fields where 0 is not the same as absent.
pub fn put_uint_always(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    put_uvarint(out, value);
}

/// `int64`: a negative number takes ten bytes.
pub fn put_int(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint(out, field, value.cast_unsigned());
}

/// `sint64`: small numbers of either sign are short.
pub fn put_sint(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint(out, field, zigzag(value));
}

/// Of fields where 0 is not the same as absent.
pub fn put_sint_always(out: &mut Vec<u8>, field: u8, value: i64) {
    put_uint_always(out, field, zigzag(value));
}

pub fn put_double(out: &mut Vec<u8>, field: u8, value: f64) {
    if value.to_bits() != 0 {
        put_double_always(out, field, value);
    }
}

/// Of fields where 0 is not the same as absent.
pub fn put_double_always(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push((field << 3) | 1);
    put_f64(out, value);
}

pub fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        put_message(out, field, value);
    }
}

/// Of a list, where an empty element counts.
pub fn put_message(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push((field << 3) | 2);
    put_uvarint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::protobuf::{Field, Reader};

    fn message() -> Vec<u8> {
        let mut message = Vec::new();
        put_uint(&mut message, 1, 300);
        put_int(&mut message, 2, -1);
        put_double(&mut message, 3, 1.5);
        put_bytes(&mut message, 4, b"text");
        put_sint(&mut message, 5, -2);
        message
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut message = message();
        put_uint(&mut message, 6, 0);
        put_double(&mut message, 7, 0.0);
        put_bytes(&mut message, 8, b"");
        put_uint_always(&mut message, 9, 0);
        let mut reader = Reader::new(&message, "message");
        let fields: Vec<_> = std::iter::from_fn(|| reader.next_field().expect("whole")).collect();
        let text = message.windows(4).position(|bytes| bytes == b"text").expect("written");
        let expected = [
            (1, Field::Varint(300)),
            (2, Field::Varint(u64::MAX)),
            (3, Field::Fixed64(1.5_f64.to_bits())),
            (4, Field::Bytes(text..text + 4)),
            (5, Field::Varint(3)),
            (9, Field::Varint(0)),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn no_part_of_a_message_panics() {
        let message = message();
        for end in 0..message.len() {
            let mut reader = Reader::new(&message[..end], "message");
            while let Ok(Some(_)) = reader.next_field() {}
        }
        for wrong in [&[0xff; 11][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]] {
            assert!(Reader::new(wrong, "message").next_field().is_err());
        }
        assert!(Reader::new(&[0x0b], "message").next_field().is_err(), "groups are of another age");
    }
}
