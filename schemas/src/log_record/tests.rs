use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::histogram::{Buckets, Span};
use crate::points::histogram_marker;

fn encoded(points: &LogPoints) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&points.sids, &points.timestamps, &points.values, &points.histograms, &mut bytes);
    bytes
}

fn same(a: &LogPoints, b: &LogPoints) -> bool {
    let bits = |points: &LogPoints| points.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.sids == b.sids && a.timestamps == b.timestamps && bits(a) == bits(b) && a.histograms == b.histograms
}

fn steady(series: u32, points: u32) -> LogPoints {
    let mut out = LogPoints::default();
    for i in 0..points {
        for sid in 0..series {
            out.sids.push(Sid(sid));
            out.timestamps.push(1_700_000_000_000 + i64::from(i) * 10_000);
            out.values.push(f64::from(i) + 0.25);
        }
    }
    out
}

/// Floats and histograms of two series.
fn with_histograms() -> LogPoints {
    let histogram = |seed: u32| {
        let counts = vec![f64::from(seed), 0.0, 2.5];
        let positive = Buckets { spans: vec![Span { offset: -1, length: 2 }, Span { offset: 4, length: 1 }], counts };
        let count = f64::from(seed) + 2.5;
        Arc::new(Histogram { schema: 2, count, sum: 0.1 * count, positive, ..Histogram::default() })
    };
    LogPoints {
        sids: vec![Sid(3), Sid(4), Sid(3)],
        timestamps: vec![1_700_000_000_000, 1_700_000_000_000, 1_700_000_015_000],
        values: vec![histogram_marker(), 0.5, histogram_marker()],
        histograms: vec![histogram(1), histogram(7)],
    }
}

#[test]
fn histograms_come_back_in_their_places_and_floats_do_not_pretend_to_be_any() {
    let points = with_histograms();
    let mut read = LogPoints::default();
    decode(&encoded(&points), &mut read).expect("what was written");
    assert!(same(&read, &points));
    // As versions without histograms could write it.
    let pretender = LogPoints { histograms: vec![], ..points };
    decode(&encoded(&pretender), &mut read).expect("what was written");
    assert!(read.histograms.is_empty() && read.values[0].is_nan() && !is_histogram(read.values[0]));
}

#[test]
fn a_steady_senders_point_takes_little_over_eight_bytes() {
    let scrape = steady(1_000, 1);
    assert!(encoded(&scrape).len() < 8_040, "{}", encoded(&scrape).len());
}

#[test]
fn a_changed_byte_anywhere_is_an_error() {
    for bytes in [encoded(&steady(3, 4)), encoded(&with_histograms())] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(decode(&changed, &mut LogPoints::default()).is_err(), "byte {at}");
            assert!(decode(&bytes[..at], &mut LogPoints::default()).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_count_that_no_bytes_back_is_refused_before_memory_is_taken() {
    let mut body = vec![VERSION, KIND_FLOAT];
    put_uvarint(&mut body, u64::MAX / 9);
    let checksum = crc32c::crc32c(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    assert!(matches!(decode(&body, &mut LogPoints::default()), Err(LogRecordError::Count { .. })));
}

#[test]
fn golden_records_of_version_1_are_read_and_written_alike() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/log/v1");
    let cases: [(&str, LogPoints); 4] = [
        (
            "one_point.bin",
            LogPoints {
                sids: vec![Sid(7)],
                timestamps: vec![1_700_000_000_000],
                values: vec![0.5],
                histograms: vec![],
            },
        ),
        ("histograms.bin", with_histograms()),
        ("scrapes.bin", steady(5, 3)),
        (
            "disorder.bin",
            LogPoints {
                sids: vec![Sid(u32::MAX), Sid(0), Sid(u32::MAX)],
                timestamps: vec![5, -3, i64::MAX],
                values: vec![f64::from_bits(crate::points::STALE_BITS), -0.0, f64::INFINITY],
                histograms: vec![],
            },
        ),
    ];
    for (name, points) in cases {
        let path = dir.join(name);
        if std::env::var_os("GOLDEN_WRITE").is_some() && !path.exists() {
            std::fs::create_dir_all(&dir).expect("a folder for golden files");
            std::fs::write(&path, encoded(&points)).expect("a new golden file");
        }
        let golden = std::fs::read(&path).expect("a golden file");
        let mut read = LogPoints::default();
        decode(&golden, &mut read).expect("a golden record");
        assert!(same(&read, &points), "{name}");
        assert_eq!(encoded(&points), golden, "{name}");
    }
}

proptest! {
    #[test]
    fn every_column_comes_back_bit_for_bit(
        rows in proptest::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 0..200),
    ) {
        let mut points = LogPoints::default();
        for (sid, ts, bits) in rows {
            points.sids.push(Sid(sid));
            points.timestamps.push(ts);
            points.values.push(f64::from_bits(bits));
        }
        let mut read = LogPoints::default();
        decode(&encoded(&points), &mut read).expect("what was written");
        prop_assert!(same(&read, &points));
    }

    #[test]
    fn arbitrary_bytes_with_a_right_checksum_never_panic(mut body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let [version, kind, ..] = body.as_mut_slice() {
            (*version, *kind) = (VERSION, *kind % 2);
        }
        let checksum = crc32c::crc32c(&body);
        body.extend_from_slice(&checksum.to_le_bytes());
        decode(&body, &mut LogPoints::default()).ok();
    }
}
