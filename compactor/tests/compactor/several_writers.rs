//! Several writers of one hour, end to end: stores, seals, archive jobs.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::tier_map::{Form, Owner};
use schemas::{Hour, Labels, Resolution};

use crate::given::*;

/// The value that every writer has for a moment of a series: who commits later then plays no part.
fn value_at(labels: &Labels, at: i64) -> f64 {
    let mixed = labels.hash().series_id().0.wrapping_mul(31).wrapping_add(at);
    f64::from(i32::try_from(mixed.rem_euclid(1_000)).expect("small")) / 4.0
}

fn told(labels: &Labels, hour: Hour, seconds: impl IntoIterator<Item = i64>) -> Vec<(Labels, i64, f64)> {
    let at = |second: i64| hour.start().0 + second * 1_000;
    seconds.into_iter().map(|second| (labels.clone(), at(second), value_at(labels, at(second)))).collect()
}

fn append(node: &Node, told: &[(Labels, i64, f64)]) {
    let told: Vec<_> = told.iter().map(|(labels, at, value)| (labels, *at, *value)).collect();
    node.append(&told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_whose_assignment_changed_is_united_though_both_archive_it_at_once() {
    let mut given = Given::an_archive();
    let (a, b) = (given.node("a").await, given.node("b").await);
    let (both, only_a, only_b) = (series("cpu", "both"), series("cpu", "a"), series("mem", "b"));
    let of_a = [told(&both, hour(0), (0..1_800).step_by(10)), told(&only_a, hour(0), 0..5)].concat();
    let of_b = [told(&both, hour(0), (1_750..3_600).step_by(10)), told(&only_b, hour(0), 0..5)].concat();
    append(&a, &of_a);
    append(&b, &of_b);
    given.move_to(hour(2));
    tokio::join!(a.settle(), b.settle());
    let model = model_of(of_a.iter().chain(&of_b));
    assert_eq!(read_whole(given.reader().await.as_ref()).await, model);
    for node in [&a, &b] {
        assert!(node.store.view().map().is_archived(CLASS, hour(0)));
    }
    // Late points of series that only the other knows, and of its own.
    let late = told(&only_a, hour(0), [77, 78]);
    append(&b, &late);
    b.settle().await;
    assert_eq!(read_whole(&a.archive).await, model_of(of_a.iter().chain(&of_b).chain(&late)));
    // Nothing is left to do, and nothing is done.
    let before = a.archive.versions();
    a.settle().await;
    assert_eq!(a.archive.versions(), before);
}

/// An hour that an earlier disk of the node archived whole; then a new disk gets late points for it, at a time when
/// Delta owns chunks of dense metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_disk_on_an_old_archive_seals_old_hours_and_takes_nothing_away() {
    let mut given = Given::an_archive();
    let (known, unknown, touched) = (series("cpu", "known"), series("cpu", "unknown"), series("mem", "touched"));
    let old = given.node("a").await;
    let archived: Vec<_> = [&known, &unknown, &touched]
        .into_iter()
        .flat_map(|labels| told(labels, hour(0), (0..3_600).step_by(10)))
        .collect();
    append(&old, &archived);
    given.move_to(hour(2));
    old.settle().await;
    drop(old);

    let new = given.node("a").await;
    // Its index knows one of the old series, of another hour.
    append(&new, &told(&known, hour(1), 0..3));
    given.move_to(hour(4));
    new.settle().await;
    new.retain().await;
    let owner = |form| new.store.view().map().owner(CLASS, form, Resolution::Raw, hour(0));
    assert_eq!((owner(Form::Raw), owner(Form::Raw1m)), (Owner::Cold, Owner::Local), "half of it is Delta's");
    let late = told(&touched, hour(0), [1_234, 1_235]);
    append(&new, &late);
    new.seal().await;
    new.archive().await;
    let all = [archived, told(&known, hour(1), 0..3), late].concat();
    assert_eq!(read_whole(&new.archive).await, model_of(&all));
    // And once Delta owns all of it.
    given.move_to(hour(8));
    new.retain().await;
    assert_eq!(new.store.view().map().owner(CLASS, Form::Raw1m, Resolution::Raw, hour(0)), Owner::Cold);
    let later = told(&unknown, hour(0), [77]);
    append(&new, &later);
    new.settle().await;
    assert_eq!(read_whole(&new.archive).await, model_of(all.iter().chain(&later)));
}

/// A node of the random story, and what it has that the archive may lack.
struct Member {
    name: &'static str,
    node: Node,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_come_and_go_leave_every_point_in_the_archive_once() {
    let mut rng = StdRng::seed_from_u64(kit::seed());
    let mut given = Given::an_archive();
    let mut members = Vec::new();
    for name in ["a", "b"] {
        members.push(Member { name, node: given.node(name).await });
    }
    let fleet: Vec<Labels> =
        ["cpu", "mem"].into_iter().flat_map(|metric| ["u", "v", "w"].map(|host| series(metric, host))).collect();
    let mut all = Vec::new();
    let mut now = 1;
    for step in 0..60 {
        let at = rng.random_range(0..members.len());
        match rng.random_range(0..10) {
            0..=3 => {
                let hour = hour(rng.random_range(now.max(6) - 6..now));
                let labels = &fleet[rng.random_range(0..fleet.len())];
                let start = rng.random_range(0..3_500);
                let told = told(labels, hour, (start..3_600).step_by(rng.random_range(7..400)).take(20));
                append(&members[at].node, &told);
                all.extend(told);
            }
            4 => members[at].node.seal().await,
            5 => {
                let [one, other] = &members[..] else { unreachable!("there are two") };
                tokio::join!(one.node.settle(), other.node.settle());
            }
            6 => members[at].node.archive().await,
            7 => members[at].node.retain().await,
            8 => {
                now += 1;
                given.move_to(hour(now));
            }
            _ => {
                // A disk is lost when all that was on it has been archived.
                members[at].node.settle().await;
                let name = members[at].name;
                members[at].node = given.node(name).await;
            }
        }
        if step % 10 == 9 {
            for member in &members {
                member.node.settle().await;
            }
            assert_eq!(read_whole(given.reader().await.as_ref()).await, model_of(&all), "after step {step}");
        }
    }
}
