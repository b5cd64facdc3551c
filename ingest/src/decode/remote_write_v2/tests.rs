use proptest::prelude::*;
use schemas::points::{STALE_BITS, stale};

use super::*;
use crate::decode::testing::wire::{field, fixed, number, varint};
use crate::decode::testing::{NOW_MS, Point, codes, decode_with, told};
use crate::limits::Limits;

/// Puts requests together.
mod encode {
    use super::{field, fixed, number, varint};

    pub(super) fn sample(timestamp_ms: i64, value: f64) -> Vec<u8> {
        field(2, &[fixed(1, value.to_bits()), number(2, timestamp_ms.cast_unsigned())].concat())
    }

    pub(super) fn references(references: &[u64]) -> Vec<u8> {
        field(1, &references.iter().flat_map(|reference| varint(*reference)).collect::<Vec<u8>>())
    }

    /// A request as it is put together: strings become symbols.
    #[derive(Default)]
    pub(super) struct Request {
        symbols: Vec<Vec<u8>>,
        series: Vec<u8>,
    }

    impl Request {
        pub(super) fn new() -> Self {
            Self { symbols: vec![Vec::new()], series: Vec::new() }
        }

        pub(super) fn symbol(&mut self, text: &[u8]) -> u64 {
            let at = self.symbols.iter().position(|symbol| symbol == text).unwrap_or_else(|| {
                self.symbols.push(text.to_vec());
                self.symbols.len() - 1
            });
            u64::try_from(at).expect("small")
        }

        pub(super) fn labels(&mut self, labels: &[(&str, &str)]) -> Vec<u8> {
            let pairs = labels.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
            let refs: Vec<u64> = pairs.map(|text| self.symbol(text)).collect();
            references(&refs)
        }

        pub(super) fn series(&mut self, labels: &[(&str, &str)], fields: &[Vec<u8>]) {
            let labels = self.labels(labels);
            self.message(&[vec![labels], fields.to_vec()].concat().concat());
        }

        pub(super) fn message(&mut self, series: &[u8]) {
            self.series.extend(field(5, series));
        }

        pub(super) fn bytes(&self) -> Vec<u8> {
            let symbols = self.symbols.iter().flat_map(|symbol| field(4, symbol));
            symbols.chain(self.series.iter().copied()).collect()
        }
    }
}

use encode::{Request as Sent, references, sample};

fn read(body: &[u8]) -> Result<(Vec<Point>, Decoded), DecodeError> {
    decode_with(&Limits::default(), |scope, batch| decode(body, scope, batch))
}

/// What a body says of metrics.
fn described(body: &[u8]) -> Vec<(String, [Option<String>; 3])> {
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: crate::decode::testing::window(), limits: &limits };
    decode(body, scope, &mut batch).expect("well formed");
    let said = batch.metadata().iter();
    said.map(|(name, said)| (name.clone(), [said.kind.clone(), said.unit.clone(), said.help.clone()])).collect()
}

