//! Several nodes on one archive.

use schemas::Hour;
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
