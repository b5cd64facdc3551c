//! Data of answers as JSON, written straight into the body: an answer may have millions of samples.
//!
//! [`QueryValue`] ─▶ [`Pieces`] ─▶ each rendered by itself;  floats under `value` or `values`, native histograms under `histogram` or
//! `histograms`
//!
//! A time is rendered once for all series that share their steps. Not here: numbers (`number`), the envelope
//! (`envelope`).

use std::io::Write as _;
use std::sync::Arc;

use promql::column::Value;
use promql::eval::{QueryValue, SeriesValues};
use schemas::Labels;
use schemas::histogram::Histogram;
use schemas::points::{HISTOGRAM_BITS, STALE_BITS};

use super::number::{push_float, push_timestamp};
use super::pieces::PIECE_BYTES;

/// A text in quotes.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every byte");
}

/// `[…,…]`.
pub(super) fn push_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, push: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    push_items(out, items, push);
    out.push(b']');
}

/// `…,…`.
fn push_items<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut push: impl FnMut(&mut Vec<u8>, T)) {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(out, item);
    }
}

/// `{"name":"value",…}`.
pub(super) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_text(out, name);
        out.push(b':');
        push_text(out, value);
    }
    out.push(b'}');
}

/// A value in quotes.
fn push_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    push_float(out, value);
    out.push(b'"');
}

/// `[seconds,"value"]`.
fn push_point(out: &mut Vec<u8>, ms: i64, value: f64) {
    out.push(b'[');
    push_timestamp(out, ms);
    out.push(b',');
    push_value(out, value);
    out.push(b']');
}

/// `[seconds,{histogram}]`.
fn push_histogram_point(out: &mut Vec<u8>, ms: i64, histogram: &Histogram) {
    out.push(b'[');
    push_timestamp(out, ms);
    out.push(b',');
    push_histogram(out, histogram);
    out.push(b']');
}

/// `{"count":"…","sum":"…","buckets":[[boundaries,"lower","upper","count"],…]}`; empty buckets are left out.
fn push_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.extend_from_slice(br#"{"count":"#);
    push_value(out, histogram.count);
    out.extend_from_slice(br#","sum":"#);
    push_value(out, histogram.sum);
    let mut before: &[u8] = br#","buckets":["#;
    for bucket in promql::histogram::ascending(histogram).into_iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(before);
        before = b",";
        let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        write!(out, "[{boundaries},").expect("a vector takes every byte");
        push_value(out, bucket.lower);
        out.push(b',');
        push_value(out, bucket.upper);
        out.push(b',');
        push_value(out, bucket.count);
        out.push(b']');
    }
    if before == b"," {
        out.push(b']');
    }
    out.push(b'}');
}

/// `"matrix"` and the like.
pub(super) fn result_type(value: &QueryValue) -> &'static str {
    match value {
        QueryValue::Scalar(..) => "scalar",
        QueryValue::String(..) => "string",
        QueryValue::Vector(_) => "vector",
        QueryValue::Matrix(_) => "matrix",
    }
}

/// Samples in a value, about.
pub(super) fn samples(value: &QueryValue) -> usize {
    match value {
        QueryValue::Scalar(..) | QueryValue::String(..) => 1,
        QueryValue::Vector(samples) => samples.len(),
        QueryValue::Matrix(series) => series.iter().map(|series| series.timestamps.len()).sum(),
    }
}

/// A value cut into pieces, the first behind `head`, the last with `tail`.
#[derive(Debug)]
pub(super) struct Pieces {
    items: Items,
    stamps: Arc<Stamps>,
    /// What stands before the next piece.
    before: Vec<u8>,
    /// `None` once everything is cut.
    tail: Option<Vec<u8>>,
}

/// What is still to be cut.
#[derive(Debug)]
enum Items {
    /// All of it stands before the first piece.
    None,
    Vector(std::vec::IntoIter<(Labels, i64, Value)>),
    Matrix(std::vec::IntoIter<SeriesValues>),
}

/// A part of a value, not yet JSON. Parts are rendered independently of each other.
#[derive(Debug)]
pub(super) struct Piece {
    before: Vec<u8>,
    part: Part,
    after: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    Nothing,
    Samples(Vec<(Labels, i64, Value)>),
    /// With the times of the first.
    Series(Vec<SeriesValues>, Arc<Stamps>),
}

