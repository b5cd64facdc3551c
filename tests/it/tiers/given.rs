//! All tiers in one process, and the naive model of what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cold::{Archive, ArchiveConfig};
use compactor::plan::SealTiming;
use compactor::{ArchiveReport, Compactor, RetentionReport, SealReport, Settings};
use hot::{Store, StoreConfig};
use kit::{FaultRates, FaultStore, Oracle};
use object_store::ObjectStore;
use query::{Engine, QueryLimits};
use runtime::{Clock, CpuPool, ManualClock};
use schemas::tier_map::{Form, Owner};
use schemas::{DurationMs, Hour, Labels, PointBatch, Resolution, Retention, RetentionClass};
use tempfile::TempDir;

pub(crate) const CLASS: RetentionClass = RetentionClass::DEFAULT;
/// Midnight between two weeks. Families of days and weeks meet here, so stories lie around it.
pub(crate) const MIDNIGHT: Hour = Hour(2_940 * 7 * 24);

/// The hour so many hours after [`MIDNIGHT`].
pub(crate) fn hour(offset: i64) -> Hour {
    Hour(MIDNIGHT.0.checked_add_signed(i32::try_from(offset).expect("stories are short")).expect("after 1970"))
}

/// Short local tiers, in the order of the design: raw, then minutes, then hours go; Delta keeps everything.
pub(crate) fn brief_retention() -> Retention {
    Retention {
        hot_raw: DurationMs::hours(3),
        warm_rollup_1m: DurationMs::hours(5),
        warm_rollup_1h: DurationMs::hours(8),
        cold_raw: DurationMs::days(3_650),
        cold_rollup_1m: DurationMs::days(3_650),
        cold_rollup_1h: DurationMs::days(3_650),
    }
}

/// The series of a metric with these labels.
pub(crate) fn series<'a>(metric: &'a str, labels: &[(&'a str, &'a str)]) -> Labels {
    Labels::new(labels.iter().copied().chain([("__name__", metric)])).expect("test labels are valid")
}

/// A point of a story: whose, when (ms), what.
pub(crate) type Told<'a> = (&'a Labels, i64, f64);

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) model: Oracle,
    home: TempDir,
    /// RocksDB's directory; a kill moves on to another one.
    hot_dir: PathBuf,
    copies: u32,
    retention: Retention,
    pool: CpuPool,
    life: Option<Life>,
}

/// The parts of one process.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    /// What the archive lies on; it fails when it is told to.
    pub(crate) cold_store: Arc<FaultStore>,
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) engine: Arc<Engine>,
}

/// RocksDB's directory as it was at a moment.
#[derive(Debug)]
pub(crate) struct Remains(PathBuf);

