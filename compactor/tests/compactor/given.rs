//! Nodes with their own disks on one archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cold::{Archive, ArchiveConfig, ColdSelection, ReadCounters, Recovery, SeriesEntry};
use compactor::plan::SealTiming;
use compactor::{Compactor, Settings};
use futures::TryStreamExt;
use hot::{FoundSeries, Founding, Store, StoreConfig};
use runtime::{Clock, CpuPool, ManualClock};
use schemas::rollup::{BucketRow, bucketize};
use schemas::tier_map::ColdTable;
use schemas::{
    DurationMs, Hour, Labels, PointBatch, Points, Resolution, Retention, RetentionClass, SeriesId, TimeRange,
    TimestampMs,
};
use tempfile::TempDir;

pub(crate) const CLASS: RetentionClass = RetentionClass::DEFAULT;
/// 2026-11-21T00.
pub(crate) const FIRST: Hour = Hour(20_778 * 24);

pub(crate) fn hour(offset: u32) -> Hour {
    Hour(FIRST.0 + offset)
}

pub(crate) fn series(metric: &str, host: &str) -> Labels {
    Labels::new([("__name__", metric), ("host", host)]).expect("valid")
}

/// Raw chunks of dense metrics leave after two hours, identity chunks after four, hours after six.
pub(crate) fn brief_retention() -> Retention {
    Retention {
        hot_raw: DurationMs::hours(2),
        warm_rollup_1m: DurationMs::hours(4),
        warm_rollup_1h: DurationMs::hours(6),
        ..Retention::default()
    }
}

/// A clock, an archive, and the disks of nodes.
pub(crate) struct Given {
    pub(crate) home: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    disks: u32,
}

impl Given {
    pub(crate) fn an_archive() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join("cold")).expect("writable");
        Self { home, clock: Arc::new(ManualClock::at(hour(1).start().0 + 30 * 60_000)), disks: 0 }
    }

    /// A node with an empty disk.
    pub(crate) async fn node(&mut self, name: &str) -> Node {
        self.disks += 1;
        let dir = self.home.path().join(format!("{name}-{}", self.disks));
        Node::begin(name, dir, &self.home.path().join("cold"), Arc::clone(&self.clock)).await
    }

    /// A node whose disk was lost, with a new one that goes on where the archive ends.
    pub(crate) async fn recovered_node(&mut self, name: &str) -> (Node, Recovery) {
        self.disks += 1;
        let dir = self.home.path().join(format!("{name}-{}", self.disks));
        let cold = self.home.path().join("cold");
        let looking = open_archive(&cold, name, &format!("looking-{}", self.disks)).await;
        let recovery = looking.recovery().await.expect("readable");
        let series = looking.select_series(&recovery.versions, &[], None).await.expect("readable");
        let found = |SeriesEntry { labels, first, last, .. }| FoundSeries { labels, first, last };
        let founding = Founding {
            first_hour: recovery.first_hour(),
            versions: recovery.versions,
            series: series.into_iter().map(found).collect(),
            start: recovery.start.clone(),
        };
        let (config, clock) = (store_config(&dir), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let (name_of, follows) = (name.to_owned(), (recovery.start.clone(), recovery.follows.clone()));
        let handle = tokio::runtime::Handle::current();
        let cold_dir = cold.clone();
        let founding = tokio::task::spawn_blocking(move || {
            Store::found_on_archive(&config, clock, &founding, &mut |incarnation| {
                let following = async {
                    let archive = open_archive(&cold_dir, &name_of, incarnation).await;
                    archive.follow(&follows.0, follows.1.clone()).await
                };
                handle.block_on(following).map_err(Into::into)
            })
        });
        founding.await.expect("no panic").expect("founded");
        let node = Node::begin(name, dir, &cold, Arc::clone(&self.clock)).await;
        let resumed = node.archive.resumed_recovery().await.expect("readable").expect("it follows others");
        assert_eq!((&resumed.start, &resumed.archived), (&recovery.start, &recovery.archived));
        (node, recovery)
    }

    pub(crate) async fn reader(&self) -> Arc<Archive> {
        open_archive(&self.home.path().join("cold"), "reader", "reader-1").await
    }

    pub(crate) fn move_to(&self, hour: Hour) {
        self.clock.set(hour.start().0);
    }
}

fn store_config(dir: &Path) -> StoreConfig {
    StoreConfig { background_flush: false, block_cache_bytes: 1 << 20, ..StoreConfig::new(dir) }
}

async fn open_archive(dir: &Path, node: &str, incarnation: &str) -> Arc<Archive> {
    let config = ArchiveConfig {
        url: dir.display().to_string(),
        options: BTreeMap::new(),
        node: node.to_owned(),
        incarnation: incarnation.to_owned(),
    };
    Archive::open(config).await.expect("opens")
}

/// One process.
pub(crate) struct Node {
    name: String,
    dir: PathBuf,
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) compactor: Arc<Compactor>,
}

