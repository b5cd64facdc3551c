//! What holds for text exposition of any bytes, in both dialects.

use ingest::Format;
use ingest::decode::prom_text::Dialect;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::PromText(Dialect::Prometheus), bytes);
    decoded::check(Format::PromText(Dialect::OpenMetrics), bytes);
}
