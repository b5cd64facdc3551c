//! Archiving an hour again.

use cold::{ArchivedSeries, ColdError};
use schemas::tier_map::ColdTable;
use schemas::{Epoch, RetentionClass};

use crate::support::*;

#[tokio::test]
async fn the_same_hour_through_the_same_epoch_commits_nothing() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 2);
    let first = archive_hour(&archive, HOUR, 4, &told).await.expect("archived");
    let files = given.files("");
    let again = archive_hour(&archive, HOUR, 4, &told).await.expect("archived");
    assert!(again.unchanged);
    assert_eq!((again.versions, again.rows, again.bytes), (first.versions, 0, 0));
    assert_eq!(given.files(""), files, "not even an upload");
    let earlier = archive_hour(&archive, HOUR, 3, &told[..1]).await.expect("archived");
    assert!(earlier.unchanged, "a later epoch is there already");
}

#[tokio::test]
async fn late_points_replace_the_hours_rows_in_one_commit() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let mut told = fleet(HOUR, 2);
    let before = archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    told[0].points = told[0].points.overlaid_with(&points(&[(HOUR.start().0 + 5, 9.0), (HOUR.start().0, -1.0)][1..]));
    told.push(Told { labels: labels("zebra", "late"), points: points(&[(HOUR.start().0 + 7, 3.0)]) });
    let after = archive_hour(&archive, HOUR, 2, &told).await.expect("archived");
    assert_eq!(after.versions.raw, before.versions.raw.map(|version| version + 1), "one commit");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
    let inventory = archive.inventory().await.expect("readable");
    let raw = inventory.tables.iter().find(|table| table.table == ColdTable::Raw).expect("there");
    assert_eq!((raw.files, raw.rows), (1, 4 * 360 + 1));
}

#[tokio::test]
async fn a_reader_of_an_older_version_sees_what_it_saw() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    let old = archive.versions();
    archive_hour(&archive, HOUR, 2, &told[..1]).await.expect("archived");
    // Also after the process that read it is gone.
    for archive in [std::sync::Arc::clone(&archive), given.archive("b").await] {
        let counters = cold::ReadCounters::default();
        let stream = archive.scan_points(&old, &everything(), &counters).await.expect("plans");
        let found: Vec<_> = futures::TryStreamExt::try_collect(stream).await.expect("reads");
        let read: Read = found.into_iter().map(|(id, points)| (id.0, bits(&points))).collect();
        assert_eq!(read, told_points(&told));
    }
}

#[tokio::test]
async fn archived_hours_are_those_of_this_incarnation() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 3, &fleet(HOUR, 1)).await.expect("archived");
    archive_hour(&b, HOUR.next(), 9, &fleet(HOUR.next(), 1)).await.expect("archived");
    let hours = a.archived_hours().await.expect("readable");
    let expected: Vec<_> = ColdTable::DATA.into_iter().map(|table| ((table, CLASS, HOUR), Epoch(3))).collect();
    assert_eq!(hours.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_hour_that_became_empty_leaves_the_tables() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 1)).await.expect("archived");
    let commit = archive_hour(&archive, HOUR, 2, &[]).await.expect("archived");
    assert!(commit.rows == 0 && read_points(&archive, &everything()).await.0.is_empty());
    let nothing = archive_hour(&archive, HOUR.next(), 2, &[]).await.expect("archived");
    assert!(nothing.unchanged);
}

#[tokio::test]
async fn classes_of_an_hour_do_not_replace_each_other() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 2);
    for (class, series) in [(CLASS, &told[..2]), (RetentionClass(3), &told[2..])] {
        let mut writer = archive.hour_writer(HOUR, class, Epoch(1));
        for series in series {
            writer
                .push(&ArchivedSeries { series_id: series.id(), labels: &series.labels }, &series.points)
                .expect("ok");
        }
        writer.commit().await.expect("archived");
    }
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
    let mut one = everything();
    one.class = Some(RetentionClass(3));
    assert_eq!(read_points(&archive, &one).await.0, told_points(&told[2..]));
}

#[tokio::test]
async fn series_out_of_order_and_points_outside_the_hour_are_refused() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 2);
    let first_error = |order: &[usize]| -> Option<ColdError> {
        let mut writer = archive.hour_writer(HOUR, CLASS, Epoch(1));
        order.iter().find_map(|&i| {
            let series = ArchivedSeries { series_id: told[i].id(), labels: &told[i].labels };
            writer.push(&series, &told[i].points).err()
        })
    };
    assert!(first_error(&[0, 1, 2, 3]).is_none());
    for wrong in [[1, 0], [0, 0], [2, 0]] {
        assert!(matches!(first_error(&wrong), Some(ColdError::OutOfOrder(_))), "{wrong:?}");
    }
    let mut writer = archive.hour_writer(HOUR.next(), CLASS, Epoch(1));
    let outside = writer.push(&ArchivedSeries { series_id: told[0].id(), labels: &told[0].labels }, &told[0].points);
    assert!(matches!(outside, Err(ColdError::OutOfOrder(_))));
}

#[tokio::test]
async fn many_commits_pass_checkpoints_and_keep_their_tags() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let mut hour = HOUR;
    let mut told = Vec::new();
    for through in 1..=40 {
        let series = fleet(hour, 1);
        archive_hour(&archive, hour, through, &series[..1]).await.expect("archived");
        told.push(series[0].clone());
        hour = hour.next();
    }
    let checkpoints = given.files("raw/_delta_log").iter().filter(|name| name.ends_with(".checkpoint.parquet")).count();
    assert_eq!(checkpoints, 1);
    let again = given.archive("a").await;
    assert_eq!(read_points(&again, &everything()).await.0, told_points(&told));
    let throughs: Vec<u32> =
        again.archived_hours().await.expect("readable").values().map(|through| through.0).collect();
    assert_eq!(throughs, (1..=40).chain(1..=40).chain(1..=40).collect::<Vec<_>>());
    assert!(archive_hour(&again, HOUR, 1, &told[..1]).await.expect("archived").unchanged);
}
