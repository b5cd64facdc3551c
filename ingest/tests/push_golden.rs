//! Requests of push protocols as clients that are not ours write them, decoded for ever, and OTLP held against what Prometheus
//! makes of the same bytes; `tests/golden/push/make.py` says how they are made.

extern crate thermocline_ingest as ingest;

use std::path::{Path, PathBuf};

use ingest::decode::otlp::{self, Encoding, LabelNames, Otlp, Promoted, Settings, Translation};
use ingest::decode::{Decoded, Scope};
use ingest::{ContentEncoding, Format, Limits, body};
use schemas::histogram::{Buckets, Histogram};
use schemas::points::{STALE_BITS, is_histogram};
use schemas::{Labels, PointBatch, TimeRange, TimestampMs};

const NOW_MS: i64 = 1_742_221_800_000;

const STRATEGIES: [Translation; 4] = [
    Translation::UnderscoreEscapingWithSuffixes,
    Translation::UnderscoreEscapingWithoutSuffixes,
    Translation::NoUtf8EscapingWithSuffixes,
    Translation::NoTranslation,
];

fn golden(name: &str) -> Vec<u8> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/push/v1");
    std::fs::read(folder.join(name)).expect("in the repository")
}

fn lines(name: &str) -> Vec<String> {
    String::from_utf8(golden(name)).expect("text").lines().map(str::to_owned).collect()
}

