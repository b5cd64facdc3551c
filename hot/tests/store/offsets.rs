//! Kafka's offsets are as durable as the points that they came with (OFF-1), and are known by epoch.

use hot::{SourceOffsets, Store};
use schemas::{Offsets, PointBatch, TopicPartition};

use crate::given::{FIRST, World, hour, labels};

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("metrics", number)
}

fn offsets(of: &[(i32, i64)]) -> Offsets {
    of.iter().map(|&(number, next)| (partition(number), next)).collect()
}

/// One message: a point at `at` ms, and the offset behind it.
fn message(world: &mut World, at: i64, value: f64, next: &[(i32, i64)]) {
    let mut batch = PointBatch::new();
    let series = batch.add_canonical(labels(0).as_bytes());
    batch.push(series, FIRST.start().0 + at, value);
    let source = SourceOffsets { next: offsets(next), archived: true };
    assert_eq!(world.store().append_from(&batch, &source).expect("there is room").accepted, 1);
    world.remember(&[(0, at, value)]);
}

fn stored(store: &Store) -> Offsets {
    store.kafka_offsets()
}

#[test]
fn offsets_survive_a_crash_with_their_points_and_never_without() {
    let mut world = World::new();
    message(&mut world, 1, 1.0, &[(0, 10)]);
    message(&mut world, 2, 2.0, &[(0, 11), (1, 5)]);
    world.reopen();
    assert_eq!(stored(world.store()), offsets(&[(0, 11), (1, 5)]));
    world.agrees(hour(0)).expect("the points are there as well");
    world.flush();
    message(&mut world, 3, 3.0, &[(0, 12)]);
    world.reopen();
    assert_eq!(stored(world.store()), offsets(&[(0, 12), (1, 5)]));
    world.agrees(hour(0)).expect("the points of both epochs");
}

#[test]
fn offsets_of_messages_without_points_are_kept_as_well() {
    let mut world = World::new();
    let source = SourceOffsets { next: offsets(&[(3, 7)]), archived: true };
    world.store().append_from(&PointBatch::new(), &source).expect("nothing to refuse");
    world.reopen();
    assert_eq!(stored(world.store()), offsets(&[(3, 7)]));
}

#[test]
fn an_epoch_knows_what_was_in_by_its_end() {
    let mut world = World::new();
    message(&mut world, 1, 1.0, &[(0, 10)]);
    let first = world.store().view().active_epoch();
    world.flush();
    message(&mut world, 2, 2.0, &[(0, 20), (1, 1)]);
    let second = world.store().view().active_epoch();
    world.flush();
    message(&mut world, 3, 3.0, &[(0, 30)]);
    world.reopen();
    let through = |epoch| world.store().kafka_offsets_through(epoch);
    assert_eq!(through(first), offsets(&[(0, 10)]));
    assert_eq!(through(second), offsets(&[(0, 20), (1, 1)]));
    assert_eq!(through(world.store().view().active_epoch()), offsets(&[(0, 30), (1, 1)]));
}

#[test]
fn old_epochs_are_forgotten_once_their_points_are_sealed_and_archived() {
    let mut world = World::new();
    for n in 0..5 {
        message(&mut world, n, 1.0, &[(0, n + 1)]);
        world.flush();
    }
    let checkpoint = world.store().view().checkpoint();
    world.seal(hour(0));
    world.archive(hour(0));
    world.store().drop_unowned().expect("drops runs, and what was known of their epochs");
    assert_eq!(world.store().kafka_offsets_through(checkpoint), offsets(&[(0, 5)]));
    assert_eq!(world.store().kafka_offsets_through(schemas::Epoch(1)), Offsets::new(), "nobody can ask any more");
    world.reopen();
    assert_eq!(stored(world.store()), offsets(&[(0, 5)]));
}
