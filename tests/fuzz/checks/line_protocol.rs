//! What holds for line protocol of any bytes.

#[path = "decoded.rs"]
mod decoded;

use ingest::Format;
use ingest::decode::line_protocol::Precision;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::LineProtocol(Precision::Auto), bytes);
    decoded::check(Format::LineProtocol(Precision::Hour), bytes);
}
