//! Samples as `io.prometheus.client.MetricFamily` messages, each behind its length: what can tell native histograms.
//!
//! Field numbers are those of `metrics.proto` of Prometheus' client model. A metric whose series differ in kind has
//! several families, which Prometheus reads.

use ingest::encode::protobuf::{
    put_bytes, put_double_always, put_int, put_message, put_sint_always, put_uint, put_uint_always,
};
use schemas::Labels;
use schemas::histogram::{Buckets, Histogram};
use schemas::labels::METRIC_NAME;
use schemas::varint::put_uvarint;

use super::{INSTANCE, Newest, Sample, classic_buckets};

/// Numbers of `MetricType`.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

pub(super) fn written(newest: &[Newest]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in newest.chunk_by(|a, b| a.labels.metric() == b.labels.metric() && kind(a) == kind(b)) {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, family[0].labels.metric().as_bytes());
        put_uint(&mut message, 3, kind(&family[0]));
        for one in family {
            put_message(&mut message, 4, &metric(one));
        }
        put_uvarint(&mut out, message.len() as u64);
        out.extend_from_slice(&message);
    }
    out
}

fn kind(one: &Newest) -> u64 {
    match one.sample {
        Sample::Float(_) => UNTYPED,
        Sample::Histogram(_) if one.sample.is_gauge() => GAUGE_HISTOGRAM,
        Sample::Histogram(_) => HISTOGRAM,
    }
}

fn metric(Newest { labels, ts, sample }: &Newest) -> Vec<u8> {
    let (mut message, mut value) = (Vec::new(), Vec::new());
    push_labels(&mut message, labels);
    match sample {
        Sample::Float(float) => {
            put_double_always(&mut value, 1, *float);
            put_message(&mut message, 5, &value);
            put_int(&mut message, 6, *ts);
        }
        Sample::Histogram(histogram) => {
            put_double_always(&mut value, 2, histogram.sum);
            if sample.is_classic() {
                push_classic_buckets(&mut value, histogram);
            }
            put_double_always(&mut value, 4, histogram.count);
            if !sample.is_classic() {
                push_native_buckets(&mut value, histogram);
            }
            put_int(&mut message, 6, *ts);
            put_message(&mut message, 7, &value);
        }
    }
    message
}

fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    let mut push = |name: &str, value: &str| {
        let mut label = Vec::new();
        put_message(&mut label, 1, name.as_bytes());
        put_message(&mut label, 2, value.as_bytes());
        put_message(out, 1, &label);
    };
    labels.iter().filter(|(name, _)| *name != METRIC_NAME).for_each(|(name, value)| push(name, value));
    if labels.get(INSTANCE).is_none() {
        push(INSTANCE, "");
    }
}

fn push_classic_buckets(out: &mut Vec<u8>, histogram: &Histogram) {
    for (bound, below) in classic_buckets(histogram) {
        let mut bucket = Vec::new();
        put_double_always(&mut bucket, 2, bound);
        put_double_always(&mut bucket, 4, below);
        put_message(out, 3, &bucket);
    }
}

fn push_native_buckets(out: &mut Vec<u8>, histogram: &Histogram) {
    put_sint_always(out, 5, i64::from(histogram.schema));
    put_double_always(out, 6, histogram.zero_threshold);
    put_double_always(out, 8, histogram.zero_count);
    push_buckets(out, 9, &histogram.negative);
    push_buckets(out, 12, &histogram.positive);
}

/// Spans, and two fields further float counts.
fn push_buckets(out: &mut Vec<u8>, field: u8, buckets: &Buckets) {
    for span in &buckets.spans {
        let mut message = Vec::new();
        put_sint_always(&mut message, 1, i64::from(span.offset));
        put_uint_always(&mut message, 2, u64::from(span.length));
        put_message(out, field, &message);
    }
    for count in &buckets.counts {
        put_double_always(out, field + 2, *count);
    }
}
