//! Avro messages: good ones, and bad ones among good ones.

use super::*;
use crate::message::avro::run_length;

mod registry;

const LABELS: &str = r#"{"type":"map","values":"string"}"#;

fn point_schema(more: &str) -> Arc<str> {
    format!(
        r#"{{"type":"record","name":"Metric","fields":[{{"name":"metric_name","type":"string"}},
        {{"name":"value","type":"double"}},{{"name":"timestamp","type":"long"}},{{"name":"labels","type":{LABELS}}}{more}]}}"#
    )
    .into()
}

fn points_schema() -> Arc<str> {
    format!(
        r#"{{"type":"record","name":"Batch","fields":[{{"name":"metric","type":"string"}},{{"name":"labels","type":{LABELS}}},
        {{"name":"points","type":{{"type":"array","items":{{"type":"record","name":"Point","fields":[
        {{"name":"ts","type":"long"}},{{"name":"v","type":"double"}}]}}}}}}]}}"#
    )
    .into()
}

/// Schema 1 is the point, 2 the batch, 3 a point with an array behind it that is not read, 4 no metric, 5 no Avro.
fn source() -> Arc<dyn SchemaSource> {
    let known: HashMap<u32, Arc<str>> = HashMap::from([
        (1, point_schema("")),
        (2, points_schema()),
        (3, point_schema(r#",{"name":"notes","type":{"type":"array","items":"string"}}"#)),
        (4, r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#.into()),
        (5, "message Metric {}".into()),
    ]);
    Arc::new(known)
}

fn avro() -> MessageDecoder {
    MessageDecoder::new(MessageFormat::Avro, Some(source()))
}

/// Writes what Avro writes.
#[derive(Default, Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn framed(id: u32) -> Self {
        let mut bytes = vec![0];
        bytes.extend(id.to_be_bytes());
        Self(bytes)
    }

    fn long(mut self, number: i64) -> Self {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.0.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.0.push(rest.to_le_bytes()[0]);
        self
    }

    fn text(mut self, text: &[u8]) -> Self {
        self = self.long(i64::try_from(text.len()).expect("small"));
        self.0.extend(text);
        self
    }

    fn double(mut self, value: f64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn labels(mut self, labels: &[(&str, &str)]) -> Self {
        if !labels.is_empty() {
            self = self.long(i64::try_from(labels.len()).expect("small"));
            for (name, value) in labels {
                self = self.text(name.as_bytes()).text(value.as_bytes());
            }
        }
        self.long(0)
    }
}

fn point(metric: &str, value: f64) -> Vec<u8> {
    Bytes::framed(1).text(metric.as_bytes()).double(value).long(NOW_MS).labels(&[("host", "a")]).0
}

fn refs(payloads: &[Vec<u8>]) -> Vec<&[u8]> {
    payloads.iter().map(Vec::as_slice).collect()
}

#[test]
fn messages_of_several_schemas_keep_their_order() {
    let batch = |metric: &str| {
        let head = Bytes::framed(2).text(metric.as_bytes()).labels(&[]);
        // Two blocks, the second with its size in bytes before it, as Avro allows.
        head.long(1)
            .long(NOW_MS)
            .double(1.0)
            .long(-2)
            .long(28)
            .long(NOW_MS + 1)
            .double(2.0)
            .long(NOW_MS + 2)
            .double(3.0)
            .long(0)
            .0
    };
    let payloads = [point("a", 1.0), point("b", 2.0), batch("c"), point("d", 3.0), batch("e")];
    let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["ok"; 5]);
    let names: Vec<&str> = points.iter().map(|(series, ..)| series.as_str()).collect();
    let host = |metric: &str| format!("{metric}{{host=\"a\"}}");
    assert_eq!(names, [&host("a"), &host("b"), "c", "c", "c", &host("d"), "e", "e", "e"]);
    assert_eq!(points[3], ("c".to_owned(), NOW_MS + 1, 2.0));
    let kept: Vec<u64> = outcomes.iter().flatten().map(Decoded::kept).collect();
    assert_eq!(kept, [1, 1, 3, 1, 3]);
}

#[test]
fn only_the_bad_messages_among_good_ones_are_poison() {
    let good = |value: f64| point("m", value);
    let truncated = |len: usize| good(0.0)[..len].to_vec();
    let mut trailing = good(0.0);
    trailing.push(7);
    let twice = [good(0.0), good(0.0)].concat();
    let mut half_frame = good(0.0);
    half_frame.extend([0, 0]);
    let not_text = Bytes::framed(1).text(b"\xff\xfe").double(1.0).long(NOW_MS).labels(&[]).0;
    let long_text = Bytes::framed(1).long(i64::MAX).0;
    let negative_text = Bytes::framed(1).long(-5).0;
    let endless_number = Bytes(vec![0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).0;
    let bad = [
        vec![],
        vec![0, 0, 0],
        vec![1, 0, 0, 0, 1, 0],
        truncated(5),
        truncated(6),
        truncated(12),
        truncated(20),
        truncated(good(0.0).len() - 1),
        trailing,
        twice,
        half_frame,
        not_text,
        long_text,
        negative_text,
        endless_number,
    ];
    for bad in &bad {
        // Alone, and in every place among good ones.
        for (before, after) in [(0, 0), (0, 2), (1, 1), (3, 0), (2, 3)] {
            let mut payloads: Vec<Vec<u8>> = (0..before).map(|at| good(f64::from(at))).collect();
            payloads.push(bad.clone());
            payloads.extend((0..after).map(|at| good(f64::from(before + at))));
            payloads.push(bad.clone());
            payloads.push(good(f64::from(before + after)));
            let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
            let mut expected = vec!["ok"; payloads.len()];
            let (first, second) = (usize::try_from(before).expect("small"), payloads.len() - 2);
            expected[first] = "malformed";
            expected[second] = "malformed";
            assert_eq!(classes(&outcomes), expected, "{bad:?}");
            let values: Vec<f64> = points.iter().map(|point| point.2).collect();
            assert_eq!(values, (0..=before + after).map(f64::from).collect::<Vec<_>>(), "{bad:?}");
        }
    }
}

/// The decoder takes a frame behind the record for the beginning of the next message.
#[test]
fn regression_a_frame_behind_a_record_is_poison_and_no_matter_to_the_next_message() {
    let frame = Bytes::framed(1).0;
    let behind = |frames: usize| [point("m", 1.0), frame.repeat(frames)].concat();
    let payloads = [behind(1), point("m", 2.0), behind(2), point("m", 3.0), behind(1), behind(3)];
    let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["malformed", "ok", "malformed", "ok", "malformed", "malformed"]);
    assert_eq!(points.iter().map(|point| point.2).collect::<Vec<_>>(), [2.0, 3.0]);

    // A good record may end in the bytes of its frame.
    let ends_in_text: HashMap<u32, Arc<str>> =
        HashMap::from([(1, point_schema(r#",{"name":"source","type":"string"}"#))]);
    let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::new(ends_in_text)));
    let good = Bytes::framed(1).text(b"m").double(1.0).long(NOW_MS).labels(&[]).text(&frame).0;
    let (points, outcomes) = decode_all(&mut decoder, &[&good, &good, &[good.clone(), frame].concat()]);
    assert_eq!(classes(&outcomes), ["ok", "ok", "malformed"]);
    assert_eq!(points.len(), 2);
}

#[test]
fn texts_that_are_only_together_valid_are_both_poison() {
    // "ä" is c3 a4: half of it ends the first message's name, the other half begins the next one's.
    let half = |name: &[u8]| Bytes::framed(1).text(name).double(1.0).long(NOW_MS).labels(&[]).0;
    let payloads = [half(b"m\xc3"), half(b"\xa4m"), half(b"m")];
    let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["malformed", "malformed", "ok"]);
    assert_eq!(points.len(), 1);
}

#[test]
fn counts_that_lie_cost_nothing() {
    let head = Bytes::framed(2).text(b"m").labels(&[]);
    let labels = Bytes::framed(1).text(b"m").double(1.0).long(NOW_MS);
    let notes = Bytes::framed(3).text(b"m").double(1.0).long(NOW_MS).labels(&[]);
    for count in [i64::MAX, i64::MIN, i64::from(i32::MAX), 1 << 40, -1, -(1 << 40)] {
        for head in [&head, &labels, &notes] {
            let payload = head.clone().long(count).long(8).long(1).double(1.0).0;
            let (points, outcomes) = decode_all(&mut avro(), &[&payload]);
            assert_eq!((points.len(), classes(&outcomes)), (0, vec!["malformed"]), "{count}");
        }
    }
}

#[test]
fn points_of_a_batch_are_refused_one_by_one_and_all_of_them_are_poison() {
    let batch = |first_ms: i64, second_ms: i64| {
        let head = Bytes::framed(2).text(b"m").labels(&[]);
        head.long(2).long(first_ms).double(1.0).long(second_ms).double(2.0).long(0).0
    };
    let nameless = Bytes::framed(2).text(b"").labels(&[]).long(1).long(NOW_MS).double(1.0).long(0).0;
    let empty = Bytes::framed(2).text(b"m").labels(&[]).long(0).0;
    let payloads = [batch(5, NOW_MS), batch(5, 6), nameless, empty];
    let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["ok", "rejected", "rejected", "ok"]);
    assert_eq!(points, [("m".to_owned(), NOW_MS, 2.0)]);
    let decoded = outcomes[0].as_ref().expect("kept");
    assert_eq!((decoded.kept(), decoded.rejections.first()[0].index, decoded.origins.index_of(0)), (1, 0, 1));
}

#[test]
fn what_is_null_counts_as_missing() {
    let schema = r#"{"type":"record","name":"Batch","fields":[
        {"name":"metric","type":["null","string"]},{"name":"source","type":["string","null"]},
        {"name":"labels","type":["null",{"type":"map","values":["null","string"]}]},
        {"name":"points","type":["null",{"type":"array","items":["null",{"type":"record","name":"Point","fields":[
            {"name":"v","type":["null","double"]},{"name":"ts","type":["null","long"]}]}]}]}]}"#;
    let schemas: HashMap<u32, Arc<str>> = HashMap::from([(1, schema.into())]);
    let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::new(schemas)));
    let head = |metric: Bytes| metric.long(1).long(0);
    let named = || Bytes::framed(1).long(1).text(b"m");
    // A point without a value, one without a time, and none at all.
    let points = |bytes: Bytes| {
        let bytes = bytes.long(1).long(3).long(1).long(0).long(1).long(NOW_MS);
        bytes.long(1).long(1).double(2.0).long(0).long(0).long(0).0
    };
    let labelled = Bytes::framed(1).long(1).text(b"m").long(0).text(b"s").long(1).long(2).text(b"a").long(0);
    let payloads = [
        points(head(named())),
        points(labelled.text(b"b").long(1).text(b"2").long(0)),
        points(head(Bytes::framed(1).long(0))),
        head(named()).long(0).0,
    ];
    let (points, outcomes) = decode_all(&mut decoder, &refs(&payloads));
    assert_eq!(classes(&outcomes), ["ok", "ok", "rejected", "ok"]);
    let labelled = r#"m{b="2",source="s"}"#.to_owned();
    assert_eq!(points, [("m".to_owned(), SENT_MS, 2.0), (labelled, SENT_MS, 2.0)]);
    let seen: Vec<(u64, u64)> = outcomes.iter().flatten().map(|read| (read.points_seen, read.kept())).collect();
    assert_eq!(seen, [(3, 1), (3, 1), (0, 0)]);
}