impl Pieces {
    pub(super) fn new(mut head: Vec<u8>, value: QueryValue, tail: Vec<u8>) -> Self {
        let (items, end): (Items, &[u8]) = match value {
            QueryValue::Scalar(value, ms) => {
                push_point(&mut head, ms, value);
                (Items::None, b"")
            }
            QueryValue::String(text, ms) => {
                head.push(b'[');
                push_timestamp(&mut head, ms);
                head.push(b',');
                push_text(&mut head, &text);
                (Items::None, b"]")
            }
            QueryValue::Vector(samples) => {
                head.push(b'[');
                (Items::Vector(samples.into_iter()), b"]")
            }
            QueryValue::Matrix(series) => {
                head.push(b'[');
                (Items::Matrix(series.into_iter()), b"]")
            }
        };
        let tail = [end, &tail].concat();
        Self { items, stamps: Arc::default(), before: head, tail: Some(tail) }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        self.tail.as_ref()?;
        let (part, is_last) = match &mut self.items {
            Items::None => (Part::Nothing, true),
            Items::Vector(samples) => (
                Part::Samples(cut(samples, |(labels, _, value)| room_for(labels, 1, histogram_of(value)))),
                samples.len() == 0,
            ),
            Items::Matrix(series) => {
                if let Some(first) = series.as_slice().first() {
                    Stamps::make(&mut self.stamps, &first.timestamps);
                }
                let room = |one: &SeriesValues| {
                    let histograms = one.column.histograms().map(|(_, histogram)| &**histogram);
                    room_for(&one.labels, one.timestamps.len(), histograms)
                };
                (Part::Series(cut(series, room), Arc::clone(&self.stamps)), series.len() == 0)
            }
        };
        let before = std::mem::replace(&mut self.before, b",".to_vec());
        let after = if is_last { self.tail.take()? } else { Vec::new() };
        Some(Piece { before, part, after })
    }
}

/// The first of some items, as many as make a piece.
fn cut<T>(items: &mut std::vec::IntoIter<T>, room: impl Fn(&T) -> usize) -> Vec<T> {
    let mut bytes = 0;
    let fits = |item: &&T| {
        let fits = bytes < PIECE_BYTES;
        bytes += room(item);
        fits
    };
    let count = items.as_slice().iter().take_while(fits).count();
    items.take(count).collect()
}

/// Bytes that a series takes as JSON, about.
fn room_for<'a>(labels: &Labels, samples: usize, histograms: impl IntoIterator<Item = &'a Histogram>) -> usize {
    /// A time and a number with their brackets.
    const SAMPLE: usize = 32;
    /// The same of a bucket: two bounds and a count.
    const BUCKET: usize = 64;
    let buckets = |one: &Histogram| one.positive.counts.len() + one.negative.counts.len() + 1;
    let buckets: usize = histograms.into_iter().map(buckets).sum();
    samples
        .saturating_mul(SAMPLE)
        .saturating_add(buckets.saturating_mul(BUCKET))
        .saturating_add(2 * labels.as_bytes().len())
}

fn histogram_of(value: &Value) -> Option<&Histogram> {
    match value {
        Value::Float(_) => None,
        Value::Histogram(histogram) => Some(histogram),
    }
}

impl Piece {
    /// The bytes of the piece.
    pub(super) fn render(self) -> Vec<u8> {
        let mut out = self.before;
        match self.part {
            Part::Nothing => {}
            Part::Samples(samples) => {
                push_items(&mut out, samples, |out, (labels, ms, value)| push_sample(out, &labels, ms, &value));
            }
            Part::Series(series, mut stamps) => {
                push_items(&mut out, series, |out, series| {
                    Stamps::make(&mut stamps, &series.timestamps);
                    push_series(out, &series, &stamps);
                });
            }
        }
        out.extend(self.after);
        out
    }
}

