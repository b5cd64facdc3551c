//! Merging runs changes no answer.

use hot::MergeOutcome;
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
