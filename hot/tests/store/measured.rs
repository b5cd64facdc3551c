//! What the store tells of itself at `/metrics`.

use runtime::metrics::encoding::text::encode;
use runtime::metrics::registry::Registry;

use crate::given::{World, at, hour};

/// The value of a metric without labels.
fn metric(world: &World, name: &str) -> f64 {
    let mut registry = Registry::default();
    world.store().register_metrics(&mut registry);
    world.store().refresh_metrics();
    let mut text = String::new();
    encode(&mut text, &registry).expect("renders");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[test]
fn rocksdb_is_measured() {
    let mut world = World::new();
    world.append(&(0..100).map(|i| (0, i * 10_000, 1.0)).collect::<Vec<_>>());
    assert!(metric(&world, "rocksdb_memtable_bytes") > 0.0);
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("reads blocks");
    let inventory = world.store().inventory().expect("readable");
    let files: u64 = inventory.families.iter().map(|family| family.files).sum();
    assert!(files > 0);
    #[expect(clippy::cast_precision_loss, reason = "a few files")]
    let files = files as f64;
    assert_eq!(metric(&world, "rocksdb_live_sst_files").to_bits(), files.to_bits());
    #[expect(clippy::cast_precision_loss, reason = "a few families")]
    let families = inventory.families.len() as f64;
    assert_eq!(metric(&world, "rocksdb_families").to_bits(), families.to_bits());
    assert!(metric(&world, "rocksdb_live_sst_bytes") > 0.0);
    assert!(metric(&world, "rocksdb_block_cache_usage_bytes") > 0.0);
    assert_eq!(metric(&world, "rocksdb_block_cache_capacity_bytes").to_bits(), f64::from(1 << 20).to_bits());
    for quiet in ["pending_compaction_bytes", "writes_slowed", "writes_stopped", "background_errors"] {
        assert_eq!(metric(&world, &format!("rocksdb_{quiet}")).to_bits(), 0.0_f64.to_bits(), "{quiet}");
    }
}

#[test]
fn what_goes_is_counted() {
    let mut world = World::new();
    world.append(&[(0, 0, 1.0), (1, at(200, 0), 1.0)]);
    assert!(world.seal(hour(0)) && world.seal(hour(200)));
    world.raise(hour(200), hour(200));
    let dropped = world.store().drop_unowned().expect("drops");
    assert_eq!((dropped.families.len(), dropped.runs.len(), dropped.series_forgotten), (2, 1, 1), "{dropped:?}");
    let counted = ["dropped_families", "dropped_runs", "forgotten_series", "dropped_class_ranges", "run_merges"]
        .map(|name| metric(&world, &format!("hot_{name}_total")).to_bits());
    assert_eq!(counted, [2.0, 1.0, 1.0, 0.0, 0.0].map(f64::to_bits));
    for i in 0..9 {
        world.append(&[(0, at(200, i), 1.0)]);
        world.flush();
    }
    world.store().merge_runs().expect("merges");
    assert_eq!(metric(&world, "hot_run_merges_total").to_bits(), 1.0_f64.to_bits());
}