fn decoded(decode: impl FnOnce(Scope<'_>, &mut PointBatch) -> Decoded) -> PointBatch {
    // The requests of the Python exporter have the time at which they were made.
    let window = TimeRange::new(TimestampMs(1), TimestampMs(4_102_444_800_000)).expect("ordered");
    let limits = Limits::default();
    let mut batch = PointBatch::new();
    let decoded = decode(Scope { now_ms: NOW_MS, window, limits: &limits }, &mut batch);
    assert_eq!((decoded.kept(), decoded.rejections.first()), (batch.len() as u64, &[][..]));
    batch
}

fn remote_write(name: &str) -> PointBatch {
    let snappy = golden(name);
    let plain = body::decompress(ContentEncoding::Snappy, &snappy, 1 << 20).expect("snappy");
    decoded(|scope, batch| Format::RemoteWriteV2.decode(&plain, scope, batch).expect("well formed"))
}

fn translated(name: &str, encoding: Encoding, otlp: &Otlp) -> PointBatch {
    let body = golden(name);
    decoded(|scope, batch| {
        let mut session = otlp.session();
        let decoded = otlp::decode(&body, encoding, &mut session, scope, batch).expect("well formed");
        session.commit();
        decoded
    })
}

fn labels(batch: &PointBatch, at: usize) -> Labels {
    Labels::from_canonical(batch.series(batch.series_of()[at]).1).expect("canonical")
}

/// A line a point, sorted, as `otlp_expected` writes them.
fn as_lines(batch: &PointBatch) -> Vec<String> {
    let histogram = |at: usize| {
        let number = u32::try_from(at).expect("small");
        batch.histograms().iter().find(|(point, _)| *point == number).map(|(_, histogram)| shown(histogram))
    };
    let mut lines: Vec<String> = (0..batch.len())
        .map(|at| {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let labels = labels(batch, at);
            let pairs: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
            let value = histogram(at).unwrap_or_else(|| format!("{:016x}", batch.values()[at].to_bits()));
            format!("{} {} {value}", pairs.join(","), batch.timestamps()[at])
        })
        .collect();
    lines.sort();
    lines
}

fn shown(histogram: &Histogram) -> String {
    let Histogram { schema, count, sum, zero_count, .. } = histogram;
    let mut out = format!("schema={schema} count={} sum={} zero={}", go(*count), go(*sum), go(*zero_count));
    for (sign, buckets) in [('+', &histogram.positive), ('-', &histogram.negative)] {
        for (index, count) in filled(buckets) {
            out.push_str(&format!(" {sign}{index}:{}", go(count)));
        }
    }
    if !histogram.custom_values.is_empty() {
        let bounds: Vec<String> = histogram.custom_values.iter().map(|bound| go(*bound)).collect();
        out.push_str(&format!(" bounds=[{}]", bounds.join(" ")));
    }
    out
}

fn filled(buckets: &Buckets) -> Vec<(i64, f64)> {
    buckets.iter().filter(|(_, count)| *count > 0.0).collect()
}

/// A number as Go prints it by `%g`.
fn go(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').expect("an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[test]
fn a_scrape_by_remote_write_two_is_read_as_prometheus_wrote_it() {
    let batch = remote_write("remote_write_v2.scrape.bin");
    let points: Vec<(String, i64, u64)> = (0..batch.len())
        .map(|at| (labels(&batch, at).to_string(), batch.timestamps()[at], batch.values()[at].to_bits()))
        .collect();
    let requests = r#"http_requests_total{code="200",instance="localhost:9090",job="prometheus"}"#;
    let expected = [
        (r#"up{instance="localhost:9090",job="prometheus"}"#, NOW_MS, 1.0_f64.to_bits()),
        (requests, NOW_MS - 15_000, 1027.0_f64.to_bits()),
        (requests, NOW_MS, 1030.0_f64.to_bits()),
        (r#"gone{région="Zürich"}"#, NOW_MS, STALE_BITS),
    ];
    assert_eq!(points, expected.map(|(series, timestamp, bits)| (series.to_owned(), timestamp, bits)));
    let said = &batch.metadata()["http_requests_total"];
    assert_eq!(
        (said.kind.as_deref(), said.unit.as_deref(), said.help.as_deref()),
        (Some("counter"), Some("requests"), Some("Requests by code."))
    );
    assert_eq!(batch.metadata()["up"].kind.as_deref(), Some("gauge"));
}

#[test]
fn native_histograms_by_remote_write_two_are_read_as_prometheus_wrote_them() {
    let batch = remote_write("remote_write_v2.histograms.bin");
    let names: Vec<String> = (0..batch.len()).map(|at| labels(&batch, at).metric().to_owned()).collect();
    assert_eq!(names, ["integer", "integer", "float", "custom"]);
    assert_eq!(batch.values()[1].to_bits(), STALE_BITS);
    let exponential = "schema=2 count=12 sum=18.4 zero=1 +-1:3 +0:4 +4:2 -0:2";
    let shown: Vec<String> = batch.histograms().iter().map(|(_, histogram)| shown(histogram)).collect();
    assert_eq!(
        shown,
        [exponential, exponential, "schema=-53 count=6 sum=7.5 zero=0 +0:1 +2:2 +3:3 bounds=[0.5 1 2.5]"]
    );
    let integers: Vec<bool> = batch.histograms().iter().map(|(_, histogram)| histogram.is_integer).collect();
    assert_eq!(integers, [true, false, true]);
    assert_eq!(batch.metadata()["custom"].unit.as_deref(), Some("bytes"));
}

#[test]
fn otlp_becomes_what_prometheus_makes_of_it() {
    for request in ["odd", "python_cumulative"] {
        let file = format!("otlp.{request}.bin");
        for translation in STRATEGIES {
            let otlp = Otlp::new(Settings { translation, ..Settings::default() });
            let expected = lines(&format!("otlp.{request}.{}.txt", translation.as_str()));
            assert_eq!(as_lines(&translated(&file, Encoding::Protobuf, &otlp)), expected, "{request} {translation:?}");
        }
        let everything = Settings {
            label_names: LabelNames { underscore_sanitization: false, preserve_multiple_underscores: false },
            promoted: Promoted::AllBut(vec!["telemetry.sdk.version".to_owned()]),
            promote_scope: true,
            keep_identifying: true,
            histograms_to_nhcb: true,
            ..Settings::default()
        };
        let kept = translated(&file, Encoding::Protobuf, &Otlp::new(everything));
        assert_eq!(as_lines(&kept), lines(&format!("otlp.{request}.everything.txt")), "{request}");
    }
}

#[test]
fn json_of_the_collector_says_the_same_as_its_protobuf() {
    let of = |file, encoding| as_lines(&translated(file, encoding, &Otlp::default()));
    assert_eq!(of("otlp.odd.json", Encoding::Json), of("otlp.odd.bin", Encoding::Protobuf));
}

#[test]
fn differences_add_up_to_what_a_cumulative_exporter_sends() {
    let values = |batch: &PointBatch| -> Vec<(String, f64, Option<Histogram>)> {
        let histogram = |at: usize| {
            let number = u32::try_from(at).expect("small");
            batch
                .histograms()
                .iter()
                .find(|(point, _)| *point == number)
                .map(|(_, histogram)| Histogram::clone(histogram))
        };
        let is_measured = |at: &usize| labels(batch, *at).metric() != "target_info";
        let mut values: Vec<_> = (0..batch.len())
            .filter(is_measured)
            .map(|at| {
                let value = batch.values()[at];
                (labels(batch, at).to_string(), if is_histogram(value) { 0.0 } else { value }, histogram(at))
            })
            .collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        values
    };
    let cumulative = values(&translated("otlp.python_cumulative.bin", Encoding::Protobuf, &Otlp::default()));
    let otlp = Otlp::default();
    let first = values(&translated("otlp.python_delta_1.bin", Encoding::Protobuf, &otlp));
    assert_eq!(first, cumulative);
    let second = values(&translated("otlp.python_delta_2.bin", Encoding::Protobuf, &otlp));
    for ((series, value, histogram), (_, once, of_once)) in second.iter().zip(&first) {
        // A gauge is what it is; all else has doubled.
        let (expected, expected_count) = match series.starts_with("cpu_utilization") {
            true => (*once, None),
            false => (2.0 * once, of_once.as_ref().map(|histogram| 2.0 * histogram.count)),
        };
        let count = histogram.as_ref().map(|histogram| histogram.count);
        assert_eq!((*value, count), (expected, expected_count), "{series}");
    }
    assert_eq!(second.len(), first.len());
}
