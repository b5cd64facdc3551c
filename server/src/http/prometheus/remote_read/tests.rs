//! Bytes against those that Prometheus 3.15's own encoders gave for the same samples.

use ingest::decode::protobuf::{Field, Reader};
use ingest::encode::protobuf::{put_bytes, put_int, put_message, put_uint};
use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};
use schemas::points::{STALE_BITS, histogram_marker};
use schemas::varint::{self, put_uvarint};
use schemas::{Labels, MatchOp, Points};

use super::chunk::{Chunk, Encoding};
use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_floats(points: &[(i64, f64)]) -> String {
    hex(&Chunk::of_floats(points).data)
}

#[test]
fn chunks_of_floats_are_prometheus_bytes() {
    assert_eq!(of_floats(&[(1_435_781_451_781, 1.5)]), "00018ac0f2b3c9533ff8000000000000");
    let regular = [(1_000, 1.0), (16_000, 1.0), (31_000, 2.0), (46_000, 2.5), (61_000, -3.0)];
    assert_eq!(of_floats(&regular), "0005d00f3ff000000000000098753097ffdb41b01d0018");
    let jitter = [
        (-5, 0.0),
        (10, 0.1),
        (8_000, 0.2),
        (8_001, 0.3),
        (200_000, 1e300),
        (1_000_000, f64::INFINITY),
        (1_000_001, 5e-324),
        (9_000_000_000_000, 7.0),
        (9_000_000_000_001, 7.0),
        (9_000_000_060_000, f64::from_bits(STALE_BITS)),
    ];
    let expected = "000a0900000000000000000fc5eff733333333333367c9e01c0000000000005065ebd75555555555553c5dbfd87f83c9ae1f\
                    76668d5fe0000000000128e0301c7e43c8800759cffffffffffff3cb01bff8000000000000f80000417bcdf26df500700000\
                    00000007fffffdf421906c9099d4bd3fec000000000002";
    assert_eq!(of_floats(&jitter), expected);
}

/// Five buckets with `c` observations each, and as many at zero.
fn exponential(c: f64, reset_hint: ResetHint) -> Histogram {
    let span = |offset, length| Span { offset, length };
    Histogram {
        schema: 3,
        zero_threshold: f64::from_bits((1_023 - 128) << 52),
        zero_count: c,
        count: 6.0 * c,
        sum: 2.5 * c,
        positive: Buckets { spans: vec![span(-40, 2), span(70, 1)], counts: vec![c; 3] },
        negative: Buckets { spans: vec![span(3, 2)], counts: vec![c; 2] },
        reset_hint,
        ..Histogram::default()
    }
}

fn of_histograms(histograms: &[(i64, Histogram)]) -> (String, usize) {
    let shared: Vec<_> = histograms.iter().map(|(ms, histogram)| (*ms, Arc::new(histogram.clone()))).collect();
    let (chunk, taken) = histograms::first_chunk(&shared);
    assert_eq!((chunk.start_ms, chunk.end_ms), (histograms[0].0, histograms[taken - 1].0));
    (hex(&chunk.data), taken)
}

