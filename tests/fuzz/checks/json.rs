//! What holds for JSON of any bytes, with lines found out and with lines demanded.

use ingest::Format;
use ingest::decode::json::Framing;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::Json(Framing::Any), bytes);
    decoded::check(Format::Json(Framing::Lines), bytes);
}
