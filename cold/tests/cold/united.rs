//! Several writers of one hour: nodes between which the assignment of partitions changed, and a node that lost its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cold::{Archive, ColdError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::points::stale;
use schemas::rollup::{BucketRow, bucketize};
use schemas::tier_map::ColdTable;
use schemas::{DurationMs, Epoch, Hour, Points, Resolution, SeriesId};

use crate::faults::{FaultStore, PutFault};
use crate::support::*;

fn told(host: &str, list: &[(i64, f64)]) -> Told {
    let list: Vec<(i64, f64)> = list.iter().map(|&(at, value)| (HOUR.start().0 + at, value)).collect();
    Told { labels: labels("m", host), points: points(&list) }
}

/// Each hour lies in one file a table, no row is there twice, and the rollups are those of the raw points.
async fn assert_whole(archive: &Arc<Archive>) {
    archive.refresh().await.expect("readable");
    let versions = archive.versions();
    let (raw, _) = read_points(archive, &everything()).await;
    let rows: usize = raw.values().map(Vec::len).sum();
    let inventory = archive.inventory().await.expect("readable");
    let of_raw = inventory.tables.iter().find(|table| table.table == ColdTable::Raw).expect("there");
    assert_eq!(of_raw.rows, u64::try_from(rows).expect("small"), "a row is in the table twice");
    for table in ColdTable::DATA {
        let files = archive.files(table, &versions, &everything()).await.expect("known");
        let hours: BTreeSet<Vec<Hour>> =
            files.iter().map(|file| file.hours.iter().map(|hours| hours.start).collect()).collect();
        assert_eq!(hours.len(), files.len(), "{table:?}: an hour is in several files");
    }
    for (resolution, width) in [(Resolution::Minute, DurationMs::MINUTE), (Resolution::Hour, DurationMs::HOUR)] {
        let found: BTreeMap<i64, Vec<BucketRow>> = read_buckets(archive, resolution)
            .await
            .into_iter()
            .map(|(SeriesId(id), buckets)| (id, buckets.iter().map(BucketRow::from).collect()))
            .collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), raw.keys().collect::<Vec<_>>());
        for (id, list) in &raw {
            let timestamps: Vec<i64> = list.iter().map(|(ts, _)| *ts).collect();
            let values: Vec<f64> = list.iter().map(|(_, bits)| f64::from_bits(*bits)).collect();
            let mut made = Vec::new();
            bucketize(&timestamps, &values, width, |bucket| made.push(BucketRow::from(&bucket)));
            let seen = |rows: &[BucketRow]| -> Vec<String> {
                rows.iter()
                    .map(|row| {
                        format!("{:?}", (row.start, row.count, row.stale_ts, row.sum, row.min, row.max, row.last))
                    })
                    .collect()
            };
            assert_eq!(seen(&found[id]), seen(&made), "{resolution:?} of series {id}");
        }
    }
}

async fn through(archive: &Archive, hour: Hour) -> Option<Epoch> {
    let hours = archive.archived_hours().await.expect("readable");
    let of_tables: BTreeSet<Option<Epoch>> =
        ColdTable::DATA.into_iter().map(|table| hours.get(&(table, CLASS, hour)).copied()).collect();
    assert_eq!(of_tables.len(), 1, "the tables are alike: {of_tables:?}");
    of_tables.into_iter().next().flatten()
}

#[tokio::test]
async fn rows_of_two_nodes_become_one_file_that_names_both() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 5, &[told("x", &[(0, 1.0), (10, 1.0)])]).await.expect("archived");
    archive_hour(&b, HOUR, 1, &[told("x", &[(5, 2.0), (10, 2.0)]), told("y", &[(7, 3.0)])]).await.expect("archived");
    let united = [told("x", &[(0, 1.0), (5, 2.0), (10, 2.0)]), told("y", &[(7, 3.0)])];
    assert_whole(&a).await;
    assert_eq!(read_points(&a, &everything()).await.0, told_points(&united));
    assert_eq!((through(&a, HOUR).await, through(&b, HOUR).await), (Some(Epoch(5)), Some(Epoch(1))));
    // Both find their own job done.
    for (archive, epoch) in [(&a, 5), (&b, 1)] {
        assert!(archive_hour(archive, HOUR, epoch, &[told("x", &[(0, 9.0)])]).await.expect("looked at").unchanged);
    }
    // a seals again, without ever having heard of y: its rows are the later commit now.
    archive_hour(&a, HOUR, 6, &[told("x", &[(0, 1.0), (10, 1.5)])]).await.expect("archived");
    let united = [told("x", &[(0, 1.0), (5, 2.0), (10, 1.5)]), told("y", &[(7, 3.0)])];
    assert_whole(&b).await;
    assert_eq!(read_points(&b, &everything()).await.0, told_points(&united));
    assert_eq!((through(&a, HOUR).await, through(&b, HOUR).await), (Some(Epoch(6)), Some(Epoch(1))));
}

