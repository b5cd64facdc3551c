//! Several nodes on one archive.

use schemas::{Epoch, Hour};
use tokio::task::JoinSet;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_commit_at_once_all_get_through() {
    let given = Given::a_directory();
    let mut jobs = JoinSet::new();
    let mut told = Vec::new();
    for (number, node) in ["a", "b", "c"].into_iter().enumerate() {
        let archive = given.archive(node).await;
        let mut hours = Vec::new();
        for i in 0..4_u32 {
            let hour = Hour(HOUR.0 + i * 3 + u32::try_from(number).expect("small"));
            let series = fleet(hour, 2);
            told.extend(series.clone());
            hours.push((hour, series));
        }
        jobs.spawn(async move {
            for (hour, series) in hours {
                archive_hour(&archive, hour, 1, &series).await.expect("archived in spite of the others");
            }
        });
    }
    jobs.join_all().await;
    let reader = given.archive("reader").await;
    let mut expected = told_points(&told);
    expected.values_mut().for_each(|list| list.sort_unstable());
    assert_eq!(read_points(&reader, &everything()).await.0, expected);
    assert_eq!(reader.versions().raw, Some(12), "one commit an hour and node, none lost");
}

#[tokio::test]
async fn rows_of_one_hour_by_two_nodes_are_united_and_the_later_commit_wins() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    let start = HOUR.start().0;
    let told = |list: &[(i64, f64)]| [Told { labels: labels("m", "x"), points: points(list) }];
    archive_hour(&a, HOUR, 5, &told(&[(start, 1.0), (start + 10, 1.0)])).await.expect("archived");
    archive_hour(&b, HOUR, 1, &told(&[(start + 5, 2.0), (start + 10, 2.0)])).await.expect("archived");
    a.refresh().await.expect("readable");
    let united = told_points(&told(&[(start, 1.0), (start + 5, 2.0), (start + 10, 2.0)]));
    assert_eq!(read_points(&a, &everything()).await.0, united);
    // a seals again: its rows are the later commit now.
    archive_hour(&a, HOUR, 6, &told(&[(start, 1.0), (start + 10, 1.5)])).await.expect("archived");
    let united = told_points(&told(&[(start, 1.0), (start + 5, 2.0), (start + 10, 1.5)]));
    assert_eq!(read_points(&a, &everything()).await.0, united);
}

#[tokio::test]
async fn an_hour_built_on_what_the_table_held_replaces_all_of_it() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    let told = fleet(HOUR, 2);
    archive_hour(&a, HOUR, 5, &told[..2]).await.expect("archived");
    archive_hour(&b, HOUR, 1, &told[1..]).await.expect("archived");
    let base = b.refresh().await.expect("readable");
    // Meanwhile a adds something that b's base does not have.
    let late = [Told { labels: labels("zz", "late"), points: points(&[(HOUR.start().0, 1.0)]) }];
    let mut more = told[..2].to_vec();
    more.extend(late.clone());
    archive_hour(&a, HOUR, 6, &more).await.expect("archived");
    let mut writer = b.hour_writer(HOUR, CLASS, Epoch(2)).including(base);
    for series in &told {
        let archived = cold::ArchivedSeries { series_id: series.id(), labels: &series.labels };
        writer.push(&archived, &series.points).expect("in order");
    }
    writer.commit().await.expect("archived");
    assert_eq!(read_points(&b, &everything()).await.0, told_points(told.iter().chain(&late)), "a's newer rows stay");
    let raw = &b.inventory().await.expect("readable").tables[1];
    assert_eq!(raw.files, 2, "b's old file went, and a's old one was replaced by a");
}
