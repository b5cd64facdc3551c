//! The archive: four Delta tables under one URL, as one node sees them.
//!
//! config ─▶ store stack ─probe─▶ tables opened or made ─▶ [`Archive`] ─▶ writers, scans, upkeep
//!
//! Any number of nodes share an archive; none owns it. A node writes under its incarnation. It takes another's file out of a
//! table only with a commit that holds all of its rows (`hour`), or with a whole partition that retention lets go, and deletes
//! only objects that bear its own name (GC-1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use runtime::{Causes, Clock, SystemClock};
use schemas::file_tags::Holding;
use schemas::object_path::{Attempt, Incarnation};
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::{Epoch, Hour, RetentionClass};

use crate::error::ColdError;
use crate::metrics::Metrics;
use crate::position::Positions;
use crate::read::{OthersHours, ScanContext};
use crate::series::SeriesTable;
use crate::store::{Location, MeteredStore, probe};
use crate::table::Table;
use crate::write::HourWriter;

/// Where the archive lies and who writes.
#[derive(Clone, Default)]
pub struct ArchiveConfig {
    /// A path, `file:///abs/path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Options of the client by their `object_store` names: `endpoint`, `region`, `allow_http`, `access_key_id`, …
    pub options: BTreeMap<String, String>,
    /// The name of this node, the same after it lost its disk.
    pub node: String,
    /// The name of this life of the node's disk: 1 to 64 of the characters `A-Z a-z 0-9 - _ .`
    pub incarnation: String,
}

impl std::fmt::Debug for ArchiveConfig {
    /// Without the values of options, which may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveConfig")
            .field("url", &self.url)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("node", &self.node)
            .field("incarnation", &self.incarnation)
            .finish()
    }
}