#[test]
fn labels_are_held_to_the_rules_of_every_format() {
    let labelled = |labels: &[(&str, &str)]| Bytes::framed(1).text(b"m").double(1.0).long(NOW_MS).labels(labels).0;
    let payloads = [
        labelled(&[("b", "2"), ("__name__", "m"), ("a", "1"), ("empty", "")]),
        labelled(&[("__name__", "other")]),
        labelled(&[("a", "1"), ("a", "2")]),
        labelled(&[("__tenant__", "t")]),
        labelled(&[("", "x")]),
    ];
    let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["ok", "rejected", "rejected", "rejected", "rejected"]);
    assert_eq!(points, [(r#"m{a="1",b="2"}"#.to_owned(), NOW_MS, 1.0)]);
}

#[test]
fn what_is_decoded_together_is_bounded() {
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let of = |bytes: usize| [Bytes::framed(1).0, vec![0; bytes - 5]].concat();
    let run = |payloads: &[&[u8]]| {
        let messages: Vec<Message<'_>> = payloads.iter().map(|payload| message(payload)).collect();
        run_length(1, &messages, scope)
    };
    let (small, large, huge) = (of(10), of(1 << 20), of(5 << 20));
    assert_eq!(run(&[&small[..]; 3_000]), 1_024);
    assert_eq!(run(&[&large[..]; 10]), 4);
    assert_eq!(run(&[&huge, &small]), 1);
    assert_eq!(run(&[&small, &huge]), 1);
}

#[test]
fn one_by_one_is_the_same_as_many_at_once() {
    let payloads = [point("a", 1.0), vec![9], point("b", 2.0), Bytes::framed(1).text(b"\xff").0, point("c", 3.0)];
    let (expected, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let (mut decoder, mut batch) = (avro(), PointBatch::new());
    for (payload, expected) in payloads.iter().zip(&outcomes) {
        let outcome = decoder.decode(message(payload), scope, &mut batch);
        assert_eq!(class_of(&outcome), class_of(expected));
    }
    assert_eq!(points_of(&batch), expected);
}

proptest! {
    /// Bodies of any bytes behind good frames, among good messages: those stay what they are.
    #[test]
    fn arbitrary_bodies_never_panic_nor_harm_their_neighbours(
        bodies in proptest::collection::vec((1_u32..6, proptest::collection::vec(any::<u8>(), 0..60)), 1..6),
    ) {
        let mut payloads = Vec::new();
        for (at, (id, body)) in (0_u32..).zip(&bodies) {
            payloads.push([Bytes::framed(*id).0, body.clone()].concat());
            payloads.push(point("good", f64::from(at)));
        }
        let (points, outcomes) = decode_all(&mut avro(), &refs(&payloads));
        prop_assert_eq!(outcomes.len(), payloads.len());
        prop_assert!(outcomes.iter().skip(1).step_by(2).all(Result::is_ok));
        let good: Vec<f64> = points.iter().filter(|point| point.0 == r#"good{host="a"}"#).map(|point| point.2).collect();
        prop_assert!((0..bodies.len()).all(|at| good.contains(&(at as f64))));
    }

    #[test]
    fn every_point_round_trips(
        points in proptest::collection::vec(("[a-z_]{1,8}", any::<f64>(), NOW_MS - 1_000_000..NOW_MS, proptest::collection::btree_map("[a-z]{1,4}", "\\PC{1,6}", 0..5)), 1..20),
    ) {
        let payloads: Vec<Vec<u8>> = points
            .iter()
            .map(|(metric, value, ts, labels)| {
                let labels: Vec<(&str, &str)> = labels.iter().rev().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                Bytes::framed(1).text(metric.as_bytes()).double(*value).long(*ts).labels(&labels).0
            })
            .collect();
        let (read, _) = decode_all(&mut avro(), &refs(&payloads));
        for ((metric, value, ts, labels), read) in points.iter().zip(&read) {
            let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", metric.as_str())]);
            let expected = Labels::new(pairs).expect("valid").to_string();
            let expected = expected.trim_end_matches("{}");
            prop_assert_eq!((read.0.as_str(), read.1, read.2.to_bits()), (expected, *ts, value.to_bits()));
        }
    }
}
