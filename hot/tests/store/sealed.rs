//! Sealing: rollups equal the raw points, late points overlay until sealed again, the same points give the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use hot::Store;
use schemas::points::stale;
use schemas::rollup::{Bucket, BucketMoments, bucketize};
use schemas::tier_map::Form;
use schemas::{DurationMs, Epoch, Points, Resolution};

use crate::given::{CLASS, FIRST, Told, World, at, hour, labels, one};

/// Two series at ten seconds over an hour, with a point exactly on each edge.
fn scrapes() -> Vec<Told> {
    let value = |i: i64| f64::from(i32::try_from(i * 37 % 101).expect("small")) / 4.0;
    (0..360).flat_map(|i| [(0, i * 10_000, value(i)), (1, i * 10_000, value(i + 50))]).collect()
}

/// One series every 100 ms: more than its minutes are worth.
fn dense(series: usize) -> Vec<Told> {
    let noise = |i: i64| f64::from(i32::try_from(i.wrapping_mul(7_919) % 1_009 * 31 % 997).expect("small")) / 100.0;
    (0..36_000).map(|i| (series, i * 100, noise(i))).collect()
}

#[test]
fn rollups_equal_buckets_of_the_raw_points() {
    let mut world = World::new();
    let mut told = scrapes();
    // A reset, a NaN, an infinity, a lone stale marker, a stale marker last in a bucket.
    told.extend([(2, 5_000, 10.0), (2, 6_000, 3.0), (2, 60_000, f64::NAN), (2, 61_000, f64::NEG_INFINITY)]);
    told.extend([(2, 180_000, stale()), (2, 240_500, 1.0), (2, 241_000, stale())]);
    world.append(&told);
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("moments");
    let view = world.store().view();
    for (resolution, width) in [(Resolution::Minute, DurationMs::MINUTE), (Resolution::Hour, DurationMs::HOUR)] {
        for series in 0..3 {
            let mut points = Points::default();
            for ((_, ts), bits) in world.expected(hour(0)).into_iter().filter(|((of, _), _)| *of == series) {
                points.push(FIRST.start().0 + ts, f64::from_bits(bits));
            }
            let mut want: Vec<Bucket> = Vec::new();
            bucketize(&points.timestamps, &points.values, width, |bucket| want.push(bucket));
            let mut got: Vec<Bucket> = Vec::new();
            view.scan_buckets(hour(0), resolution, &[world.address(series)], &mut |_, b| got.extend_from_slice(b))
                .expect("scans");
            assert_eq!(format!("{got:?}"), format!("{want:?}"), "{resolution} of series {series}");
        }
    }
}

#[test]
fn a_sealed_hour_has_no_overlay_and_names_its_through() {
    let mut world = World::new();
    world.append(&scrapes());
    assert_eq!(world.store().view().overlay_hours(), [(hour(0), Epoch(1))]);
    assert!(world.seal(hour(0)));
    let view = world.store().view();
    let through = view.map().sealed_through(hour(0));
    assert_eq!(view.map().sealed_through.iter().collect::<Vec<_>>(), [(&hour(0), &through)]);
    assert!(view.overlay(hour(0), through).expect("readable").is_none());
    assert!(view.overlay_hours().is_empty());
    assert_eq!(view.base_addresses(hour(0)).expect("readable"), [world.address(0), world.address(1)]);
    drop(view);
    assert!(!world.seal(hour(0)), "nothing is newer than its base");
}

#[test]
fn a_late_point_overlays_a_sealed_hour_until_it_is_sealed_again() {
    let mut world = World::new();
    world.append(&scrapes());
    assert!(world.seal(hour(0)));
    world.append(&[(0, 60_000, -5.0), (7, 1_800_000, 4.0)]);
    world.agrees(hour(0)).expect("late point in the head");
    world.flush();
    world.agrees(hour(0)).expect("late point in a run");
    world.append(&[(0, 60_001, -6.0)]);
    world.reopen();
    world.agrees(hour(0)).expect("late points in a run and in the head");
    let stats = world.seal_with_stats(hour(0)).expect("newer points");
    assert_eq!(stats.series, 2, "only the series that late points touch are written again");
    assert!(world.store().view().overlay_hours().is_empty());
    world.agrees(hour(0)).expect("sealed again");
}

