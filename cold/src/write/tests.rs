//! With limits that are small in unit tests: files of 256 KiB, kept in memory up to 64 KiB, sent in pieces of 32 KiB.

use futures::TryStreamExt;
use schemas::tier_map::ColdTable;
use schemas::{Epoch, Hour, Labels, Points, RetentionClass, SeriesId, TimeRange, TimestampMs};

use super::properties::{ValueEncoding, trial};
use crate::{Archive, ArchiveConfig, ArchivedSeries, ColdSelection, ReadCounters};

const HOUR: Hour = Hour(20_778 * 24 + 7);

/// Values that no encoding makes small.
fn noise(mut state: u64) -> impl Iterator<Item = f64> {
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(state >> 2)
    })
}

#[tokio::test]
async fn a_big_hour_becomes_several_files_that_are_sent_in_pieces() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = ArchiveConfig {
        url: dir.path().display().to_string(),
        node: "a".to_owned(),
        incarnation: "a-1".to_owned(),
        ..ArchiveConfig::default()
    };
    let archive = Archive::open(config).await.expect("opens");
    let mut told: Vec<(SeriesId, Labels, Points)> = (0..40_u64)
        .map(|host| {
            let labels = Labels::new([("__name__", "noise"), ("host", &format!("h{host}"))]).expect("valid");
            let timestamps: Vec<i64> = (0..3_600).map(|second| HOUR.start().0 + second * 1_000).collect();
            let values = noise(host).take(timestamps.len()).collect();
            (labels.hash().series_id(), labels, Points::new(timestamps, values))
        })
        .collect();
    told.sort_by_key(|(id, ..)| *id);
    let mut writer = archive.hour_writer(HOUR, RetentionClass::DEFAULT, Epoch(1));
    for (series_id, labels, points) in &told {
        writer.push(&ArchivedSeries { series_id: *series_id, labels }, points).expect("in order");
    }
    writer.finish_columns().expect("encodes");
    let commit = writer.commit().await.expect("archived");
    assert_eq!(commit.rows, 40 * (3_600 + 60 + 1));
    let raw = archive.table(ColdTable::Raw).latest();
    assert!(raw.files.len() > 1, "{} files", raw.files.len());
    assert_eq!((raw.version, raw.rows()), (1, 40 * 3_600), "one commit");
    let range = TimeRange::new(TimestampMs::MIN, TimestampMs::MAX).expect("ordered");
    let counters = ReadCounters::default();
    let stream = archive.scan_points(&archive.versions(), &ColdSelection::all(range), &counters).await.expect("plans");
    let read: Vec<(SeriesId, Points)> = stream.try_collect().await.expect("reads");
    assert_eq!(read.len(), told.len());
    for ((id, points), (told_id, _, told_points)) in read.iter().zip(&told) {
        assert_eq!(id, told_id);
        assert!(points.iter().zip(told_points.iter()).all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits()));
        assert_eq!(points.len(), told_points.len());
    }
}

#[test]
fn the_smaller_value_encoding_wins_the_trial() {
    let array =
        |values: Vec<f64>| -> arrow::array::ArrayRef { std::sync::Arc::new(arrow::array::Float64Array::from(values)) };
    let few = (0..20_000_u32).map(|i| f64::from(i * 7_919 % 100) / 10.0).collect();
    assert_eq!(trial(&array(few)).expect("encodes"), ValueEncoding::Dictionary);
    let rising = (0..20_000_u32).map(|i| f64::from(i) * 1.5 + 1e6).collect();
    assert_eq!(trial(&array(rising)).expect("encodes"), ValueEncoding::ByteStreamSplit);
}
