//! A native histogram as the message `prometheus.Histogram`: the inverse of `decode::native_histogram`.

use schemas::histogram::{Buckets, Histogram, ResetHint};

use super::{field_len, write_bytes, write_varint};

/// Appends the message of a histogram at a time (ms).
pub(super) fn write(out: &mut Vec<u8>, timestamp_ms: i64, histogram: &Histogram) {
    let integer = histogram.is_integer;
    write_count(out, [1, 2], integer, histogram.count);
    write_double(out, 3, histogram.sum);
    write_signed(out, 4, i64::from(histogram.schema));
    write_double(out, 5, histogram.zero_threshold);
    write_count(out, [6, 7], integer, histogram.zero_count);
    write_buckets(out, 8, integer, &histogram.negative);
    write_buckets(out, 11, integer, &histogram.positive);
    write_unsigned(out, 14, hint_code(histogram.reset_hint));
    write_unsigned(out, 15, timestamp_ms.cast_unsigned());
    if !histogram.custom_values.is_empty() {
        write_doubles(out, 16, &histogram.custom_values);
    }
}

/// Spans at `field`; behind it, differences of integer counts; behind that, float counts.
fn write_buckets(out: &mut Vec<u8>, field: u64, integer: bool, buckets: &Buckets) {
    let mut part = Vec::new();
    for span in &buckets.spans {
        part.clear();
        write_signed(&mut part, 1, i64::from(span.offset));
        write_unsigned(&mut part, 2, u64::from(span.length));
        write_block(out, field, &part);
    }
    if buckets.counts.is_empty() {
        return;
    }
    if integer {
        part.clear();
        let mut before = 0;
        for &count in &buckets.counts {
            write_varint(&mut part, zigzag(whole(count).wrapping_sub(before)));
            before = whole(count);
        }
        write_block(out, field + 1, &part);
    } else {
        write_doubles(out, field + 2, &buckets.counts);
    }
}

/// A count at the field of its kind: integer or float.
fn write_count(out: &mut Vec<u8>, [of_integers, of_floats]: [u64; 2], integer: bool, count: f64) {
    match integer {
        true => write_unsigned(out, of_integers, whole(count).cast_unsigned()),
        false => write_double(out, of_floats, count),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sender's integer: exact up to 2^53, beyond as near as a double is"
)]
fn whole(count: f64) -> i64 {
    count as i64
}

fn hint_code(hint: ResetHint) -> u64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn write_unsigned(out: &mut Vec<u8>, field: u64, value: u64) {
    write_varint(out, field << 3);
    write_varint(out, value);
}

fn write_signed(out: &mut Vec<u8>, field: u64, value: i64) {
    write_unsigned(out, field, zigzag(value));
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn write_double(out: &mut Vec<u8>, field: u64, value: f64) {
    write_varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn write_doubles(out: &mut Vec<u8>, field: u64, values: &[f64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_block(out, field, &bytes);
}

fn write_block(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    write_varint(out, field << 3 | 2);
    write_varint(out, super::wide(bytes.len()));
    out.extend_from_slice(bytes);
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
        write(&mut message, timestamp_ms, histogram);
        series.reserve(field_len(message.len()));
        write_block(&mut series, 4, &message);
    }
    write_bytes(out, super::FIELD_1_BYTES, &series);
}
