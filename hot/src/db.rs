//! The RocksDB handle, the options of each kind of family, and snapshots that own their database.
//!
//! Families come and go with epochs, days and weeks. No family of points compacts by itself: logs die whole, runs are
//! replaced, sealed hours are compacted by hand where seals overlap. Only small families (`meta`, `series`, `act`) live
//! as RocksDB means it. Every family is opened by its descriptor, since a plain open would use default options.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, FlushOptions,
    IngestExternalFileOptions, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use schemas::Epoch;
use schemas::keys::Family;
use schemas::meta::{FORMAT_VERSION, MetaRecord};

use crate::config::StoreConfig;
use crate::error::{Context, HotError};
use crate::index::{ACTIVITY_FAMILY, Index, SERIES_FAMILY};

/// RocksDB whose column families come and go while it is open.
pub(crate) type Db = rocksdb::DBWithThreadMode<rocksdb::MultiThreaded>;

/// A family as one borrows it for a call.
pub(crate) type FamilyHandle<'a> = Arc<rocksdb::BoundColumnFamily<'a>>;

/// Where [`schemas::meta`] records are.
pub(crate) const META: &str = "meta";

/// The families that are always there.
const SMALL_FAMILIES: [&str; 3] = [META, SERIES_FAMILY, ACTIVITY_FAMILY];

/// What must be free on the disk before a family is made or dropped, bytes: much more than the options take.
const ROOM_FOR_OPTIONS: u64 = 1 << 20;

type DbSnapshot<'a> = SnapshotWithThreadMode<'a, Db>;

self_cell::self_cell!(
    /// A snapshot that keeps its database open.
    pub(crate) struct Snapshot {
        owner: Arc<Db>,
        #[covariant]
        dependent: DbSnapshot,
    }
);

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("sequence", &self.borrow_dependent().sequence_number()).finish()
    }
}

impl Snapshot {
    /// The database as it is now.
    pub(crate) fn take(db: &Arc<Db>) -> Self {
        Self::new(Arc::clone(db), |db| db.snapshot())
    }

    pub(crate) fn db(&self) -> &Db {
        self.borrow_owner()
    }

    /// An iterator over a family as it was when the snapshot was taken.
    pub(crate) fn iterator(
        &self,
        family: &FamilyHandle<'_>,
        options: ReadOptions,
    ) -> rocksdb::DBRawIteratorWithThreadMode<'_, Db> {
        self.borrow_dependent().raw_iterator_cf_opt(family, options)
    }
}

/// The options of each kind of family.
pub(crate) struct FamilyOptions {
    points: Options,
    log: Options,
    small: Options,
}

impl FamilyOptions {
    fn new(config: &StoreConfig) -> Self {
        let cache = Cache::new_lru_cache(config.block_cache_bytes);
        let mut points_table = table_options(&cache);
        points_table.set_block_size(32 << 10);
        let mut points = Options::default();
        points.set_block_based_table_factory(&points_table);
        points.set_compression_type(DBCompressionType::None);
        points.set_disable_auto_compactions(true);
        // Nothing is written to these families through a memtable but an occasional range tombstone.
        points.set_write_buffer_size(1 << 20);
        let mut log = points.clone();
        // A whole epoch fits, so that a log is written once, to the WAL, and dropped from memory. Taken as it fills.
        let epoch = config.log_bytes_max.saturating_add(config.log_bytes_max / 4);
        log.set_write_buffer_size(usize::try_from(epoch).unwrap_or(usize::MAX).max(1 << 20));
        log.set_arena_block_size(1 << 20);
        log.set_level_zero_slowdown_writes_trigger(1 << 20);
        log.set_level_zero_stop_writes_trigger(1 << 20);
        let mut small_table = table_options(&cache);
        small_table.set_block_size(16 << 10);
        let mut small = Options::default();
        small.set_block_based_table_factory(&small_table);
        small.set_compression_type(DBCompressionType::Zstd);
        small.set_write_buffer_size(16 << 20);
        Self { points, log, small }
    }

    /// Options of tables of points, inside RocksDB or staged beside it.
    pub(crate) fn points(&self) -> &Options {
        &self.points
    }

    fn of(&self, name: &str) -> &Options {
        match name.parse::<Family>() {
            Ok(Family::Log(_)) => &self.log,
            Ok(Family::Run | Family::Raw(_) | Family::Raw1m(_) | Family::Minute(_) | Family::Hour(_)) => &self.points,
            Err(_) => &self.small,
        }
    }
}

impl std::fmt::Debug for FamilyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FamilyOptions")
    }
}

fn table_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_checksum_type(ChecksumType::XXH3);
    table.set_cache_index_and_filter_blocks(false);
    table
}

