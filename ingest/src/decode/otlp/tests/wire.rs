//! OTLP in protobuf.

use proptest::prelude::*;

use super::super::*;
use super::{NOW_NS, in_json};
use crate::decode::testing::wire::{field, fixed, number};
use crate::decode::testing::{NOW_MS, Point, codes, decode_with};
use crate::limits::Limits;

fn attribute(at: u64, key: &str, value: &[u8]) -> Vec<u8> {
    field(at, &[field(1, key.as_bytes()), field(2, value)].concat())
}

/// A request of metrics of one resource, the resource behind its metrics.
fn request(metrics: &[Vec<u8>]) -> Vec<u8> {
    let resource = field(1, &attribute(1, "service.name", &field(1, b"shop")));
    let scope = field(2, &metrics.iter().flat_map(|metric| field(2, metric)).collect::<Vec<u8>>());
    field(1, &[scope, resource].concat())
}

fn metric(name: &str, kind: u64, data: &[u8]) -> Vec<u8> {
    // The unit stands behind the points.
    [field(1, name.as_bytes()), field(kind, data), field(3, b"s")].concat()
}

fn read(body: &[u8]) -> Result<(Vec<Point>, Decoded), DecodeError> {
    let otlp = Otlp::default();
    decode_with(&Limits::default(), |scope, batch| decode(body, Encoding::Protobuf, &mut otlp.session(), scope, batch))
}

/// A request with a metric of each kind.
fn of_all_kinds() -> Vec<u8> {
    let nested = field(5, &[field(1, &number(3, 7)), field(1, &field(6, &attribute(1, "k", &number(2, 1))))].concat());
    let gauge = [fixed(3, NOW_NS), fixed(4, 0.5_f64.to_bits()), attribute(7, "list", &nested)].concat();
    let sum = [fixed(3, NOW_NS), fixed(6, (-3_i64).cast_unsigned()), field(5, b"")].concat();
    let packed: Vec<u8> = [1_u64, 2].iter().flat_map(|count| count.to_le_bytes()).collect();
    let explicit =
        [fixed(3, NOW_NS), fixed(4, 3), fixed(5, 1.5_f64.to_bits()), field(6, &packed), fixed(7, 1.0_f64.to_bits())];
    let buckets = [number(1, 1), field(2, &[1, 0, 1])].concat();
    let exponential = [fixed(3, NOW_NS), fixed(4, 2), number(6, 2), field(8, &buckets)].concat();
    let quantile = field(6, &[fixed(1, 0.5_f64.to_bits()), fixed(2, 4.0_f64.to_bits())].concat());
    let summary = [fixed(3, NOW_NS), fixed(4, 1), fixed(5, 4.0_f64.to_bits()), quantile].concat();
    request(&[
        metric("gauge", 5, &field(1, &gauge)),
        metric("sum", 7, &[field(1, &sum), number(2, 2)].concat()),
        metric("explicit", 9, &[number(2, 2), field(1, &explicit.concat())].concat()),
        metric("exponential", 10, &[number(2, 2), field(1, &exponential)].concat()),
        metric("summary", 11, &field(1, &summary)),
    ])
}

#[test]
fn metrics_of_all_kinds_come_out_as_sent() {
    let (points, decoded) = read(&of_all_kinds()).expect("well formed");
    let names: Vec<&str> = points.iter().map(|(series, _, _)| series.as_str()).collect();
    assert_eq!(
        names,
        [
            r#"gauge_seconds{job="shop",list="[7,{\"k\":true}]"}"#,
            r#"sum_seconds{job="shop"}"#,
            r#"explicit_seconds_sum{job="shop"}"#,
            r#"explicit_seconds_count{job="shop"}"#,
            r#"explicit_seconds_bucket{job="shop",le="1"}"#,
            r#"explicit_seconds_bucket{job="shop",le="+Inf"}"#,
            r#"exponential_seconds{job="shop"}"#,
            r#"summary_seconds_sum{job="shop"}"#,
            r#"summary_seconds_count{job="shop"}"#,
            r#"summary_seconds{job="shop",quantile="0.5"}"#,
        ]
    );
    let values: Vec<f64> = points.iter().map(|(_, _, value)| *value).filter(|value| !value.is_nan()).collect();
    assert_eq!(values, [0.5, -3.0, 1.5, 3.0, 1.0, 3.0, 4.0, 1.0, 4.0]);
    assert!(points.iter().all(|(_, time_ms, _)| *time_ms == NOW_MS));
    assert_eq!((decoded.points_seen, decoded.dropped.exemplars), (10, 1));
}

#[test]
fn damage_is_told_with_its_place() {
    let good = of_all_kinds();
    let error = read(&good[..good.len() - 3]).expect_err("cut").to_string();
    assert!(error.starts_with("malformed OTLP request at byte"), "{error}");
    let not_text = request(&[metric("m", 5, &field(1, &attribute(7, "k", &field(1, b"\xff"))))]);
    assert!(read(&not_text).expect_err("not UTF-8").to_string().contains("a text is not UTF-8"));
    let deep = (0..40).fold(number(3, 1), |value, _| field(5, &field(1, &value)));
    let deep = request(&[metric("m", 5, &field(1, &attribute(7, "k", &deep)))]);
    assert!(read(&deep).expect_err("too deep").to_string().contains("too deep"));
}

#[test]
fn more_attributes_than_a_series_may_have_are_refused() {
    let attributes: Vec<u8> = (0..2_000).flat_map(|at| attribute(7, &format!("k{at}"), &number(3, 1))).collect();
    let point = [attributes, fixed(3, NOW_NS), fixed(4, 0)].concat();
    let (_, decoded) = read(&request(&[metric("m", 5, &field(1, &point))])).expect("well formed");
    assert_eq!(codes(&decoded), [(0, "invalid_labels")]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = in_json(&Settings::default(), &bytes);
    }

    /// Damage inside of a valid message reaches deeper than noise does.
    #[test]
    fn a_damaged_request_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut body = of_all_kinds();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read(&body);
        let _ = read(&body[..cut.index(body.len())]);
    }
}
