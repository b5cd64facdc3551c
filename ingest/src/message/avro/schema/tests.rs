use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use schemas::PointBatch;

use super::*;
use crate::decode::Scope;
use crate::decode::testing::{NOW_MS, window};
use crate::limits::Limits;
use crate::message::{Message, MessageDecoder, MessageFormat};

const POINT_SCHEMA: &str = r#"{"type":"record","name":"Metric","namespace":"io.example","fields":[
    {"name":"metric_name","type":"string"},{"name":"value","type":"double"},{"name":"timestamp","type":"long"},
    {"name":"labels","type":{"type":"map","values":"string"}},{"name":"source","type":"string"}]}"#;

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

/// A point with one more field.
fn with(field: &str) -> String {
    record(&format!(r#"{{"name":"metric_name","type":"string"}},{{"name":"value","type":"double"}},{field}"#))
}

fn refused(schema: &str) -> String {
    Layout::of(schema).expect_err(schema)
}

#[test]
fn the_two_records_are_told_apart_by_their_fields() {
    let point = Layout::of(POINT_SCHEMA).expect("known");
    assert_eq!((point.shape, point.labels, point.source, point.timestamp), (Shape::Point, Some(2), Some(3), Some(4)));
    let points = record(
        r#"{"name":"points","type":{"type":"array","items":{"type":"record","name":"P","fields":[
            {"name":"v","type":"float"},{"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}}]}}},
           {"name":"metric","type":"string"}"#,
    );
    let points = Layout::of(&points).expect("known");
    assert_eq!((points.shape, points.labels, points.source, points.unit), (Shape::Points, None, None, Unit::Micros));
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_said() {
    let labels = |ty: &str| with(&format!(r#"{{"name":"labels","type":{ty}}}"#));
    let point =
        |fields: &str| format!(r#"{{"type":"array","items":{{"type":"record","name":"P","fields":[{fields}]}}}}"#);
    let points = |fields: &str| {
        let points = point(fields);
        record(&format!(r#"{{"name":"metric","type":"string"}},{{"name":"points","type":{points}}}"#))
    };
    for (schema, what) in [
        (
            record(r#"{"name":"metric_name","type":"string"},{"name":"val","type":"double"}"#),
            "the record has no field value; it has metric_name, val",
        ),
        (record(""), "the record has no field metric_name and value; it has "),
        (record(r#"{"name":"points","type":"int"}"#), "the record has no field metric; it has points"),
        (
            record(r#"{"name":"metric_name","type":"int"},{"name":"value","type":"double"}"#),
            "the field metric_name is not a string",
        ),
        (
            record(r#"{"name":"metric_name","type":"string"},{"name":"value","type":"string"}"#),
            "the field value is not a double, float, long or int",
        ),
        (labels(r#"{"type":"map","values":"int"}"#), "the field labels is not a map of strings"),
        (labels(r#""string""#), "the field labels is not a map of strings"),
        (with(r#"{"name":"timestamp","type":"string"}"#), "the field timestamp is not a long of milliseconds"),
        (points(r#"{"name":"ts","type":"long"}"#), "the field points is not an array of records {ts, v}"),
        (
            points(r#"{"name":"ts","type":"double"},{"name":"v","type":"double"}"#),
            "the field points is not an array of records {ts, v}",
        ),
        (r#""string""#.to_owned(), "it is not a record"),
        (r#"["null","string"]"#.to_owned(), "it is not a record"),
    ] {
        assert_eq!(refused(&schema), what, "{schema}");
    }
    assert!(refused("{").starts_with("it is not JSON"));
}

#[test]
fn schemas_that_would_let_a_message_work_for_ever_are_refused() {
    let empty = "it has an array of items that take no bytes";
    for items in [
        r#""null""#,
        r#"{"type":"record","name":"E","fields":[]}"#,
        r#"{"type":"record","name":"E","fields":[{"name":"a","type":"null"},{"name":"b","type":{"type":"null"}}]}"#,
        r#"{"type":"fixed","name":"F","size":0}"#,
    ] {
        assert_eq!(refused(&with(&format!(r#"{{"name":"x","type":{{"type":"array","items":{items}}}}}"#))), empty);
    }
    let cycle = r#"{"name":"next","type":["null","R"]}"#;
    assert_eq!(refused(&with(cycle)), "the type \"R\" in it is unknown, or refers to itself");
}

#[test]
fn schemas_that_grow_when_written_out_are_refused() {
    let pair = |name: &str, inner: &str| {
        let field = |field: &str| format!(r#"{{"name":"{field}","type":"{inner}"}}"#);
        format!(
            r#"{{"name":"f{name}","type":{{"type":"record","name":"{name}","fields":[{},{}]}}}}"#,
            field("a"),
            field("b")
        )
    };
    let mut fields = vec![pair("T0", "long")];
    fields.extend((1..60).map(|at| pair(&format!("T{at}"), &format!("T{}", at - 1))));
    assert!(refused(&with(&fields.join(","))).contains("more than 2000 types"), "doubling");

    let chain = |at: usize| {
        let inner = if at == 0 { "long".to_owned() } else { format!("C{}", at - 1) };
        let field = format!(r#"{{"name":"a","type":"{inner}"}}"#);
        format!(r#"{{"name":"c{at}","type":{{"type":"record","name":"C{at}","fields":[{field}]}}}}"#)
    };
    let fields: Vec<String> = (0..60).map(chain).collect();
    assert!(refused(&with(&fields.join(","))).contains("nested more than 32 deep"));
    let deep = format!("{}\"long\"{}", r#"{"type":"array","items":"#.repeat(100), "}".repeat(100));
    assert!(refused(&with(&format!(r#"{{"name":"x","type":{deep}}}"#))).contains("nested more than 32 deep"));
}

#[test]
fn names_are_resolved_by_their_namespaces() {
    let schema = r#"{"type":"record","name":"a.b.R","fields":[
        {"name":"metric_name","type":"string"},{"name":"value","type":"double"},
        {"name":"x","type":{"type":"record","name":"X","fields":[{"name":"y","type":"int"}]}},
        {"name":"again","type":"a.b.X"},{"name":"and_again","type":{"type":"array","items":"X"}}]}"#;
    let layout = Layout::of(schema).expect("known");
    assert!(layout.writer.matches(r#""name":"y""#).count() == 3, "{}", layout.writer);
    assert!(refused(&schema.replace("a.b.X", "c.X")).contains("\"c.X\""));
    assert_eq!(
        refused(
            &schema.replace("a.b.X", "long").replace("\"items\":\"X\"", "\"items\":{\"type\":\"enum\",\"name\":\"X\"}")
        ),
        "the type \"a.b.X\" is defined twice in it"
    );
}

#[test]
fn every_known_schema_makes_a_decoder() {
    for field in [
        r#"{"name":"labels","type":["null",{"type":"map","values":["string","null"]}]}"#,
        r#"{"name":"source","type":["string","null"]}"#,
        r#"{"name":"timestamp","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}"#,
        r#"{"name":"x","type":["null","int",{"type":"enum","name":"E","symbols":["A"]},{"type":"fixed","name":"F","size":3}]}"#,
        r#"{"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":4}}"#,
        r#"{"name":"x","type":{"type":"string","logicalType":"uuid"},"aliases":["value"]}"#,
        r#"{"name":"x","type":{"type":"array","items":{"type":"map","values":{"type":"array","items":["null","R2"]}}},"doc":"\"\u00e4"}"#,
    ] {
        let field = field.replace(r#""R2""#, r#"{"type":"record","name":"R2","fields":[]}"#);
        let layout = Layout::of(&with(&field)).unwrap_or_else(|what| panic!("{field}: {what}"));
        super::super::decoder_of(1, &layout).unwrap_or_else(|error| panic!("{field}: {error}"));
    }
}

fn arbitrary_type() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop_oneof!["null", "boolean", "int", "long", "float", "double", "bytes", "string", "N[0-2]"]
            .prop_map(Value::from),
        Just(json!({"type": "long", "logicalType": "timestamp-micros"})),
        (0..3_u32, 0..3_u32)
            .prop_map(|(name, size)| json!({"type": "fixed", "name": format!("N{name}"), "size": size})),
        (0..3_u32).prop_map(|name| json!({"type": "enum", "name": format!("N{name}"), "symbols": ["A"]})),
        Just(json!({"type": 3})),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "map", "values": values})),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (0..3_u32, proptest::collection::vec(("[a-c]", inner), 0..4)).prop_map(|(name, fields)| {
                let fields: Vec<Value> =
                    fields.into_iter().map(|(name, ty)| json!({"name": name, "type": ty})).collect();
                json!({"type": "record", "name": format!("N{name}"), "fields": fields})
            }),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,100}") {
        let _ = Layout::of(&text);
    }

    /// Whatever else a record holds, before and behind what we read: its schema is refused, or its messages are decoded
    /// or refused, each like the other, and within bounds.
    #[test]
    fn arbitrary_records_never_panic(
        more in proptest::collection::vec(arbitrary_type(), 1..4),
        body in proptest::collection::vec(prop_oneof![0_u8..5, any::<u8>()], 0..40),
        first in any::<bool>(),
    ) {
        let fields: Vec<String> =
            (0..).zip(more).map(|(at, ty): (u32, Value)| format!(r#"{{"name":"f{at}","type":{ty}}}"#)).collect();
        let ours = r#"{"name":"metric_name","type":"string"},{"name":"value","type":"int"}"#.to_owned();
        let fields = if first { [vec![ours], fields].concat() } else { [fields, vec![ours]].concat() };
        let schemas: HashMap<u32, Arc<str>> = HashMap::from([(1, record(&fields.join(",")).into())]);
        let payload = [&[0, 0, 0, 0, 1], &body[..]].concat();
        let message = Message { payload: &payload, key: None, timestamp_ms: None };
        let limits = Limits::default();
        let scope = Scope { now_ms: NOW_MS, window: window(), limits: &limits };
        let (mut batch, mut outcomes) = (PointBatch::new(), Vec::new());
        let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::new(schemas)));
        decoder.decode_many(&[message, message, message], scope, &mut batch, &mut outcomes);
        prop_assert_eq!(outcomes.len(), 3);
        prop_assert!(outcomes.iter().all(|outcome| outcome.is_ok() == outcomes[0].is_ok()), "{:?}", outcomes);
    }
}
