//! Hours change their owner, and what nobody owns goes; never before (DROP-1, GC-1).

use std::sync::Arc;

use hot::HotError;
use schemas::tier_map::{DeltaVersions, Form, Thresholds};
use schemas::time::HourRange;
use schemas::{Epoch, Hour, Resolution};

use crate::given::{CLASS, World, at, hour, one};

#[test]
fn runs_go_when_their_hours_are_sealed_and_their_readers_are_gone() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0), (0, at(1, 0), 1.0)]);
    assert!(world.seal(hour(0)));
    assert!(world.store().drop_unowned().expect("drops").runs.is_empty(), "the second hour needs the run");
    assert!(world.seal(hour(1)));
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!(dropped.runs, [Epoch(1)]);
    assert!(!dropped.readers_in_the_way);
    for n in 0..2 {
        world.agrees(hour(n)).expect("from the base");
    }
}

#[test]
fn an_hour_that_is_not_archived_cannot_become_deltas() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    assert!(world.seal(hour(0)));
    let store = Arc::clone(world.store());
    let raise = |hot_lo: Hour, cold_lo: Hour| {
        let guard = store.lock_hours(HourRange { start: Hour(0), end: hot_lo }).expect("free");
        store.raise_thresholds(CLASS, Form::Raw1m, Resolution::Raw, Thresholds { hot_lo, cold_lo }, &guard)
    };
    assert!(matches!(raise(hour(1), Hour(0)), Err(HotError::OutOfOrder { .. })));
    drop(store);
    assert!(world.archive(hour(0)));
    world.raise(hour(1), Hour(0));
    world.agrees(hour(0)).expect("from the archive");
}

#[test]
fn archived_days_are_dropped_as_families_and_answers_stay() {
    let mut world = World::new();
    for n in 0..24 {
        world.append(&[(0, at(n, 5), 1.0), (1, at(n, 60_000), 2.0)]);
    }
    world.append(&[(0, at(24, 0), 1.0)]);
    for n in 0..25 {
        assert!(world.seal(hour(n)));
    }
    for n in 0..24 {
        assert!(world.archive(hour(n)));
    }
    world.raise(hour(24), Hour(0));
    // A late point of a dropped hour: it overlays the archive.
    world.append(&[(0, at(3, 7), 9.0)]);
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!(dropped.families.len(), 1, "the day's chunks; the week's hours are needed for later days: {dropped:?}");
    assert!(dropped.families[0].starts_with("raw1m_"));
    world.reopen();
    for n in 0..25 {
        world.agrees(hour(n)).expect("from whoever owns it");
    }
    assert!(world.seal(hour(3)), "base from the archive");
    for n in 0..25 {
        world.agrees(hour(n)).expect("after the late seal");
    }
    assert!(world.store().view().overlay_hours().is_empty());
}

#[test]
fn what_was_archived_is_remembered_with_the_versions() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    assert!(world.seal(hour(0)) && world.archive(hour(0)));
    world.reopen();
    let view = world.store().view();
    assert!(view.map().is_archived(CLASS, hour(0)));
    assert_eq!(view.map().delta.raw, Some(1));
    drop(view);
    world.append(&[(0, 5, 1.0)]);
    assert!(world.seal(hour(0)));
    assert!(!world.store().view().map().is_archived(CLASS, hour(0)), "sealed again, and not archived again");
}

#[test]
fn versions_of_the_archive_never_go_back() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0), (0, at(1, 0), 1.0)]);
    assert!(world.seal(hour(0)) && world.seal(hour(1)));
    // Commits of two hours overlap, and the later one is recorded first.
    let store = Arc::clone(world.store());
    let (guard, through) = (store.lock_hours(one(hour(0))).expect("free"), store.view().map().sealed_through(hour(0)));
    let (early, late) = (versions(4, 7), versions(5, 6));
    store.record_versions(late).expect("records");
    store.record_archived(hour(0), CLASS, through, early, &guard).expect("records");
    drop((guard, store));
    assert_eq!(world.store().view().map().delta, versions(5, 7));
    world.reopen();
    assert_eq!(world.store().view().map().delta, versions(5, 7));
}

#[test]
fn a_seal_of_an_archived_hour_takes_no_newer_version_back() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0), (0, at(1, 0), 1.0)]);
    assert!(world.seal(hour(0)) && world.archive(hour(0)) && world.seal(hour(1)));
    world.raise(hour(1), Hour(0));
    world.append(&[(0, 5, 2.0)]);
    let store = Arc::clone(world.store());
    let mut seal = store.begin_seal(hour(0)).expect("begins").expect("a late point");
    let base = world.delta.clone();
    let mut cold = |address| Ok(base[&(hour(0), address)].clone());
    seal.write(Some(&mut cold), &[world.address(0)], None).expect("writes");
    // Committed at version 2. Before that is recorded, another hour is archived at version 3.
    let guard = store.lock_hours(one(hour(1))).expect("free");
    let through = store.view().map().sealed_through(hour(1));
    store.record_archived(hour(1), CLASS, through, versions(3, 3), &guard).expect("records");
    seal.finish([(CLASS, versions(2, 2))]).expect("finishes");
    drop((guard, store));
    assert!(world.store().view().map().is_archived(CLASS, hour(0)));
    assert_eq!(world.store().view().map().delta, versions(3, 3));
    world.reopen();
    assert_eq!(world.store().view().map().delta, versions(3, 3));
}

