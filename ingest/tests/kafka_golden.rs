//! Messages of Kafka as clients that are not ours write them, decoded for ever; `tests/golden/kafka/make.py` says how they
//! are made.

extern crate thermocline_ingest as ingest;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ingest::Limits;
use ingest::decode::Scope;
use ingest::message::{Message, MessageDecoder, MessageFormat};
use ingest::registry::SchemaSource;
use schemas::{Labels, PointBatch, TimeRange, TimestampMs};

const NOW_MS: i64 = 1_742_221_800_000;
/// The time of the messages themselves.
const SENT_MS: i64 = NOW_MS - 5_000;

type Points = Vec<(String, i64, f64)>;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/kafka/v1")
}

fn schemas() -> Arc<dyn SchemaSource> {
    let text = std::fs::read_to_string(golden().join("schemas.json")).expect("in the repository");
    let schemas: HashMap<u32, Arc<str>> = serde_json::from_str(&text).expect("JSON");
    Arc::new(schemas)
}

/// The points of a golden message; a series without labels by its name alone.
fn points(format: MessageFormat, name: &str) -> Points {
    let payload = std::fs::read(golden().join(format!("{format}.{name}.bin"))).expect("in the repository");
    let window = TimeRange::new(TimestampMs(1), TimestampMs(NOW_MS + 600_000)).expect("ordered");
    let limits = Limits::default();
    let scope = Scope { now_ms: NOW_MS, window, limits: &limits };
    let message = Message { payload: &payload, key: Some(b"cpu_usage:a"), timestamp_ms: Some(SENT_MS) };
    let mut batch = PointBatch::new();
    let decoded = MessageDecoder::new(format, Some(schemas()))
        .decode(message, scope, &mut batch)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((decoded.kept(), decoded.points_seen), (batch.len() as u64, batch.len() as u64), "{name}");
    (0..batch.len())
        .map(|at| {
            let (_, canonical) = batch.series(batch.series_of()[at]);
            let labels = Labels::from_canonical(canonical).expect("canonical");
            (labels.to_string().trim_end_matches("{}").to_owned(), batch.timestamps()[at], batch.values()[at])
        })
        .collect()
}

fn avro(name: &str) -> Points {
    points(MessageFormat::Avro, name)
}

fn one(series: &str, timestamp_ms: i64, value: f64) -> Points {
    vec![(series.to_owned(), timestamp_ms, value)]
}

#[test]
fn confluent_kafka_s_avro_point_is_read() {
    let series = r#"cpu_usage{env="production",region="us-east-1",source="agent"}"#;
    assert_eq!(avro("point"), one(series, NOW_MS, 72.5));
}

