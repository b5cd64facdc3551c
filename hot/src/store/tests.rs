use runtime::ManualClock;

use super::*;

fn store(dir: &tempfile::TempDir) -> Arc<Store> {
    let mut config = StoreConfig::new(dir.path().join("hot"));
    config.background_flush = false;
    Store::open(config, Arc::new(ManualClock::at(0))).expect("opens")
}

fn one_point() -> PointBatch {
    let mut batch = PointBatch::new();
    let series = batch.add_canonical(schemas::Labels::new([("__name__", "up")]).expect("valid").as_bytes());
    batch.push(series, 1_000, 1.0);
    batch
}

/// Waits for the end of a thread, and returns whether it died.
fn died(store: &Store, name: &str) -> bool {
    let mut threads = store.threads.lock();
    let at = threads.iter().position(|thread| thread.thread().name() == Some(name)).expect("it began");
    threads.remove(at).join().is_err()
}

#[test]
fn a_store_whose_committer_dies_takes_no_points_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    assert_eq!(store.append(&one_point()).expect("taken").accepted, 1);
    assert_eq!(store.check_writable(), Ok(()));
    // The log is gone under the committer, which cannot be.
    let log = Family::Log(store.view().active_epoch());
    store.core.engine.drop_family(log).expect("dropped");
    let refused = store.append(&one_point());
    assert!(matches!(refused, Err(AppendError::Unwritable { why: Unwritable::Closed, .. })), "{refused:?}");
    assert!(died(&store, "hot-commit"));
    assert_eq!(store.check_writable(), Err(Unwritable::Closed));
}

#[test]
fn a_store_whose_other_threads_die_takes_no_points_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    store.spawn("for-a-test", |_| panic!("as a test wants it")).expect("begins");
    assert!(died(&store, "for-a-test"));
    assert_eq!(store.check_writable(), Err(Unwritable::Closed));
    assert!(matches!(store.append(&one_point()), Err(AppendError::Unwritable { why: Unwritable::Closed, .. })));
}