#[tokio::test]
async fn a_staleness_marker_of_another_writer_never_replaces_a_value() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 5, &[told("x", &[(0, 1.0), (10, stale())])]).await.expect("archived");
    archive_hour(&b, HOUR, 1, &[told("x", &[(0, stale()), (10, 2.0), (20, stale())])]).await.expect("archived");
    assert_whole(&a).await;
    let united = told_points(&[told("x", &[(0, 1.0), (10, 2.0), (20, stale())])]);
    assert_eq!(read_points(&a, &everything()).await.0, united);
}

#[tokio::test]
async fn late_points_of_a_new_disk_do_not_win_over_the_full_buckets_of_the_old_one() {
    let given = Given::a_directory();
    let whole = fleet(HOUR, 2);
    archive_hour(&given.archive_of("a", "a-1").await, HOUR, 40, &whole).await.expect("archived");
    let late = Told { labels: whole[1].labels.clone(), points: points(&[(HOUR.start().0 + 5, -3.0)]) };
    let new = given.archive_of("a", "a-2").await;
    archive_hour(&new, HOUR, 1, std::slice::from_ref(&late)).await.expect("archived");
    assert_whole(&new).await;
    let mut united = whole.clone();
    united[1].points = whole[1].points.overlaid_with(&late.points);
    assert_eq!(read_points(&new, &everything()).await.0, told_points(&united));
}

#[tokio::test]
async fn an_hour_of_one_writer_is_never_read_back() {
    let given = Given::a_directory();
    let mut counting = None;
    let decorate = |store| -> Arc<dyn object_store::ObjectStore> {
        let store = Arc::new(kit::CountingStore::new(store));
        counting = Some(Arc::clone(&store));
        store
    };
    let archive = given.archive_through("a", decorate).await.expect("opens");
    let counting = counting.expect("decorated");
    archive_hour(&archive, HOUR, 1, &fleet(HOUR, 2)).await.expect("archived");
    counting.reset();
    archive_hour(&archive, HOUR, 2, &fleet(HOUR, 2)).await.expect("archived");
    // A table: the footer of what was uploaded, and one look at what others committed.
    use kit::counting_store::Operation::{Get, List, Put};
    assert_eq!([Get, List, Put].map(|operation| counting.count(operation)), [3, 3, 6]);
}

#[tokio::test]
async fn what_another_writer_has_committed_meanwhile_is_not_replaced() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    let (of_a, of_b) = ([told("x", &[(0, 1.0)])], [told("y", &[(0, 2.0)])]);
    archive_hour(&a, HOUR, 5, &of_a).await.expect("archived");
    let empty = b.known_hour(HOUR, CLASS).expect("known");
    assert!(!empty.is_shared(), "b has not looked yet");
    let overtaken = archive_over(&b, &empty, 1, &of_b).await.expect_err("a has rows");
    assert!(matches!(overtaken, ColdError::Overtaken { table: ColdTable::Raw, .. }), "{overtaken}");
    assert!(overtaken.is_retryable());
    assert_eq!(given.parquet_files("raw").len(), 1, "what was uploaded in vain is gone");
    let base = b.newest_hour(HOUR, CLASS).await.expect("readable");
    assert!(base.is_shared() && base.through() == Epoch::ZERO);
    // And again, between the look and the commit.
    archive_hour(&a, HOUR, 6, &[told("x", &[(0, 1.0), (3, 3.0)])]).await.expect("archived");
    assert!(matches!(archive_over(&b, &base, 1, &of_b).await, Err(ColdError::Overtaken { .. })));
    archive_hour(&b, HOUR, 1, &of_b).await.expect("archived");
    assert_whole(&a).await;
    let united = told_points(&[told("x", &[(0, 1.0), (3, 3.0)]), told("y", &[(0, 2.0)])]);
    assert_eq!(read_points(&a, &everything()).await.0, united);
}

