//! A node that loses its disk goes on where its archive ends, and reads from Kafka what is not in it.

use std::collections::{BTreeMap, BTreeSet};

use cold::Recovery;
use hot::SourceOffsets;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::tier_map::{Form, Owner};
use schemas::{Hour, LabelMatcher, Labels, Offsets, PointBatch, Resolution, TimestampMs, TopicPartition};

use crate::given::*;

/// What Kafka keeps: partitions of one topic, a point a message.
#[derive(Default)]
struct Kafka {
    partitions: Vec<Vec<(Labels, i64, f64)>>,
}

impl Kafka {
    fn of(partitions: usize) -> Self {
        Self { partitions: vec![Vec::new(); partitions] }
    }

    fn produce(&mut self, partition: usize, labels: &Labels, at: i64) {
        // One value a moment: what is read twice is the same.
        let value = labels.hash().series_id().0.wrapping_mul(31).wrapping_add(at).rem_euclid(1_000);
        self.partitions[partition].push((labels.clone(), at, f64::from(i32::try_from(value).expect("small")) / 4.0));
    }

    fn all(&self) -> Read {
        model_of(self.partitions.iter().flatten())
    }
}

fn partition(number: usize) -> TopicPartition {
    TopicPartition::new("metrics", i32::try_from(number).expect("small"))
}

fn offsets(of: &[(usize, i64)]) -> Offsets {
    of.iter().map(|&(number, next)| (partition(number), next)).collect()
}

fn hour_of(at: i64) -> Hour {
    Hour::containing(TimestampMs(at))
}