/// `{"metric":{…},"value":[…]}`, or with `histogram`.
fn push_sample(out: &mut Vec<u8>, labels: &Labels, ms: i64, value: &Value) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, labels);
    match value {
        Value::Float(value) => {
            out.extend_from_slice(br#","value":"#);
            push_point(out, ms, *value);
        }
        Value::Histogram(histogram) => {
            out.extend_from_slice(br#","histogram":"#);
            push_histogram_point(out, ms, histogram);
        }
    }
    out.push(b'}');
}

/// `{"metric":{…},"values":[…],"histograms":[…]}`, each only where there are some.
fn push_series(out: &mut Vec<u8>, series: &SeriesValues, stamps: &Stamps) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, &series.labels);
    let mut before: &[u8] = br#","values":["#;
    for (step, value) in series.column.raw().iter().enumerate() {
        if matches!(value.to_bits(), STALE_BITS | HISTOGRAM_BITS) {
            continue;
        }
        out.extend_from_slice(before);
        before = b",";
        out.extend_from_slice(stamps.get(step));
        push_float(out, *value);
        out.extend_from_slice(b"\"]");
    }
    if before == b"," {
        out.push(b']');
    }
    if series.column.has_histograms() {
        let histograms = series.timestamps.iter().enumerate();
        let histograms = histograms.filter_map(|(step, ms)| Some((*ms, series.column.histogram(step)?)));
        out.extend_from_slice(br#","histograms":"#);
        push_list(out, histograms, |out, (ms, histogram)| push_histogram_point(out, ms, histogram));
    }
    out.push(b'}');
}

/// Times as they stand before values, `[1435781451,"`: rendered once for all series of the same steps.
#[derive(Debug, Default)]
struct Stamps {
    of: Option<Arc<[i64]>>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Stamps {
    /// Makes those of some times, unless they are these already.
    fn make(stamps: &mut Arc<Self>, timestamps: &Arc<[i64]>) {
        if stamps.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, timestamps)) {
            return;
        }
        let mut new = Self { of: Some(Arc::clone(timestamps)), ..Self::default() };
        for ms in timestamps.iter() {
            new.text.push(b'[');
            push_timestamp(&mut new.text, *ms);
            new.text.extend_from_slice(b",\"");
            new.ends.push(new.text.len());
        }
        *stamps = Arc::new(new);
    }

    fn get(&self, step: usize) -> &[u8] {
        let start = step.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[step]]
    }
}

