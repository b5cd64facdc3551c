//! The messages of remote read: `prometheus.ReadRequest` in, `QueryResult` out. Field numbers are those of
//! `prompb/remote.proto` and `prompb/types.proto`.

use ingest::DecodeError;
use ingest::decode::protobuf::{Field, Reader};
use ingest::encode::protobuf::{put_bytes, put_double, put_int, put_message};
use ingest::encode::put_histogram;
use query::RawSeries;
use schemas::points::is_histogram;
use schemas::{LabelMatcher, Labels, MatchOp};

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
        let mut reader = Reader::new(message, "remote read");
        while let Some(field) = reader.next_field().map_err(text)? {
            match field {
                (1, Field::Bytes(query)) => request.queries.push(Query::decode(reader.within(query))?),
                (2, Field::Varint(kind)) => request.accepted.push(kind),
                // The same in its packed form.
                (2, Field::Bytes(kinds)) => {
                    let mut kinds = reader.within(kinds);
                    while let Some(kind) = kinds.next_packed_varint().map_err(text)? {
                        request.accepted.push(kind);
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
    fn decode(mut message: Reader<'_>) -> Result<Self, String> {
        let mut query = Self::default();
        while let Some(field) = message.next_field().map_err(text)? {
            match field {
                (1, Field::Varint(start)) => query.start_ms = start.cast_signed(),
                (2, Field::Varint(end)) => query.end_ms = end.cast_signed(),
                (3, Field::Bytes(_)) if query.matchers.len() == MATCHERS_MAX => {
                    return Err(format!("at most {MATCHERS_MAX} matchers in a query"));
                }
                (3, Field::Bytes(matcher)) => query.matchers.push(matcher_of(message.within(matcher))?),
                // Hints help a server that reads more than points.
                _ => {}
            }
        }
        Ok(query)
    }
}

fn text(error: DecodeError) -> String {
    error.to_string()
}

fn matcher_of(mut message: Reader<'_>) -> Result<LabelMatcher, String> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| "a matcher is not UTF-8".to_owned());
    while let Some(field) = message.next_field().map_err(text)? {
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
            (2, Field::Bytes(bytes)) => name = utf8(message.slice(bytes))?,
            (3, Field::Bytes(bytes)) => value = utf8(message.slice(bytes))?,
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
            put_histogram(&mut part, ms, histogram);
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