#[test]
fn series_and_samples_come_out_as_sent() {
    let mut sent = Sent::new();
    sent.series(&[("__name__", "up"), ("job", "a")], &[sample(NOW_MS, 1.0), sample(NOW_MS + 1, 0.5)]);
    sent.series(&[("__name__", "temp"), ("città", "Zürich")], &[sample(NOW_MS, -3.25)]);
    let (points, decoded) = read(&sent.bytes()).expect("well formed");
    let expected = [
        (r#"up{job="a"}"#.to_owned(), NOW_MS, 1.0),
        (r#"up{job="a"}"#.to_owned(), NOW_MS + 1, 0.5),
        (r#"temp{città="Zürich"}"#.to_owned(), NOW_MS, -3.25),
    ];
    assert_eq!(points, expected);
    assert_eq!((decoded.points_seen, decoded.rejections.points()), (3, 0));
}

#[test]
fn staleness_markers_keep_their_bits_and_start_timestamps_are_read_over() {
    let mut sent = Sent::new();
    let value = fixed(1, stale().to_bits());
    let times = [number(2, NOW_MS.cast_unsigned()), number(3, NOW_MS.cast_unsigned() - 60_000)].concat();
    sent.series(&[("__name__", "up")], &[field(2, &[value, times].concat())]);
    let (points, _) = read(&sent.bytes()).expect("well formed");
    assert_eq!((points[0].1, points[0].2.to_bits()), (NOW_MS, STALE_BITS));
}

#[test]
fn symbols_may_stand_behind_the_series_and_references_apart() {
    let mut sent = Sent::new();
    let (name, up) = (sent.symbol(b"__name__"), sent.symbol(b"up"));
    sent.message(&[sample(NOW_MS, 1.0), number(1, name), number(1, up)].concat());
    let bytes = sent.bytes();
    let series_at = bytes.len() - field(5, &[sample(NOW_MS, 1.0), number(1, name), number(1, up)].concat()).len();
    let turned = [&bytes[series_at..], &bytes[..series_at]].concat();
    for body in [bytes, turned] {
        assert_eq!(read(&body).expect("well formed").0, [("up{}".to_owned(), NOW_MS, 1.0)]);
    }
}

#[test]
fn bad_series_are_refused_by_index_and_good_ones_kept() {
    let mut sent = Sent::new();
    sent.series(&[("__name__", "ok")], &[sample(NOW_MS, 1.0)]);
    sent.series(&[("job", "nameless")], &[sample(NOW_MS, 1.0), sample(NOW_MS, 2.0)]);
    let (name, m, bad) = (sent.symbol(b"__name__"), sent.symbol(b"m"), sent.symbol(b"\xff\xfe"));
    sent.message(&[references(&[name, m, m, bad]), sample(NOW_MS, 1.0)].concat());
    sent.message(&[references(&[name, m, m]), sample(NOW_MS, 1.0)].concat());
    sent.message(&[references(&[name, 77]), sample(NOW_MS, 1.0)].concat());
    sent.series(&[("__name__", "m"), ("__tenant__", "other")], &[sample(NOW_MS, 1.0)]);
    sent.series(&[("__name__", "late")], &[sample(NOW_MS - 86_400_001, 1.0), sample(NOW_MS, 2.0)]);
    sent.series(&[("__name__", "empty")], &[]);
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 3.0), field(5, &number(3, 99))]);
    let (points, decoded) = read(&sent.bytes()).expect("well formed");
    assert_eq!(points.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["ok{}", "late{}"]);
    assert_eq!(decoded.rejections.points(), 8);
    let labels = "invalid_labels";
    let expected = [(1, labels), (2, labels), (3, labels), (4, labels), (5, labels), (6, "too_old"), (7, "malformed")];
    assert_eq!(codes(&decoded), [&expected[..], &[(8, labels)]].concat());
    assert_eq!(told(&decoded)[3].1, "reference 77 to one of 11 symbols");
}

#[test]
fn regression_a_series_without_labels_is_refused_wherever_it_stands() {
    let mut sent = Sent::new();
    sent.message(&sample(NOW_MS, 1.0));
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 1.0)]);
    sent.message(&sample(NOW_MS, 1.0));
    sent.series(&[("job", "nameless")], &[sample(NOW_MS, 1.0)]);
    sent.message(&sample(NOW_MS, 1.0));
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 1.0)]);
    let (points, decoded) = read(&sent.bytes()).expect("well formed");
    assert_eq!(points.len(), 2);
    assert_eq!(codes(&decoded), [0, 2, 3, 4].map(|index| (index, "invalid_labels")));
}

#[test]
fn exemplars_are_counted_and_left_out() {
    let mut sent = Sent::new();
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 1.0), field(4, b""), field(4, b"")]);
    let (points, decoded) = read(&sent.bytes()).expect("well formed");
    assert_eq!((points.len(), decoded.dropped.exemplars), (1, 2));
}

#[test]
fn metadata_is_kept_under_the_name_of_the_family() {
    let mut sent = Sent::new();
    let (help, unit) = (sent.symbol("How long.".as_bytes()), sent.symbol(b"seconds"));
    let said = |kind: u64| field(5, &[number(1, kind), number(3, help), number(4, unit)].concat());
    for (name, kind) in [("wait_bucket", 3), ("wait_sum", 3), ("wait_count", 3), ("lag_sum", 5), ("jobs_total", 1)] {
        sent.series(&[("__name__", name)], &[sample(NOW_MS, 1.0), said(kind)]);
    }
    sent.series(&[("__name__", "silent")], &[sample(NOW_MS, 1.0), field(5, b"")]);
    let of = |name: &str, kind: &str| {
        (name.to_owned(), [Some(kind.to_owned()), Some("seconds".to_owned()), Some("How long.".to_owned())])
    };
    assert_eq!(described(&sent.bytes()), [of("jobs_total", "counter"), of("lag", "summary"), of("wait", "histogram")]);
}

#[test]
fn a_message_of_the_first_version_is_told_from_damage() {
    let body = crate::encode::labels([("__name__", "up")]);
    let mut request = Vec::new();
    crate::encode::write_series(&mut request, &body, &[(NOW_MS, 1.0)]);
    let error = read(&request).expect_err("version 1").to_string();
    assert!(error.contains("this is a message of remote write 1.0"), "{error}");
}

#[test]
fn damaged_messages_are_refused_with_the_place() {
    let mut sent = Sent::new();
    sent.series(&[("__name__", "up")], &[sample(NOW_MS, 1.0)]);
    let good = sent.bytes();
    let cut = read(&good[..good.len() - 3]).expect_err("cut");
    assert!(matches!(cut, DecodeError::Malformed { format: "remote write 2.0 request", .. }), "{cut}");
    assert!(read(&[0xff; 12]).is_err(), "a varint of twelve bytes");
}

