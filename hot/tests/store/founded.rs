//! A store that begins where an archive ends.

use std::path::Path;
use std::sync::Arc;

use hot::{FoundSeries, Founding, HotError, Store, StoreConfig};
use runtime::{Clock, ManualClock};
use schemas::tier_map::{DeltaVersions, Form, Owner};
use schemas::{Day, Epoch, Hour, LabelMatcher, Labels, Offsets, PointBatch, Resolution, TimeRange, TopicPartition};

use crate::given::{CLASS, FIRST};

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(FIRST.start().0))
}

fn config(dir: &Path) -> StoreConfig {
    StoreConfig { background_flush: false, block_cache_bytes: 1 << 20, ..StoreConfig::new(dir.join("hot")) }
}

fn labels(host: &str) -> Labels {
    Labels::new([("__name__", "cpu"), ("host", host)]).expect("valid")
}

/// Two series: one of three days, one of the last day.
fn founding() -> Founding {
    let today = FIRST.day();
    let of = |host: &str, first: u32| FoundSeries { labels: labels(host), first: Day(first), last: today };
    Founding {
        first_hour: FIRST,
        versions: DeltaVersions { raw: Some(7), ..DeltaVersions::default() },
        series: vec![of("new", today.0), of("old", today.0 - 2)],
        start: [(TopicPartition::new("metrics", 3), 57)].into_iter().collect(),
    }
}

fn found(dir: &Path) -> Result<String, HotError> {
    let mut told = String::new();
    Store::found_on_archive(&config(dir), clock(), &founding(), &mut |incarnation| {
        assert!(!dir.join("hot").exists(), "told before it is there");
        incarnation.clone_into(&mut told);
        Ok(())
    })?;
    Ok(told)
}

fn hosts(store: &Store, within: TimeRange) -> Vec<String> {
    let found = store.index().select(&[LabelMatcher::equal("__name__", "cpu")], Some(within), 10).expect("few");
    let mut hosts: Vec<String> =
        found.iter().map(|info| info.labels.get("host").unwrap_or_default().to_owned()).collect();
    hosts.sort();
    hosts
}

#[test]
fn it_owns_nothing_that_is_archived_and_knows_its_series_and_offsets() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let incarnation = found(home.path()).expect("founded");
    // Also by limits that would not let so many series in at once.
    let mut config = config(home.path());
    config.limits.new_per_day = 1;
    for _ in 0..2 {
        let store = Store::open(config.clone(), clock()).expect("opens");
        assert_eq!(store.incarnation(), incarnation);
        let view = store.view();
        assert_eq!(view.map().delta.raw, Some(7));
        for form in Form::ALL {
            for resolution in Resolution::ALL {
                let owner = |hour| view.map().owner(CLASS, form, resolution, hour);
                assert_eq!((owner(Hour(0)), owner(Hour(FIRST.0 - 1))), (Owner::Cold, Owner::Cold));
                assert_eq!(owner(FIRST), Owner::Local);
            }
        }
        assert_eq!(hosts(&store, FIRST.range()), ["new", "old"]);
        assert_eq!(hosts(&store, Hour(FIRST.0 - 1).range()), ["old"]);
        assert_eq!(hosts(&store, Hour(FIRST.0 - 49).range()), Vec::<String>::new());
        let start: Offsets = [(TopicPartition::new("metrics", 3), 57)].into_iter().collect();
        assert_eq!(store.kafka_offsets(), start);
        assert_eq!(store.kafka_offsets_through(Epoch::ZERO), start);
        store.close().expect("closes");
    }
    let store = Store::open(config, clock()).expect("opens");
    let mut batch = PointBatch::new();
    let entry = batch.add_canonical(labels("old").as_bytes());
    batch.push(entry, FIRST.start().0 - 5_000, 1.0);
    assert_eq!(store.append(&batch).expect("there is room").accepted, 1, "late data of a known series");
}

#[test]
fn it_appears_whole_or_not_at_all() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let refused = Store::found_on_archive(&config(home.path()), clock(), &founding(), &mut |_| Err("away".into()));
    assert!(matches!(refused, Err(HotError::Caller { .. })), "{refused:?}");
    assert!(!home.path().join("hot").exists());
    // What that left beside it is no obstacle; an empty directory in its place is none either.
    std::fs::create_dir(home.path().join("hot")).expect("writable");
    Store::found_on_archive(&config(home.path()), clock(), &founding(), &mut |_| Ok(())).expect("founded");
    let names: Vec<_> = std::fs::read_dir(home.path()).expect("readable").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["hot"]);
}

#[test]
fn a_directory_with_a_store_is_left_alone() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let incarnation = found(home.path()).expect("founded");
    let refused = Store::found_on_archive(&config(home.path()), clock(), &founding(), &mut |_| Ok(()));
    assert!(matches!(refused, Err(HotError::Io { .. })), "{refused:?}");
    let store = Store::open(config(home.path()), clock()).expect("opens");
    assert_eq!(store.incarnation(), incarnation);
}