impl Node {
    async fn begin(name: &str, dir: PathBuf, cold: &Path, clock: Arc<ManualClock>) -> Self {
        let clock = || Arc::clone(&clock) as Arc<dyn Clock>;
        let store = Store::open(store_config(&dir), clock()).expect("opens");
        let archive = open_archive(cold, name, store.incarnation()).await;
        store.record_versions(archive.versions()).expect("recorded");
        let settings =
            Settings { timing: SealTiming::default(), archive_every: DurationMs::HOUR, retention: brief_retention() };
        let pool = CpuPool::new("test", 2, 64);
        let compactor = Compactor::new(Arc::clone(&store), Arc::clone(&archive), clock(), pool, settings);
        Self { name: name.to_owned(), dir, store, archive, compactor }
    }

    /// Ends the process, and begins another on the same disk.
    pub(crate) async fn restarted(self, given: &Given) -> Self {
        let Self { name, dir, store, archive, compactor } = self;
        store.close().expect("closes");
        drop((store, archive, compactor));
        Self::begin(&name, dir, &given.home.path().join("cold"), Arc::clone(&given.clock)).await
    }

    pub(crate) fn append(&self, told: &[(&Labels, i64, f64)]) {
        let mut batch = PointBatch::new();
        let mut entries = BTreeMap::new();
        for &(labels, at, value) in told {
            let entry = *entries.entry(labels).or_insert_with(|| batch.add_canonical(labels.as_bytes()));
            batch.push(entry, at, value);
        }
        let appended = self.store.append(&batch).expect("there is room");
        assert_eq!(appended.accepted, told.len() as u64, "{appended:?}");
    }

    pub(crate) async fn seal(&self) {
        let report = self.compactor.seal_now().await.expect("seals");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    }

    pub(crate) async fn archive(&self) {
        let report = self.compactor.archive_now().await.expect("archives");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    }

    pub(crate) async fn retain(&self) {
        self.compactor.apply_retention().await.expect("applied");
    }

    pub(crate) async fn settle(&self) {
        self.seal().await;
        self.archive().await;
    }
}

/// Points by series and time, as bits.
pub(crate) type Read = BTreeMap<i64, BTreeMap<i64, u64>>;

pub(crate) fn model_of<'a>(told: impl IntoIterator<Item = &'a (Labels, i64, f64)>) -> Read {
    let mut model = Read::new();
    for (labels, at, value) in told {
        model.entry(labels.hash().series_id().0).or_default().insert(*at, value.to_bits());
    }
    model
}

fn everything() -> ColdSelection {
    ColdSelection::all(TimeRange::new(TimestampMs::MIN, TimestampMs::MAX).expect("ordered"))
}

/// What the archive holds: each hour in one file a table, no row twice, and the rollups those of the raw points.
pub(crate) async fn read_whole(archive: &Archive) -> Read {
    let versions = archive.refresh().await.expect("readable");
    let counters = ReadCounters::default();
    let rows = archive.scan_points(&versions, &everything(), &counters).await.expect("plans");
    let points: Vec<(SeriesId, Points)> = rows.try_collect().await.expect("reads");
    let raw_rows = archive.inventory().await.expect("readable").tables[1].rows;
    assert_eq!(points.iter().map(|(_, points)| points.len() as u64).sum::<u64>(), raw_rows, "a row is there twice");
    for table in ColdTable::DATA {
        let files = archive.files(table, &versions, &everything()).await.expect("known");
        let hours: BTreeSet<Hour> = files.iter().flat_map(|file| &file.hours).map(|hours| hours.start).collect();
        assert_eq!(hours.len(), files.len(), "{table:?}: an hour is in several files");
    }
    for (resolution, width) in [(Resolution::Minute, DurationMs::MINUTE), (Resolution::Hour, DurationMs::HOUR)] {
        let rows = archive.scan_buckets(&versions, resolution, &everything(), &counters).await.expect("plans");
        let found: Vec<_> = rows.try_collect().await.expect("reads");
        let seen = |row: BucketRow| format!("{:?}", (row.start, row.count, row.sum, row.min, row.max, row.last));
        let found: Vec<(SeriesId, Vec<String>)> = found
            .into_iter()
            .map(|(id, buckets)| (id, buckets.iter().map(|bucket| seen(BucketRow::from(bucket))).collect()))
            .collect();
        let of_points = |points: &Points| {
            let mut made = Vec::new();
            bucketize(&points.timestamps, &points.values, width, |bucket| made.push(seen(BucketRow::from(&bucket))));
            made
        };
        let made: Vec<_> = points.iter().map(|(id, points)| (*id, of_points(points))).collect();
        assert_eq!(found, made, "{resolution:?}");
    }
    let of = |points: Points| points.iter().map(|(at, value)| (at, value.to_bits())).collect();
    points.into_iter().map(|(id, points)| (id.0, of(points))).collect()
}
