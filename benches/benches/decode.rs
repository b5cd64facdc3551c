//! What decoding a point costs, canonical labels and series hash included: the parsers against their budgets
//! (remote write 100 ns, line protocol 120 ns, JSON 400 ns). Throughput is in points, so time per element is the
//! figure to read. The fleet is the one of the time-series benchmark suite: ten tags a host, ten fields a line. Remote
//! write is read with one point a series, as scrapes send it, and with ten, as senders do that catch up.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::decode::json::{self, Framing};
use ingest::decode::line_protocol::{self, Precision};
use ingest::decode::prom_text::{self, Dialect};
use ingest::decode::{DecodeError, Decoded, Scope, remote_write, remote_write_v2};
use ingest::{Limits, encode};
use schemas::{PointBatch, TimeRange, TimestampMs};

const NOW_MS: i64 = 1_742_221_800_000;
const HOSTS: usize = 500;
const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// The ten tags of a host, sorted by name.
fn tags(host: usize) -> [(&'static str, String); 10] {
    [
        ("arch", "x64".to_owned()),
        ("datacenter", "eu-central-1a".to_owned()),
        ("hostname", format!("host_{host}")),
        ("os", "Ubuntu16.04LTS".to_owned()),
        ("rack", format!("{}", host % 100)),
        ("region", "eu-central-1".to_owned()),
        ("service", format!("{}", host % 20)),
        ("service_environment", "production".to_owned()),
        ("service_version", "1".to_owned()),
        ("team", "SF".to_owned()),
    ]
}

fn value(host: usize, field: usize) -> usize {
    (host * 7 + field * 13) % 100
}

/// The points of a series, a second apart.
fn points(host: usize, field: usize, points: usize) -> Vec<(i64, f64)> {
    let value = f64::from(u32::try_from(value(host, field)).expect("below 100"));
    (NOW_MS..).step_by(1_000).take(points).map(|ts| (ts, value)).collect()
}

fn remote_write_body(points_a_series: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for host in 0..HOSTS {
        let tags = tags(host);
        for (at, field) in FIELDS.iter().enumerate() {
            let name = format!("cpu_{field}");
            let pairs = std::iter::once(("__name__", name.as_str())).chain(tags.iter().map(|(n, v)| (*n, v.as_str())));
            encode::write_series(&mut body, &encode::labels(pairs), &points(host, at, points_a_series));
        }
    }
    body
}

/// `io.prometheus.write.v2.Request`: each string once, and metadata with each series, as Prometheus sends it.
fn remote_write_v2_body(points_a_series: usize) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut places = HashMap::from([(String::new(), 0)]);
    let mut symbol = |text: &str| {
        *places.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        })
    };
    let mut series = Vec::new();
    for host in 0..HOSTS {
        let tags = tags(host);
        for (at, field) in FIELDS.iter().enumerate() {
            let name = format!("cpu_{field}");
            let pairs = std::iter::once(("__name__", name.as_str())).chain(tags.iter().map(|(n, v)| (*n, v.as_str())));
            let mut references = Vec::new();
            pairs.flat_map(|(name, value)| [name, value]).for_each(|text| varint(&mut references, symbol(text)));
            let mut one = Vec::new();
            bytes_field(&mut one, 1, &references);
            for (ts, value) in points(host, at, points_a_series) {
                let mut sample = [&[1 << 3 | 1][..], &value.to_le_bytes(), &[2 << 3]].concat();
                varint(&mut sample, usize::try_from(ts).expect("positive"));
                bytes_field(&mut one, 2, &sample);
            }
            let mut said = vec![1 << 3, 2, 3 << 3];
            varint(&mut said, symbol("How busy a core is."));
            bytes_field(&mut one, 5, &said);
            bytes_field(&mut series, 5, &one);
        }
    }
    let mut body = Vec::new();
    symbols.iter().for_each(|symbol| bytes_field(&mut body, 4, symbol.as_bytes()));
    body.extend(series);
    body
}

