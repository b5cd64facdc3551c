//! Positions beside the tables.

use std::collections::BTreeSet;

use schemas::{Offsets, TopicPartition};

use crate::faults::{FaultStore, PutFault};
use crate::support::*;

fn offsets(of: &[(i32, i64)]) -> Offsets {
    of.iter().map(|&(partition, next)| (TopicPartition::new("metrics", partition), next)).collect()
}

async fn told(archive: &cold::Archive, node: &str) -> Vec<(String, u64, Offsets)> {
    let positions = archive.positions(node).await.expect("readable");
    positions.into_iter().map(|position| (position.incarnation, position.seq, position.offsets)).collect()
}

#[tokio::test]
async fn positions_only_advance_and_the_last_few_are_kept() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    assert!(!archive.record_position(&Offsets::new()).await.expect("nothing to say"));
    assert_eq!(given.files("_thermocline/nodes"), Vec::<String>::new());
    for next in 1..=6 {
        assert!(archive.record_position(&offsets(&[(0, next * 10), (1, 5)])).await.expect("told"));
    }
    assert!(!archive.record_position(&offsets(&[(0, 40)])).await.expect("told"), "less than is known");
    assert!(archive.record_position(&offsets(&[(2, 7)])).await.expect("told"));
    assert_eq!(told(&archive, "a").await, [("a-1".to_owned(), 7, offsets(&[(0, 60), (1, 5), (2, 7)]))]);
    let kept = given.files("_thermocline/nodes/a/a-1");
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept[2].ends_with("/position-00000000000000000007.json"), "{kept:?}");
    // Another process of the same incarnation goes on with the numbers and with what was told.
    let again = given.archive("a").await;
    assert!(!again.record_position(&offsets(&[(1, 5)])).await.expect("told"));
    assert!(again.record_position(&offsets(&[(1, 6)])).await.expect("told"));
    assert_eq!(told(&archive, "a").await, [("a-1".to_owned(), 8, offsets(&[(0, 60), (1, 6), (2, 7)]))]);
}

#[tokio::test]
async fn each_incarnation_of_a_node_has_its_own_and_other_nodes_are_not_asked() {
    let given = Given::a_directory();
    let (a1, a2, b) = (given.archive("a").await, given.archive_of("a", "a-2").await, given.archive("b").await);
    a1.record_position(&offsets(&[(0, 10)])).await.expect("told");
    b.record_position(&offsets(&[(0, 99)])).await.expect("told");
    a2.follow(&offsets(&[(0, 10)]), BTreeSet::from(["a-1".to_owned()])).await.expect("told");
    a2.record_position(&offsets(&[(0, 30)])).await.expect("told");
    let expected = [("a-1".to_owned(), 1, offsets(&[(0, 10)])), ("a-2".to_owned(), 2, offsets(&[(0, 30)]))];
    assert_eq!(told(&b, "a").await, expected);
    assert_eq!(told(&a1, "c").await, []);
    let recovery = given.archive_of("a", "a-3").await.recovery().await.expect("readable");
    assert_eq!(recovery.start, offsets(&[(0, 30)]), "a-1 is followed");
    assert_eq!(recovery.follows, BTreeSet::from(["a-1".to_owned(), "a-2".to_owned()]));
    assert_eq!(a1.resumed_recovery().await.expect("readable"), None, "a-1 began with nobody's");
    let resumed = a2.resumed_recovery().await.expect("readable").expect("a-2 follows a-1");
    assert_eq!(resumed.start, offsets(&[(0, 30)]));
}

#[tokio::test]
async fn a_position_whose_reply_was_lost_is_told_again_under_another_number() {
    let given = Given::a_directory();
    let mut faults = vec![PutFault::MeetItself, PutFault::LoseReply, PutFault::Refuse];
    let faulty = |store| {
        FaultStore::around(store)
            .fail_put(move |path| if path.as_ref().contains("/nodes/") { faults.pop() } else { None })
    };
    let archive = given.archive_through("a", faulty).await.expect("opens");
    for _ in 0..2 {
        let failed = archive.record_position(&offsets(&[(0, 10)])).await.expect_err("the store does not answer");
        assert!(failed.is_retryable() && failed.is_unavailable(), "{failed}");
    }
    // The second of these took effect: it is found, and there is nothing new to say.
    assert!(!archive.record_position(&offsets(&[(0, 10)])).await.expect("told"));
    assert!(archive.record_position(&offsets(&[(0, 11)])).await.expect("told"), "its own retry met the first");
    assert_eq!(told(&archive, "a").await, [("a-1".to_owned(), 3, offsets(&[(0, 11)]))]);
}

#[tokio::test]
async fn a_damaged_or_newer_position_is_an_error_and_never_a_guess() {
    let given = Given::a_directory();
    let archive = given.archive("a").await;
    archive.record_position(&offsets(&[(0, 10)])).await.expect("told");
    let path = &given.files("_thermocline/nodes")[0];
    let other = r#"{"v":1,"node":"b","incarnation":"a-1","seq":1,"offsets":{}}"#;
    for text in ["{", r#"{"v":2}"#, other] {
        std::fs::write(path, text).expect("writable");
        let refused = archive.positions("a").await.expect_err("not to be used");
        assert!(matches!(refused, cold::ColdError::Damaged { .. }), "{refused}");
    }
}
