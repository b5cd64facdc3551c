//! Sweeping, expiring, looking.

use schemas::object_path::{Attempt, DataFile, Incarnation, Subject};
use schemas::tier_map::ColdTable;
use schemas::{Day, Hour, RetentionClass};

use crate::support::*;

/// Puts a file where a crashed attempt would have left it.
fn leave_orphan(given: &Given, incarnation: &str) -> std::path::PathBuf {
    let name = DataFile {
        subject: Subject::Hour(HOUR),
        incarnation: Incarnation::new(incarnation).expect("plain"),
        attempt: Attempt { process: 7, number: 7 },
        part: 0,
    };
    let path = given.path().join(format!("raw/date=2026-11-21/class=default/{name}"));
    std::fs::create_dir_all(path.parent().expect("has one")).expect("writable");
    std::fs::write(&path, b"left behind").expect("writable");
    path
}

#[tokio::test]
async fn a_sweep_deletes_orphans_of_this_incarnation_only_and_only_after_a_commit() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    let (ours, theirs) = (leave_orphan(&given, "a-1"), leave_orphan(&given, "b-1"));
    let foreign = given.path().join("raw/part-0000.parquet");
    std::fs::write(&foreign, b"another program's").expect("writable");
    let early = archive.sweep().await.expect("swept");
    assert_eq!((early.tables, early.files), (0, 0), "a put of an earlier process may still win");
    let told = fleet(HOUR, 1);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    archive_hour(&archive, HOUR, 2, &told).await.expect("archived");
    let replaced = given.parquet_files("raw").len();
    let swept = archive.sweep().await.expect("swept");
    assert_eq!((swept.tables, swept.files, swept.bytes), (4, 1, 11));
    assert!(!ours.exists() && theirs.exists() && foreign.exists());
    assert_eq!(given.parquet_files("raw").len(), replaced - 1, "a replaced file is in an older version");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn what_a_killed_upload_left_goes_at_the_next_start_and_what_a_live_one_writes_stays() {
    let given = Given::a_directory();
    drop(given.archive("a").await);
    let staged = |path: &str| {
        let path = given.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        std::fs::write(&path, b"half").expect("writable");
        path
    };
    let dead = ["raw/date=2026-11-21/class=default/x.parquet#1", "raw/_delta_log/00000000000000000009.json#7"];
    let dead = dead.map(staged);
    // Another process on the same directory holds this one.
    let live = staged("rollup_1m/date=2026-11-21/class=default/y.parquet#2");
    let writer = std::fs::File::open(&live).expect("readable");
    writer.lock().expect("temporary directories have locks");
    // Not this program's place.
    let foreign = staged("notes/draft#3");

    let archive = given.archive("a").await;
    assert!(dead.iter().all(|path| !path.exists()) && live.exists() && foreign.exists());
    assert_eq!(archive.sweep().await.expect("swept").files, 0);
    drop(writer);
    let swept = archive.sweep().await.expect("swept");
    assert_eq!((swept.files, swept.bytes), (1, 4));
    assert!(!live.exists() && foreign.exists());
}

#[tokio::test]
async fn partitions_wholly_before_a_day_expire() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    // 2026-10-31, 2026-11-20, 2026-11-21; the first in two classes.
    let days = [Hour(HOUR.0 - 21 * 24), Hour(HOUR.0 - 24), HOUR];
    let mut kept = Vec::new();
    for (through, hour) in (1..).zip(days) {
        let told = fleet(hour, 1);
        archive_hour(&archive, hour, through, &told).await.expect("archived");
        kept.push(told);
    }
    let other = fleet(days[0], 1);
    let mut writer = archive.hour_writer(days[0], RetentionClass(1), schemas::Epoch(9));
    let series = cold::ArchivedSeries { series_id: other[0].id(), labels: &other[0].labels };
    writer.push(&series, &other[0].points).expect("in order");
    writer.commit().await.expect("archived");

    let before = Day(HOUR.day().0);
    let plan = archive.plan_expire(ColdTable::Raw, CLASS, before).await.expect("planned");
    assert_eq!((plan.partitions, plan.files, plan.rows), (2, 2, 2 * 720));
    let done = archive.expire(ColdTable::Raw, CLASS, before).await.expect("expired");
    assert_eq!((done.partitions, done.files, done.rows, done.bytes), (2, 2, 2 * 720, plan.bytes));
    assert_eq!(done.version, plan.version + 1);
    let (read, _) = read_points(&archive, &everything()).await;
    let mut expected = told_points(&kept[2]);
    expected.entry(other[0].id().0).or_default().splice(0..0, bits(&other[0].points));
    assert_eq!(read, expected, "another class and the day itself stay");
    assert_eq!(archive.expire(ColdTable::Raw, CLASS, before).await.expect("nothing").files, 0);

    let months = archive.expire(ColdTable::Rollup1h, CLASS, before).await.expect("expired");
    assert_eq!((months.partitions, months.files), (1, 1), "only October lies wholly before");
    assert_eq!(given.parquet_files("raw").len(), 4, "objects stay until a vacuum");
}

#[tokio::test]
async fn the_inventory_counts_files_rows_and_bytes() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 2)).await.expect("archived");
    let inventory = archive.inventory().await.expect("readable");
    let rows: Vec<(ColdTable, u64, u64, usize)> =
        inventory.tables.iter().map(|table| (table.table, table.files, table.rows, table.partitions.len())).collect();
    assert_eq!(
        rows,
        [
            (ColdTable::Series, 1, 4, 0),
            (ColdTable::Raw, 1, 1_440, 1),
            (ColdTable::Rollup1m, 1, 240, 1),
            (ColdTable::Rollup1h, 1, 4, 1)
        ]
    );
    for table in &inventory.tables {
        let on_disk: u64 = given
            .parquet_files(table.table.as_str())
            .iter()
            .map(|path| std::fs::metadata(path).expect("there").len())
            .sum();
        assert_eq!(table.bytes, on_disk);
    }
    assert_eq!(inventory.tables[3].partitions[0].first_day.to_string(), "2026-11-01");
}