fn bytes_field(out: &mut Vec<u8>, number: usize, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn line_protocol_body() -> Vec<u8> {
    let mut body = String::new();
    for host in 0..HOSTS {
        body.push_str("cpu");
        for (name, value) in tags(host) {
            write!(body, ",{name}={value}").expect("memory");
        }
        for (at, field) in FIELDS.iter().enumerate() {
            write!(body, "{}{field}={}i", if at == 0 { ' ' } else { ',' }, value(host, at)).expect("memory");
        }
        writeln!(body, " {NOW_MS}000000").expect("memory");
    }
    body.into_bytes()
}

fn labels_of(host: usize) -> serde_json::Map<String, serde_json::Value> {
    tags(host).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn json_hosts_body() -> Vec<u8> {
    let host = |host: usize| {
        let metrics: Vec<serde_json::Value> = (FIELDS.iter().enumerate())
            .map(|(at, field)| serde_json::json!({"name": field, "value": value(host, at), "unit": "percent"}))
            .collect();
        serde_json::json!({"server_id": format!("srv-{host}"), "timestamp": "2025-03-17T14:30:00Z", "metrics": metrics, "tags": labels_of(host)})
    };
    serde_json::to_vec(&(0..HOSTS).map(host).collect::<Vec<_>>()).expect("memory")
}

fn json_flat_body() -> Vec<u8> {
    let mut body = Vec::new();
    for host in 0..HOSTS {
        for (at, field) in FIELDS.iter().enumerate() {
            let point = serde_json::json!({"metric_name": field, "value": value(host, at), "timestamp": NOW_MS, "labels": labels_of(host), "source": "bench"});
            serde_json::to_writer(&mut body, &point).expect("memory");
            body.push(b'\n');
        }
    }
    body
}

fn prom_text_body() -> Vec<u8> {
    let mut body = String::new();
    for host in 0..HOSTS {
        let labels: Vec<String> = tags(host).iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        for (at, field) in FIELDS.iter().enumerate() {
            writeln!(body, "cpu_{field}{{{}}} {} {NOW_MS}", labels.join(","), value(host, at)).expect("memory");
        }
    }
    body.into_bytes()
}

fn bench(
    c: &mut Criterion,
    name: &str,
    body: &[u8],
    decode: impl Fn(&[u8], Scope<'_>, &mut PointBatch) -> Result<Decoded, DecodeError>,
) {
    let limits = Limits::default();
    let window = TimeRange::new(TimestampMs(NOW_MS), TimestampMs(NOW_MS + 60_000)).expect("ordered");
    let scope = Scope { now_ms: NOW_MS, window, limits: &limits };
    let mut batch = PointBatch::new();
    let points = decode(body, scope, &mut batch).expect("well formed").points_seen;
    assert_eq!(u64::try_from(batch.len()).expect("small"), points, "every point is good");
    assert_eq!(batch.series_len(), HOSTS * FIELDS.len());
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(points));
    group.bench_function(name, |b| {
        b.iter(|| {
            batch.clear();
            decode(black_box(body), scope, &mut batch).expect("well formed")
        });
    });
    group.finish();
}

fn decoders(c: &mut Criterion) {
    bench(c, "remote_write", &remote_write_body(1), remote_write::decode);
    bench(c, "remote_write_10_points", &remote_write_body(10), remote_write::decode);
    bench(c, "remote_write_v2", &remote_write_v2_body(1), remote_write_v2::decode);
    bench(c, "remote_write_v2_10_points", &remote_write_v2_body(10), remote_write_v2::decode);
    bench(c, "line_protocol", &line_protocol_body(), |body, scope, batch| {
        line_protocol::decode(body, Precision::Nanosecond, scope, batch)
    });
    bench(c, "json_hosts", &json_hosts_body(), |body, scope, batch| json::decode(body, Framing::Any, scope, batch));
    bench(c, "json_flat", &json_flat_body(), |body, scope, batch| json::decode(body, Framing::Lines, scope, batch));
    bench(c, "prom_text", &prom_text_body(), |body, scope, batch| {
        prom_text::decode(body, Dialect::Prometheus, scope, batch)
    });
}

criterion_group!(benches, decoders);
criterion_main!(benches);