#[test]
fn more_points_than_a_request_may_hold_are_too_many() {
    let limits = Limits { points_per_request: 2, ..Limits::default() };
    let mut sent = Sent::new();
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 1.0), sample(NOW_MS, 2.0), sample(NOW_MS, 3.0)]);
    let error = decode_with(&limits, |scope, batch| decode(&sent.bytes(), scope, batch)).expect_err("three points");
    assert_eq!(error, DecodeError::TooManyPoints { limit: 2 });
}

#[test]
fn a_series_of_too_many_labels_is_refused_alone() {
    let mut sent = Sent::new();
    let (name, m) = (sent.symbol(b"__name__"), sent.symbol(b"m"));
    sent.message(&[references(&[name, m].repeat(5_000)), sample(NOW_MS, 1.0)].concat());
    sent.series(&[("__name__", "m")], &[sample(NOW_MS, 2.0)]);
    let (points, decoded) = read(&sent.bytes()).expect("well formed");
    assert_eq!((points.len(), told(&decoded)), (1, vec![(0, "more than 1000 labels".to_owned())]));
}

#[test]
fn references_of_any_length_name_their_symbols() {
    let mut sent = Sent::new();
    let (name, up) = (sent.symbol(b"__name__"), sent.symbol(b"up"));
    let job = sent.symbol(b"job");
    let mut symbols = sent.bytes();
    // Places of one, two, three and four bytes.
    let places = [100, 200, 20_000, 2_100_000];
    let mut series = Vec::new();
    let mut next = job + 1;
    for place in places {
        (next..place).for_each(|_| symbols.extend([4 << 3 | 2, 0]));
        symbols.extend(field(4, format!("job {place}").as_bytes()));
        next = place + 1;
        series.extend(field(5, &[references(&[name, up, job, place]), sample(NOW_MS, 1.0)].concat()));
    }
    let (points, decoded) = read(&[symbols, series].concat()).expect("well formed");
    let names: Vec<String> = points.into_iter().map(|point| point.0).collect();
    assert_eq!((names, decoded.rejections.points()), (places.map(|of| format!(r#"up{{job="job {of}"}}"#)).to_vec(), 0));
}

#[test]
fn lengths_in_more_bytes_than_they_need_name_the_same_series() {
    let long =
        |text: &[u8]| [vec![4 << 3 | 2, u8::try_from(text.len()).expect("short") | 0x80, 0], text.to_vec()].concat();
    let symbols = [long(b""), long(b"__name__"), long(b"up")].concat();
    let body = [symbols, field(5, &[references(&[1, 2]), sample(NOW_MS, 1.0)].concat())].concat();
    assert_eq!(read(&body).expect("well formed").0, [("up{}".to_owned(), NOW_MS, 1.0)]);
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
        let mut sent = Sent::new();
        sent.series(&[("__name__", "up"), ("job", "ä")], &[sample(NOW_MS, 1.0), field(5, &number(1, 2)), field(3, &number(1, 9))]);
        sent.series(&[("__name__", "down")], &[sample(NOW_MS, 1.0), field(4, b"")]);
        let mut body = [sent.bytes(), vec![9 << 3], varint(u64::MAX)].concat();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read(&body);
        let _ = read(&body[..cut.index(body.len())]);
    }

    /// Both ways to canonical bytes, over labels that need the one or the other.
    #[test]
    fn every_request_round_trips(
        given in proptest::collection::vec(
            (
                proptest::collection::btree_map("[a-d]|[a-zä]{1,5}", "[a-z]{0,3}|.{1,200}", 0..5),
                proptest::collection::vec((NOW_MS - 1_000..NOW_MS, any::<u64>()), 1..4),
                any::<bool>(),
            ),
            0..6,
        ),
    ) {
        let mut expected = Vec::new();
        let mut sent = Sent::new();
        for (labels, samples, sorted) in &given {
            let mut pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            pairs.push(("__name__", "m"));
            if *sorted {
                pairs.sort_unstable();
            }
            let name = schemas::Labels::new(pairs.iter().copied()).expect("valid").to_string();
            let samples: Vec<(i64, f64)> = samples.iter().map(|(ts, bits)| (*ts, f64::from_bits(*bits))).collect();
            sent.series(&pairs, &samples.iter().map(|(ts, value)| sample(*ts, *value)).collect::<Vec<_>>());
            expected.extend(samples.iter().map(|(ts, value)| (name.clone(), *ts, value.to_bits())));
        }
        let (points, _) = read(&sent.bytes()).expect("well formed");
        let points: Vec<(String, i64, u64)> = points.into_iter().map(|(n, ts, v)| (n, ts, v.to_bits())).collect();
        prop_assert_eq!(points, expected);
    }
}