fn database_options(config: &StoreConfig) -> Result<Options, HotError> {
    // RocksDB would set aside a memtable's size on the disk for each write-ahead log; the binding has no other way to
    // say so.
    let no_preallocation = Options::default().get_options_from_string("allow_fallocate=false");
    let mut options = no_preallocation.context("RocksDB does not know the options of this version")?;
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_manual_wal_flush(false);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(config.log_bytes_max.saturating_mul(3).max(64 << 20));
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_max_background_jobs(2);
    options.set_max_open_files(config.open_files_max);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    options.set_stats_dump_period_sec(0);
    Ok(options)
}

/// RocksDB and what is needed to make families in it.
#[derive(Debug)]
pub(crate) struct Engine {
    db: Arc<Db>,
    options: FamilyOptions,
    dir: PathBuf,
    /// The families of points that exist; held while one is made or dropped.
    families: Mutex<Families>,
    /// The sequence number up to which the write-ahead log was synced last.
    synced: AtomicU64,
}

#[derive(Debug, Default)]
struct Families {
    listed: BTreeSet<Family>,
    /// RocksDB failed while it made them, perhaps at the last step: then they exist, and cannot be reached before the
    /// next start.
    half_made: BTreeSet<Family>,
}

impl Engine {
    /// Opens or creates the database with every family that it has.
    pub(crate) fn open(config: &StoreConfig) -> Result<Self, HotError> {
        std::fs::create_dir_all(&config.dir).context("cannot make the directory of the hot store")?;
        let options = FamilyOptions::new(config);
        let database = database_options(config)?;
        let mut names: BTreeSet<String> = BTreeSet::new();
        if config.dir.join("CURRENT").exists() {
            names.extend(Db::list_cf(&database, &config.dir).context("cannot list the families of the hot store")?);
        }
        names.insert(rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned());
        names.insert(META.to_owned());
        names.insert(Family::Run.to_string());
        let of_points: BTreeSet<Family> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let of_index = Index::families();
        names.retain(|name| of_index.iter().all(|(of_index, _)| of_index != name));
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.of(name).clone()));
        let descriptors =
            descriptors.chain(of_index.into_iter().map(|(name, options)| ColumnFamilyDescriptor::new(name, options)));
        // Files of before this start: what RocksDB writes while it opens is never among them.
        let files_before = table_files(&config.dir)?;
        let db = Db::open_cf_descriptors(&database, &config.dir, descriptors).context("cannot open the hot store")?;
        let engine = Self {
            db: Arc::new(db),
            options,
            dir: config.dir.clone(),
            families: Mutex::new(Families { listed: of_points, half_made: BTreeSet::new() }),
            synced: AtomicU64::new(u64::MAX),
        };
        engine.sweep(&files_before)?;
        Ok(engine)
    }

    /// Removes table files that no live family lists (a drop or an ingestion that a crash interrupted).
    fn sweep(&self, files: &[PathBuf]) -> Result<(), HotError> {
        let live = self.db.live_files().context("cannot list the live files")?;
        let live: BTreeSet<&str> = live.iter().map(|file| file.name.trim_start_matches('/')).collect();
        for path in files {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !live.contains(name) && path.exists() {
                std::fs::remove_file(path).context("cannot remove an orphaned table file")?;
                tracing::info!(file = name, "removed a table file that no family lists");
            }
        }
        Ok(())
    }

    pub(crate) fn db(&self) -> &Arc<Db> {
        &self.db
    }

    pub(crate) fn options(&self) -> &FamilyOptions {
        &self.options
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn family(&self, family: Family) -> Option<FamilyHandle<'_>> {
        self.db.cf_handle(&family.to_string())
    }

    pub(crate) fn meta(&self) -> FamilyHandle<'_> {
        self.db.cf_handle(META).expect("the meta family is made at open and never dropped")
    }

    /// The family, made if it is missing.
    pub(crate) fn ensure_family(&self, family: Family) -> Result<FamilyHandle<'_>, HotError> {
        self.ensure_listed(&mut self.families.lock(), family)
    }

    /// The family of the log of the first epoch after this one whose family can be made.
    pub(crate) fn make_log_after(&self, epoch: Epoch) -> Result<Epoch, HotError> {
        let mut families = self.families.lock();
        let mut next = epoch.next();
        while families.half_made.contains(&Family::Log(next)) {
            next = next.next();
        }
        self.ensure_listed(&mut families, Family::Log(next))?;
        Ok(next)
    }

    fn ensure_listed(&self, families: &mut Families, family: Family) -> Result<FamilyHandle<'_>, HotError> {
        let name = family.to_string();
        if !families.listed.contains(&family) {
            self.check_room_for_options()?;
            if let Err(error) = self.db.create_cf(&name, self.options.of(&name)) {
                families.half_made.insert(family);
                return Err(error).context("cannot make a family");
            }
            families.listed.insert(family);
        }
        Ok(self.db.cf_handle(&name).expect("it is listed, and only dropped under the same lock"))
    }

    /// Moves finished table files into a family, which is made if it is missing. Readers of older snapshots do not see
    /// them.
    pub(crate) fn ingest(&self, family: Family, files: Vec<PathBuf>) -> Result<(), HotError> {
        // Held until the files are in, so that the family is not dropped for being empty meanwhile.
        let mut families = self.families.lock();
        let handle = self.ensure_listed(&mut families, family)?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        options.set_snapshot_consistency(true);
        options.set_allow_global_seqno(true);
        self.db.ingest_external_file_cf_opts(&handle, &options, files).context("cannot take in a table file")
    }

    /// Drops a family with everything in it; `false` when there is none.
    pub(crate) fn drop_family(&self, family: Family) -> Result<bool, HotError> {
        self.drop_family_if(family, || Ok(true))
    }

    /// Drops a family if `condition` holds while nothing is ingested.
    pub(crate) fn drop_family_if(
        &self,
        family: Family,
        condition: impl FnOnce() -> Result<bool, HotError>,
    ) -> Result<bool, HotError> {
        let mut families = self.families.lock();
        if !families.listed.contains(&family) || !condition()? {
            return Ok(false);
        }
        self.check_room_for_options()?;
        let dropped = self.db.drop_cf(&family.to_string()).context("cannot drop a family");
        // Also after a failure: its handle is gone, and the next start finds whatever is left.
        families.listed.remove(&family);
        dropped.map(|()| true)
    }

    /// Drops the logs of all epochs up to this one: also of those that could not be dropped before.
    pub(crate) fn drop_logs_through(&self, epoch: Epoch) -> Result<(), HotError> {
        for family in self.point_families() {
            if matches!(family, Family::Log(of) if of <= epoch) {
                self.drop_family(family)?;
            }
        }
        Ok(())
    }

    /// RocksDB writes the options of all families whenever one comes or goes. When only that fails, for a full disk, it
    /// reports a failure, and the family has come or gone: better not to begin.
    fn check_room_for_options(&self) -> Result<(), HotError> {
        let of_disk = rustix::fs::statvfs(&self.dir).map_err(std::io::Error::from);
        let of_disk = of_disk.context("cannot ask for the room on the disk of the hot store")?;
        if of_disk.f_bavail.saturating_mul(of_disk.f_frsize) < ROOM_FOR_OPTIONS {
            let full = std::io::Error::from(ErrorKind::StorageFull);
            return Err(full).context("no room to make or drop a family");
        }
        Ok(())
    }

    /// The names of all families that exist.
    pub(crate) fn family_names(&self) -> Vec<String> {
        let small = SMALL_FAMILIES.map(str::to_owned).into_iter();
        small.chain(self.point_families().into_iter().map(|family| family.to_string())).collect()
    }

    /// The families of points that exist.
    pub(crate) fn point_families(&self) -> Vec<Family> {
        self.families.lock().listed.iter().copied().collect()
    }

    /// Puts the whole write-ahead log on the disk. By a write, which changes nothing, and not by `SyncWAL`: writes come one
    /// after another and stop at the first that fails, which RocksDB recovers from once a full disk has room; a `SyncWAL`
    /// that comes upon what a failed write has left makes that error final.
    pub(crate) fn sync_wal(&self) -> Result<(), HotError> {
        let before = self.db.latest_sequence_number();
        if self.synced.load(Ordering::Acquire) == before {
            return Ok(());
        }
        let format = MetaRecord::Format(FORMAT_VERSION);
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.meta(), format.key(), format.value());
        self.write_synced(batch, "cannot sync the write-ahead log")?;
        // Where others wrote meanwhile the numbers differ, and the next call syncs again.
        self.synced.store(before + 1, Ordering::Release);
        Ok(())
    }

    /// Writes a batch and waits until it is on the disk.
    pub(crate) fn write_synced(&self, batch: WriteBatch, what: &'static str) -> Result<(), HotError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).context(what)
    }

    /// Writes the memtables of small families out, so that they do not pin write-ahead logs.
    pub(crate) fn flush_small_families(&self) -> Result<(), HotError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        for name in SMALL_FAMILIES {
            let family = self.db.cf_handle(name).expect("small families are never dropped");
            self.db.flush_cf_opt(&family, &options).context("cannot flush a small family")?;
        }
        Ok(())
    }
}

fn table_files(dir: &Path) -> Result<Vec<PathBuf>, HotError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).context("cannot list the directory of the hot store")? {
        let path = entry.context("cannot list the directory of the hot store")?.path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            files.push(path);
        }
    }
    Ok(files)
}
