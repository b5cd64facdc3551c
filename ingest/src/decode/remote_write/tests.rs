use proptest::prelude::*;
use schemas::points::{STALE_BITS, stale};

use super::*;
use crate::decode::testing::wire::{double, field, number, varint};
use crate::decode::testing::{NOW_MS, Point, codes, decode_with, told};
use crate::limits::Limits;

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name), field(2, value)].concat())
}

fn sample(timestamp_ms: i64, value: f64) -> Vec<u8> {
    field(2, &[double(1, value), number(2, timestamp_ms.cast_unsigned())].concat())
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let labels = labels.iter().flat_map(|(name, value)| label(name.as_bytes(), value.as_bytes()));
    field(1, &labels.chain(samples.iter().flat_map(|(ts, value)| sample(*ts, *value))).collect::<Vec<u8>>())
}

fn read(body: &[u8]) -> Result<(Vec<Point>, Decoded), DecodeError> {
    decode_with(&Limits::default(), |scope, batch| decode(body, scope, batch))
}

#[test]
fn series_and_samples_come_out_as_sent() {
    let body = [
        series(&[("__name__", "up"), ("job", "a")], &[(NOW_MS, 1.0), (NOW_MS + 1, 0.5)]),
        series(&[("__name__", "temp"), ("città", "Zürich")], &[(NOW_MS, -3.25)]),
    ]
    .concat();
    let (points, decoded) = read(&body).expect("well formed");
    let expected = [
        (r#"up{job="a"}"#.to_owned(), NOW_MS, 1.0),
        (r#"up{job="a"}"#.to_owned(), NOW_MS + 1, 0.5),
        (r#"temp{città="Zürich"}"#.to_owned(), NOW_MS, -3.25),
    ];
    assert_eq!(points, expected);
    assert_eq!((decoded.points_seen, decoded.rejections.points()), (3, 0));
}

#[test]
fn staleness_markers_keep_their_bits() {
    let (points, _) = read(&series(&[("__name__", "up")], &[(NOW_MS, stale())])).expect("well formed");
    assert_eq!(points[0].2.to_bits(), STALE_BITS);
}

#[test]
fn unsorted_labels_and_long_values_name_the_same_series() {
    let long = "v".repeat(200);
    let body = series(&[("z", "1"), ("__name__", "m"), ("a", &long), ("empty", "")], &[(NOW_MS, 1.0)]);
    let (points, _) = read(&body).expect("well formed");
    assert_eq!(points[0].0, format!(r#"m{{a="{long}",z="1"}}"#));
}

#[test]
fn samples_before_labels_and_unknown_fields_are_understood() {
    let unknown = [vec![9 << 3], varint(u64::MAX), vec![10 << 3 | 5, 1, 2, 3, 4], field(11, b"later")].concat();
    let message = [sample(NOW_MS, 2.0), unknown.clone(), label(b"__name__", b"m")].concat();
    let (points, _) = read(&[unknown, field(1, &message)].concat()).expect("well formed");
    assert_eq!(points, [("m{}".to_owned(), NOW_MS, 2.0)]);
}

#[test]
fn bad_series_are_refused_by_index_and_good_ones_kept() {
    let body = [
        series(&[("__name__", "ok")], &[(NOW_MS, 1.0)]),
        series(&[("job", "nameless")], &[(NOW_MS, 1.0), (NOW_MS, 2.0)]),
        field(1, &[label(b"__name__", b"m"), label(b"l", b"\xff\xfe"), sample(NOW_MS, 1.0)].concat()),
        series(&[("__name__", "m"), ("a", "1"), ("a", "2")], &[(NOW_MS, 1.0)]),
        series(&[("__name__", "m"), ("__tenant__", "other")], &[(NOW_MS, 1.0)]),
        series(&[("__name__", "late")], &[(NOW_MS - 86_400_001, 1.0), (NOW_MS, 2.0)]),
    ]
    .concat();
    let (points, decoded) = read(&body).expect("well formed");
    assert_eq!(points.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["ok{}", "late{}"]);
    assert_eq!(decoded.rejections.points(), 6);
    assert_eq!(
        codes(&decoded),
        [(1, "invalid_labels"), (2, "invalid_labels"), (3, "invalid_labels"), (4, "invalid_labels"), (5, "too_old")]
    );
    assert_eq!(told(&decoded)[1].1, r#"the value of label "l" is not UTF-8"#);
}

#[test]
fn times_no_clock_shows_are_refused_each_with_its_reason() {
    let times = [i64::MIN, -1, i64::MAX, 253_402_300_800_000, NOW_MS + 600_000, NOW_MS - 86_400_001];
    let samples: Vec<(i64, f64)> = times.iter().map(|ts| (*ts, 1.0)).collect();
    let (points, decoded) = read(&series(&[("__name__", "m")], &samples)).expect("well formed");
    assert!(points.is_empty());
    let codes: Vec<&str> = codes(&decoded).iter().map(|(_, code)| *code).collect();
    assert_eq!(
        codes,
        [
            "invalid_timestamp",
            "invalid_timestamp",
            "invalid_timestamp",
            "invalid_timestamp",
            "too_far_in_future",
            "too_old"
        ]
    );
}

#[test]
fn exemplars_are_counted_and_left_out() {
    let message = [label(b"__name__", b"m"), sample(NOW_MS, 1.0), field(3, b"")].concat();
    let (points, decoded) = read(&field(1, &message)).expect("well formed");
    assert_eq!((points.len(), decoded.dropped.exemplars), (1, 1));
}

#[test]
fn native_histograms_stand_beside_samples_and_bad_ones_are_refused_by_themselves() {
    let at = |ms: i64| [vec![15 << 3], varint(ms.cast_unsigned())].concat();
    // Three observations in the zero bucket.
    let zeros = |ms: i64| field(4, &[vec![8, 3, 6 << 3, 3], at(ms)].concat());
    let wrong = field(4, &[vec![8, 4, 6 << 3, 3], at(NOW_MS)].concat());
    let ended = field(4, &[[vec![3 << 3 | 1], stale().to_le_bytes().to_vec()].concat(), at(NOW_MS + 2)].concat());
    let message =
        [label(b"__name__", b"m"), zeros(NOW_MS), sample(NOW_MS + 1, 1.0), wrong, zeros(1), ended, zeros(NOW_MS + 3)];
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    let window = schemas::TimeRange::new(schemas::TimestampMs(NOW_MS - 1_000), schemas::TimestampMs(NOW_MS + 1_000));
    let scope = Scope { now_ms: NOW_MS, window: window.expect("ordered"), limits: &limits };
    let decoded = decode(&field(1, &message.concat()), scope, &mut batch).expect("well formed");
    assert_eq!(batch.timestamps(), [NOW_MS + 1, NOW_MS, NOW_MS + 2, NOW_MS + 3]);
    assert_eq!(batch.values()[2].to_bits(), STALE_BITS);
    let histograms: Vec<(u32, f64)> = batch.histograms().iter().map(|(point, one)| (*point, one.count)).collect();
    assert_eq!(histograms, [(1, 3.0), (3, 3.0)]);
    assert_eq!((decoded.points_seen, decoded.rejections.points(), decoded.kept()), (6, 2, 4));
    assert_eq!(codes(&decoded), [(0, "invalid_value"), (0, "too_old")]);
}

#[test]
fn metadata_without_samples_is_kept() {
    let message = [vec![1 << 3, 1], field(2, b"http_requests"), field(4, b"Requests."), field(5, b"")].concat();
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: crate::decode::testing::window(), limits: &limits };
    decode(&field(3, &message), scope, &mut batch).expect("well formed");
    let said = &batch.metadata()["http_requests"];
    assert_eq!(
        (said.kind.as_deref(), said.help.as_deref(), said.unit.as_deref()),
        (Some("counter"), Some("Requests."), None)
    );
}

#[test]
fn damaged_messages_are_refused_with_the_place() {
    let good = series(&[("__name__", "up")], &[(NOW_MS, 1.0)]);
    let cut = read(&good[..good.len() - 3]).expect_err("cut");
    assert!(matches!(cut, DecodeError::Malformed { format: "remote write request", .. }), "{cut}");
    assert!(cut.to_string().contains("byte 2: a field of 34 bytes ends after its message"), "{cut}");
    assert!(read(&[0xff; 12]).is_err(), "a varint of twelve bytes");
    assert!(read(&[0x0b]).is_err(), "wire type 3");
    assert!(read(&[0x00, 0x00]).is_err(), "field number 0");
}

#[test]
fn more_points_than_a_request_may_hold_are_too_many() {
    let limits = Limits { points_per_request: 2, ..Limits::default() };
    let body = series(&[("__name__", "m")], &[(NOW_MS, 1.0), (NOW_MS, 2.0), (NOW_MS, 3.0)]);
    let error = decode_with(&limits, |scope, batch| decode(&body, scope, batch)).expect_err("three points");
    assert_eq!(error, DecodeError::TooManyPoints { limit: 2 });
}

#[test]
fn a_series_of_too_many_labels_is_refused_alone() {
    let names: Vec<String> = (0..2_000).map(|i| format!("l{i}")).collect();
    let labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let body = [series(&labels, &[(NOW_MS, 1.0)]), series(&[("__name__", "m")], &[(NOW_MS, 2.0)])].concat();
    let (points, decoded) = read(&body).expect("well formed");
    assert_eq!((points.len(), told(&decoded)), (1, vec![(0, "more than 1000 labels".to_owned())]));
}

#[test]
fn a_series_without_samples_is_nothing() {
    let (points, decoded) = read(&[0x0a, 0x00].repeat(1_000)).expect("well formed");
    assert_eq!((points.len(), decoded.points_seen, decoded.rejections.points()), (0, 0, 0));
}

#[test]
fn metadata_is_bounded() {
    let message = |i: u32| field(3, &[field(2, format!("m{i}").as_bytes()), field(4, b"help")].concat());
    let body: Vec<u8> = (0..10_100).flat_map(message).collect();
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: crate::decode::testing::window(), limits: &limits };
    decode(&body, scope, &mut batch).expect("well formed");
    assert_eq!(batch.metadata().len(), 10_000);
}

#[test]
fn an_empty_request_is_a_request() {
    assert_eq!(read(b"").expect("well formed").0, []);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    /// Damage inside of a valid message reaches deeper than noise does.
    #[test]
    fn a_damaged_request_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut body = [
            series(&[("__name__", "up"), ("job", "ä")], &[(NOW_MS, 1.0), (NOW_MS, 1.0)]),
            series(&[("__name__", "down")], &[(NOW_MS, 1.0)]),
        ]
        .concat();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read(&body);
        let _ = read(&body[..cut.index(body.len())]);
    }

    #[test]
    fn every_request_round_trips(
        given in proptest::collection::vec(
            (
                proptest::collection::btree_map("[a-zä]{1,5}", ".{1,200}", 0..5),
                proptest::collection::vec((NOW_MS - 1_000..NOW_MS, any::<u64>()), 0..4),
            ),
            0..6,
        ),
    ) {
        let mut expected = Vec::new();
        let mut body = Vec::new();
        for (labels, samples) in &given {
            let mut pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            pairs.push(("__name__", "m"));
            let name = schemas::Labels::new(pairs.iter().copied()).expect("valid").to_string();
            let samples: Vec<(i64, f64)> = samples.iter().map(|(ts, bits)| (*ts, f64::from_bits(*bits))).collect();
            body.extend(series(&pairs, &samples));
            expected.extend(samples.iter().map(|(ts, value)| (name.clone(), *ts, value.to_bits())));
        }
        let (points, _) = read(&body).expect("well formed");
        let points: Vec<(String, i64, u64)> = points.into_iter().map(|(n, ts, v)| (n, ts, v.to_bits())).collect();
        prop_assert_eq!(points, expected);
    }
}
