//! What is archived is read back, bit for bit.

use cold::ColdSelection;
use schemas::points::stale;
use schemas::rollup::{BucketRow, bucketize};
use schemas::{DurationMs, Points, Resolution};

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

#[tokio::test]
async fn native_histograms_keep_every_bit_and_have_no_rollup_rows() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let start = HOUR.start().0;
    let mut only = Points::default();
    let mut mixed = points(&[(start, 1.5), (start + 5_000, stale())]);
    for i in 0..400_u32 {
        only.push_histogram(start + i64::from(i) * 9_000, histogram(i));
    }
    mixed.push_histogram(start + 60_000, histogram(7));
    mixed.push(start + 61_000, f64::NAN);
    mixed.push_histogram(start + 62_000, histogram(8));
    let told = [
        Told { labels: labels("latency", "a"), points: only },
        Told { labels: labels("latency", "b"), points: mixed },
        Told { labels: labels("up", "a"), points: gauge(HOUR, 3) },
    ];
    let commit = archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    // Of the mixed series two minutes and the hour.
    assert_eq!(commit.rows, (400 + 5 + 360) + (2 + 60) + (1 + 1));
    let (read, _) = read_points(&archive, &everything()).await;
    assert_eq!(read, told_points(&told));
    assert_eq!(read_histograms(&archive, &everything()).await, told_histograms(&told));
    for resolution in [Resolution::Minute, Resolution::Hour] {
        let ids: Vec<_> = read_buckets(&archive, resolution).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 2);
        assert!(!ids.contains(&told[0].id()));
    }
}

#[tokio::test]
async fn an_hour_of_nothing_but_histograms_is_archived_once() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let mut only = Points::default();
    only.push_histogram(HOUR.start().0, histogram(1));
    let told = [Told { labels: labels("latency", "a"), points: only }];
    assert!(!archive_hour(&archive, HOUR, 1, &told).await.expect("archived").unchanged);
    assert!(archive_hour(&archive, HOUR, 1, &told).await.expect("archived").unchanged);
    // Sealed again with a float beside it, and once more without.
    let mut both = told.clone();
    both[0].points.push(HOUR.start().0 + 1, 2.5);
    archive_hour(&archive, HOUR, 2, &both).await.expect("archived");
    assert_eq!(read_buckets(&archive, Resolution::Hour).await.len(), 1);
    archive_hour(&archive, HOUR, 3, &told).await.expect("archived");
    assert!(read_buckets(&archive, Resolution::Hour).await.is_empty());
    assert_eq!(read_histograms(&archive, &everything()).await, told_histograms(&told));
}

#[tokio::test]
async fn two_nodes_histograms_of_an_hour_are_united() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    let start = HOUR.start().0;
    let series = |list: &[(i64, u32)], floats: &[(i64, f64)]| {
        let mut points = Points::default();
        list.iter().for_each(|&(at, number)| points.push_histogram(start + at, histogram(number)));
        floats.iter().for_each(|&(at, value)| points.push(start + at, value));
        points.settle();
        [Told { labels: labels("latency", "a"), points }]
    };
    archive_hour(&a, HOUR, 1, &series(&[(0, 1), (10, 2), (20, 3)], &[(30, 3.5)])).await.expect("archived");
    archive_hour(&b, HOUR, 1, &series(&[(10, 4), (30, 5), (40, 6)], &[(20, 4.5)])).await.expect("archived");
    let united = series(&[(0, 1), (10, 4), (30, 5), (40, 6)], &[(20, 4.5)]);
    a.refresh().await.expect("readable");
    for archive in [&a, &b] {
        assert_eq!(read_points(archive, &everything()).await.0, told_points(&united));
        assert_eq!(read_histograms(archive, &everything()).await, told_histograms(&united));
    }
}