#[tokio::test]
async fn a_feed_that_ends_too_early_never_makes_an_hour_shorter() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 5, &fleet(HOUR, 2)).await.expect("archived");
    let base = b.newest_hour(HOUR, CLASS).await.expect("readable");
    let (mut writer, feed) = b.hour_writer(HOUR, CLASS, Epoch(1)).over(&base).await.expect("begins");
    drop(feed);
    let finished = tokio::task::spawn_blocking(move || (writer.finish_columns(), writer)).await.expect("no panic");
    assert!(matches!(finished.0, Err(ColdError::OutOfOrder(_))), "{:?}", finished.0);
    assert!(matches!(finished.1.commit().await, Err(ColdError::OutOfOrder(_))));
}

#[tokio::test]
async fn rollups_are_made_of_the_points_that_were_committed() {
    let given = Given::a_directory();
    let b = given.archive("b").await;
    let cut = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&cut);
    let faulty = |store| {
        FaultStore::around(store).fail_put(move |path| {
            (switch.load(Ordering::SeqCst) && path.as_ref().contains("/rollup_") && path.as_ref().ends_with(".parquet"))
                .then_some(PutFault::Refuse)
        })
    };
    let a = given.archive_through("a", faulty).await.expect("opens");
    archive_hour(&b, HOUR, 3, &[told("x", &[(0, 2.0), (20, 2.0)])]).await.expect("archived");
    let failed =
        archive_hour(&a, HOUR, 5, &[told("x", &[(0, 1.0), (10, 1.0)])]).await.expect_err("rollups are refused");
    assert!(failed.is_retryable());
    cut.store(false, Ordering::SeqCst);
    // What a would say now of its points is not what it has committed: the rollups are of the latter.
    archive_hour(&a, HOUR, 5, &[told("x", &[(0, 77.0), (10, 77.0)])]).await.expect("archived");
    assert_whole(&b).await;
    assert_eq!(
        read_points(&b, &everything()).await.0,
        told_points(&[told("x", &[(0, 1.0), (10, 1.0), (20, 2.0)])]),
        "a's commit was the later"
    );
    assert_eq!((through(&a, HOUR).await, through(&b, HOUR).await), (Some(Epoch(5)), Some(Epoch(3))));
}

#[tokio::test]
async fn rollups_without_their_points_are_not_replaced() {
    let given = Given::a_directory();
    let (a, b) = (given.archive("a").await, given.archive("b").await);
    archive_hour(&a, HOUR, 5, &[told("x", &[(0, 1.0)])]).await.expect("archived");
    let tomorrow = schemas::Day(HOUR.day().0 + 1);
    assert_eq!(a.expire(ColdTable::Raw, CLASS, tomorrow).await.expect("expired").files, 1);
    let refused = archive_hour(&b, HOUR, 1, &[told("y", &[(0, 1.0)])]).await.expect_err("cannot be united");
    assert!(matches!(refused, ColdError::RawGone { .. }) && !refused.is_retryable(), "{refused}");
    assert_eq!(read_buckets(&a, Resolution::Hour).await.len(), 1, "a's bucket is still there");
}

/// A writer of the random test: what it has taken in, by hour.
struct Writer {
    archive: Arc<Archive>,
    epoch: u32,
    hours: BTreeMap<Hour, BTreeMap<&'static str, Points>>,
}

impl Writer {
    fn told(&self, hour: Hour) -> Vec<Told> {
        let series = self.hours.get(&hour).into_iter().flatten();
        let mut told: Vec<Told> =
            series.map(|(host, points)| Told { labels: labels("m", host), points: points.clone() }).collect();
        in_archive_order(&mut told);
        told
    }

