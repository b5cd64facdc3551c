//! The table of series: unique ids, least and greatest dates.

use cold::{ArchivedSeries, ColdError, ReadCounters};
use schemas::matcher::LabelMatcher;
use schemas::{Day, Epoch, Hour, SeriesId};

use crate::support::*;

async fn entries(archive: &cold::Archive) -> Vec<(String, u32, u32)> {
    let found = archive.select_series(&archive.versions(), &[], None).await.expect("readable");
    found.into_iter().map(|entry| (entry.labels.to_string(), entry.first.0, entry.last.0)).collect()
}

fn day(hour: Hour) -> u32 {
    hour.day().0
}

#[tokio::test]
async fn a_series_has_one_row_whose_dates_grow() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let (today, yesterday, tomorrow) = (HOUR, Hour(HOUR.0 - 24), Hour(HOUR.0 + 24));
    for (through, hour) in [(1, today), (2, today.next()), (3, tomorrow), (4, yesterday)] {
        archive_hour(&archive, hour, through, &fleet(hour, 2)).await.expect("archived");
    }
    let found = entries(&archive).await;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(_, first, last)| (*first, *last) == (day(yesterday), day(tomorrow))), "{found:?}");
    let names: Vec<&str> = found.iter().map(|(name, ..)| &name[..4]).collect();
    assert_eq!(names, ["cpu{", "cpu{", "mem{", "mem{"]);
}

#[tokio::test]
async fn an_hour_without_new_series_does_not_touch_the_table() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let first = archive_hour(&archive, HOUR, 1, &fleet(HOUR, 2)).await.expect("archived");
    let second = archive_hour(&archive, HOUR.next(), 2, &fleet(HOUR.next(), 2)).await.expect("archived");
    assert_eq!(first.versions.series, second.versions.series);
}

#[tokio::test]
async fn new_series_come_in_a_file_of_their_own_and_small_files_are_joined() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    for through in 1..=12_u32 {
        let told = [Told { labels: labels("m", &format!("h{through:02}")), points: points(&[(HOUR.start().0, 1.0)]) }];
        archive_hour(&archive, HOUR, through, &told).await.expect("archived");
        assert_eq!(entries(&archive).await.len(), usize::try_from(through).expect("small"));
    }
    let inventory = archive.inventory().await.expect("readable");
    assert!(inventory.tables[0].files < 9, "{:?}", inventory.tables[0]);
    assert_eq!(inventory.tables[0].rows, 12);
    assert_eq!(entries(given.archive("b").await.as_ref()).await, entries(&archive).await);
}

#[tokio::test]
async fn two_nodes_agree_on_one_row_a_series() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 1, &fleet(HOUR, 3)).await.expect("archived");
    // b has not seen a's commit, and its own cache says that nothing is there.
    archive_hour(&b, Hour(HOUR.0 - 24), 1, &fleet(Hour(HOUR.0 - 24), 4)).await.expect("archived");
    archive_hour(&a, Hour(HOUR.0 + 24), 2, &fleet(Hour(HOUR.0 + 24), 2)).await.expect("archived");
    a.refresh().await.expect("readable");
    let found = entries(&a).await;
    assert_eq!(found.len(), 8);
    let h0 = found.iter().find(|(name, ..)| name.contains("cpu") && name.contains("h0")).expect("there");
    assert_eq!((h0.1, h0.2), (day(HOUR) - 1, day(HOUR) + 1));
}

#[tokio::test]
async fn two_series_with_one_id_are_told_apart() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    let stranger = labels("cpu", "stranger");
    let mut writer = archive.hour_writer(HOUR.next(), CLASS, Epoch(2));
    let series = ArchivedSeries { series_id: told[0].id(), labels: &stranger };
    writer.push(&series, &gauge(HOUR.next(), 1)).expect("in order");
    let refused = writer.commit().await.expect_err("a collision");
    assert!(matches!(refused, ColdError::SeriesCollision { id, .. } if id == told[0].id()), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("stranger") && text.contains("h0"), "{text}");
    assert!(!refused.is_retryable());
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told), "nothing of the hour came in");
}

#[tokio::test]
async fn series_are_selected_by_label_and_day() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 3)).await.expect("archived");
    let (versions, counters) = (archive.versions(), ReadCounters::default());
    let matchers = [LabelMatcher::equal("__name__", "mem"), LabelMatcher::equal("host", "h1")];
    let found = archive.find_series(&versions, &matchers, Some(hours(HOUR, 1)), &counters).await.expect("readable");
    let ids: Vec<SeriesId> = found.iter().map(|entry| entry.series_id).collect();
    assert_eq!(ids, [labels("mem", "h1").hash().series_id()]);
    let later = hours(Day(HOUR.day().0 + 1).hours().start, 1);
    let none = archive.find_series(&versions, &matchers, Some(later), &counters).await.expect("readable");
    assert!(none.is_empty() && counters.gets() > 0);
}

#[tokio::test]
async fn series_whose_last_data_is_old_are_forgotten() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let (old, new) = (Hour(HOUR.0 - 240), HOUR);
    archive_hour(&archive, old, 1, &fleet(old, 4)).await.expect("archived");
    archive_hour(&archive, new, 2, &fleet(new, 1)).await.expect("archived");
    let table = schemas::tier_map::ColdTable::Series;
    let plan = archive.plan_expire(table, CLASS, HOUR.day()).await.expect("planned");
    let done = archive.expire(table, CLASS, HOUR.day()).await.expect("forgotten");
    assert_eq!((plan.rows, done.rows), (6, 6));
    assert_eq!(entries(&archive).await.len(), 2);
    assert_eq!(archive.expire(table, CLASS, HOUR.day()).await.expect("nothing to do").rows, 0);
}
