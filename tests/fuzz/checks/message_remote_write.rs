//! What holds for a remote-write message of any bytes: as they are, and as what a snappy block holds.

use ingest::message::MessageFormat;

use crate::messages;

/// One series `good` with one sample at 1742221800000, in a snappy block of one literal.
const GOOD: &[u8] =
    b"&\x94\x0a$\x0a\x10\x0a\x08__name__\x12\x04good\x12\x10\x09\x00\x00\x00\x00\x00\x00\xf0?\x10\xc0\xe4\x8b\xa4\xda2";

pub(crate) fn check(bytes: &[u8]) {
    messages::check(MessageFormat::PromRemoteWrite, None, GOOD, &[bytes, &block(bytes)]);
}

/// The snappy block that holds `bytes` as literals.
fn block(bytes: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut rest = bytes.len();
    while rest >= 0x80 {
        block.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    block.push(rest.to_le_bytes()[0]);
    for literal in bytes.chunks(60) {
        // The tag of a literal of up to 60 bytes.
        block.push((u8::try_from(literal.len()).expect("at most 60") - 1) << 2);
        block.extend(literal);
    }
    block
}
