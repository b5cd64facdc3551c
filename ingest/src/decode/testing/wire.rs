//! Protobuf by an encoder that knows only the wire format, so that decoders are held against another reading of it.

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("below 0x80"));
    out
}

/// A field of bytes, text or a message.
pub(crate) fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(u64::try_from(bytes.len()).expect("small")), bytes.to_vec()].concat()
}

/// A field of a varint.
pub(crate) fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

/// A field of eight bytes.
pub(crate) fn fixed(field: u64, bits: u64) -> Vec<u8> {
    [varint(field << 3 | 1), bits.to_le_bytes().to_vec()].concat()
}

/// A field of a number whose sign is its lowest bit.
pub(crate) fn signed(field: u64, value: i64) -> Vec<u8> {
    number(field, (value << 1 ^ value >> 63).cast_unsigned())
}

/// A field of a double.
pub(crate) fn double(field: u64, value: f64) -> Vec<u8> {
    fixed(field, value.to_bits())
}