impl World {
    /// At the start of `now`, with nothing in it.
    pub(crate) async fn at(now: Hour, retention: Retention) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let hot_dir = home.path().join("hot-0");
        let mut world = Self {
            clock: Arc::new(ManualClock::at(now.start().0)),
            model: Oracle::new(),
            home,
            hot_dir,
            copies: 0,
            retention,
            pool: CpuPool::new("tiers", 2, 64),
            life: None,
        };
        world.begin().await;
        world
    }

    async fn begin(&mut self) {
        let clock = || Arc::clone(&self.clock) as Arc<dyn Clock>;
        let config =
            StoreConfig { background_flush: false, block_cache_bytes: 1 << 20, ..StoreConfig::new(&self.hot_dir) };
        let store = Store::open(config, clock()).expect("the store opens");
        let cold_dir = self.home.path().join("cold");
        std::fs::create_dir_all(&cold_dir).expect("a directory can be made");
        let config = ArchiveConfig {
            url: cold_dir.to_str().expect("temporary directories are UTF-8").to_owned(),
            options: BTreeMap::new(),
            node: "test".to_owned(),
            incarnation: store.incarnation().to_owned(),
        };
        let mut disk = None;
        let decorate = |store| {
            let faulty = Arc::new(FaultStore::new(store, kit::seed(), FaultRates::NONE));
            disk = Some(Arc::clone(&faulty));
            faulty as Arc<dyn ObjectStore>
        };
        let archive = Box::pin(Archive::open_with(config, clock(), decorate)).await.expect("the archive opens");
        let cold_store = disk.expect("the archive has a store");
        store.record_versions(archive.versions()).expect("versions are recorded");
        let settings =
            Settings { timing: SealTiming::default(), archive_every: DurationMs::HOUR, retention: self.retention };
        let (store_of, archive_of) = (|| Arc::clone(&store), || Arc::clone(&archive));
        let compactor = Compactor::new(store_of(), archive_of(), clock(), self.pool.clone(), settings);
        let limits = QueryLimits { timeout: Duration::from_secs(600), ..QueryLimits::default() };
        let engine = Engine::new(store_of(), archive_of(), self.pool.clone(), clock(), limits);
        self.life = Some(Life { store, archive, cold_store, compactor, engine });
    }

    pub(crate) fn life(&self) -> &Life {
        self.life.as_ref().expect("there is always a life but between two")
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Appends points in this order; all of them are taken.
    pub(crate) fn append(&mut self, told: &[Told<'_>]) {
        let mut batch = PointBatch::new();
        let mut entries = BTreeMap::new();
        for &(labels, at, value) in told {
            let entry = *entries.entry(labels).or_insert_with(|| batch.add_canonical(labels.as_bytes()));
            batch.push(entry, at, value);
        }
        let appended = self.life().store.append(&batch).expect("there is room");
        assert_eq!(appended.accepted, told.len() as u64, "{appended:?}");
        for &(labels, at, value) in told {
            self.model.append(labels, at, value);
        }
    }

    pub(crate) async fn flush(&self) {
        self.life().compactor.flush_now().await.expect("flushes");
    }

    /// Seals every hour that has ended and has something newer than its base.
    pub(crate) async fn seal(&self) -> SealReport {
        let report = self.life().compactor.seal_now().await.expect("seals");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
        report
    }

    /// Archives every sealed hour that Delta does not hold as it is.
    pub(crate) async fn archive(&self) -> ArchiveReport {
        let report = self.life().compactor.archive_now().await.expect("archives");
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
        report
    }

    /// Moves what is over its local duration to Delta, and deletes it here.
    pub(crate) async fn retain(&self) -> RetentionReport {
        self.life().compactor.apply_retention().await.expect("retention is applied")
    }

    /// Seal, archive, drop.
    pub(crate) async fn settle(&self) {
        self.seal().await;
        self.archive().await;
        self.retain().await;
    }

    pub(crate) fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
        self.life().compactor.set_retention(retention);
    }

    /// Moves the clock to the start of an hour.
    pub(crate) fn move_to(&self, hour: Hour) {
        self.clock.set(hour.start().0);
    }

    /// Who owns an hour at a resolution, for metrics of a form.
    pub(crate) fn owner(&self, form: Form, resolution: Resolution, hour: Hour) -> Owner {
        self.life().store.view().map().owner(CLASS, form, resolution, hour)
    }

    /// The form of a metric on the day of an hour, as it was decided.
    pub(crate) fn form(&self, metric: &str, hour: Hour) -> Form {
        let store = &self.life().store;
        let id = store.index().metric_id(metric).expect("the metric exists");
        store.view().map().form(CLASS, id, hour.day())
    }

    /// What is recorded as archived, live files of Delta say too (DROP-1).
    pub(crate) async fn assert_archive_is_as_recorded(&self) {
        let live = self.life().archive.archived_hours().await.expect("the tables can be read");
        for (&(table, class), hours) in &self.life().store.view().map().archived_through {
            for (&hour, &through) in hours {
                let found = live.get(&(table, class, hour)).copied();
                assert!(found >= Some(through), "{table:?} of {hour}: recorded {through:?}, found {found:?}");
            }
        }
    }

    /// Ends the process in order, and begins another.
    pub(crate) async fn restart(&mut self) {
        self.life().store.close().expect("closes");
        // The directory has one owner: that it opens again shows that nothing of the old life is left.
        self.life = None;
        self.begin().await;
    }

    /// `kill -9`: what is on disk at this moment is what the next process finds.
    pub(crate) async fn kill(&mut self) {
        let remains = self.remains();
        self.resume(remains).await;
    }

    /// What a kill at this moment would leave of RocksDB.
    pub(crate) fn remains(&mut self) -> Remains {
        self.copies += 1;
        let to = self.home.path().join(format!("hot-{}", self.copies));
        // RocksDB deletes files in the background: a copy counts only if nothing has changed meanwhile.
        loop {
            let before = listing(&self.hot_dir);
            if copy(&self.hot_dir, &to).is_ok() && listing(&self.hot_dir) == before {
                return Remains(to);
            }
            std::fs::remove_dir_all(&to).expect("a copy can be removed");
        }
    }

    /// Kills, and begins with what a kill at an earlier moment would have left. The archive is as it is now: what
    /// was committed since then has lost its record.
    pub(crate) async fn resume(&mut self, remains: Remains) {
        self.life = None;
        std::fs::remove_dir_all(&self.hot_dir).expect("an old directory can be removed");
        self.hot_dir = remains.0;
        self.begin().await;
    }
}

/// Files below a directory with what a write changes.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut files = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return files };
    for path in entries.flatten().map(|entry| entry.path()) {
        match std::fs::metadata(&path) {
            Ok(of) if of.is_dir() => files.extend(listing(&path)),
            Ok(of) => {
                files.insert(path, (of.len(), of.modified().ok()));
            }
            // Gone since it was listed: the next listing differs.
            Err(_) => {}
        }
    }
    files
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