#[cfg(test)]
mod tests {
    use promql::column::Column;
    use schemas::histogram::{Buckets, SCHEMA_CUSTOM, Span};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_sorted(pairs.iter().copied())
    }

    fn text(value: QueryValue) -> String {
        let bytes: Vec<u8> = Pieces::new(Vec::new(), value, Vec::new()).flat_map(Piece::render).collect();
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn histogram() -> Arc<Histogram> {
        Arc::new(Histogram {
            schema: 0,
            zero_threshold: 0.25,
            zero_count: 3.0,
            count: 22.0,
            sum: 34_593.34,
            positive: Buckets { spans: vec![Span { offset: 0, length: 4 }], counts: vec![12.0, 0.0, 6.0, 1.0] },
            ..Histogram::default()
        })
    }

    const HISTOGRAM_JSON: &str = r#"{"count":"22","sum":"34593.34","buckets":[[3,"-0.25","0.25","3"],[0,"0.5","1","12"],[0,"2","4","6"],[0,"4","8","1"]]}"#;

    #[test]
    fn scalars_and_strings_are_a_time_and_a_text() {
        assert_eq!(text(QueryValue::Scalar(2.0, 4_000)), r#"[4,"2"]"#);
        assert_eq!(text(QueryValue::String("a \"b\"\n".to_owned(), 1)), r#"[0.001,"a \"b\"\n"]"#);
    }

    #[test]
    fn a_vector_has_a_value_or_a_histogram_for_each_series() {
        let vector = QueryValue::Vector(vec![
            (labels(&[("__name__", "up"), ("job", "é\u{1}")]), 1_435_781_451_781, Value::Float(1.5)),
            (labels(&[]), 1_000, Value::Histogram(histogram())),
        ]);
        let expected = format!(
            r#"[{{"metric":{{"__name__":"up","job":"é\u0001"}},"value":[1435781451.781,"1.5"]}},{{"metric":{{}},"histogram":[1,{HISTOGRAM_JSON}]}}]"#
        );
        assert_eq!(text(vector), expected);
        assert_eq!(text(QueryValue::Vector(Vec::new())), "[]");
    }

    #[test]
    fn a_matrix_leaves_empty_places_out_and_keeps_histograms_apart() {
        let timestamps: Arc<[i64]> = [0, 15_000, 30_500].into();
        let mut column = Column::empty(3);
        column.set_float(0, f64::NAN);
        column.set_histogram(2, histogram());
        let mixed = SeriesValues { labels: labels(&[("a", "1")]), timestamps: Arc::clone(&timestamps), column };
        let mut column = Column::constant(3, 1.0);
        column.clear(1);
        let floats = SeriesValues { labels: labels(&[("a", "2")]), timestamps, column };
        let expected = format!(
            r#"[{{"metric":{{"a":"1"}},"values":[[0,"NaN"]],"histograms":[[30.500,{HISTOGRAM_JSON}]]}},{{"metric":{{"a":"2"}},"values":[[0,"1"],[30.500,"1"]]}}]"#
        );
        assert_eq!(text(QueryValue::Matrix(vec![mixed, floats])), expected);
        assert_eq!(text(QueryValue::Matrix(Vec::new())), "[]");
    }

    #[test]
    fn a_long_answer_comes_in_pieces_that_make_one_document() {
        let timestamps: Arc<[i64]> = (0..1_440).map(|step| step * 60_000).collect();
        let series = |n: u32| SeriesValues {
            labels: labels(&[("n", &n.to_string())]),
            timestamps: Arc::clone(&timestamps),
            column: Column::constant(1_440, f64::from(n) + 0.5),
        };
        let pieces =
            Pieces::new(b"{\"data\":".to_vec(), QueryValue::Matrix((0..40).map(series).collect()), b"}".to_vec());
        let pieces: Vec<Vec<u8>> = pieces.map(Piece::render).collect();
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES), "{}", pieces.len());
        let document: serde_json::Value = serde_json::from_slice(&pieces.concat()).expect("one document");
        assert_eq!(document["data"].as_array().map(Vec::len), Some(40));
        assert_eq!(document["data"][39]["values"][1_439], serde_json::json!([1_439 * 60, "39.5"]));
    }

    /// What Prometheus 3.15's own `jsonutil.MarshalHistogram` wrote of the same histograms.
    #[test]
    fn histograms_are_written_as_prometheus_writes_them() {
        let span = |offset, length| Span { offset, length };
        let exponential = Histogram {
            schema: 3,
            zero_threshold: f64::from_bits((1_023 - 128) << 52),
            zero_count: 2.5,
            count: 15.0,
            sum: 6.25,
            positive: Buckets { spans: vec![span(-40, 2), span(70, 1)], counts: vec![2.5; 3] },
            negative: Buckets { spans: vec![span(3, 2)], counts: vec![2.5; 2] },
            ..Histogram::default()
        };
        let custom = Histogram {
            schema: SCHEMA_CUSTOM,
            count: 6.0,
            sum: 9.5,
            positive: Buckets { spans: vec![span(0, 1), span(1, 2)], counts: vec![1.0, 2.0, 3.0] },
            custom_values: vec![0.5, 1.0, 2.5],
            ..Histogram::default()
        };
        let expected = [
            r#"{"count":"15","sum":"6.25","buckets":[[1,"-1.414213562373095","-1.2968395546510096","2.5"],[1,"-1.2968395546510096","-1.189207115002721","2.5"],[3,"-2.938735877055719e-39","2.938735877055719e-39","2.5"],[0,"0.028656376350145972","0.03125","2.5"],[0,"0.03125","0.0340783666457893","2.5"],[0,"14.672064691274738","16","2.5"]]}"#,
            r#"{"count":"6","sum":"9.5","buckets":[[3,"-Inf","0.5","1"],[0,"1","2.5","2"],[0,"2.5","+Inf","3"]]}"#,
        ];
        for (histogram, expected) in [exponential, custom].iter().zip(expected) {
            let mut out = Vec::new();
            push_histogram(&mut out, histogram);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }

    #[test]
    fn a_histogram_without_observations_has_no_buckets() {
        let mut out = Vec::new();
        push_histogram(&mut out, &Histogram::default());
        assert_eq!(String::from_utf8(out).expect("UTF-8"), r#"{"count":"0","sum":"0"}"#);
    }
}