#[test]
fn rollups_kept_decoded_are_of_the_newest_base_whatever_there_is_room_for() {
    for room in [0, 1 << 10, 64 << 20] {
        let mut world = World::with(move |config| config.rollup_cache_bytes = room);
        world.append(&scrapes());
        assert!(world.seal(hour(0)));
        // Twice: decoded, and kept.
        world.agrees(hour(0)).expect("sealed");
        world.agrees(hour(0)).expect("kept");
        world.append(&[(0, 60_000, -5.0), (3, 1_800_000, 4.0)]);
        assert!(world.seal(hour(0)));
        world.agrees(hour(0)).expect("sealed again, with a series more");
        let view = world.store().view();
        let most = (0..1_000_000).rev().find(|&rows| view.keeps_decoded(rows, 0)).expect("none fit always");
        assert!(most * size_of::<BucketMoments>() <= room / 3, "{most} rows in {room} bytes");
        assert!(!view.keeps_decoded(0, room / 500 + 1), "hours take room by themselves");
    }
}

fn families(store: &Store) -> Vec<String> {
    store.inventory().expect("readable").families.into_iter().map(|family| family.name).collect()
}

#[test]
fn a_dense_metric_has_minute_rows_and_keeps_its_form_for_the_day() {
    let mut world = World::new();
    world.append(&dense(0));
    world.append(&scrapes().into_iter().map(|(_, at, value)| (1, at, value)).collect::<Vec<_>>());
    assert!(world.seal(hour(0)));
    let metric = world.address(0).metric;
    let view = world.store().view();
    assert_eq!(view.map().form(CLASS, metric, hour(0).day()), Form::Raw);
    assert_eq!(view.map().form(CLASS, world.address(1).metric, hour(0).day()), Form::Raw1m);
    drop(view);
    assert!(families(world.store()).iter().any(|name| name.starts_with("m1_")));
    world.agrees(hour(0)).expect("from minute rows");
    // A sparse hour of the same day, and the next day.
    world.append(&[(0, at(1, 0), 1.0), (0, at(30, 0), 1.0)]);
    world.reopen();
    assert!(world.seal(hour(1)) && world.seal(hour(30)));
    let view = world.store().view();
    assert_eq!(view.map().form(CLASS, metric, hour(1).day()), Form::Raw);
    assert_eq!(view.map().form(CLASS, metric, hour(30).day()), Form::Raw, "as yesterday");
    for n in [0, 1, 30] {
        world.agrees(hour(n)).expect("either form");
    }
}

/// Every key and value of an hour's base, as other stores would have to write them.
fn bytes_of(world: &World, n: u32) -> String {
    let view = world.store().view();
    let addresses = view.base_addresses(hour(n)).expect("readable");
    let mut bytes: BTreeMap<String, String> = BTreeMap::new();
    view.scan_points(hour(n), &addresses, &mut |at, points| {
        bytes.insert(format!("raw {:?}", addresses[at]), format!("{points:?}"));
    })
    .expect("scans");
    for resolution in [Resolution::Minute, Resolution::Hour] {
        let scanned = view.scan_buckets(hour(n), resolution, &addresses, &mut |at, buckets| {
            bytes.insert(format!("{resolution} {:?}", addresses[at]), format!("{buckets:?}"));
        });
        let stats = scanned.expect("scans");
        bytes.insert(format!("{resolution} bytes"), stats.bytes.to_string());
    }
    format!("{bytes:?}")
}

