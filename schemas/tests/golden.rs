//! Persisted bytes are read for ever: every file under `tests/golden/{chunk,rollup}` decodes to the points beside it, and
//! those points still give the very same bytes (SEAL-1).
//!
//! `chunk/v1/<case>.bin` holds a chunk and `<case>.txt` its points, one a line: timestamp in ms, the bits of the value in hex,
//! and for the reader the value, or the bytes of the native histogram in hex. `rollup/v1/<case>.<kind>.bin` holds a row of the first hour of the same points. A new
//! case is written when `GOLDEN_WRITE=1` is set; a file that exists is never changed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thermocline_schemas::chunk::{ChunkDecoder, ChunkEncoder, ChunkError};
use thermocline_schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span, codec};
use thermocline_schemas::points::{HISTOGRAM_BITS, Points, stale};
use thermocline_schemas::rollup::{Bucket, bucketize};
use thermocline_schemas::rollup_row::{RowDecoder, RowError, encode_buckets};
use thermocline_schemas::sketch::Sketch;
use thermocline_schemas::time::{DurationMs, HOUR_MS, Hour, TimestampMs};

/// 2023-11-14T22:00:00Z.
const START: i64 = 472_222 * HOUR_MS;

fn folder(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(format).join("v1")
}

fn every(interval_ms: i64, values: impl IntoIterator<Item = f64>) -> Points {
    let mut points = Points::default();
    for (nth, value) in (0..).zip(values) {
        points.push(START + nth * interval_ms, value);
    }
    points
}

/// A walk of small steps: the same on every machine.
fn walk(len: i64) -> impl Iterator<Item = i64> {
    let mut at = 50;
    (0..len).map(move |i| {
        at += (i * 7_919 + i * i * 31) % 7 - 3;
        at
    })
}

fn doubles(ints: impl Iterator<Item = i64>, divisor: f64) -> impl Iterator<Item = f64> {
    ints.map(move |int| int as f64 / divisor)
}

fn cases() -> Vec<(&'static str, Points)> {
    let irregular = |values: Vec<f64>| {
        let mut points = every(15_000, values);
        for (nth, ts) in (0..).zip(&mut points.timestamps) {
            *ts += (nth * 37) % 11 + if nth > 40 { 600_000 } else { 0 };
        }
        points
    };
    let counter = |i: i64| if i < 70 { 1_000_000 + 1_003 * i + i % 5 } else { 990 * (i - 70) };
    let specials =
        [0.0, -0.0, f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(u64::MAX), f64::INFINITY]
            .into_iter()
            .chain([
                f64::NEG_INFINITY,
                f64::from_bits(1),
                f64::MIN_POSITIVE,
                f64::MAX,
                f64::MIN,
                1e308,
                stale(),
                0.1 + 0.2,
            ]);
    vec![
        ("integer_walk", every(10_000, doubles(walk(360), 1.0))),
        ("two_decimals", every(10_000, doubles(walk(360).map(|int| int * 13 + 7), 100.0))),
        ("counter_with_a_reset", every(30_000, doubles((0..120).map(counter), 1.0))),
        ("steady_counter", every(60_000, doubles((0..60).map(|i| 5_000_000_000 + 125 * i), 1.0))),
        ("constant", every(10_000, vec![21.5; 360])),
        ("pages_of_4096", every(10_000, doubles(walk(100).map(|int| int * int * 4_096), 1.0))),
        ("repeats", every(10_000, doubles(walk(360).map(|int| int / 3 * 100_003), 1_000.0))),
        ("every_bit_in_use", every(10_000, walk(100).zip(1..).map(|(int, nth)| int as f64 / f64::from(nth)))),
        ("repeated_doubles", every(10_000, (0..90_i32).map(|i| 1.0 / f64::from(i / 15 + 3)))),
        ("specials", every(1_000, specials)),
        ("decimals_with_gaps_and_a_stale_end", irregular(doubles(walk(80), 10.0).chain([stale()]).collect())),
        ("only_a_staleness_marker", every(1_000, [stale()])),
        ("one_point", every(1_000, [98.6])),
        ("histograms", histograms()),
        ("histograms_among_floats", histograms_among_floats()),
        ("first_point_off_the_minute", Points::new(vec![START + 1, START + 59_999], vec![3.0, -4.5])),
    ]
}

