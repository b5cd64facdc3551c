//! Reads cost what they need, shown by the counters.

use cold::{ColdFile, ColdSelection, ReadCounters};
use schemas::Hour;
use schemas::tier_map::ColdTable;

use crate::support::*;

/// A day of hours with enough series that a file has many pages.
async fn a_day(given: &Given) -> (std::sync::Arc<cold::Archive>, Vec<Told>) {
    let archive = given.archive("a").await;
    let mut all = Vec::new();
    for i in 0..4 {
        let hour = Hour(HOUR.0 + i);
        let told = fleet(hour, 120);
        archive_hour(&archive, hour, i + 1, &told).await.expect("archived");
        all.extend(told);
    }
    // Opened again, so that no footer is cached.
    (given.archive("a").await, all)
}

#[tokio::test]
async fn one_series_of_one_hour_reads_a_fraction() {
    let given = Given::a_directory();
    let (archive, told) = a_day(&given).await;
    let (all, whole) = read_points(&archive, &everything()).await;
    assert_eq!(all.len(), 240);
    let one = &told[500];
    let archive = given.archive("a").await;
    let selection = ColdSelection {
        class: Some(CLASS),
        metric: Some(one.labels.metric().to_owned()),
        series: Some(vec![one.id()]),
        range: hours(Hour(HOUR.0 + 2), 1),
    };
    let (read, part) = read_points(&archive, &selection).await;
    let expected: Read = told_points(&told[480..720]).into_iter().filter(|(id, _)| *id == one.id().0).collect();
    assert_eq!(read, expected);
    assert_eq!(part.rows(), 360, "the predicate leaves no other rows");
    assert_eq!((part.gets(), whole.gets()), (2, 8), "one for the footer, one for the pages, a file");
    assert!(part.bytes() * 3 < whole.bytes(), "{} of {} bytes", part.bytes(), whole.bytes());
}

#[tokio::test]
async fn a_file_that_cannot_hold_a_row_is_not_opened() {
    let given = Given::a_directory();
    let (archive, told) = a_day(&given).await;
    let nothing = [
        ColdSelection { metric: Some("disk".to_owned()), ..everything() },
        ColdSelection { metric: Some("zzz".to_owned()), ..everything() },
        ColdSelection { range: hours(Hour(HOUR.0 + 4), 9), ..everything() },
        ColdSelection { class: Some(schemas::RetentionClass(9)), ..everything() },
        ColdSelection { series: Some(vec![schemas::SeriesId(1)]), ..everything() },
    ];
    let (_, known) = read_points(&archive, &ColdSelection { metric: Some("cpu".to_owned()), ..everything() }).await;
    assert!(known.gets() > 0);
    for selection in nothing {
        let (read, counters) = read_points(&archive, &selection).await;
        assert!(read.is_empty());
        // "disk" lies between the names that files hold, so only its pages tell.
        let opened = selection.metric.as_deref() == Some("disk");
        assert!(opened || counters.gets() == 0, "{selection:?} took {} GETs", counters.gets());
        assert_eq!(counters.rows(), 0);
    }
    assert_eq!(told.len(), 960);
}

#[tokio::test]
async fn several_series_are_found_among_many() {
    let given = Given::a_directory();
    let (archive, told) = a_day(&given).await;
    let mut chosen: Vec<schemas::SeriesId> = told[..240].iter().step_by(7).map(Told::id).collect();
    chosen.sort_unstable();
    let selection = ColdSelection { series: Some(chosen.clone()), ..everything() };
    let (read, counters) = read_points(&archive, &selection).await;
    let expected: Read = told_points(&told).into_iter().filter(|(id, _)| chosen.iter().any(|c| c.0 == *id)).collect();
    assert_eq!(read, expected);
    assert_eq!(counters.rows(), 4 * 360 * u64::try_from(chosen.len()).expect("few"));
}

#[tokio::test]
async fn footers_are_read_once() {
    let given = Given::a_directory();
    let (archive, _) = a_day(&given).await;
    let selection = ColdSelection { range: hours(HOUR, 1), ..everything() };
    let (_, first) = read_points(&archive, &selection).await;
    let (_, second) = read_points(&archive, &selection).await;
    assert!(second.gets() < first.gets(), "{} then {}", first.gets(), second.gets());
}

#[tokio::test]
async fn the_files_of_a_selection_are_known_with_their_hours() {
    let given = Given::a_directory();
    let (archive, _told) = a_day(&given).await;
    let files = async |selection: ColdSelection| -> Vec<ColdFile> {
        archive.files(ColdTable::Raw, &archive.versions(), &selection).await.expect("known")
    };
    let all = files(everything()).await;
    let held: Vec<Hour> = all.iter().flat_map(|file| &file.hours).flat_map(|hours| hours.iter()).collect();
    assert_eq!(held, (0..4).map(|i| Hour(HOUR.0 + i)).collect::<Vec<_>>());
    let two = ColdSelection { range: hours(Hour(HOUR.0 + 1), 2), ..everything() };
    assert_eq!(files(two.clone()).await, all[1..3]);
    assert!(files(ColdSelection { metric: Some("zzz".to_owned()), ..everything() }).await.is_empty());
}

#[tokio::test]
async fn what_a_part_reads_counts_for_the_whole_too() {
    let given = Given::a_directory();
    let (archive, _told) = a_day(&given).await;
    let whole = ReadCounters::default();
    let parts = [whole.part(), whole.part()];
    for (at, part) in parts.iter().enumerate() {
        let one = ColdSelection { range: hours(Hour(HOUR.0 + u32::try_from(at).expect("small")), 1), ..everything() };
        let stream = archive.scan_points(&archive.versions(), &one, part).await.expect("plans");
        futures::TryStreamExt::try_collect::<Vec<_>>(stream).await.expect("reads");
    }
    let sum = |of: fn(&ReadCounters) -> u64| parts.iter().map(of).sum::<u64>();
    assert!(parts.iter().all(|part| part.gets() > 0 && part.rows() > 0));
    assert_eq!((whole.gets(), whole.bytes()), (sum(ReadCounters::gets), sum(ReadCounters::bytes)));
    assert_eq!(whole.rows(), sum(ReadCounters::rows));
}
