use schemas::histogram::SCHEMA_CUSTOM;
use schemas::points::stale;

use super::*;
use crate::decode::testing::wire::{double, field, number, signed, varint};

fn span(field_number: u64, offset: i64, length: u64) -> Vec<u8> {
    field(field_number, &[signed(1, offset), number(2, length)].concat())
}

fn packed_deltas(field_number: u64, deltas: &[i64]) -> Vec<u8> {
    let zigzag = |&delta: &i64| varint((delta << 1 ^ delta >> 63).cast_unsigned());
    field(field_number, &deltas.iter().flat_map(zigzag).collect::<Vec<u8>>())
}

fn packed_doubles(field_number: u64, values: &[f64]) -> Vec<u8> {
    field(field_number, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

fn read_one(message: &[Vec<u8>]) -> (i64, Result<NativeSample, String>) {
    let body = message.concat();
    let (timestamp_ms, sample) = read(Reader::new(&body, "message")).expect("well formed");
    (timestamp_ms, sample.map_err(|reason| format!("{}: {reason}", reason.code())))
}

fn histogram(message: &[Vec<u8>]) -> Histogram {
    match read_one(message).1 {
        Ok(NativeSample::Histogram(histogram)) => Histogram::clone(&histogram),
        other => panic!("{other:?}"),
    }
}

fn refused(message: &[Vec<u8>]) -> String {
    read_one(message).1.expect_err("contradicts itself")
}

/// Buckets of both signs in two spans, counted by differences.
fn integers() -> Vec<Vec<u8>> {
    vec![
        number(1, 19),
        double(3, 12.5),
        signed(4, -2),
        double(5, 0.001),
        number(6, 2),
        span(8, 3, 1),
        packed_deltas(9, &[4]),
        span(11, -1, 2),
        span(11, 3, 1),
        packed_deltas(12, &[5, -2, 2]),
        number(14, 2),
        number(15, 1_700_000_000_000),
    ]
}

#[test]
fn an_integer_histogram_gets_absolute_counts() {
    let (timestamp_ms, _) = read_one(&integers());
    assert_eq!(timestamp_ms, 1_700_000_000_000);
    let positive = Buckets {
        spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        counts: vec![5.0, 3.0, 5.0],
    };
    let expected = Histogram {
        schema: -2,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 19.0,
        sum: 12.5,
        positive,
        negative: Buckets { spans: vec![Span { offset: 3, length: 1 }], counts: vec![4.0] },
        custom_values: vec![],
        reset_hint: ResetHint::NotReset,
        is_integer: true,
    };
    assert_eq!(histogram(&integers()), expected);
    let mut unpacked = integers();
    unpacked[9] = [signed(12, 5), signed(12, -2), signed(12, 2)].concat();
    assert_eq!(histogram(&unpacked), expected);
}

#[test]
fn a_float_histogram_keeps_its_counts_and_need_not_add_up() {
    let message = [double(2, 7.5), double(7, 0.5), span(11, 0, 2), packed_doubles(13, &[1.25, 2.5]), number(14, 3)];
    let read = histogram(&message);
    assert_eq!((read.count, read.zero_count, read.is_integer), (7.5, 0.5, false));
    assert_eq!((read.positive.counts, read.reset_hint), (vec![1.25, 2.5], ResetHint::Gauge));
}

#[test]
fn custom_buckets_bring_their_bounds() {
    let custom = |bounds: &[f64]| {
        [number(1, 3), signed(4, -53), span(11, 0, 3), packed_deltas(12, &[1, 0, 0]), packed_doubles(16, bounds)]
    };
    let read = histogram(&custom(&[0.5, 2.5]));
    assert_eq!((read.schema, read.custom_values), (SCHEMA_CUSTOM, vec![0.5, 2.5]));
    assert!(refused(&custom(&[2.5, 0.5])).contains("not rising"));
    assert!(refused(&custom(&[0.5])).contains("too few"));
}

#[test]
fn a_stale_sum_ends_the_series_whatever_else_is_said() {
    let message = [double(3, stale()), number(15, 7), span(11, 0, 9)];
    assert_eq!(read_one(&message), (7, Ok(NativeSample::Stale)));
}

#[test]
fn what_contradicts_itself_is_refused_with_the_reason() {
    let change = |at: usize, by: Vec<u8>| {
        let mut message = integers();
        message[at] = by;
        refused(&message)
    };
    assert!(
        change(0, number(1, 18)).starts_with("invalid_value: invalid value: native histogram: the buckets hold 19")
    );
    assert!(change(9, packed_deltas(12, &[5, -6, 9])).contains("count of a bucket is -1"));
    assert!(change(9, packed_deltas(12, &[5, 1])).contains("3 buckets, but there are 2"));
    assert!(change(9, packed_deltas(12, &[i64::MAX, i64::MAX, 0])).contains("wider"));
    assert!(change(8, span(11, -3, 1)).contains("offset -3"));
    assert!(change(2, signed(4, -5)).contains("schema -5"));
    assert!(change(2, signed(4, 53)).contains("schema 53"));
    assert!(change(2, signed(4, i64::MAX)).contains("schema"));
    assert!(change(10, packed_doubles(16, &[1.0])).contains("custom bounds"));
    assert!(change(9, packed_deltas(12, &vec![0; BUCKETS_MAX + 10])).contains("at most"));
    assert!(refused(&vec![span(11, 0, 0); BUCKETS_MAX + 10]).contains("spans"));
}

#[test]
fn resolutions_beyond_ours_are_reduced() {
    let mut message = integers();
    message[2] = signed(4, 10);
    let read = histogram(&message);
    assert_eq!((read.schema, read.count), (SCHEMA_MAX, 19.0));
    // Buckets −1, 0 and 4 of schema 10 lie in 0, 0 and 1 of schema 8.
    assert_eq!(read.positive.iter().collect::<Vec<_>>(), [(0, 8.0), (1, 5.0)]);
    message[9] = packed_deltas(12, &[5]);
    assert!(refused(&message).contains("3 buckets, but there are 1"));
}

#[test]
fn bytes_that_are_no_message_are_an_error_of_the_body() {
    for body in [field(12, &[0x80]), field(13, &[1, 2, 3]), vec![0x0b], field(11, &[0xff])] {
        assert!(read(Reader::new(&body, "message")).is_err(), "{body:?}");
    }
}