#[test]
fn chunks_of_histograms_are_prometheus_bytes() {
    let list = [
        (1_435_781_451_781, exponential(1.0, ResetHint::Unknown)),
        (1_435_781_466_781, exponential(2.0, ResetHint::NotReset)),
        (1_435_781_481_782, exponential(2.5, ResetHint::NotReset)),
    ];
    let expected = "000300749ca5dd88f11a329ff0000a7259f2802a00c0000000000001ff800000000000020020000000000001ff8000000000\
                    0001ff80000000000001ff80000000000001ff80000000000001ff80000000000007c1d4c6a0bc25fffd60f097fff097fff0\
                    97fff097fff097ffe3b42f683d826ed07b41ed07b41ed060";
    assert_eq!(of_histograms(&list), (expected.to_owned(), 3));
    let expected = "0001c0749ca5dd88f11a329f8fa100e00000000000010040000000000001009000000000000100400000000000010040000\
                    000000001004000000000000100400000000000010040000000000000";
    assert_eq!(of_histograms(&[(1_000, exponential(4.0, ResetHint::Gauge))]), (expected.to_owned(), 1));
    let custom = Histogram {
        schema: SCHEMA_CUSTOM,
        count: 3.0,
        sum: 9.25,
        reset_hint: ResetHint::Reset,
        positive: Buckets { spans: vec![Span { offset: 0, length: 3 }], counts: vec![1.0, 0.0, 2.0] },
        custom_values: vec![0.005, 0.1, 33_554.43, 1e9, 1.0 / 3.0],
        ..Histogram::default()
    };
    let expected = "00018000ee5c6656dc65fdffffff20e6e6b2800000000ff55555555555557c7d080100000000000000000000000000000804\
                    50000000000007fe0000000000000000000000000000080000000000000000";
    assert_eq!(of_histograms(&[(1_000, custom)]), (expected.to_owned(), 1));
}

#[test]
fn zero_thresholds_are_one_byte_where_they_are_usual() {
    let of = |zero_threshold: f64| {
        let none = Buckets::default();
        let plain = exponential(1.0, ResetHint::Unknown);
        let histogram = Histogram { zero_threshold, positive: none.clone(), negative: none, ..plain };
        of_histograms(&[(1, histogram)]).0
    };
    assert_eq!(of(0.0), "0001000099140180000000000003ff000000000000040040000000000000");
    assert_eq!(of(1e-9), "000100ff3e112e0be826d69599140180000000000003ff000000000000040040000000000000");
    assert_eq!(of(2_048.0), "000100ff40a000000000000099140180000000000003ff000000000000040040000000000000");
}

#[test]
fn a_chunk_ends_where_a_counter_may_have_been_reset() {
    let hints = [ResetHint::Unknown, ResetHint::NotReset, ResetHint::Unknown, ResetHint::NotReset, ResetHint::Gauge];
    let mut points = Points::default();
    for (ms, hint) in (0..).map(|n| n * 1_000).zip(hints) {
        points.push(ms, histogram_marker());
        points.histograms.insert(ms, Arc::new(exponential(1.0, hint)));
    }
    points.push(6_000, 1.0);
    let labels = Labels::new([("__name__", "latency")]).unwrap();
    let chunks = frames::chunks(&RawSeries { labels, points });
    let shape: Vec<_> = chunks.iter().map(|chunk| (chunk.encoding, chunk.start_ms, chunk.end_ms)).collect();
    let histogram = Encoding::FloatHistogram;
    let expected =
        [(histogram, 0, 1_000), (histogram, 2_000, 3_000), (histogram, 4_000, 4_000), (Encoding::Xor, 6_000, 6_000)];
    assert_eq!(shape, expected);
}

fn request(accepted: &[u64]) -> Vec<u8> {
    let (mut matcher, mut query, mut message) = (Vec::new(), Vec::new(), Vec::new());
    put_uint(&mut matcher, 1, 2);
    put_bytes(&mut matcher, 2, b"job");
    put_bytes(&mut matcher, 3, b"a.*");
    put_int(&mut query, 1, -5);
    put_int(&mut query, 2, 1_000);
    put_message(&mut query, 3, &matcher);
    put_message(&mut query, 4, b"\x12\x04rate");
    put_message(&mut message, 1, &query);
    for kind in accepted {
        message.push(2 << 3);
        put_uvarint(&mut message, *kind);
    }
    message
}

