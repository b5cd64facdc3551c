//! What holds for line protocol of any bytes.

use ingest::Format;
use ingest::decode::line_protocol::Precision;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::LineProtocol(Precision::Auto), bytes);
    decoded::check(Format::LineProtocol(Precision::Hour), bytes);
}