fn versions(raw: u64, rollup_1h: u64) -> DeltaVersions {
    DeltaVersions { raw: Some(raw), rollup_1h: Some(rollup_1h), ..DeltaVersions::default() }
}

#[test]
fn a_version_of_the_tier_map_stands_for_one_map_over_all_starts() {
    let mut world = World::new();
    let mut seen: Vec<schemas::TierMap> = vec![world.store().view().map().clone()];
    for n in 0..3 {
        world.append(&[(0, at(n, 0), 1.0)]);
        assert!(world.seal(hour(u32::try_from(n).expect("small"))));
        seen.push(world.store().view().map().clone());
        world.reopen();
        seen.push(world.store().view().map().clone());
        let (before, after) = (&seen[seen.len() - 2], &seen[seen.len() - 1]);
        assert_eq!(after, before, "a start changes nothing");
    }
    for (a, b) in seen.iter().zip(&seen[1..]) {
        assert!(a.version < b.version || a == b, "{a:?} and then {b:?}");
    }
    assert_eq!(seen.last().expect("some").version, 5, "a form, three seals");
}

#[test]
fn expired_hours_free_their_series_and_refuse_points() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0), (1, at(48, 0), 1.0)]);
    assert!(world.seal(hour(0)) && world.seal(hour(48)));
    world.raise(hour(48), hour(48));
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!(dropped.series_forgotten, 1);
    assert_eq!(world.store().index().series_count(), 1);
    assert_eq!(world.store().intake_floor(), hour(48).start());
    world.reopen();
    assert_eq!(world.store().index().series_count(), 1);
}

#[test]
fn records_of_hours_go_with_the_last_that_any_tier_keeps_of_them() {
    let mut world = World::new();
    // The run of the first two hours holds a third, which is not sealed yet.
    world.append(&[(0, 0, 1.0), (0, at(1, 0), 1.0), (0, at(48, 0), 1.0)]);
    world.flush();
    for n in 0..2 {
        assert!(world.seal(hour(n)) && world.archive(hour(n)));
    }
    world.store().record_quarantine(hour(1), Some("archive: for a test".to_owned())).expect("recorded");
    let records = |world: &World| {
        let view = world.store().view();
        let archived = view.map().archived_through.values().map(std::collections::BTreeMap::len).sum::<usize>();
        (view.map().sealed_through.len(), archived, view.map().quarantined.len())
    };
    world.raise(hour(48), hour(1));
    assert_eq!(world.store().drop_unowned().expect("drops").records_forgotten, 0, "the run holds the hours");
    assert_eq!(records(&world), (2, 6, 1));
    assert!(world.seal(hour(48)));
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!((dropped.records_forgotten, records(&world)), (4, (2, 3, 1)), "Delta still owns the second hour");
    world.raise(hour(48), hour(48));
    assert_eq!(world.store().drop_unowned().expect("drops").records_forgotten, 5);
    assert_eq!(world.store().drop_unowned().expect("drops"), hot::DropOutcome::default());
    world.reopen();
    assert_eq!(records(&world), (1, 0, 0));
    assert!(world.store().view().overlay_hours().is_empty());
    world.agrees(hour(48)).expect("what is kept");
}

#[test]
fn a_series_in_the_head_is_not_forgotten() {
    let mut world = World::new();
    world.append(&[(0, at(48, 0), 1.0)]);
    assert!(world.seal(hour(48)));
    world.raise(hour(48), hour(48));
    world.append(&[(5, at(48, 9), 1.0)]);
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!(dropped.series_forgotten, 0);
    world.agrees(hour(48)).expect("both series");
}

#[test]
fn what_an_old_view_reads_goes_only_after_its_reader() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    world.flush();
    let old = world.store().view();
    assert!(world.seal(hour(0)));
    let dropped = world.store().drop_unowned().expect("drops");
    assert!(dropped.readers_in_the_way && dropped.runs.is_empty(), "{dropped:?}");
    let mut seen = 0;
    old.overlay(hour(0), Epoch::ZERO)
        .expect("readable")
        .expect("the run is newer than nothing")
        .read(&[world.address(0)], &mut |_, points| seen += points.len())
        .expect("the run is still there");
    assert_eq!(seen, 1);
    drop(old);
    assert_eq!(world.store().drop_unowned().expect("drops").runs, [Epoch(1)]);
}
