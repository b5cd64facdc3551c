use schemas::points::{STALE_BITS, is_histogram};
use serde_json::{Value, json};

use super::*;
use crate::decode::testing::{NOW_MS, Point, codes, decode_with, told};
use crate::limits::Limits;

mod wire;

const NOW_NS: u64 = 1_742_221_800_000_000_000;

fn in_json(settings: &Settings, body: &[u8]) -> Result<(Vec<Point>, Decoded), DecodeError> {
    let otlp = Otlp::new(settings.clone());
    decode_with(&Limits::default(), |scope, batch| decode(body, Encoding::Json, &mut otlp.session(), scope, batch))
}

/// Series and values of metrics of a resource with a name and a region.
fn stored(settings: &Settings, metrics: &Value) -> Vec<(String, f64)> {
    let (points, decoded) = in_json(settings, request(metrics).to_string().as_bytes()).expect("well formed");
    assert_eq!(told(&decoded), []);
    points.into_iter().map(|(series, _, value)| (series, value)).collect()
}

fn request(metrics: &Value) -> Value {
    let resource = json!({ "attributes": [
        text("service.name", "shop"), text("service.namespace", "eu"), text("service.instance.id", "i-1"),
        text("cloud.region", "eu-1"),
    ] });
    let scope = json!({ "name": "lib", "version": "2", "attributes": [text("flavour", "x")] });
    json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "scope": scope, "metrics": metrics }] }] })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn counter(temporality: u64, time_ns: u64, value: i64) -> Value {
    let point = json!({ "timeUnixNano": time_ns.to_string(), "asInt": value.to_string() });
    json!([{ "name": "sent", "sum": { "dataPoints": [point], "aggregationTemporality": temporality, "isMonotonic": true } }])
}

