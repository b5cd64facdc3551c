//! A native histogram as the message `prometheus.Histogram`: the inverse of `decode::native_histogram`.

use schemas::histogram::{Buckets, Histogram, ResetHint};
use schemas::varint::{put_f64, put_uvarint, zigzag};

use super::protobuf::{put_double, put_double_always, put_int, put_message, put_sint, put_uint, put_uint_always};

/// Appends the message of a histogram at a time (ms).
pub fn put_histogram(out: &mut Vec<u8>, ms: i64, histogram: &Histogram) {
    if histogram.is_integer {
        put_count(out, 1, histogram.count);
    } else {
        put_double_always(out, 2, histogram.count);
    }
    put_double(out, 3, histogram.sum);
    put_sint(out, 4, i64::from(histogram.schema));
    put_double(out, 5, histogram.zero_threshold);
    if histogram.is_integer {
        put_count(out, 6, histogram.zero_count);
    } else {
        put_double_always(out, 7, histogram.zero_count);
    }
    push_buckets(out, 8, &histogram.negative, histogram.is_integer);
    push_buckets(out, 11, &histogram.positive, histogram.is_integer);
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    put_uint(out, 14, hint);
    put_int(out, 15, ms);
    // Field 16 has a key of two bytes.
    if !histogram.custom_values.is_empty() {
        out.extend_from_slice(&[0x82, 0x01]);
        push_packed_doubles(out, &histogram.custom_values);
    }
}

/// A count of a choice between fields: written even if it is 0.
fn put_count(out: &mut Vec<u8>, field: u8, count: f64) {
    put_uint_always(out, field, whole(count).cast_unsigned());
}

/// A count of an integer histogram.
#[expect(
    clippy::cast_possible_truncation,
    reason = "senders' integers, exact up to 2^53; beyond, as near as a double is"
)]
fn whole(count: f64) -> i64 {
    count as i64
}

/// Spans, and behind them in the next fields: differences of integer counts, or float counts.
fn push_buckets(out: &mut Vec<u8>, field: u8, buckets: &Buckets, integer: bool) {
    let mut part = Vec::new();
    for span in &buckets.spans {
        part.clear();
        put_sint(&mut part, 1, i64::from(span.offset));
        put_uint(&mut part, 2, u64::from(span.length));
        put_message(out, field, &part);
    }
    if buckets.counts.is_empty() {
        return;
    }
    if !integer {
        out.push(((field + 2) << 3) | 2);
        push_packed_doubles(out, &buckets.counts);
        return;
    }
    part.clear();
    let mut before = 0;
    for count in &buckets.counts {
        let count = whole(*count);
        put_uvarint(&mut part, zigzag(count.wrapping_sub(before)));
        before = count;
    }
    put_message(out, field + 1, &part);
}

/// A list of doubles, without the key of its field.
fn push_packed_doubles(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64 * 8);
    for value in values {
        put_f64(out, *value);
    }
}

/// Appends one `TimeSeries` of a `WriteRequest`: labels as [`super::labels`] gave them, histograms by time (ms).
pub(super) fn write_series<'h>(
    out: &mut Vec<u8>,
    labels: &[u8],
    histograms: impl Iterator<Item = (i64, &'h Histogram)>,
) {
    let mut series = labels.to_vec();
    let mut message = Vec::new();
    for (timestamp_ms, histogram) in histograms {
        message.clear();
        put_histogram(&mut message, timestamp_ms, histogram);
        put_message(&mut series, 4, &message);
    }
    put_message(out, 1, &series);
}
