use schemas::histogram::{Buckets, Span};

use super::*;

/// Labels, the time in ms, and what was sampled.
type Given<'a> = (&'a [(&'a str, &'a str)], i64, Sample);

fn newest(samples: &[Given<'_>]) -> Vec<Newest> {
    let entry = |(labels, ts, sample): &Given<'_>| {
        let labels = Labels::new(labels.iter().copied()).unwrap();
        Newest { labels, ts: *ts, sample: sample.clone() }
    };
    let mut newest: Vec<Newest> = samples.iter().map(entry).collect();
    settle(&mut newest);
    newest
}

fn as_text(samples: &[Given<'_>]) -> String {
    String::from_utf8(text::written(&newest(samples))).unwrap()
}

fn exponential() -> Sample {
    let span = |offset, length| Span { offset, length };
    Sample::Histogram(Arc::new(Histogram {
        schema: 3,
        zero_threshold: 0.25,
        count: 6.0,
        sum: 2.5,
        positive: Buckets { spans: vec![span(-40, 2), span(0, 1)], counts: vec![1.0, 0.0, 2.5] },
        negative: Buckets { spans: vec![span(3, 1)], counts: vec![2.5] },
        reset_hint: ResetHint::Gauge,
        ..Histogram::default()
    }))
}

fn custom() -> Sample {
    let spans = vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }];
    Sample::Histogram(Arc::new(Histogram {
        schema: SCHEMA_CUSTOM,
        count: 6.0,
        sum: 9.5,
        positive: Buckets { spans, counts: vec![1.0, 2.0, 3.0] },
        custom_values: vec![0.5, 1.0, 2.5],
        ..Histogram::default()
    }))
}

#[test]
fn series_of_a_metric_stand_together_under_its_type() {
    let told = as_text(&[
        (&[("__name__", "up"), ("job", "a \"b\"\n\\"), ("instance", "x:1")], 1_500, Sample::Float(1.0)),
        (&[("__name__", "load"), ("job", "a")], 1_000, Sample::Float(0.25)),
        (&[("__name__", "up"), ("job", "b")], 2_000, Sample::Float(f64::NAN)),
        (&[("__name__", "up"), ("job", "b")], 2_000, Sample::Float(f64::NAN)),
        (&[("__name__", "http.requests"), ("status.code", "200")], 3_000, Sample::Float(1e21)),
        (&[("__name__", "size")], 3_000, exponential()),
    ]);
    let expected = r#"# TYPE "http.requests" untyped
{"http.requests","status.code"="200",instance=""} 1e+21 3000
# TYPE load untyped
load{job="a",instance=""} 0.25 1000
# TYPE up untyped
up{instance="x:1",job="a \"b\"\n\\"} 1 1500
up{job="b",instance=""} NaN 2000
"#;
    assert_eq!(told, expected, "exponential buckets have no words");
}

#[test]
fn custom_buckets_become_a_classic_histogram() {
    let told = as_text(&[(&[("__name__", "latency"), ("instance", "i")], 1_000, custom())]);
    let expected = r#"# TYPE latency histogram
latency_bucket{instance="i",le="0.5"} 1 1000
latency_bucket{instance="i",le="1"} 1 1000
latency_bucket{instance="i",le="2.5"} 3 1000
latency_bucket{instance="i",le="+Inf"} 6 1000
latency_sum{instance="i"} 9.5 1000
latency_count{instance="i"} 6 1000
"#;
    assert_eq!(told, expected);
}

/// What Prometheus' client model writes of the same families.
#[test]
fn families_are_prometheus_bytes() {
    let written = families::written(&newest(&[
        (&[("__name__", "latency"), ("instance", "i")], 1_000, custom()),
        (&[("__name__", "size"), ("instance", "i")], 1_000, exponential()),
        (&[("__name__", "up"), ("job", "a")], 1_500, Sample::Float(1.5)),
        (&[("__name__", "up"), ("job", "b")], 1_500, Sample::Float(0.0)),
    ]));
    let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, EXPECTED);
}

#[test]
fn families_are_for_who_prefers_them() {
    let wants = |accept: &'static str| {
        wants_families(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
    };
    let delimited = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    assert!(wants(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3"
    ));
    assert!(wants(delimited));
    for text in [
        "*/*",
        "text/plain;version=0.0.4",
        "application/openmetrics-text",
        "application/vnd.google.protobuf;encoding=text",
    ] {
        assert!(!wants(text), "{text}");
    }
    assert!(!wants_families(&HeaderMap::new()));
}

const EXPECTED: &str = "\
    6f0a076c6174656e6379180422620a0d0a08696e7374616e636512016930e8073a4e1100000000000023401a12110000\
    00000000e03f21000000000000f03f1a1211000000000000f03f21000000000000f03f1a121100000000000004402100\
    000000000008402100000000000018407a0a0473697a65180522700a0d0a08696e7374616e636512016930e8073a5c11\
    0000000000000440210000000000001840280631000000000000d03f4100000000000000004a04080610015900000000\
    000004406204084f100262040800100171000000000000f03f710000000000000000710000000000000440560a027570\
    180322260a080a036a6f621201610a0c0a08696e7374616e636512002a0909000000000000f83f30dc0b22260a080a03\
    6a6f621201620a0c0a08696e7374616e636512002a0909000000000000000030dc0b";