#[test]
fn a_resource_names_job_and_instance_and_tells_the_rest_once() {
    let point =
        json!({ "attributes": [text("http.method", "GET")], "timeUnixNano": NOW_NS.to_string(), "asDouble": 0.5 });
    let metrics = json!([{ "name": "cpu.load", "unit": "1", "gauge": { "dataPoints": [point] } }]);
    let info = (r#"target_info{cloud_region="eu-1",instance="i-1",job="eu/shop"}"#.to_owned(), 1.0);
    let load = |labels: &str| (format!("cpu_load_ratio{{{labels}}}"), 0.5);
    assert_eq!(
        stored(&Settings::default(), &metrics),
        [load(r#"http_method="GET",instance="i-1",job="eu/shop""#), info.clone()]
    );
    let promoted = Settings {
        promoted: Promoted::Listed(vec!["cloud.region".to_owned()]),
        promote_scope: true,
        ..Settings::default()
    };
    let labels = r#"cloud_region="eu-1",http_method="GET",instance="i-1",job="eu/shop",otel_scope_flavour="x",otel_scope_name="lib",otel_scope_version="2""#;
    assert_eq!(stored(&promoted, &metrics), [load(labels), info]);
    let all = Settings {
        promoted: Promoted::AllBut(vec!["cloud.region".to_owned(), "service.namespace".to_owned()]),
        keep_identifying: true,
        translation: Translation::NoTranslation,
        ..Settings::default()
    };
    let kept = stored(&all, &metrics);
    let expected =
        r#"cpu.load{http.method="GET",instance="i-1",job="eu/shop",service.instance.id="i-1",service.name="shop"}"#;
    assert_eq!(kept[0].0, expected);
    assert!(kept[1].0.contains(r#"service.namespace="eu""#), "{kept:?}");
}

#[test]
fn attributes_that_become_the_same_label_are_joined() {
    let attributes =
        json!([text("a.b", "2"), text("a-b", "1"), text("job", "other"), text("__name__", "no"), text("e", "")]);
    let point = json!({ "attributes": attributes, "timeUnixNano": NOW_NS.to_string(), "asInt": 1 });
    let kept = stored(&Settings::default(), &json!([{ "name": "m", "gauge": { "dataPoints": [point] } }]));
    assert_eq!(kept[0].0, r#"m{a_b="1;2",instance="i-1",job="eu/shop"}"#);
}

#[test]
fn target_info_is_told_for_all_the_time_of_the_points() {
    let points: Vec<Value> = [0, 400_000]
        .map(|ms: u64| json!({ "timeUnixNano": (NOW_NS - ms * 1_000_000).to_string(), "asInt": 1 }))
        .to_vec();
    let body = request(&json!([{ "name": "m", "gauge": { "dataPoints": points } }])).to_string();
    let (points, _) = in_json(&Settings::default(), body.as_bytes()).expect("well formed");
    let times: Vec<i64> = points.iter().filter(|p| p.0.starts_with("target_info")).map(|p| NOW_MS - p.1).collect();
    assert_eq!(times, [400_000, 250_000, 100_000, 0]);
}

#[test]
fn histograms_are_buckets_that_count_what_is_below() {
    let point = json!({
        "timeUnixNano": NOW_NS.to_string(), "count": "6", "sum": 12.5,
        "bucketCounts": ["1", "2", 3], "explicitBounds": [0.005, 10],
    });
    let data = json!({ "dataPoints": [point], "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE" });
    let metrics = json!([{ "name": "wait", "unit": "s", "histogram": data }]);
    let of = |suffix: &str, le: &str| format!(r#"wait_seconds_{suffix}{{instance="i-1",job="eu/shop"{le}}}"#);
    let expected = [
        (of("sum", ""), 12.5),
        (of("count", ""), 6.0),
        (of("bucket", r#",le="0.005""#), 1.0),
        (of("bucket", r#",le="10""#), 3.0),
        (of("bucket", r#",le="+Inf""#), 6.0),
    ];
    assert_eq!(stored(&Settings::default(), &metrics)[..5], expected);
    let native = Settings { histograms_to_nhcb: true, ..Settings::default() };
    let kept = stored(&native, &metrics);
    assert_eq!(kept[0].0, r#"wait_seconds{instance="i-1",job="eu/shop"}"#);
    assert!(is_histogram(kept[0].1));
}

#[test]
fn summaries_are_quantiles() {
    let point = json!({
        "timeUnixNano": NOW_NS.to_string(), "count": 2, "sum": 3.0,
        "quantileValues": [{ "quantile": 0.5, "value": 1.0 }, { "quantile": 1, "value": "NaN" }],
    });
    let kept = stored(&Settings::default(), &json!([{ "name": "lag", "summary": { "dataPoints": [point] } }]));
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.split('{').next().expect("a name")).collect();
    assert_eq!(names, ["lag_sum", "lag_count", "lag", "lag", "target_info"]);
    assert!(kept[2].0.contains(r#"quantile="0.5""#) && kept[3].0.contains(r#"quantile="1""#));
    assert!(kept[3].1.is_nan());
}

#[test]
fn exponential_histograms_are_native_ones() {
    let point = json!({
        "timeUnixNano": NOW_NS.to_string(), "count": "5", "sum": 9.0, "scale": 1, "zeroCount": "1",
        "positive": { "offset": -1, "bucketCounts": ["1", "0", "2"] }, "negative": { "offset": 3, "bucketCounts": [1] },
    });
    let data = json!({ "dataPoints": [point], "aggregationTemporality": 2 });
    let body = request(&json!([{ "name": "size", "unit": "By", "exponentialHistogram": data }])).to_string();
    let (otlp, limits) = (Otlp::default(), Limits::default());
    let mut batch = PointBatch::new();
    let scope = Scope { now_ms: NOW_MS, window: crate::decode::testing::window(), limits: &limits };
    decode(body.as_bytes(), Encoding::Json, &mut otlp.session(), scope, &mut batch).expect("well formed");
    let (at, histogram) = &batch.histograms()[0];
    assert_eq!((*at, histogram.schema, histogram.count, histogram.zero_count, histogram.sum), (0, 1, 5.0, 1.0, 9.0));
    assert_eq!(histogram.positive.iter().filter(|(_, n)| *n > 0.0).collect::<Vec<_>>(), [(0, 1.0), (2, 2.0)]);
    assert_eq!(histogram.negative.iter().collect::<Vec<_>>(), [(4, 1.0)]);
    assert!(histogram.is_integer);
}

#[test]
fn what_was_not_recorded_is_a_staleness_marker() {
    let point = |fields: Value| {
        let mut point = json!({ "timeUnixNano": NOW_NS.to_string(), "flags": 1 });
        point.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        json!({ "dataPoints": [point], "aggregationTemporality": 2 })
    };
    let metrics = json!([
        { "name": "g", "gauge": point(json!({})) },
        { "name": "h", "histogram": point(json!({ "sum": 1 })) },
        { "name": "e", "exponentialHistogram": point(json!({})) },
    ]);
    let kept = stored(&Settings::default(), &metrics);
    let stale: Vec<&str> = (kept.iter().filter(|(_, value)| value.to_bits() == STALE_BITS))
        .map(|(name, _)| name.split('{').next().expect("a name"))
        .collect();
    assert_eq!(stale, ["g", "h_sum", "h_count", "h_bucket", "e"]);
}

#[test]
fn differences_become_totals_over_requests() {
    let otlp = Otlp::default();
    let mut values = Vec::new();
    // The third is repeated: its answer was lost.
    for (minute, value) in [(0, 5), (1, 3), (2, 2), (2, 2), (3, 1)] {
        let body = request(&counter(1, NOW_NS - (10 - minute) * 60_000_000_000, value)).to_string();
        let (points, _) = decode_with(&Limits::default(), |scope, batch| {
            let mut session = otlp.session();
            let decoded = decode(body.as_bytes(), Encoding::Json, &mut session, scope, batch);
            session.commit();
            decoded
        })
        .expect("well formed");
        values.push((points[0].0.split('{').next().expect("a name").to_owned(), points[0].2));
    }
    assert_eq!(values, [5.0, 8.0, 10.0, 10.0, 11.0].map(|value| ("sent_total".to_owned(), value)));
    let late = request(&counter(1, NOW_NS - 9 * 60_000_000_000, 7)).to_string();
    let (points, decoded) = decode_with(&Limits::default(), |scope, batch| {
        decode(late.as_bytes(), Encoding::Json, &mut otlp.session(), scope, batch)
    })
    .expect("well formed");
    assert_eq!((points.len(), codes(&decoded)), (0, vec![(0, "delta")]));
}

#[test]
fn bad_data_points_cost_themselves_only() {
    let good = json!({ "timeUnixNano": NOW_NS.to_string(), "asInt": 1 });
    let points = json!([
        good, { "timeUnixNano": "x" }, { "asInt": 1 }, { "timeUnixNano": NOW_NS }, { "timeUnixNano": NOW_NS, "asInt": 1,
        "attributes": [{ "key": "", "value": { "intValue": 1 } }] }, good,
    ]);
    let cut = json!({ "timeUnixNano": NOW_NS, "bucketCounts": [1], "explicitBounds": [1, 2] });
    let odd = json!({ "timeUnixNano": NOW_NS, "bucketCounts": [1, 2], "explicitBounds": ["NaN"] });
    let metrics = json!([
        { "name": "m", "gauge": { "dataPoints": points } },
        { "name": "...", "gauge": { "dataPoints": [good] } },
        { "name": "s", "sum": { "dataPoints": [good] } },
        { "name": "h", "histogram": { "dataPoints": [cut, odd], "aggregationTemporality": 2 } },
        { "name": "nothing" },
        { "name": "empty", "gauge": { "dataPoints": [] } },
    ]);
    let (points, decoded) =
        in_json(&Settings::default(), request(&metrics).to_string().as_bytes()).expect("well formed");
    assert_eq!(points.len(), 3, "two points, and what the resource is");
    let expected = [
        (1, "malformed"),
        (2, "too_old"),
        (3, "invalid_value"),
        (4, "invalid_labels"),
        (6, "invalid_labels"),
        (7, "invalid_value"),
        (8, "invalid_value"),
        (9, "invalid_value"),
    ];
    assert_eq!((codes(&decoded), decoded.rejections.items()), (expected.to_vec(), 8));
}

#[test]
fn what_is_no_request_is_refused_as_a_whole() {
    for body in
        [&b"{"[..], b"[]", br#"{"resourceMetrics":5}"#, br#"{"resourceMetrics":[{"scopeMetrics":[5]}]}"#, b"\xff"]
    {
        let error = in_json(&Settings::default(), body).expect_err("no request");
        assert!(matches!(error, DecodeError::Malformed { format: "OTLP request", .. }), "{error}");
    }
    assert!(in_json(&Settings::default(), br#"{"resourceMetrics":null,"later":[]}"#).expect("empty").0.is_empty());
}

#[test]
fn values_nested_too_deep_cost_their_data_point() {
    let deep = (0..200).fold(json!({ "intValue": 1 }), |value, _| json!({ "arrayValue": { "values": [value] } }));
    let point = json!({ "timeUnixNano": NOW_NS, "asInt": 1, "attributes": [{ "key": "deep", "value": deep }] });
    let metrics = json!([{ "name": "m", "gauge": { "dataPoints": [point] } }]);
    let (_, decoded) = in_json(&Settings::default(), request(&metrics).to_string().as_bytes()).expect("well formed");
    assert_eq!(codes(&decoded), [(0, "malformed")]);
}

#[test]
fn metadata_is_that_of_the_translated_name() {
    let mut batch = PointBatch::new();
    let (otlp, limits) = (Otlp::default(), Limits::default());
    let scope = Scope { now_ms: NOW_MS, window: crate::decode::testing::window(), limits: &limits };
    let point = json!({ "timeUnixNano": NOW_NS.to_string(), "asInt": 1 });
    let data = json!({ "dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true });
    let body = request(&json!([{ "name": "io", "unit": "By", "description": "Bytes.", "sum": data }])).to_string();
    decode(body.as_bytes(), Encoding::Json, &mut otlp.session(), scope, &mut batch).expect("well formed");
    let said = &batch.metadata()["io_bytes_total"];
    assert_eq!(
        (said.kind.as_deref(), said.unit.as_deref(), said.help.as_deref()),
        (Some("counter"), Some("bytes"), Some("Bytes."))
    );
    assert!(batch.metadata().contains_key("target_info"));
}
