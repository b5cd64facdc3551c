//! The sending side of remote write 1.0, for load generators, benchmarks and forwarders.
//!
//! labels ─▶ [`labels`], once a series ─▶ [`write_series`], [`write_histograms`], once a request ─▶ snappy (the caller's)
//!
//! Split in two because a sender's series stay the same: what is sent again is a copy of bytes.

mod histogram;
pub mod protobuf;

pub use histogram::put_histogram;
use protobuf::put_message;
use schemas::histogram::Histogram;
use schemas::varint::{put_uvarint, uvarint_len};

/// The label fields of a `TimeSeries` message; `pairs` hold the metric name and must be sorted by name, as remote
/// write demands.
pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        let len = field_len(name.len()) + field_len(value.len());
        out.push(FIELD_1_BYTES);
        put_uvarint(&mut out, wide(len));
        put_message(&mut out, 1, name.as_bytes());
        put_message(&mut out, 2, value.as_bytes());
    }
    out
}

/// Appends one `TimeSeries` of a `WriteRequest` to `out`: labels as [`labels`] gave them, samples as (ms, value).
pub fn write_series(out: &mut Vec<u8>, labels: &[u8], samples: &[(i64, f64)]) {
    let len =
        labels.len() + samples.iter().map(|(timestamp_ms, _)| field_len(sample_len(*timestamp_ms))).sum::<usize>();
    out.push(FIELD_1_BYTES);
    put_uvarint(out, wide(len));
    out.extend_from_slice(labels);
    for &(timestamp_ms, value) in samples {
        out.push(FIELD_2_BYTES);
        put_uvarint(out, wide(sample_len(timestamp_ms)));
        out.push(FIELD_1_FIXED64);
        out.extend_from_slice(&value.to_le_bytes());
        out.push(FIELD_2_VARINT);
        put_uvarint(out, timestamp_ms.cast_unsigned());
    }
}

/// Appends one `TimeSeries` of a `WriteRequest` to `out`: labels as [`labels`] gave them, native histograms as (ms, histogram).
pub fn write_histograms<'h>(
    out: &mut Vec<u8>,
    labels: &[u8],
    histograms: impl IntoIterator<Item = (i64, &'h Histogram)>,
) {
    histogram::write_series(out, labels, histograms.into_iter());
}

const FIELD_1_BYTES: u8 = 1 << 3 | 2;
const FIELD_2_BYTES: u8 = 2 << 3 | 2;
const FIELD_1_FIXED64: u8 = 1 << 3 | 1;
const FIELD_2_VARINT: u8 = 2 << 3;

fn sample_len(timestamp_ms: i64) -> usize {
    1 + 8 + 1 + uvarint_len(timestamp_ms.cast_unsigned())
}

/// Bytes of a field that holds `len` bytes: key, length, content.
fn field_len(len: usize) -> usize {
    1 + uvarint_len(wide(len)) + len
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).expect("usize is at most 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::PointBatch;
    use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};

    use crate::decode::testing::{NOW_MS, decode_with, window};
    use crate::decode::{Scope, remote_write};
    use crate::limits::Limits;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            labels in proptest::collection::btree_map("[a-z]{1,140}", ".{1,300}", 0..4),
            samples in proptest::collection::vec((NOW_MS - 1_000..NOW_MS, any::<u64>()), 1..4),
        ) {
            let mut labels = labels;
            labels.insert("__name__".to_owned(), "m".to_owned());
            let samples: Vec<(i64, f64)> = samples.iter().map(|(ts, bits)| (*ts, f64::from_bits(*bits))).collect();
            let mut body = Vec::new();
            let encoded = super::labels(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            super::write_series(&mut body, &encoded, &samples);

            let series = schemas::Labels::new(&labels).expect("valid").to_string();
            let expected: Vec<(String, i64, u64)> =
                samples.iter().map(|(ts, value)| (series.clone(), *ts, value.to_bits())).collect();
            let (points, _) = decode_with(&Limits::default(), |scope, batch| remote_write::decode(&body, scope, batch))
                .expect("well formed");
            let points: Vec<(String, i64, u64)> = points.into_iter().map(|(s, ts, v)| (s, ts, v.to_bits())).collect();
            prop_assert_eq!(points, expected);
        }
    }

    #[test]
    fn a_histogram_that_is_encoded_is_decoded() {
        let integers = Histogram {
            schema: -1,
            zero_threshold: 0.5,
            zero_count: 1.0,
            count: 8.0,
            sum: -2.5,
            positive: Buckets { spans: vec![Span { offset: -3, length: 2 }], counts: vec![4.0, 1.0] },
            negative: Buckets { spans: vec![Span { offset: 2, length: 1 }], counts: vec![2.0] },
            reset_hint: ResetHint::NotReset,
            is_integer: true,
            ..Histogram::default()
        };
        let floats = Histogram { is_integer: false, sum: f64::INFINITY, ..integers.clone() };
        let custom = Histogram {
            schema: SCHEMA_CUSTOM,
            count: 3.0,
            positive: Buckets { spans: vec![Span { offset: 0, length: 2 }], counts: vec![1.0, 2.0] },
            custom_values: vec![0.1, 2.5],
            is_integer: true,
            ..Histogram::default()
        };
        let sent = [(NOW_MS - 2, &integers), (NOW_MS - 1, &floats), (NOW_MS, &custom)];
        let mut body = Vec::new();
        super::write_histograms(&mut body, &super::labels([("__name__", "m")]), sent);
        let mut batch = PointBatch::new();
        let limits = Limits::default();
        let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
        let decoded = remote_write::decode(&body, scope, &mut batch).expect("well formed");
        assert_eq!((decoded.kept(), batch.timestamps()), (3, &[NOW_MS - 2, NOW_MS - 1, NOW_MS][..]));
        let read: Vec<&Histogram> = batch.histograms().iter().map(|(_, histogram)| histogram.as_ref()).collect();
        assert_eq!(read, [&integers, &floats, &custom]);
    }
}