/// Latencies that grow, with an idle scrape, a new bucket, a restart, and the end of the series.
fn histograms() -> Points {
    let mut points = Points::default();
    let mut at = Histogram {
        schema: 3,
        zero_threshold: 2.0_f64.powi(-128),
        positive: Buckets { spans: vec![Span { offset: -3, length: 4 }], counts: vec![0.0; 4] },
        is_integer: true,
        ..Histogram::default()
    };
    for scrape in 0..12_u32 {
        if scrape == 6 {
            at.positive.spans.push(Span { offset: 2, length: 1 });
            at.positive.counts.push(0.0);
        }
        if scrape == 9 {
            at.reset_hint = ResetHint::Reset;
            (at.count, at.zero_count, at.sum) = (0.0, 0.0, 0.0);
            at.positive.counts.fill(0.0);
        }
        if scrape != 4 {
            for (bucket, count) in (1..).zip(&mut at.positive.counts) {
                *count += f64::from(scrape * bucket);
            }
            at.zero_count += 1.0;
            at.count = at.zero_count + at.positive.counts.iter().sum::<f64>();
            at.sum += f64::from(scrape) * 0.1;
        }
        points.push_histogram(START + i64::from(scrape) * 15_000, Arc::new(at.clone()));
        at.reset_hint = ResetHint::Unknown;
    }
    points.push(START + 12 * 15_000, stale());
    points
}

/// Floats between custom buckets and a gauge of fractions on both sides of zero.
fn histograms_among_floats() -> Points {
    let custom = |counts: [f64; 3]| Histogram {
        schema: SCHEMA_CUSTOM,
        count: counts.iter().sum(),
        sum: 12.5,
        positive: Buckets { spans: vec![Span { offset: 0, length: 3 }], counts: counts.to_vec() },
        custom_values: vec![0.005, 2.5],
        is_integer: true,
        ..Histogram::default()
    };
    let gauge = |share: f64| Histogram {
        schema: -2,
        zero_threshold: 0.001,
        zero_count: 0.5,
        count: 0.5 + 4.0 * share,
        sum: f64::NAN,
        positive: Buckets { spans: vec![Span { offset: 1, length: 1 }], counts: vec![share] },
        negative: Buckets { spans: vec![Span { offset: -1, length: 2 }], counts: vec![share, 2.0 * share] },
        reset_hint: ResetHint::Gauge,
        ..Histogram::default()
    };
    let mut points = Points::default();
    points.push(START + 1_000, 1.5);
    points.push_histogram(START + 2_000, Arc::new(custom([1.0, 0.0, 2.0])));
    points.push_histogram(START + 3_000, Arc::new(custom([1.0, 0.0, 3.0])));
    points.push(START + 4_000, stale());
    points.push_histogram(START + 60_000, Arc::new(gauge(0.3)));
    points.push_histogram(START + 61_500, Arc::new(gauge(0.7)));
    points.push(START + 62_000, -2.5);
    points
}

fn to_text(points: &Points) -> String {
    let mut text = String::new();
    for (ts, value) in points.iter() {
        let shown = match points.histograms.get(ts) {
            Some(histogram) => codec::encode(histogram).iter().map(|byte| format!("{byte:02x}")).collect(),
            None => value.to_string(),
        };
        writeln!(text, "{ts} {:016x} {shown}", value.to_bits()).expect("strings take everything");
    }
    text
}

fn from_text(text: &str) -> Points {
    let mut points = Points::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let ts = words.next().and_then(|word| word.parse().ok()).expect("a timestamp");
        let bits = words.next().and_then(|word| u64::from_str_radix(word, 16).ok()).expect("the bits of a value");
        if bits == HISTOGRAM_BITS {
            let hex = words.next().expect("the bytes of a histogram");
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            points.push_histogram(ts, Arc::new(codec::decode(&bytes).expect("stored histograms are valid")));
        } else {
            points.push(ts, f64::from_bits(bits));
        }
    }
    points
}

/// Writes a file that does not exist yet, if that was asked for.
fn write_if_new(path: &Path, bytes: &[u8]) {
    if !path.exists() && std::env::var_os("GOLDEN_WRITE").is_some() {
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }
}