#[test]
fn a_later_version_of_the_record_is_read() {
    assert_eq!(avro("point_evolved"), one(r#"http_requests_total{région="Zürich"}"#, NOW_MS, 1e300));
}

#[test]
fn narrower_and_nullable_types_are_read() {
    assert_eq!(avro("point_of_ints"), one("restarts", NOW_MS, -7.0));
    assert_eq!(avro("point_of_longs"), one(r#"bytes_total{device="sda"}"#, NOW_MS, 9_007_199_254_740_991.0));
    assert_eq!(avro("point_of_floats"), one("temperature", SENT_MS, -0.5));
    assert_eq!(avro("point_of_a_union"), one("either", NOW_MS, 2.5));
}

#[test]
fn confluent_kafka_s_avro_batch_is_read() {
    let expected: Points =
        (0..300).map(|i| (r#"cpu_usage{host="a"}"#.to_owned(), NOW_MS + i * 1_000, i as f64 / 4.0)).collect();
    assert_eq!(avro("points"), expected);
}

#[test]
fn a_later_version_of_the_batch_is_read() {
    let points = avro("points_evolved");
    assert_eq!(points[0], (r#"load{source="gateway"}"#.to_owned(), NOW_MS, 0.5));
    assert_eq!((points.len(), points[1].1), (2, NOW_MS + 1));
    assert!(points[1].2.is_nan());
}

#[test]
fn special_values_of_avro_are_kept() {
    let values: Vec<u64> = avro("points_special").iter().map(|(_, _, value)| value.to_bits()).collect();
    assert_eq!(values, [f64::INFINITY, f64::NEG_INFINITY, -0.0].map(f64::to_bits));
}

#[test]
fn telegraf_s_json_is_read() {
    let cpu = |name: &str, value: f64| (format!(r#"cpu_{name}{{cpu="cpu-total",host="a"}}"#), NOW_MS, value);
    let cpu = [cpu("n_cpus", 8.0), cpu("ok", 1.0), cpu("usage_idle", 99.1)];
    let disk = |name: &str, value: f64| (format!(r#"{name}{{host="a",path="C:\\Program Files"}}"#), value);
    let disk = [disk("disk_used", -1.0), disk("disk", 9_007_199_254_740_992.0)];
    let at = |timestamp_ms: i64| disk.clone().map(|(series, value)| (series, timestamp_ms, value));
    assert_eq!(points(MessageFormat::Json, "telegraf"), cpu);
    assert_eq!(points(MessageFormat::Json, "telegraf_batch"), [&cpu[..], &at(NOW_MS)].concat());
    assert_eq!(points(MessageFormat::Json, "telegraf_nanoseconds"), at(NOW_MS + 250));
}

#[test]
fn telegraf_s_line_protocol_is_read() {
    let points = points(MessageFormat::Influx, "telegraf");
    let values: Vec<f64> = points.iter().map(|(.., value)| *value).collect();
    assert_eq!(values, [8.0, 1.0, 99.1, -1.0, 9_007_199_254_740_992.0]);
    assert!(points.iter().all(|(_, timestamp_ms, _)| *timestamp_ms == NOW_MS + 250));
    assert_eq!(points[4].0, r#"disk{host="a",path="C:\\Program Files"}"#);
}

#[test]
fn what_prometheus_kafka_adapter_writes_is_read() {
    let up = one(r#"up{label1="value1"}"#, NOW_MS, 9_876_543_210.0);
    assert_eq!(points(MessageFormat::Json, "prometheus_kafka_adapter"), up);
}

#[test]
fn json_of_our_own_shapes_is_read() {
    let series = |name: &str| format!(r#"{name}{{region="us-east-1",server_id="srv-us-east-1-04821"}}"#);
    let server = [(series("cpu_usage"), NOW_MS, 72.5), (series("network_in"), NOW_MS, 12_400.0)];
    assert_eq!(points(MessageFormat::Json, "server"), server);
    let flat: Points = (0..3).map(|i| ("m".to_owned(), NOW_MS + i, i as f64)).collect();
    assert_eq!(points(MessageFormat::Json, "flat_points"), flat);
}

#[test]
fn prometheus_remote_write_is_read_with_its_staleness_marker() {
    let scrape = points(MessageFormat::PromRemoteWrite, "scrape");
    let requests = r#"http_requests_total{code="200",instance="localhost:9090",job="prometheus"}"#;
    let up = r#"up{instance="localhost:9090",job="prometheus"}"#;
    assert_eq!(scrape[0], (up.to_owned(), NOW_MS, 1.0));
    assert_eq!(scrape[1], (requests.to_owned(), NOW_MS - 15_000, 1_027.0));
    assert_eq!(scrape[2], (requests.to_owned(), NOW_MS, 1_030.0));
    assert_eq!((scrape[3].0.as_str(), scrape[3].1), (r#"gone{région="Zürich"}"#, NOW_MS));
    // Prometheus' `value.StaleNaN`.
    assert_eq!((scrape.len(), scrape[3].2.to_bits()), (4, 0x7ff0_0000_0000_0002));
    assert_eq!(points(MessageFormat::PromRemoteWrite, "metadata"), []);
}