/// Takes in up to `most` messages of a partition, as a consumer does; says how many points were new.
fn consume(node: &Node, kafka: &Kafka, number: usize, most: usize, recovery: &Recovery) -> usize {
    let of = partition(number);
    let from = node.store.kafka_offsets().get(&of).unwrap_or(0);
    let messages = kafka.partitions[number].iter().enumerate();
    let messages = messages.skip(usize::try_from(from).expect("small")).take(most);
    let (mut batch, mut entries) = (PointBatch::new(), BTreeMap::new());
    let (mut next, mut taken) = (from, 0);
    for (offset, (labels, at, value)) in messages {
        let offset = i64::try_from(offset).expect("small");
        next = offset + 1;
        if !recovery.has(hour_of(*at), &of, offset) {
            let entry = *entries.entry(labels).or_insert_with(|| batch.add_canonical(labels.as_bytes()));
            batch.push(entry, *at, *value);
            taken += 1;
        }
    }
    let next = offsets(&[(number, next)]);
    let appended = node.store.append_from(&batch, &SourceOffsets { next, archived: true }).expect("there is room");
    assert_eq!(appended.accepted, taken as u64, "{appended:?}");
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_disk_reads_again_only_what_was_not_archived() {
    let mut given = Given::an_archive();
    let mut kafka = Kafka::of(1);
    let node = given.node("a").await;
    let [old, running] = ["old", "running"].map(|host| series("cpu", host));
    for second in 0..100 {
        kafka.produce(0, &old, hour(0).start().0 + second * 1_000);
    }
    assert_eq!(consume(&node, &kafka, 0, 1_000, &Recovery::default()), 100);
    given.move_to(hour(2));
    node.settle().await;
    let told = node.archive.positions("a").await.expect("readable");
    assert_eq!(told.iter().map(|position| &position.offsets).collect::<Vec<_>>(), [&offsets(&[(0, 100)])]);
    // Points of the running hour, and a late one of the archived hour, are on the disk only.
    for second in 0..50 {
        kafka.produce(0, &running, hour(2).start().0 + second * 1_000);
    }
    kafka.produce(0, &old, hour(0).start().0 + 777_000);
    assert_eq!(consume(&node, &kafka, 0, 1_000, &Recovery::default()), 51);
    let lost = node.store.incarnation().to_owned();
    drop(node);

    let (node, recovery) = given.recovered_node("a").await;
    assert_eq!((&recovery.start, recovery.last_hour), (&offsets(&[(0, 100)]), Some(hour(0))));
    assert_eq!(recovery.follows, BTreeSet::from([lost]));
    assert_eq!(node.store.kafka_offsets(), recovery.start);
    for form in Form::ALL {
        for resolution in Resolution::ALL {
            let view = node.store.view();
            let owner = |hour| view.map().owner(CLASS, form, resolution, hour);
            assert_eq!((owner(hour(0)), owner(hour(1))), (Owner::Cold, Owner::Local));
        }
    }
    let known = node.store.index().select(&[LabelMatcher::equal("host", "old")], Some(hour(0).range()), 10);
    assert_eq!(known.expect("few").len(), 1, "queries find the series of the archive");
    assert_eq!(consume(&node, &kafka, 0, 1_000, &recovery), 51);
    given.move_to(hour(4));
    node.settle().await;
    assert_eq!(read_whole(&node.archive).await, kafka.all());
    // And again: the new incarnation's position stands for both.
    drop(node);
    let (_, recovery) = given.recovered_node("a").await;
    assert_eq!((recovery.start, recovery.follows.len()), (offsets(&[(0, 151)]), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_of_an_archived_hour_are_skipped_where_their_file_says_so() {
    let mut given = Given::an_archive();
    let mut kafka = Kafka::of(1);
    let node = given.node("a").await;
    let labels = series("cpu", "x");
    // Messages of two hours in turn: the running one holds the position back.
    for second in 0..60 {
        kafka.produce(0, &labels, hour(second % 2).start().0 + i64::from(second) * 1_000);
    }
    assert_eq!(consume(&node, &kafka, 0, 40, &Recovery::default()), 40);
    node.settle().await;
    assert_eq!(node.archive.positions("a").await.expect("readable"), [], "nothing is certain of any offset");
    drop(node);
    let (node, recovery) = given.recovered_node("a").await;
    assert_eq!(recovery.start, Offsets::new());
    assert!(recovery.has(hour(0), &partition(0), 39) && !recovery.has(hour(0), &partition(0), 40));
    assert!(!recovery.has(hour(1), &partition(0), 1) && !recovery.has(hour(0), &partition(1), 1));
    assert_eq!(consume(&node, &kafka, 0, 1_000, &recovery), 40, "20 of the running hour, and 20 that nobody had read");
    given.move_to(hour(3));
    node.settle().await;
    assert_eq!(read_whole(&node.archive).await, kafka.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nodes_offsets_do_not_stand_for_what_was_lost() {
    let mut given = Given::an_archive();
    let mut kafka = Kafka::of(1);
    let (a, b) = (given.node("a").await, given.node("b").await);
    let labels = series("cpu", "x");
    for second in 0..60 {
        kafka.produce(0, &labels, hour(0).start().0 + second * 1_000);
    }
    // The partition moves from a to b within the hour; b archives, a does not come to it.
    assert_eq!(consume(&a, &kafka, 0, 30, &Recovery::default()), 30);
    b.store
        .append_from(&PointBatch::new(), &SourceOffsets { next: offsets(&[(0, 30)]), archived: true })
        .expect("there is room");
    assert_eq!(consume(&b, &kafka, 0, 30, &Recovery::default()), 30);
    given.move_to(hour(2));
    b.settle().await;
    drop(a);
    let (a, recovery) = given.recovered_node("a").await;
    assert!(!recovery.has(hour(0), &partition(0), 5), "b's file says 60, and b never saw it");
    assert_eq!(consume(&a, &kafka, 0, 1_000, &recovery), 60);
    a.settle().await;
    assert_eq!(read_whole(&a.archive).await, kafka.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_lost_every_message_ends_up_in_the_archive_once() {
    let mut rng = StdRng::seed_from_u64(kit::seed());
    let mut given = Given::an_archive();
    let mut kafka = Kafka::of(2);
    let mut node = given.node("a").await;
    let mut recovery = Recovery::default();
    let fleet: Vec<Labels> = ["u", "v", "w"].map(|host| series("cpu", host)).to_vec();
    let mut now = 1;
    let (mut losses, mut began_later) = (0, 0);
    for step in 0..60 {
        match rng.random_range(0..12) {
            0..=2 => {
                for _ in 0..rng.random_range(1..60) {
                    let hour = hour(if rng.random_bool(0.7) { now - 1 } else { rng.random_range(0..now) });
                    let at = hour.start().0 + rng.random_range(0..3_600_000);
                    kafka.produce(rng.random_range(0..2), &fleet[rng.random_range(0..3)], at);
                }
            }
            3 | 4 => {
                consume(&node, &kafka, rng.random_range(0..2), rng.random_range(1..90), &recovery);
            }
            5 => drop(node.compactor.flush_now().await.expect("flushes")),
            6 => node.seal().await,
            7 => node.archive().await,
            8 => node.retain().await,
            9 => {
                now += 1;
                given.move_to(hour(now));
            }
            10 => {
                node = node.restarted(&given).await;
                recovery = node.archive.resumed_recovery().await.expect("readable").unwrap_or_default();
            }
            _ => {
                drop(node);
                (node, recovery) = given.recovered_node("a").await;
                losses += 1;
                began_later += usize::from(!recovery.start.is_empty());
            }
        }
        if step % 15 == 14 {
            for number in 0..2 {
                consume(&node, &kafka, number, usize::MAX, &recovery);
            }
            now += 2;
            given.move_to(hour(now));
            node.settle().await;
            assert_eq!(read_whole(given.reader().await.as_ref()).await, kafka.all(), "after step {step}");
        }
    }
    eprintln!("{losses} disks were lost, {began_later} times the beginning was not read again");
}

/// A group of two nodes: who has which partition, and how far the group has committed it.
struct Group {
    owners: [usize; 2],
    committed: [i64; 2],
}

/// A member: its process, and what it must skip since its disk was lost.
struct Member {
    name: &'static str,
    node: Node,
    recovery: Recovery,
}

impl Member {
    /// Takes in up to `most` messages of a partition that it was given: from the larger of what it has and what the group has.
    fn consume(&self, kafka: &Kafka, group: &Group, number: usize, most: usize) {
        let (of, committed) = (partition(number), group.committed[number]);
        if self.node.store.kafka_offsets().get(&of).unwrap_or(0) < committed {
            let next = offsets(&[(number, committed)]);
            let source = SourceOffsets { next, archived: true };
            self.node.store.append_from(&PointBatch::new(), &source).expect("there is room");
        }
        consume(&self.node, kafka, number, most, &self.recovery);
    }

    /// What the group may be told: what survives a power loss.
    fn commit(&self, group: &mut Group, number: usize) {
        self.node.store.sync_log().expect("synced");
        let own = self.node.store.kafka_offsets().get(&partition(number)).unwrap_or(0);
        group.committed[number] = group.committed[number].max(own);
    }

    /// Loses its disk; then reads all partitions again, whoever has them, before it is a member like any other.
    async fn lose_disk(&mut self, given: &mut Given, kafka: &Kafka) {
        (self.node, self.recovery) = given.recovered_node(self.name).await;
        for number in 0..kafka.partitions.len() {
            consume(&self.node, kafka, number, usize::MAX, &self.recovery);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_share_partitions_and_lose_their_disks_leave_every_message_once() {
    let mut rng = StdRng::seed_from_u64(kit::seed());
    let mut given = Given::an_archive();
    let mut kafka = Kafka::of(2);
    let mut group = Group { owners: [0, 1], committed: [0, 0] };
    let mut members = Vec::new();
    for name in ["a", "b"] {
        members.push(Member { name, node: given.node(name).await, recovery: Recovery::default() });
    }
    let fleet: Vec<Labels> = ["u", "v", "w"].map(|host| series("cpu", host)).to_vec();
    let mut now = 1;
    for step in 0..60 {
        let (one, number) = (rng.random_range(0..2), rng.random_range(0..2));
        match rng.random_range(0..13) {
            0..=2 => {
                for _ in 0..rng.random_range(1..60) {
                    let hour = hour(if rng.random_bool(0.7) { now - 1 } else { rng.random_range(0..now) });
                    let at = hour.start().0 + rng.random_range(0..3_600_000);
                    kafka.produce(rng.random_range(0..2), &fleet[rng.random_range(0..3)], at);
                }
            }
            3 | 4 => members[group.owners[number]].consume(&kafka, &group, number, rng.random_range(1..90)),
            5 => members[group.owners[number]].commit(&mut group, number),
            6 => {
                // Handed over in order: what was read is committed.
                members[group.owners[number]].commit(&mut group, number);
                group.owners[number] = 1 - group.owners[number];
            }
            7 => drop(members[one].node.compactor.flush_now().await.expect("flushes")),
            8 => members[one].node.seal().await,
            9 => {
                let [a, b] = &members[..] else { unreachable!("there are two") };
                tokio::join!(a.node.archive(), b.node.archive());
            }
            10 => members[one].node.retain().await,
            11 => {
                now += 1;
                given.move_to(hour(now));
            }
            _ => {
                // The other one takes over what the group knows of.
                group.owners = [1 - one; 2];
                members[one].lose_disk(&mut given, &kafka).await;
            }
        }
        if step % 20 == 19 {
            now += 2;
            given.move_to(hour(now));
            for number in 0..2 {
                members[group.owners[number]].consume(&kafka, &group, number, usize::MAX);
            }
            for member in &members {
                member.node.settle().await;
            }
            assert_eq!(read_whole(given.reader().await.as_ref()).await, kafka.all(), "after step {step}");
        }
    }
}
