//! Merging runs changes no answer.

use hot::MergeOutcome;
use schemas::Hour;
use schemas::points::stale;

use crate::given::{World, at, hour};

#[test]
fn more_than_eight_runs_of_an_hour_are_merged_and_answers_stay() {
    let mut world = World::new();
    for i in 0..12_i64 {
        let value = f64::from(u8::try_from(i).expect("small"));
        world.append(&[(0, 1_000, value), (1, i * 1_000, value), (2, at(i % 3, 5), value)]);
        if i == 7 {
            world.append(&[(0, 1_000, stale())]);
        }
        world.flush();
        let merged = world.store().merge_runs().expect("merges");
        assert_eq!(matches!(merged, MergeOutcome::Merged { .. }), i == 8, "{i}: {merged:?}");
        for n in 0..3 {
            world.agrees(hour(n)).expect("after a merge");
        }
    }
    assert_eq!(world.store().inventory().expect("readable").runs.len(), 8);
    world.reopen();
    for n in 0..3 {
        world.agrees(hour(n)).expect("after a start");
    }
    for n in 0..3 {
        assert!(world.seal(hour(n)));
        world.agrees(hour(n)).expect("sealed");
    }
}

#[test]
fn a_merge_lifts_nothing_over_what_a_base_has_taken_in() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 1.0), (0, at(1, 0), 1.0)]);
    world.flush();
    // The correction's own run goes, since its only hour is sealed; the older run stays for the other hour.
    world.append(&[(0, 1_000, 2.0)]);
    world.flush();
    assert!(world.seal(hour(0)));
    assert_eq!(world.store().drop_unowned().expect("drops").runs.len(), 1);
    // Larger runs than the old one, so that it is among the cheapest to merge.
    for i in 0..8 {
        world.append(&[(1, at(1, i), 1.0), (2, at(1, i), 1.0), (3, at(1, i), 1.0)]);
        world.flush();
    }
    assert!(matches!(world.store().merge_runs().expect("merges"), MergeOutcome::Merged { .. }));
    world.append(&[(1, 5, 1.0)]);
    for n in 0..2 {
        world.agrees(hour(n)).expect("after the merge");
    }
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("sealed again after the merge");
}

#[test]
fn a_merged_run_tells_from_which_epoch_on_it_may_have_points() {
    let mut world = World::new();
    for i in 0..12_i64 {
        world.append(&[(0, i * 1_000, 1.0)]);
        world.flush();
    }
    world.append(&[(0, at(1, 0), 1.0)]);
    let told = |world: &World| -> Vec<(u32, u32, Vec<Hour>)> {
        let epochs = world.store().view().epochs();
        epochs.into_iter().map(|held| (held.oldest.0, held.epoch.0, held.hours)).collect()
    };
    let apart: Vec<_> = (1..=12).map(|epoch| (epoch, epoch, vec![hour(0)])).chain([(13, 13, vec![hour(1)])]).collect();
    assert_eq!(told(&world), apart);
    while world.store().merge_runs().expect("merges") != MergeOutcome::Nothing {}
    world.reopen();
    let merged = told(&world);
    assert!(merged.len() < apart.len());
    // Together they cover what there was, without a gap and in order.
    let mut next = 1;
    for (oldest, epoch, _) in &merged {
        assert_eq!(*oldest, next, "{merged:?}");
        next = epoch + 1;
    }
    assert_eq!(next, 14);
}
