//! What was acknowledged is readable at once and survives (ACK-1, SET-1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hot::{AppendError, FlushOutcome, Unwritable};
use schemas::points::stale;
use schemas::reject::RejectReason;
use schemas::{Epoch, PointBatch, TimestampMs};

use crate::given::{FIRST, World, at, hour, labels};

#[test]
fn an_acknowledged_point_is_readable_at_once_and_after_reopening_without_close() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 1.5), (1, 2_000, -0.0), (0, 11_000, f64::INFINITY)]);
    world.agrees(hour(0)).expect("in the head");
    world.reopen();
    world.agrees(hour(0)).expect("replayed");
    world.flush();
    world.agrees(hour(0)).expect("in a run");
    world.reopen();
    world.agrees(hour(0)).expect("in a run, after a start");
}

#[test]
fn replay_keeps_the_order_of_arrival_over_epochs_and_records() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 1.0), (0, 1_000, 2.0)]);
    world.flush();
    world.append(&[(0, 1_000, 3.0)]);
    world.append(&[(0, 1_000, stale()), (0, 2_000, stale())]);
    world.reopen();
    world.append(&[(0, 2_000, 9.0)]);
    world.agrees(hour(0)).expect("the later arrival wins");
    world.reopen();
    world.agrees(hour(0)).expect("also after a second start");
}

#[test]
fn a_correction_downwards_wins_and_a_stale_marker_never_replaces_a_value() {
    let mut world = World::new();
    world.append(&[(0, 1_000, 50.0), (0, 61_000, 7.0)]);
    assert!(world.seal(hour(0)));
    world.append(&[(0, 1_000, 3.0)]);
    world.append(&[(0, 61_000, stale())]);
    world.agrees(hour(0)).expect("over a base, from the head");
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("in the base");
    assert_eq!(world.read(hour(0)).values().copied().map(f64::from_bits).collect::<Vec<_>>(), [3.0, 7.0]);
}

#[test]
fn a_flush_of_nothing_does_nothing_and_epochs_are_never_reused() {
    let mut world = World::new();
    assert_eq!(world.store().flush().expect("flushes"), FlushOutcome::Nothing);
    world.append(&[(0, 1_000, 1.0), (0, 1_000, 1.0)]);
    let first = world.store().flush().expect("flushes");
    let FlushOutcome::Flushed { through, points: 1 } = first else { panic!("{first:?}") };
    world.reopen();
    world.reopen();
    world.append(&[(0, 2_000, 1.0)]);
    let second = world.store().flush().expect("flushes");
    let FlushOutcome::Flushed { through: later, points: 1 } = second else { panic!("{second:?}") };
    assert!(later > through);
}

#[test]
fn points_before_the_intake_floor_are_refused_by_index() {
    let mut world = World::new();
    world.append(&[(0, at(1, 0), 1.0)]);
    world.store().raise_intake_floor(crate::given::CLASS, hour(1)).expect("raises");
    let refused = |world: &World| {
        let mut batch = PointBatch::new();
        let series = batch.add_canonical(labels(0).as_bytes());
        batch.push(series, hour(1).start().0 - 1, 1.0);
        batch.push(series, hour(1).start().0 + 5, 2.0);
        batch.push(series, TimestampMs::MAX.0, 3.0);
        world.store().append(&batch).expect("the good point is taken")
    };
    for _ in 0..2 {
        let appended = refused(&world);
        assert_eq!(appended.accepted, 1);
        let reasons: Vec<(u32, &str)> = appended.rejected_points.iter().map(|(at, why)| (*at, why.code())).collect();
        assert_eq!(reasons, [(0, "too_old"), (2, "invalid_timestamp")]);
        let floor = hour(1).start();
        let told = RejectReason::TooOld { timestamp: TimestampMs(floor.0 - 1), floor };
        assert_eq!(appended.rejected_points[0].1, told);
        assert_eq!(world.store().intake_floor(), floor);
        world.reopen();
    }
}

#[test]
fn a_full_log_is_refused_until_it_is_flushed() {
    let mut world = World::with(|config| config.log_bytes_max = 64);
    world.append(&(0..16).map(|i| (0, i * 1_000, 1.0)).collect::<Vec<_>>());
    let mut batch = PointBatch::new();
    let series = batch.add_canonical(labels(0).as_bytes());
    batch.push(series, FIRST.start().0 + 99_000, 1.0);
    assert!(matches!(world.store().append(&batch), Err(AppendError::Overloaded { .. })));
    assert!(matches!(world.store().flush_due_epochs().expect("flushes"), FlushOutcome::Flushed { points: 16, .. }));
    assert_eq!(world.store().flush_due_epochs().expect("flushes"), FlushOutcome::Nothing);
    assert_eq!(world.store().append(&batch).expect("there is room again").accepted, 1);
}

#[test]
fn an_epoch_is_due_by_age_only_when_it_holds_points() {
    let mut world = World::new();
    let flush_due = |world: &World| world.store().flush_due_epochs().expect("flushes");
    world.clock.advance(3_600_000);
    assert_eq!(flush_due(&world), FlushOutcome::Nothing);
    world.append(&[(0, 0, 1.0)]);
    assert_eq!(flush_due(&world), FlushOutcome::Nothing);
    world.clock.advance(600_000);
    assert_eq!(flush_due(&world), FlushOutcome::Flushed { through: Epoch(1), points: 1 });
}

