use proptest::prelude::*;

use super::*;
use crate::decode::testing::{NOW_MS, codes, decode_with, told, window};
use crate::limits::Limits;

mod telegraf;

type Points = Vec<(String, i64, f64)>;

fn try_read(framing: Framing, body: &[u8]) -> Result<(Points, Decoded), DecodeError> {
    decode_with(&Limits::default(), |scope, batch| decode(body, framing, scope, batch))
}

fn read(body: &str) -> (Points, Decoded) {
    try_read(Framing::Any, body.as_bytes()).expect("JSON")
}

fn values(points: &Points) -> Vec<f64> {
    points.iter().map(|(_, _, value)| *value).collect()
}

const HOST: &str = r#"{"server_id":"srv-us-east-1-04821","timestamp":"2025-03-17T14:30:00Z",
 "metrics":[{"name":"cpu_usage","value":72.5,"unit":"percent"},{"name":"network_in","value":12400,"unit":"bytes_per_sec"}],
 "tags":{"region":"us-east-1","env":"production","service":"api-gateway"}}"#;

#[test]
fn a_host_with_metrics_is_read() {
    let (points, decoded) = read(HOST);
    let labels = r#"{env="production",region="us-east-1",server_id="srv-us-east-1-04821",service="api-gateway"}"#;
    assert_eq!(
        points,
        [(format!("cpu_usage{labels}"), NOW_MS, 72.5), (format!("network_in{labels}"), NOW_MS, 12_400.0)]
    );
    assert_eq!((decoded.points_seen, decoded.batch_id), (2, None));
}

#[test]
fn units_become_metadata() {
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
    decode(HOST.as_bytes(), Framing::Any, scope, &mut batch).expect("JSON");
    assert_eq!(batch.metadata()["cpu_usage"].unit.as_deref(), Some("percent"));
    assert_eq!(batch.metadata()["network_in"].unit.as_deref(), Some("bytes_per_sec"));
}

