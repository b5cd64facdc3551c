use proptest::prelude::*;
use schemas::batch::MetricMetadata;

use super::*;
use crate::decode::testing::{NOW_MS, Point, codes, decode_with, told, window};
use crate::limits::Limits;

fn read_as(dialect: Dialect, body: &[u8]) -> (Vec<Point>, Decoded) {
    decode_with(&Limits::default(), |scope, batch| decode(body, dialect, scope, batch)).expect("few points")
}

fn read(body: &str) -> (Vec<Point>, Decoded) {
    read_as(Dialect::Detect, body.as_bytes())
}

fn reason(line: &str) -> String {
    told(&read(line).1).pop().expect("refused").1
}

#[test]
fn the_example_of_the_format_is_read_in_full() {
    let body = r#"
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1742221800000
http_requests_total{method="post",code="400"}    3 1742221800000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
rpc_duration_seconds{quantile="0.01",} 3102
"#;
    let (points, decoded) = read(body);
    let expected = [
        (r#"http_requests_total{code="200",method="post"}"#, 1027.0),
        (r#"http_requests_total{code="400",method="post"}"#, 3.0),
        (
            r#"msdos_file_access_time_seconds{error="Cannot find file:\n\"FILE.TXT\"",path="C:\\DIR\\FILE.TXT"}"#,
            1.458_255_915e9,
        ),
        ("metric_without_timestamp_and_labels{}", 12.47),
        (r#"http_request_duration_seconds_bucket{le="0.05"}"#, 24054.0),
        (r#"http_request_duration_seconds_bucket{le="+Inf"}"#, 144_320.0),
        (r#"rpc_duration_seconds{quantile="0.01"}"#, 3102.0),
    ];
    let expected: Vec<(String, i64, f64)> = expected.iter().map(|(s, v)| ((*s).to_owned(), NOW_MS, *v)).collect();
    assert_eq!(points, expected);
    assert_eq!(codes(&decoded), [(14, "invalid_timestamp")]);
}

#[test]
fn help_type_and_unit_become_metadata() {
    let body = "# HELP m one \\\\ two\\nthree\n# TYPE m Gauge\n# UNIT m seconds\n#TYPE\n# HELP\nm 1";
    let mut batch = PointBatch::new();
    let limits = Limits::default();
    decode(body.as_bytes(), Dialect::Detect, Scope { now_ms: NOW_MS, window: window(), limits: &limits }, &mut batch)
        .expect("few points");
    let said = MetricMetadata {
        unit: Some("seconds".to_owned()),
        kind: Some("gauge".to_owned()),
        help: Some("one \\ two\nthree".to_owned()),
    };
    assert_eq!(batch.metadata()["m"], said);
}

#[test]
fn open_metrics_times_are_seconds_and_exemplars_are_left_out() {
    let body = "# TYPE foo histogram\nfoo_bucket{le=\"0.1\"} 8 1742221800.123 # {trace_id=\"KOO5S4vxi0o\"} 0.67\nfoo_count 17 1742221800\n# EOF\n";
    let (points, decoded) = read(body);
    assert_eq!(points.iter().map(|p| p.1).collect::<Vec<i64>>(), [NOW_MS + 123, NOW_MS]);
    assert_eq!(decoded.dropped.exemplars, 1);
    let (points, _) = read_as(Dialect::OpenMetrics, b"foo 1 1742221800\n");
    assert_eq!(points[0].1, NOW_MS);
    let (points, _) = read_as(Dialect::Prometheus, b"foo 1 # {a=\"b\"} 1\n");
    assert_eq!(points, [("foo{}".to_owned(), NOW_MS, 1.0)]);
}

#[test]
fn quoted_names_may_be_any_text() {
    let (points, _) = read("{\"http.requests\", \"label.name\"=\"a,b}\"} 1\n{__name__=\"up\"} 2\n{\"x\"} 3\n");
    let names: Vec<&str> = points.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(names, [r#"http.requests{label.name="a,b}"}"#, "up{}", "x{}"]);
}

#[test]
fn special_values_are_read_and_overflow_is_not_infinity() {
    let (points, _) = read("a NaN\nb +Inf\nc -Inf\nd 1e-320\ne Inf\nf +7");
    let values: Vec<f64> = points.iter().map(|p| p.2).collect();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f64::INFINITY, f64::NEG_INFINITY, 1e-320, f64::INFINITY, 7.0]);
    assert_eq!(reason("a 1e999"), r#"invalid value: "1e999" is not a number"#);
}

#[test]
fn each_fault_of_a_line_has_its_text() {
    assert_eq!(reason("m"), "a sample has no value");
    assert_eq!(reason("m{a=\"1\"}"), "a sample has no value");
    assert_eq!(reason("m{a=\"1\" 1"), "labels must be followed by a comma or a closing brace");
    assert_eq!(reason("m{a=1} 1"), "a label value must be quoted");
    assert_eq!(reason("m{a=\"1} 1"), "a quote is not closed");
    assert_eq!(reason("m{a} 1"), "a label has no value");
    assert_eq!(reason("m{\"a\",\"b\"} 1"), "a label has no value");
    assert_eq!(reason("m{\"a\"} 1"), "the metric name stands twice");
    assert_eq!(reason("m{__name__=\"x\"} 1"), r#"label "__name__" stands twice"#);
    assert_eq!(reason("{a=\"1\"} 1"), "the metric name is missing");
    assert_eq!(reason("m 1 2 3"), "more than a value and a timestamp");
    assert_eq!(reason("m one"), r#"invalid value: "one" is not a number"#);
    assert_eq!(reason("m 1 soon"), r#"invalid timestamp: "soon""#);
    assert_eq!(reason("m 1 1e300"), r#"invalid timestamp: "1e300""#);
}

#[test]
fn bad_lines_are_refused_by_number_and_good_ones_kept() {
    let (points, decoded) = read_as(Dialect::Detect, b"a 1\r\nb \xff\nc x\n\td\t2\t\n");
    assert_eq!(points.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["a{}", "d{}"]);
    assert_eq!(codes(&decoded), [(2, "malformed"), (3, "invalid_value")]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_as(Dialect::Detect, &bytes);
    }

    #[test]
    fn text_made_of_the_grammar_never_panics(text in "[mné{}=,\"\\\\ \n#0-9.+-]{0,60}") {
        let _ = read(&text);
    }

    #[test]
    fn every_sample_round_trips(
        name in "[a-z_:]{1,8}",
        labels in proptest::collection::btree_map("[a-z]{1,5}", "[^\u{0}-\u{9}\u{b}-\u{1f}]{1,10}", 0..5),
        value in any::<f64>().prop_filter("text has one NaN only", |v| !v.is_nan()),
    ) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let written: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escape(v))).collect();
        let line = format!("{name}{{{}}} {value} {NOW_MS}", written.join(","));
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", name.as_str())]);
        let expected = schemas::Labels::new(pairs).expect("valid").to_string();
        prop_assert_eq!(read(&line).0, [(expected, NOW_MS, value)], "{}", line);
    }
}
