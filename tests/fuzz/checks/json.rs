//! What holds for JSON of any bytes, with lines found out and with lines demanded.

#[path = "decoded.rs"]
mod decoded;

use ingest::Format;
use ingest::decode::json::Framing;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::Json(Framing::Any), bytes);
    decoded::check(Format::Json(Framing::Lines), bytes);
}