#[test]
fn a_flush_that_is_due_ends_no_epoch_that_has_just_begun() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    world.reopen();
    world.append(&[(0, 1_000, 2.0)]);
    let flushed = world.store().flush_due_epochs().expect("flushes");
    assert_eq!(flushed, FlushOutcome::Flushed { through: Epoch(1), points: 1 }, "what the start found");
    assert_eq!(world.store().inventory().expect("readable").head_points, 1);
    world.agrees(hour(0)).expect("from a run and the head");
}

#[test]
fn logs_that_starts_find_count_towards_the_bound() {
    const LOG_BYTES_MAX: u64 = 1_024;
    let mut world = World::with(|config| config.log_bytes_max = LOG_BYTES_MAX);
    // Killed again and again before anything is flushed: every life leaves a log behind.
    let mut lives = 0;
    while has_room(&mut world) {
        world.append(&(0..16).map(|i| (0, i * 1_000 + lives, 1.0)).collect::<Vec<_>>());
        world.reopen();
        lives += 1;
        assert!(lives < 100);
    }
    let outstanding = world.store().inventory().expect("readable").log_bytes;
    assert!((2 * LOG_BYTES_MAX..3 * LOG_BYTES_MAX).contains(&outstanding), "{outstanding} bytes in {lives} logs");
    world.flush();
    assert!(has_room(&mut world));
    world.agrees(hour(0)).expect("all of it");
}

/// Whether a point more is taken.
fn has_room(world: &mut World) -> bool {
    let mut batch = PointBatch::new();
    let series = batch.add_canonical(labels(0).as_bytes());
    batch.push(series, FIRST.start().0 + 99_000, 1.0);
    match world.store().append(&batch) {
        Ok(_) => world.remember(&[(0, 99_000, 1.0)]),
        Err(AppendError::Overloaded { .. }) => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

#[test]
fn a_start_flushes_every_log_but_the_newest_before_it_reads_the_next() {
    let flushes = Arc::new(AtomicBool::new(false));
    let mut world = World::with({
        let flushes = Arc::clone(&flushes);
        move |config| config.background_flush = flushes.load(Ordering::SeqCst)
    });
    for life in 0..3 {
        world.append(&[(0, life * 1_000, 1.0), (1, 7, f64::from(u8::try_from(life).expect("small")))]);
        world.reopen();
    }
    assert_eq!(world.store().inventory().expect("readable").checkpoint, Epoch::ZERO, "nobody flushes for the owner");
    flushes.store(true, Ordering::SeqCst);
    world.reopen();
    assert!(world.store().inventory().expect("readable").checkpoint >= Epoch(2));
    world.agrees(hour(0)).expect("from runs and the head");
}

#[test]
fn points_that_do_not_pack_end_an_epoch_by_their_memory() {
    const LOG_BYTES_MAX: u64 = 64 << 10;
    const MONTH_MS: i64 = 30 * schemas::time::DAY_MS;
    let mut world = World::with(|config| config.log_bytes_max = LOG_BYTES_MAX);
    let mut told = Vec::new();
    // To and fro by more than a page can tell.
    for i in 0..1_500 {
        told.extend([(0, i, 1.0), (0, MONTH_MS + i, 2.0)]);
    }
    world.append(&told);
    let held = world.store().inventory().expect("readable");
    assert!(held.log_bytes < LOG_BYTES_MAX, "{held:?}");
    assert!(!has_room(&mut world), "{held:?}");
    assert!(matches!(world.store().flush_due_epochs().expect("flushes"), FlushOutcome::Flushed { points: 3_000, .. }));
    world.agrees(hour(0)).expect("all of it");
}

#[test]
fn a_closed_store_refuses_points_and_still_reads() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0)]);
    world.store().close().expect("closes");
    let mut batch = PointBatch::new();
    let series = batch.add_canonical(labels(0).as_bytes());
    batch.push(series, FIRST.start().0, 2.0);
    assert!(matches!(world.store().append(&batch), Err(AppendError::Unwritable { why: Unwritable::Closed, .. })));
    world.agrees(hour(0)).expect("readable");
    world.reopen();
    world.agrees(hour(0)).expect("readable after a start");
}

#[test]
fn appends_from_many_threads_are_all_there_and_in_one_order() {
    let mut world = World::new();
    let store = Arc::clone(world.store());
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let store = &store;
            scope.spawn(move || {
                for i in 0..50_i64 {
                    let mut batch = PointBatch::new();
                    for series in 0..20 {
                        let entry = batch.add_canonical(labels(thread * 20 + series).as_bytes());
                        batch.push(entry, FIRST.start().0 + i * 1_000, f64::from(u32::try_from(i).expect("small")));
                    }
                    if i == 25 && thread == 0 {
                        store.flush().expect("flushes");
                    }
                    assert_eq!(store.append(&batch).expect("there is room").accepted, 20);
                }
            });
        }
    });
    drop(store);
    let told: Vec<_> = (0..160)
        .flat_map(|series| (0..50_i64).map(move |i| (series, i * 1_000, f64::from(u32::try_from(i).expect("small")))))
        .collect();
    // Repeats change nothing, and teach the model what the threads wrote.
    world.append(&told);
    world.agrees(hour(0)).expect("all of it");
    world.reopen();
    world.agrees(hour(0)).expect("after a start");
}
