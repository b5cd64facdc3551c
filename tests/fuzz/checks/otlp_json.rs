//! What holds for an OTLP request in JSON of any bytes.

use ingest::Format;
use ingest::decode::otlp::Encoding;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::Otlp(Encoding::Json), bytes);
}
