//! The messages of remote read: `prometheus.ReadRequest` in, `QueryResult` out. Field numbers are those of
//! `prompb/remote.proto` and `prompb/types.proto`.

use query::RawSeries;
use schemas::histogram::{Buckets, Histogram, ResetHint};
use schemas::points::is_histogram;
use schemas::{LabelMatcher, Labels, MatchOp};

use super::super::protobuf::{
    Field, Reader, put_bytes, put_double, put_double_always, put_int, put_message, put_sint, put_uint, put_uint_always,
    put_varint, zigzag,
};

/// Matchers in one query.
const MATCHERS_MAX: usize = 100;

/// What is asked for, and how it may be answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ReadRequest {
    pub(super) queries: Vec<Query>,
    /// The client's order; none is samples.
    accepted: Vec<u64>,
}

/// Series and a time, both ends inclusive.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Query {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) matchers: Vec<LabelMatcher>,
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseType {
    Samples,
    Chunks,
}

impl ReadRequest {
    pub(super) fn decode(message: &[u8]) -> Result<Self, String> {
        let mut request = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Field::Bytes(query)) => request.queries.push(Query::decode(query)?),
                (2, Field::Varint(kind)) => request.accepted.push(kind),
                // The same in its packed form.
                (2, Field::Bytes(kinds)) => {
                    let mut kinds = Reader::new(kinds);
                    while !kinds.is_empty() {
                        request.accepted.push(kinds.varint()?);
                    }
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// The first of the accepted types that there is.
    pub(super) fn response_type(&self) -> Result<ResponseType, String> {
        if self.accepted.is_empty() {
            return Ok(ResponseType::Samples);
        }
        let known = self.accepted.iter().find_map(|kind| match kind {
            0 => Some(ResponseType::Samples),
            1 => Some(ResponseType::Chunks),
            _ => None,
        });
        known.ok_or_else(|| {
            format!("server does not support any of the requested response types: {:?}; supported: SAMPLES, STREAMED_XOR_CHUNKS", self.accepted)
        })
    }
}

impl Query {
    fn decode(message: &[u8]) -> Result<Self, String> {
        let mut query = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Field::Varint(start)) => query.start_ms = start.cast_signed(),
                (2, Field::Varint(end)) => query.end_ms = end.cast_signed(),
                (3, Field::Bytes(_)) if query.matchers.len() == MATCHERS_MAX => {
                    return Err(format!("at most {MATCHERS_MAX} matchers in a query"));
                }
                (3, Field::Bytes(matcher)) => query.matchers.push(matcher_of(matcher)?),
                // Hints help a server that reads more than points.
                _ => {}
            }
        }
        Ok(query)
    }
}

fn matcher_of(message: &[u8]) -> Result<LabelMatcher, String> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    let mut reader = Reader::new(message);
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "a matcher is not UTF-8".to_owned());
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Varint(kind)) => {
                op = match kind {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    _ => return Err("invalid matcher type".to_owned()),
                }
            }
            (2, Field::Bytes(bytes)) => name = text(bytes)?,
            (3, Field::Bytes(bytes)) => value = text(bytes)?,
            _ => {}
        }
    }
    LabelMatcher::new(name, op, value).map_err(|error| error.to_string())
}

/// Appends a `QueryResult` to a `ReadResponse`.
pub(super) fn push_result(out: &mut Vec<u8>, series: &[RawSeries]) {
    let (mut result, mut one, mut part) = (Vec::new(), Vec::new(), Vec::new());
    for RawSeries { labels, points } in series {
        one.clear();
        push_labels(&mut one, labels);
        for (ms, value) in points.iter().filter(|(_, value)| !is_histogram(*value)) {
            part.clear();
            put_double(&mut part, 1, value);
            put_int(&mut part, 2, ms);
            put_message(&mut one, 2, &part);
        }
        for (ms, histogram) in points.histograms.iter() {
            part.clear();
            push_histogram(&mut part, ms, histogram);
            put_message(&mut one, 4, &part);
        }
        put_message(&mut result, 1, &one);
    }
    put_message(out, 1, &result);
}

/// Appends labels, as field 1, to a series of either kind.
pub(super) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    let mut label = Vec::new();
    for (name, value) in labels.iter() {
        label.clear();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_message(out, 1, &label);
    }
}

fn push_histogram(out: &mut Vec<u8>, ms: i64, histogram: &Histogram) {
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
        put_varint(&mut part, zigzag(count.wrapping_sub(before)));
        before = count;
    }
    put_message(out, field + 1, &part);
}

/// A list of doubles, without the key of its field.
fn push_packed_doubles(out: &mut Vec<u8>, values: &[f64]) {
    put_varint(out, values.len() as u64 * 8);
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}
