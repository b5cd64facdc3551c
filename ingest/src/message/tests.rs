use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use schemas::Labels;

use super::*;
use crate::decode::testing::{NOW_MS, Point, window};
use crate::limits::Limits;

mod avro;

/// The time of the messages themselves.
const SENT_MS: i64 = NOW_MS - 5_000;

fn message(payload: &[u8]) -> Message<'_> {
    Message { payload, key: Some(b"not:looked-at"), timestamp_ms: Some(SENT_MS) }
}

/// The points of a batch; a series without labels by its name alone.
fn points_of(batch: &PointBatch) -> Vec<Point> {
    let point = |at: usize| {
        let (_, canonical) = batch.series(batch.series_of()[at]);
        let labels = Labels::from_canonical(canonical).expect("canonical");
        (labels.to_string().trim_end_matches("{}").to_owned(), batch.timestamps()[at], batch.values()[at])
    };
    (0..batch.len()).map(point).collect()
}

/// Decodes messages into one batch.
fn decode_all(decoder: &mut MessageDecoder, payloads: &[&[u8]]) -> (Vec<Point>, Vec<Outcome>) {
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let messages: Vec<Message<'_>> = payloads.iter().map(|payload| message(payload)).collect();
    let (mut batch, mut outcomes) = (PointBatch::new(), Vec::new());
    decoder.decode_many(&messages, scope, &mut batch, &mut outcomes);
    let kept: u64 = outcomes.iter().flatten().map(Decoded::kept).sum();
    assert_eq!(kept, batch.len() as u64, "the batch holds what the outcomes say");
    assert!(batch.series_len() <= batch.len(), "no series without a point");
    (points_of(&batch), outcomes)
}

fn decode(format: MessageFormat, payloads: &[&[u8]]) -> (Vec<Point>, Vec<Outcome>) {
    decode_all(&mut MessageDecoder::new(format, None), payloads)
}

fn class_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Err(MessageError::Poison { class, .. }) => class,
        Err(MessageError::Unavailable { .. }) => "unavailable",
        Ok(_) => "ok",
    }
}

fn classes(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(class_of).collect()
}

fn write_request(value: f64, timestamp_ms: i64) -> Vec<u8> {
    let mut request = Vec::new();
    let labels = crate::encode::labels([("__name__", "up"), ("job", "a")]);
    crate::encode::write_series(&mut request, &labels, &[(timestamp_ms, value)]);
    snap::raw::Encoder::new().compress_vec(&request).expect("small")
}

#[test]
fn messages_of_each_format_go_behind_each_other_into_one_batch() {
    let json: &[u8] = br#"{"metric_name":"m","value":1}"#;
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let mut batch = PointBatch::new();
    let write = write_request(3.0, NOW_MS - 1);
    let lines = format!("cpu,host=a idle=2,name=\"x\" {}000000", NOW_MS - 2);
    for (format, payload) in [
        (MessageFormat::Json, json),
        (MessageFormat::Influx, lines.as_bytes()),
        (MessageFormat::PromRemoteWrite, &write),
    ] {
        let decoded = MessageDecoder::new(format, None).decode(message(payload), scope, &mut batch).expect("good");
        assert_eq!((decoded.kept(), decoded.points_seen), (1, 1), "{format}");
    }
    assert_eq!(
        points_of(&batch),
        [
            ("m".to_owned(), SENT_MS, 1.0),
            (r#"cpu_idle{host="a"}"#.to_owned(), NOW_MS - 2, 2.0),
            (r#"up{job="a"}"#.to_owned(), NOW_MS - 1, 3.0)
        ]
    );
}

#[test]
fn a_point_without_a_time_has_that_of_its_message_or_now() {
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let mut batch = PointBatch::new();
    let mut decoder = MessageDecoder::new(MessageFormat::Influx, None);
    for timestamp_ms in [Some(SENT_MS), None] {
        let message = Message { payload: b"m value=1", key: None, timestamp_ms };
        decoder.decode(message, scope, &mut batch).expect("good");
    }
    assert_eq!(batch.timestamps(), [SENT_MS, NOW_MS]);
}

#[test]
fn poison_leaves_nothing_in_the_batch_and_says_what_is_wrong() {
    let good: &[u8] = br#"{"metric_name":"m","value":1,"unit":"percent"}"#;
    let (points, outcomes) = decode(
        MessageFormat::Json,
        &[
            good,
            br#"[{"metric_name":"n","value":1,"unit":"bytes"},{"#,
            br#"{"metric_name":"n","value":1,"timestamp":5}"#,
            br#"{"metric_name":"n","value":"high"}"#,
            b"",
            b"\xff",
            good,
        ],
    );
    assert_eq!(classes(&outcomes), ["ok", "malformed", "rejected", "rejected", "malformed", "malformed", "ok"]);
    assert_eq!(points, [("m".to_owned(), SENT_MS, 1.0), ("m".to_owned(), SENT_MS, 1.0)]);
    let told: Vec<String> = outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().err()?.to_string())).collect();
    assert_eq!(told[0], "malformed JSON at line 1 column 47: EOF while parsing an object");
    assert_eq!(told[2], "1 point was refused; 0: invalid value: \"high\" is not a number");

    let lines = decode(MessageFormat::Influx, &[b"m value=x\nm value=", b"m s=\"text\"", b"# nothing\n"]);
    assert_eq!(classes(&lines.1), ["rejected", "ok", "ok"]);
    let write = decode(MessageFormat::PromRemoteWrite, &[&write_request(1.0, 5), b"\xff\xff", b"\x05\x10hello"]);
    assert_eq!(classes(&write.1), ["rejected", "malformed", "malformed"]);
}

