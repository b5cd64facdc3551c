//! What holds for text exposition of any bytes, in both dialects.

#[path = "decoded.rs"]
mod decoded;

use ingest::Format;
use ingest::decode::prom_text::Dialect;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::PromText(Dialect::Prometheus), bytes);
    decoded::check(Format::PromText(Dialect::OpenMetrics), bytes);
}
