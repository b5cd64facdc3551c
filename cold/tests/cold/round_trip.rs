//! What is archived is read back, bit for bit.

use cold::ColdSelection;
use schemas::points::stale;
use schemas::rollup::{BucketRow, bucketize};
use schemas::{DurationMs, Resolution};

use crate::support::*;

#[tokio::test]
async fn points_of_two_hours_read_back_in_table_order() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let (first, second) = (fleet(HOUR, 3), fleet(HOUR.next(), 3));
    let commit = archive_hour(&archive, HOUR, 1, &first).await.expect("archived");
    assert!(!commit.unchanged);
    assert_eq!(commit.rows, 6 * (360 + 60 + 1));
    archive_hour(&archive, HOUR.next(), 2, &second).await.expect("archived");
    let (read, counters) = read_points(&archive, &everything()).await;
    assert_eq!(read, told_points(first.iter().chain(&second)));
    assert_eq!(counters.rows(), 2 * 6 * 360);
}

#[tokio::test]
async fn values_keep_their_bits_and_stale_markers_their_meaning() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let odd = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::from_bits(0x7ff8_dead_beef_0001), stale()];
    let more = [f64::MIN_POSITIVE / 8.0, 1e308, -1e-308, stale(), 0.1 + 0.2];
    let start = HOUR.start().0;
    let list: Vec<(i64, f64)> = (0..).map(|i| start + i * 1_001).zip(odd.into_iter().chain(more)).collect();
    let told = [Told { labels: labels("odd", "x"), points: points(&list) }];
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn an_hour_survives_reopening() {
    let given = Given::a_directory();
    let told = fleet(HOUR, 2);
    archive_hour(&given.archive("a").await, HOUR, 1, &told).await.expect("archived");
    let again = given.archive("a").await;
    assert_eq!(read_points(&again, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn minute_and_hour_buckets_read_back_as_they_were_made() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let start = HOUR.start().0;
    // A counter with a reset on a minute's edge, a second-by-second gauge that is dense enough for sketches in minutes,
    // and a series that ends with a marker.
    let counter: Vec<(i64, f64)> =
        (0..360).map(|i| (start + i * 10_000, f64::from(u32::try_from(i % 66).expect("small")))).collect();
    let dense: Vec<(i64, f64)> = (0..7_200)
        .map(|i| (start + i * 500 + 1, (f64::from(u16::try_from(i).expect("small")) * 0.1).sin() * 90.0))
        .collect();
    let ending = vec![(start, 1.5), (start + 10, f64::NAN), (start + 60_000, stale())];
    let mut told: Vec<Told> = [("counter", counter), ("dense", dense), ("ending", ending)]
        .into_iter()
        .map(|(metric, list)| Told { labels: labels(metric, "x"), points: points(&list) })
        .collect();
    in_archive_order(&mut told);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    for (resolution, width) in [(Resolution::Minute, DurationMs::MINUTE), (Resolution::Hour, DurationMs::HOUR)] {
        let read = read_buckets(&archive, resolution).await;
        assert_eq!(read.len(), told.len());
        for (series, (id, buckets)) in told.iter().zip(read) {
            assert_eq!(series.id(), id);
            let mut expected = Vec::new();
            bucketize(&series.points.timestamps, &series.points.values, width, |bucket| expected.push(bucket));
            assert_eq!(buckets.len(), expected.len(), "{}", series.labels);
            for (found, made) in buckets.iter().zip(&expected) {
                let lean = resolution == Resolution::Minute && BucketRow::from(made).count < 100;
                assert_eq!((found.start, found.edge.map(f64::to_bits)), (made.start, made.edge.map(f64::to_bits)));
                assert_eq!(found.open.moments, made.open.moments);
                if !lean {
                    assert_eq!(found.open.sketch, made.open.sketch);
                }
                assert_eq!(found.closed().p99().map(f64::to_bits), made.closed().p99().map(f64::to_bits));
            }
        }
    }
}

#[tokio::test]
async fn a_range_cuts_within_the_hour() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    let start = HOUR.start().0;
    let range = schemas::TimeRange::new(schemas::TimestampMs(start + 10_000), schemas::TimestampMs(start + 30_000));
    let selection = ColdSelection::all(range.expect("ordered"));
    let (read, _) = read_points(&archive, &selection).await;
    for list in read.values() {
        assert_eq!(list.iter().map(|(ts, _)| ts - start).collect::<Vec<_>>(), [10_000, 20_000]);
    }
    assert_eq!(read.len(), 2);
}