#[test]
fn a_message_with_some_good_points_keeps_them() {
    let payload = br#"[{"metric_name":"m","value":1},{"metric_name":"m","value":null},{"metric_name":"m","value":3}]"#;
    let (points, outcomes) = decode(MessageFormat::Json, &[payload]);
    assert_eq!(points.iter().map(|point| point.2).collect::<Vec<_>>(), [1.0, 3.0]);
    let decoded = outcomes[0].as_ref().expect("kept");
    assert_eq!((decoded.points_seen, decoded.rejections.points(), decoded.kept()), (3, 1, 2));
}

#[test]
fn a_message_over_a_limit_is_poison() {
    let limits = Limits { body_bytes_max: 40, points_per_request: 1, ..Limits::default() };
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    let mut batch = PointBatch::new();
    let bomb = snap::raw::Encoder::new().compress_vec(&[0; 10_000]).expect("small");
    let framed = [0_u8; 41];
    for (format, payload) in [
        (MessageFormat::Json, &br#"[{"metric":"m","value":1},{"metric":"m","value":2}]"#[..]),
        (MessageFormat::Json, br#"{"metric":"m","value":1                }"#),
        (MessageFormat::Influx, b"m value=1,other=2"),
        (MessageFormat::Influx, b"m value=1 # a comment that is rather long"),
        (MessageFormat::PromRemoteWrite, &bomb),
        (MessageFormat::Avro, &framed),
    ] {
        let outcome = MessageDecoder::new(format, None).decode(message(payload), scope, &mut batch);
        let class = if payload.len() == 40 { "ok" } else { "too-large" };
        assert_eq!(class_of(&outcome), class, "{format} {outcome:?}");
    }
    assert_eq!(batch.len(), 1);
}

#[test]
fn an_explanation_is_bounded() {
    let error = MessageError::poison(class::MALFORMED, "ä".repeat(10_000));
    assert_eq!(error.to_string().len(), WHAT_BYTES_MAX);
}

#[test]
fn formats_have_the_names_of_the_config() {
    for (format, name) in [
        (MessageFormat::Json, "json"),
        (MessageFormat::Avro, "avro"),
        (MessageFormat::Influx, "influx"),
        (MessageFormat::PromRemoteWrite, "prom_remote_write"),
    ] {
        assert_eq!(serde_json::to_value(format).expect("text"), name);
        assert_eq!(serde_json::from_value::<MessageFormat>(name.into()).expect("known"), format);
        assert_eq!(format.to_string(), name);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..4)) {
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        for format in [MessageFormat::Json, MessageFormat::Influx, MessageFormat::PromRemoteWrite, MessageFormat::Avro] {
            let (_, outcomes) = decode(format, &payloads);
            let away = outcomes.last().is_some_and(|last| class_of(last) == "unavailable");
            prop_assert!(away || outcomes.len() == payloads.len());
        }
    }
}