#[test]
fn the_same_points_give_the_same_base_however_they_came() {
    let mut told = scrapes();
    told.extend(dense(2));
    let mut at_once = World::new();
    // The numbers of series are given out by arrival.
    at_once.append(&[(0, 0, 0.0), (1, 0, 0.0), (2, 0, 0.0)]);
    at_once.append(&told);
    assert!(at_once.seal(hour(0)));
    let mut in_pieces = World::new();
    in_pieces.append(&[(0, 0, 9.0), (1, 0, 9.0), (2, 0, 9.0)]);
    in_pieces.append(&told);
    for (i, piece) in told.chunks(9_000).rev().enumerate() {
        in_pieces.append(piece);
        if i % 2 == 0 {
            in_pieces.flush();
        } else {
            assert!(in_pieces.seal(hour(0)));
        }
    }
    in_pieces.seal(hour(0));
    assert_eq!(bytes_of(&at_once, 0), bytes_of(&in_pieces, 0));
}

#[test]
fn many_late_seals_of_one_hour_are_compacted_and_read_alike() {
    let mut world = World::new();
    world.append(&scrapes());
    assert!(world.seal(hour(0)));
    for i in 0..9 {
        world.append(&[(usize::try_from(i % 3).expect("small"), 1_000 + i, 1.0)]);
        assert!(world.seal(hour(0)));
        world.agrees(hour(0)).expect("sealed again");
    }
    let inventory = world.store().inventory().expect("readable");
    let chunks = inventory.families.iter().find(|family| family.name.starts_with("raw1m_")).expect("sealed");
    assert!(chunks.files < 5, "{} files of one hour", chunks.files);
    world.reopen();
    world.agrees(hour(0)).expect("after a start");
}

#[test]
fn a_locked_hour_is_not_sealed_and_an_abandoned_seal_leaves_it_as_it_was() {
    let mut world = World::new();
    world.append(&scrapes());
    let store = Arc::clone(world.store());
    let guard = store.lock_hours(one(hour(0))).expect("free");
    assert!(store.begin_seal(hour(0)).expect("begins").is_none());
    drop(guard);
    let mut seal = store.begin_seal(hour(0)).expect("begins").expect("due");
    assert!(store.lock_hours(one(hour(0))).is_none());
    seal.write(None, &[], None).expect("writes");
    drop(seal);
    assert!(store.view().map().sealed_through.is_empty());
    assert_eq!(std::fs::read_dir(world.dir().join("staging")).expect("exists").count(), 0);
    drop(store);
    world.agrees(hour(0)).expect("as before");
    assert!(world.seal(hour(0)));
}

#[test]
fn a_view_keeps_what_it_saw_while_the_hour_is_sealed_again() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 1.0)]);
    assert!(world.seal(hour(0)));
    let old = world.store().view();
    world.append(&[(0, 1_000, 2.0)]);
    assert!(world.seal(hour(0)));
    let address = [world.address(0)];
    let values = |view: &hot::View| {
        let mut values = Vec::new();
        view.scan_points(hour(0), &address, &mut |_, points| values.extend_from_slice(&points.values)).expect("scans");
        values
    };
    assert_eq!(values(&old), [1.0]);
    assert_eq!(values(&world.store().view()), [2.0]);
}

#[test]
fn a_quarantine_is_remembered_until_the_hour_is_sealed() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 1.0)]);
    world.store().record_quarantine(hour(0), Some("object store is away".to_owned())).expect("records");
    world.reopen();
    assert_eq!(world.store().view().map().quarantined.get(&hour(0)).map(String::as_str), Some("object store is away"));
    assert!(world.seal(hour(0)));
    world.reopen();
    assert!(world.store().view().map().quarantined.is_empty());
}

#[test]
fn a_damaged_directory_is_refused_and_a_second_owner_too() {
    let world = World::new();
    let second = Store::open(hot::StoreConfig::new(world.dir()), std::sync::Arc::new(runtime::SystemClock));
    assert!(second.is_err(), "one process owns a directory");
    assert_eq!(labels(0).metric(), "metric_0");
}

#[test]
fn a_seal_ends_no_epoch_that_holds_nothing_of_its_hour() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    world.reopen();
    world.append(&[(0, at(1, 0), 2.0)]);
    assert!(world.seal(hour(0)));
    let inventory = world.store().inventory().expect("readable");
    assert_eq!((inventory.runs.len(), inventory.head_points), (1, 1), "what the start found is a run, the rest is not");
    for n in 0..2 {
        world.agrees(hour(n)).expect("from wherever it is");
    }
}