/// Every case on disk and its points, those included that `cases` has forgotten.
fn stored_cases() -> Vec<(String, Points)> {
    let mut stored = Vec::new();
    for entry in fs::read_dir(folder("chunk")).expect("golden files are in the repository") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            stored.push((name, from_text(&fs::read_to_string(&path).expect("readable"))));
        }
    }
    stored.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(stored.len() >= cases().len(), "a case has no files: run once with GOLDEN_WRITE=1");
    stored
}

fn exactly(points: &Points) -> Vec<(i64, u64)> {
    points.iter().map(|(ts, value)| (ts, value.to_bits())).collect()
}

fn encode_chunk(points: &Points) -> Vec<u8> {
    let mut bytes = Vec::new();
    ChunkEncoder::default().encode_points(points, 0..points.len(), &mut bytes);
    bytes
}

/// The buckets of the first hour.
fn buckets(points: &Points, width: DurationMs) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    bucketize(&points.timestamps, &points.values, width, |bucket| buckets.push(bucket));
    buckets.retain(|bucket| Hour::containing(bucket.start.timestamp()).start().0 == START);
    buckets
}

fn encode_row(points: &Points, width: DurationMs, with_sketch: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_buckets(width, TimestampMs(START), &buckets(points, width), with_sketch, &mut bytes);
    bytes
}

/// The kinds of rows that are stored of each case.
const ROWS: [(&str, DurationMs, bool); 3] = [
    ("minutes", DurationMs::MINUTE, true),
    ("lean_minutes", DurationMs::MINUTE, false),
    ("hour", DurationMs::HOUR, true),
];

#[test]
fn stored_chunks_decode_to_their_points_and_are_written_the_same() {
    for (name, points) in cases() {
        write_if_new(&folder("chunk").join(format!("{name}.txt")), to_text(&points).as_bytes());
        write_if_new(&folder("chunk").join(format!("{name}.bin")), &encode_chunk(&points));
    }
    for (name, expected) in stored_cases() {
        let bytes = fs::read(folder("chunk").join(format!("{name}.bin"))).expect("a chunk beside its points");
        let mut points = Points::default();
        ChunkDecoder::default().decode(&bytes, &mut points).expect("stored chunks are valid");
        assert_eq!(exactly(&points), exactly(&expected), "{name}");
        assert_eq!(to_text(&points), to_text(&expected), "{name}");
        assert_eq!(encode_chunk(&expected), bytes, "{name}: the same points give the same bytes");
    }
}

#[test]
fn stored_rows_decode_to_their_buckets_and_are_written_the_same() {
    for (name, points) in cases() {
        for (kind, width, with_sketch) in ROWS {
            write_if_new(&row_path(name, kind), &encode_row(&points, width, with_sketch));
        }
    }
    for (name, points) in stored_cases() {
        for (kind, width, with_sketch) in ROWS {
            let bytes = fs::read(row_path(&name, kind)).expect("a row of each kind for each case");
            let mut expected = buckets(&points, width);
            if !with_sketch {
                expected.iter_mut().for_each(|bucket| bucket.open.sketch = Sketch::default());
            }
            let mut decoded = Vec::new();
            RowDecoder::default()
                .buckets(&bytes, TimestampMs(START), width, true, &mut decoded)
                .expect("stored rows are valid");
            assert_eq!(decoded, expected, "{name}, {kind}");
            assert_eq!(encode_row(&points, width, with_sketch), bytes, "{name}: the same points give the same bytes");
        }
    }
}

fn row_path(name: &str, kind: &str) -> PathBuf {
    folder("rollup").join(format!("{name}.{kind}.bin"))
}

#[test]
fn corrupt_files_are_errors() {
    let corrupt = |format: &str| fs::read(folder(format).join("corrupt.bin")).expect("in the repository");
    let chunk = ChunkDecoder::default().decode(&corrupt("chunk"), &mut Points::default());
    assert!(matches!(chunk, Err(ChunkError::Checksum { .. })));
    let row = RowDecoder::default().buckets(
        &corrupt("rollup"),
        TimestampMs(START),
        DurationMs::MINUTE,
        true,
        &mut Vec::new(),
    );
    assert!(matches!(row, Err(RowError::Checksum { .. })));
}