/// The cold tier of a node.
pub struct Archive {
    url: String,
    node: String,
    incarnation: Incarnation,
    raw: Table,
    rollup_1m: Table,
    rollup_1h: Table,
    series: SeriesTable,
    scan: ScanContext,
    others_hours: OthersHours,
    positions: Positions,
    attempts: Attempts,
    /// Where staging files may lie.
    local_roots: Vec<PathBuf>,
    metrics: Metrics,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, node, incarnation, .. } = self;
        f.debug_struct("Archive")
            .field("url", url)
            .field("node", node)
            .field("incarnation", incarnation)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens the archive, makes what is missing, and refuses a store whose commits would not be safe. In a local
    /// directory, removes what writers that died left half written.
    pub async fn open(config: ArchiveConfig) -> Result<Arc<Self>, ColdError> {
        Self::open_with(config, Arc::new(SystemClock), |store| store).await
    }

    /// [`Archive::open`] by another clock, and with a decorator between the client and everything else.
    pub async fn open_with(
        config: ArchiveConfig,
        clock: Arc<dyn Clock>,
        decorate: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send,
    ) -> Result<Arc<Self>, ColdError> {
        let wrong = |problem: String| ColdError::Config { url: config.url.clone(), problem };
        let incarnation = Incarnation::new(&config.incarnation).map_err(|e| wrong(e.to_string()))?;
        let mut location = Location::open(&config.url, &config.options)?;
        let metrics = Metrics::default();
        let decorated = decorate(Arc::clone(&location.store));
        location.store = Arc::new(MeteredStore::new(decorated, metrics.clone()));
        let process = rand::random();
        probe(location.store.as_ref(), &config.url, &location.prefix, process).await?;
        let open = |kind| Table::open(kind, &location, Arc::clone(&clock), metrics.clone());
        let (series, raw) = (open(ColdTable::Series).await?, open(ColdTable::Raw).await?);
        let (rollup_1m, rollup_1h) = (open(ColdTable::Rollup1m).await?, open(ColdTable::Rollup1h).await?);
        tracing::info!(url = config.url, node = config.node, %incarnation, "archive is open");
        let archive = Arc::new(Self {
            url: config.url,
            node: config.node,
            incarnation,
            raw,
            rollup_1m,
            rollup_1h,
            series: SeriesTable::new(series),
            scan: ScanContext::new(Arc::clone(&location.store))?,
            others_hours: OthersHours::default(),
            positions: Positions::new(Arc::new(PrefixStore::new(Arc::clone(&location.store), location.prefix.clone()))),
            attempts: Attempts { process, next: AtomicU32::new(0), in_flight: Arc::default() },
            local_roots: location.local_roots(),
            metrics,
        });
        if let Err(error) = archive.sweep_staging().await {
            tracing::warn!(error = %Causes(&error), "staging files could not be swept; tried again with the next sweep");
        }
        Ok(archive)
    }

    /// The newest versions that this process knows.
    pub fn versions(&self) -> DeltaVersions {
        let mut versions = DeltaVersions::default();
        for kind in ColdTable::ALL {
            versions.set(kind, self.table(kind).latest().version);
        }
        versions
    }

    /// Reads what other writers have committed.
    pub async fn refresh(&self) -> Result<DeltaVersions, ColdError> {
        for kind in ColdTable::ALL {
            self.table(kind).refresh().await?;
        }
        Ok(self.versions())
    }

    /// Begins an hour. `through`: every point of it that arrived up to this epoch will be pushed.
    pub fn hour_writer(self: &Arc<Self>, hour: Hour, class: RetentionClass, through: Epoch) -> HourWriter {
        HourWriter::new(Arc::clone(self), hour, class, through)
    }

    /// Through which epoch this incarnation's hours are in each data table, by the newest known versions.
    pub async fn archived_hours(&self) -> Result<BTreeMap<(ColdTable, RetentionClass, Hour), Epoch>, ColdError> {
        let mut hours = BTreeMap::new();
        for kind in ColdTable::DATA {
            let state = self.table(kind).refresh().await?;
            for file in state.files.values() {
                let Some(class) = file.class else { continue };
                let ours = |held: &&Holding| held.node == self.node && held.incarnation == self.incarnation.as_str();
                for held in file.holds().iter().filter(ours) {
                    let through: &mut Epoch = hours.entry((kind, class, held.hour)).or_default();
                    *through = held.through.max(*through);
                }
            }
        }
        Ok(hours)
    }

    /// Counters for `/metrics`.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The configured URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    pub fn incarnation(&self) -> &Incarnation {
        &self.incarnation
    }

    pub(crate) fn local_roots(&self) -> &[PathBuf] {
        &self.local_roots
    }

    pub(crate) fn table(&self, kind: ColdTable) -> &Table {
        match kind {
            ColdTable::Series => self.series.table(),
            ColdTable::Raw => &self.raw,
            ColdTable::Rollup1m => &self.rollup_1m,
            ColdTable::Rollup1h => &self.rollup_1h,
        }
    }

    pub(crate) fn series(&self) -> &SeriesTable {
        &self.series
    }

    pub(crate) fn position_store(&self) -> &Positions {
        &self.positions
    }

    pub(crate) fn scan_context(&self) -> &ScanContext {
        &self.scan
    }

    pub(crate) fn others_hours(&self) -> &OthersHours {
        &self.others_hours
    }

    /// This incarnation as the writer of an hour.
    pub(crate) fn writer(&self, hour: Hour, through: Epoch) -> Holding {
        Holding::new(&self.node, self.incarnation.as_str(), hour, through)
    }

    pub(crate) fn begin_attempt(&self) -> AttemptGuard {
        self.attempts.begin()
    }

    pub(crate) fn is_in_flight(&self, attempt: Attempt) -> bool {
        self.attempts.in_flight.lock().contains(&attempt)
    }
}

/// Names tries to write files, and knows which are under way.
struct Attempts {
    process: u64,
    next: AtomicU32,
    in_flight: Arc<Mutex<BTreeSet<Attempt>>>,
}

impl Attempts {
    fn begin(&self) -> AttemptGuard {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let attempt = Attempt { process: self.process, number };
        self.in_flight.lock().insert(attempt);
        AttemptGuard { attempt, in_flight: Arc::clone(&self.in_flight) }
    }
}

/// While this lives, the attempt's files are no orphans.
pub(crate) struct AttemptGuard {
    attempt: Attempt,
    in_flight: Arc<Mutex<BTreeSet<Attempt>>>,
}

impl AttemptGuard {
    pub(crate) fn attempt(&self) -> Attempt {
        self.attempt
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.attempt);
    }
}