#[test]
fn a_flat_point_is_read() {
    let (points, _) = read(
        r#"{"metric_name":"cpu_usage","value":1e3,"timestamp":1742221800.5,"labels":{"env":"dev","core":0,"ht":true,"none":null},"source":"agent"}"#,
    );
    assert_eq!(
        points,
        [(r#"cpu_usage{core="0",env="dev",ht="true",source="agent"}"#.to_owned(), NOW_MS + 500, 1000.0)]
    );
}

#[test]
fn arrays_lines_and_mixed_shapes_are_read() {
    let flat = r#"{"metric_name":"m","value":1}"#;
    let host = r#"{"server_id":"a","metrics":[{"name":"n","value":2},{"name":"o","value":3}]}"#;
    for body in [
        format!("[{flat},{host}]"),
        format!("{flat}\n{host}\n"),
        format!("{flat}\r\n\r\n{host}"),
        format!("[{flat}]\n[{host}]"),
        format!("{flat} {host}"),
        format!("  [\n{flat},\n{host}\n]\n"),
    ] {
        let (points, decoded) = read(&body);
        assert_eq!(values(&points), [1.0, 2.0, 3.0], "{body}");
        assert_eq!(decoded.points_seen, 3);
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let (points, _) = read(
        r#"{"metrics":[{"unit":"x","value":1,"name":"m"}],"tags":{"b":"2"},"timestamp":1742221800,"server_id":"s"}"#,
    );
    assert_eq!(points, [(r#"m{b="2",server_id="s"}"#.to_owned(), NOW_MS, 1.0)]);
}

#[test]
fn a_metric_may_have_labels_and_a_time_of_its_own() {
    let body = r#"{"server_id":"s","metrics":[{"name":"disk","value":1,"labels":{"device":"sda"},"timestamp":1742221799},{"name":"cpu","value":2}]}"#;
    let (points, _) = read(body);
    assert_eq!(
        points,
        [
            (r#"disk{device="sda",server_id="s"}"#.to_owned(), NOW_MS - 1_000, 1.0),
            (r#"cpu{server_id="s"}"#.to_owned(), NOW_MS, 2.0)
        ]
    );
}

#[test]
fn not_a_number_and_infinities_are_strings() {
    let (points, _) = read(
        r#"[{"metric":"a","value":"NaN"},{"metric":"a","value":"+Inf"},{"metric":"a","value":"-Inf"},{"metric":"a","value":"7.5"}]"#,
    );
    assert!(points[0].2.is_nan());
    assert_eq!(values(&points)[1..], [f64::INFINITY, f64::NEG_INFINITY, 7.5]);
}

#[test]
fn numbers_are_the_nearest_double() {
    for text in ["0.1", "123456789.123456789", "5e-324", "1.7976931348623157e308", "9007199254740993", "-0.0"] {
        let (points, _) = read(&format!(r#"{{"metric_name":"m","value":{text}}}"#));
        let expected: f64 = text.parse().expect("a float");
        assert_eq!(points[0].2.to_bits(), expected.to_bits(), "{text}");
    }
}

#[test]
fn a_batch_id_of_the_sender_is_kept() {
    let (_, decoded) = read(r#"{"batch_id":"mine-7","server_id":"s","metrics":[]}"#);
    assert_eq!(decoded.batch_id.as_deref(), Some("mine-7"));
}

#[test]
fn bad_points_are_refused_by_index_and_good_ones_kept() {
    let body = r#"[
        {"metric_name":"ok","value":1},
        {"server_id":"s","metrics":[
            {"name":"m","value":null},
            {"name":"m","value":"high"},
            {"name":"m"},
            {"value":1},
            {"name":["m"],"value":1},
            7,
            {"name":"ok","value":2}]},
        {"metric_name":"m","value":1,"timestamp":"yesterday"},
        {"metric_name":"m","value":1,"timestamp":{}},
        {"metric_name":"m","value":1e999},
        {"metric_name":"m","value":1,"labels":{"a":["x"]}},
        {"metric_name":"m","value":1,"labels":["a"]},
        {"server_id":"s","metrics":{"m":1}},
        {"server_id":"s"},
        "text",
        {"metric_name":"","value":1},
        {"metric_name":"ok","value":3}
    ]"#;
    let (points, decoded) = read(body);
    assert_eq!(values(&points), [1.0, 2.0, 3.0]);
    let told = told(&decoded);
    let expected = [
        (1, "invalid value: null"),
        (2, "invalid value: \"high\" is not a number"),
        (3, "invalid value: the value is missing"),
        (4, "the metric has no name"),
        (5, "the metric name is an array"),
        (6, "expected an object, found a number"),
        (8, "invalid timestamp: \"yesterday\" is neither RFC 3339 nor a number"),
        (9, "invalid timestamp: an object"),
        (10, "invalid value: \"1e999\" does not fit into a double"),
        (11, "label \"a\" is an array"),
        (12, "the labels are an array, not an object"),
        (13, "metrics is an object, not an array"),
        (14, "an object has neither metrics nor a metric_name"),
        (15, "expected an object, found a string"),
        (16, "the metric name is empty"),
    ];
    let expected: Vec<(u64, String)> = expected.iter().map(|(index, what)| (*index, (*what).to_owned())).collect();
    assert_eq!(told, expected);
    assert_eq!(decoded.origins.index_of(1), 7);
    assert_eq!(decoded.origins.index_of(2), 17);
}

#[test]
fn labels_that_contradict_each_other_are_refused() {
    let (points, _) = read(r#"{"server_id":"s","tags":{"server_id":"s"},"metrics":[{"name":"m","value":1}]}"#);
    assert_eq!(points.len(), 1, "said twice, but the same");
    for tags in [r#"{"server_id":"t"}"#, r#"{"a":"1","a":"2"}"#, r#"{"__name__":"x"}"#, r#"{"__tenant__":"x"}"#] {
        let (points, decoded) =
            read(&format!(r#"{{"server_id":"s","tags":{tags},"metrics":[{{"name":"m","value":1}}]}}"#));
        assert_eq!((points.len(), codes(&decoded)), (0, vec![(0, "invalid_labels")]), "{tags}");
    }
}

#[test]
fn years_out_of_range_are_refused() {
    for (time, code) in [
        (r#""0001-01-01T00:00:00Z""#, "invalid_timestamp"),
        (r#""9999-12-31T23:59:59Z""#, "too_far_in_future"),
        ("-5", "invalid_timestamp"),
        ("1e18", "invalid_timestamp"),
        ("0", "too_old"),
    ] {
        let (_, decoded) = read(&format!(r#"{{"metric_name":"m","value":1,"timestamp":{time}}}"#));
        assert_eq!(codes(&decoded), [(0, code)], "{time}");
    }
}

#[test]
fn broken_json_refuses_the_body_and_says_where() {
    for (body, place) in [
        ("[{\"metric_name\":\"m\",\n\"value\":1},{]", "line 2 column 13"),
        ("{\"metric_name\":\"m\"", "line 1 column 18"),
        ("", "byte 0"),
        ("7", "line 1 column 1"),
        ("[1e]", "line 1 column 4"),
    ] {
        match try_read(Framing::Any, body.as_bytes()) {
            Err(DecodeError::Malformed { place: found, .. }) => assert_eq!(found, place, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    assert!(try_read(Framing::Any, b"{\"metric_name\":\"\xff\"}").is_err());
}

#[test]
fn a_broken_line_of_ndjson_costs_its_line_only() {
    let body = "{\"metric_name\":\"m\",\"value\":1}\n{\"metric_name\":\n7\n{\"metric_name\":\"m\",\"value\":2}\n";
    for framing in [Framing::Any, Framing::Lines] {
        let (points, decoded) = try_read(framing, body.as_bytes()).expect("lines");
        assert_eq!(values(&points), [1.0, 2.0]);
        let told = told(&decoded);
        assert_eq!(told[0], (1, "line 2: EOF while parsing a value".to_owned()));
        assert_eq!(told[1].0, 2);
        assert!(told[1].1.starts_with("line 3: invalid type: integer `7`"), "{}", told[1].1);
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}{}", "{\"metrics\":[".repeat(10_000), "]}".repeat(10_000));
    assert!(matches!(try_read(Framing::Any, deep.as_bytes()), Err(DecodeError::Malformed { .. })));
    let ignored = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let _ = try_read(Framing::Any, ignored.as_bytes());
}

#[test]
fn too_many_points_stop_the_body_whatever_its_shape() {
    let limits = Limits { points_per_request: 2, ..Limits::default() };
    let point = r#"{"metric_name":"m","value":1}"#;
    for body in [format!("[{point},{point},{point}]"), format!("{point}\n{point}\n{point}")] {
        let result = decode_with(&limits, |scope, batch| decode(body.as_bytes(), Framing::Any, scope, batch));
        assert_eq!(result.err(), Some(DecodeError::TooManyPoints { limit: 2 }), "{body}");
    }
}

#[test]
fn an_object_of_too_many_labels_is_refused_alone() {
    let labels: Vec<String> = (0..1_001).map(|i| format!("\"l{i}\":\"v\"")).collect();
    let labels = labels.join(",");
    let body = format!(r#"[{{"metric_name":"m","value":1,"labels":{{{labels}}}}},{{"metric_name":"m","value":2}}]"#);
    let (points, decoded) = read(&body);
    assert_eq!(values(&points), [2.0]);
    assert_eq!(told(&decoded), [(0, "more than 1000 labels".to_owned())]);
}

#[test]
fn escapes_in_strings_are_undone() {
    let (points, _) = read(r#"{"metric_name":"m\u0041","value":"\u004eaN","labels":{"k\n":"\"v\""}}"#);
    assert_eq!(points[0].0, "mA{k\n=\"\\\"v\\\"\"}");
}

#[test]
fn null_and_absent_labels_are_no_labels() {
    for more in ["", r#","labels":null"#, r#","tags":null,"source":null"#, r#","labels":{}"#] {
        let (points, _) = read(&format!(r#"{{"metric_name":"m","value":1,"timestamp":null{more}}}"#));
        assert_eq!(points, [("m{}".to_owned(), NOW_MS, 1.0)], "{more}");
    }
}

#[test]
fn what_prometheus_kafka_adapter_writes_is_read() {
    let body = r#"{"timestamp":"2025-03-17T14:30:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","label1":"value1"}}"#;
    let (points, _) = read(body);
    assert_eq!(points, [(r#"up{label1="value1"}"#.to_owned(), NOW_MS, 9_876_543_210.0)]);
    for (text, value) in [("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY), ("1e-7", 1e-7)] {
        assert_eq!(values(&read(&body.replace("9876543210", text)).0), [value]);
    }
    assert!(read(&body.replace("9876543210", "NaN")).0[0].2.is_nan());
}

#[test]
fn a_label_may_name_the_metric_but_not_contradict_it() {
    let (points, _) = read(r#"{"labels":{"a":"1","__name__":"m"},"value":1}"#);
    assert_eq!(points, [(r#"m{a="1"}"#.to_owned(), NOW_MS, 1.0)]);
    let (points, _) = read(r#"{"server_id":"s","metrics":[{"labels":{"__name__":"m"},"value":1}]}"#);
    assert_eq!(points, [(r#"m{server_id="s"}"#.to_owned(), NOW_MS, 1.0)]);
    for body in [
        r#"{"name":"n","labels":{"__name__":"m"},"value":1}"#,
        r#"{"labels":{"__name__":"m"},"metrics":[{"name":"m","value":1}]}"#,
        r#"{"labels":{"__name__":"m","a":"1","__name__":"n"},"value":1}"#,
        r#"{"labels":{"__name__":["m"]},"value":1}"#,
    ] {
        let (points, decoded) = read(body);
        assert_eq!((points.len(), codes(&decoded)), (0, vec![(0, "invalid_labels")]), "{body}");
    }
}

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof![
        Just("metrics".to_owned()),
        Just("metric_name".to_owned()),
        Just("value".to_owned()),
        Just("timestamp".to_owned()),
        Just("tags".to_owned()),
        Just("server_id".to_owned()),
        Just("fields".to_owned()),
        Just("__name__".to_owned()),
        "[a-z]{0,3}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = try_read(Framing::Any, &bytes);
        let _ = try_read(Framing::Lines, &bytes);
    }

    /// Valid JSON of any shape is an answer by index, unless the document itself is neither object nor array.
    #[test]
    fn json_of_any_shape_never_refuses_the_body(value in arbitrary_json()) {
        let document = value.is_object() || value.is_array();
        prop_assert_eq!(try_read(Framing::Any, value.to_string().as_bytes()).is_ok(), document);
    }

    #[test]
    fn every_flat_point_round_trips(
        labels in proptest::collection::btree_map("\\PC{1,6}", "\\PC{1,6}", 0..5),
        value in any::<f64>().prop_filter("JSON numbers are finite", |v| v.is_finite()),
        ts in NOW_MS - 1_000_000..NOW_MS,
    ) {
        let body = serde_json::json!({"metric_name": "m", "value": value, "timestamp": ts, "labels": labels});
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", "m")]);
        let expected = schemas::Labels::new(pairs).expect("valid").to_string();
        prop_assert_eq!(read(&body.to_string()).0, [(expected, ts, value)]);
    }
}