    fn take_in(&mut self, rng: &mut StdRng, hour: Hour) {
        self.epoch += 1;
        for _ in 0..rng.random_range(1..5) {
            let host = ["u", "v", "w", "x"][rng.random_range(0..4)];
            let at = hour.start().0 + rng.random_range(0..40_i64) * 45_000;
            let value = if rng.random_bool(0.1) { stale() } else { f64::from(rng.random_range(0..9_u8)) };
            let known = self.hours.entry(hour).or_default().entry(host).or_default();
            *known = known.overlaid_with(&points(&[(at, value)]));
        }
    }
}

/// Overlays what a commit brought on what there was.
fn overlay(table: &mut BTreeMap<i64, Points>, told: &[Told]) {
    for series in told {
        let known = table.entry(series.id().0).or_default();
        *known = known.overlaid_with(&series.points);
    }
}

#[tokio::test]
async fn writers_that_take_turns_leave_what_a_naive_model_says() {
    let mut rng = StdRng::seed_from_u64(kit::seed());
    let given = Given::a_directory();
    let mut writers = Vec::new();
    for name in ["a-1", "a-2", "b-1"] {
        let archive = given.archive_of(&name[..1], name).await;
        writers.push(Writer { archive, epoch: 0, hours: BTreeMap::new() });
    }
    let mut model: BTreeMap<i64, Points> = BTreeMap::new();
    for step in 0..40 {
        let writer = &mut writers[rng.random_range(0..3)];
        let hour = Hour(HOUR.0 + rng.random_range(0..2));
        writer.take_in(&mut rng, hour);
        let told = writer.told(hour);
        archive_hour(&writer.archive, hour, writer.epoch, &told).await.expect("archived");
        overlay(&mut model, &told);
        assert_eq!(through(&writer.archive, hour).await, Some(Epoch(writer.epoch)));
        if step % 8 == 7 {
            assert_whole(&writer.archive).await;
        }
        let expected: Read = model.iter().map(|(id, points)| (*id, bits(points))).collect();
        assert_eq!(read_points(&writer.archive, &everything()).await.0, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_that_fail_at_random_lose_nothing_and_double_nothing() {
    let seed = kit::seed();
    let given = Given::a_directory();
    let mut jobs = tokio::task::JoinSet::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        let mut faulty = None;
        let decorate = |store| -> Arc<dyn object_store::ObjectStore> {
            let store = Arc::new(kit::FaultStore::new(store, seed, kit::FaultRates::NONE));
            faulty = Some(Arc::clone(&store));
            store
        };
        let archive = given.archive_through(name, decorate).await.expect("opens");
        let faulty = faulty.expect("decorated");
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(u64::try_from(number).expect("small")));
        let mut writer = Writer { archive, epoch: 0, hours: BTreeMap::new() };
        jobs.spawn(async move {
            for _ in 0..8 {
                writer.take_in(&mut rng, HOUR);
                let told = writer.told(HOUR);
                faulty.set_rates(kit::FaultRates::SOME);
                loop {
                    match archive_hour(&writer.archive, HOUR, writer.epoch, &told).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                }
                faulty.set_rates(kit::FaultRates::NONE);
            }
            writer
        });
    }
    let writers = jobs.join_all().await;
    let reader = given.archive("reader").await;
    assert_whole(&reader).await;
    // Whose value it is depends on who came last; that it is somebody's does not.
    let mut values: BTreeMap<(i64, i64), BTreeSet<u64>> = BTreeMap::new();
    for told in writers.iter().flat_map(|writer| writer.told(HOUR)) {
        for (ts, value) in bits(&told.points) {
            values.entry((told.id().0, ts)).or_default().insert(value);
        }
    }
    let (read, _) = read_points(&reader, &everything()).await;
    let found: BTreeMap<(i64, i64), u64> =
        read.iter().flat_map(|(id, list)| list.iter().map(|(ts, value)| ((*id, *ts), *value))).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), values.keys().collect::<Vec<_>>());
    for (at, value) in &found {
        assert!(values[at].contains(value), "{at:?} has the value of nobody");
    }
    for writer in &writers {
        assert_eq!(through(&writer.archive, HOUR).await, Some(Epoch(writer.epoch)));
    }
}