#[test]
fn a_request_names_series_times_and_what_it_takes() {
    let decoded = ReadRequest::decode(&request(&[])).unwrap();
    let [query] = &decoded.queries[..] else { panic!("one query") };
    assert_eq!((query.start_ms, query.end_ms), (-5, 1_000));
    assert_eq!((query.matchers[0].name(), query.matchers[0].op()), ("job", MatchOp::Regex));
    assert_eq!(range(query).map(|range| (range.start().0, range.end().0)), Some((0, 1_001)));
    for (accepted, expected) in
        [(&[][..], ResponseType::Samples), (&[1, 0], ResponseType::Chunks), (&[7, 0, 1], ResponseType::Samples)]
    {
        let decoded = ReadRequest::decode(&request(accepted)).unwrap();
        assert_eq!(decoded.response_type(), Ok(expected), "{accepted:?}");
    }
    assert!(ReadRequest::decode(&request(&[7])).unwrap().response_type().is_err());
    let whole = request(&[1]);
    for end in 0..whole.len() {
        drop(ReadRequest::decode(&whole[..end]));
    }
}

#[test]
fn a_result_has_samples_and_histograms_of_each_series() {
    let mut points = Points::default();
    points.push(1_000, 1.5);
    points.push(2_000, histogram_marker());
    points.histograms.insert(2_000, Arc::new(Histogram { is_integer: true, ..exponential(2.0, ResetHint::Unknown) }));
    let labels = Labels::new([("__name__", "m")]).unwrap();
    let mut out = Vec::new();
    message::push_result(&mut out, &[RawSeries { labels, points }]);
    let fields = |message: &[u8]| {
        let (mut reader, mut fields) = (Reader::new(message, "message"), Vec::new());
        while let Some((number, field)) = reader.next_field().unwrap() {
            let bytes = match field {
                Field::Bytes(bytes) => reader.slice(bytes).to_vec(),
                Field::Varint(value) => value.to_be_bytes().to_vec(),
                Field::Fixed64(_) | Field::Fixed32 => Vec::new(),
            };
            fields.push((number, bytes));
        }
        fields
    };
    let result = fields(&out).remove(0).1;
    let series = fields(&fields(&result).remove(0).1);
    assert_eq!(series.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(series[0].1, b"\x0a\x08__name__\x12\x01m");
    assert_eq!(hex(&series[1].1), "09000000000000f83f10e807");
    let histogram = fields(&series[2].1);
    let numbers: Vec<u64> = histogram.iter().map(|(number, _)| *number).collect();
    // Counts as integers, spans before differences, negative buckets before positive ones.
    assert_eq!(numbers, [1, 3, 4, 5, 6, 8, 9, 11, 11, 12, 15]);
    assert_eq!(histogram[6].1, [4, 0], "two buckets of two: +2, +0");
}

#[test]
fn frames_have_their_length_and_checksum_and_one_series_each() {
    let series = |name: &str| {
        let mut points = Points::default();
        (0..300).for_each(|n| points.push(n * 1_000, f64::from(u32::try_from(n).unwrap())));
        RawSeries { labels: Labels::new([("__name__", name)]).unwrap(), points }
    };
    let bytes: Vec<u8> =
        frames::Frames::new(vec![vec![series("a"), series("b")], vec![], vec![series("c")]]).flatten().collect();
    let (mut rest, mut seen) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let mut reader = varint::Reader::new(rest);
        let length = usize::try_from(reader.uvarint().unwrap()).unwrap();
        let head = reader.position();
        let (sum, message) = (&rest[head..head + 4], &rest[head + 4..head + 4 + length]);
        assert_eq!(sum, crc32c::crc32c(message).to_be_bytes());
        let mut fields = Reader::new(message, "message");
        let Some((1, Field::Bytes(one))) = fields.next_field().unwrap() else { panic!("a series") };
        let query = fields.next_field().unwrap().map_or(0, |field| match field {
            (2, Field::Varint(query)) => query,
            other => panic!("{other:?}"),
        });
        let (mut one, mut chunks) = (fields.within(one), 0);
        while let Some((number, _)) = one.next_field().unwrap() {
            chunks += u32::from(number == 2);
        }
        seen.push((query, chunks));
        rest = &rest[head + 4 + length..];
    }
    assert_eq!(seen, [(0, 3), (0, 3), (2, 3)]);
}
