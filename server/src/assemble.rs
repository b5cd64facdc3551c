//! Puts the parts together, each by its own small assembler, in the order in which they need each other.
//!
//! config ─▶ store (replays its log) ─▶ archive (opens its tables) ─▶ compactor, engine, intake ─▶ [`Parts`]
//!
//! What is waited for is told at the gate, so that `/-/ready` can say it. Not here: listening, stopping (`serve`).

mod kafka;
mod recovery;
mod registry;
mod sink;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use runtime::{Clock, CpuPool};
use schemas::tier_map::DeltaVersions;

use self::sink::StoreSink;
use crate::config::kafka::Via;
use crate::config::{Config, Durability};
use crate::controls::ControlsDesk;
use crate::http::app::App;
use crate::http::gate::Parts;

/// Threads that wait for the group commit, for each core that decodes.
const INGEST_THREADS_PER_CORE: usize = 8;
/// Ingest requests that wait for a thread, for each thread.
const INGEST_QUEUE_FACTOR: usize = 8;
/// Jobs of seals and archives at once.
const WORK_JOBS_MAX: usize = 64;
/// Jobs of queries at once, those that wait for a thread included.
const QUERY_JOBS_MAX: usize = 4_096;

/// How the data directory is begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// As it is; an empty one is a new life.
    AsIs,
    /// Where it is empty, with what the archive has.
    FromArchive,
}

/// Starts all parts.
pub(crate) async fn assemble(
    config: &Config,
    app: &App,
    clock: Arc<dyn Clock>,
    begin: Begin,
) -> anyhow::Result<Arc<Parts>> {
    if begin == Begin::FromArchive {
        app.gate.waiting_for("the archive, to recover from it");
        recovery::found(config, Arc::clone(&clock)).await?;
    }
    app.gate.waiting_for("the hot store to replay its log");
    let store = store(config, Arc::clone(&clock)).await?;
    app.gate.waiting_for("the archive to open its tables");
    let archive = archive(config, store.incarnation()).await?;
    check_not_older(&store.view(), &archive).await?;
    record_versions(&store, archive.versions()).await?;

    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let work_pool = CpuPool::new("work", cores, WORK_JOBS_MAX);
    let query_pool = CpuPool::new("query", cores, QUERY_JOBS_MAX);
    let ingest_threads = cores * INGEST_THREADS_PER_CORE;
    let ingest_pool = CpuPool::new("ingest", ingest_threads, ingest_threads * INGEST_QUEUE_FACTOR);

    let compactor = compactor(config, &store, &archive, Arc::clone(&clock), work_pool);
    let engine = engine(config, &store, &archive, Arc::clone(&clock), query_pool);
    let ingest_metrics = ingest::IngestMetrics::default();
    let controls = ControlsDesk::open(&config.data_dir, config.rule_specs(), ingest::Controls::default())?;
    app.telemetry.register(|registry| {
        store.register_metrics(registry);
        archive.metrics().register(registry);
        compactor.register_metrics(registry);
        engine.metrics().register(registry);
        ingest_metrics.register(registry);
        controls.controls().register(registry);
    });
    let sink = Arc::new(StoreSink::new(Arc::clone(&store), Arc::clone(&clock)));
    let recover = recovery::to_read_again(config, &archive).await?;
    let kafka = kafka::start(config, app, &sink, controls.controls(), &clock, archive.node(), recover)?;
    let intake = ingest::Intake::new(kafka::way_in(config, sink)?, clock, ingest_limits(config), ingest_metrics);
    let intake = intake.translating(config.otlp.settings());
    let intake = match config.ingest.http.via {
        Via::Store => intake.controlled_by(controls.controls().clone()),
        // What goes by Kafka meets the rules where it is read; they are not made to be applied twice.
        Via::Kafka => intake,
    };
    let intake = Arc::new(intake);
    let controls = Arc::new(controls);
    Ok(Arc::new(Parts { store, archive, compactor, engine, intake, controls, kafka, ingest_pool }))
}

/// Where RocksDB lies in a data directory.
pub(crate) fn store_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("hot")
}

/// Where the archive lies when no object store is named.
pub(crate) fn cold_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("cold")
}

async fn store(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<hot::Store>> {
    let dir = store_dir(&config.data_dir);
    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let store = store_config(config);
    let opened = tokio::task::spawn_blocking(move || hot::Store::open(store, clock)).await?;
    opened.with_context(|| format!("opening the hot store in {}", dir.display()))
}

/// What the hot store is told.
pub(crate) fn store_config(config: &Config) -> hot::StoreConfig {
    let mut store = hot::StoreConfig::new(store_dir(&config.data_dir));
    store.durability = match config.durability {
        Durability::Normal => hot::Durability::Normal,
        Durability::Sync => hot::Durability::Sync,
    };
    store.log_bytes_max = config.head.max_log.0;
    store.epoch_age_max = config.head.max_age.0;
    store.block_cache_bytes = config.head.block_cache.as_usize();
    store.rollup_cache_bytes = config.head.rollup_cache.as_usize();
    store.limits = hot::SeriesLimits {
        new_per_second: config.limits.new_series_per_second,
        new_per_day: config.limits.new_series_per_day,
        series_per_metric: config.limits.series_per_metric,
    };
    store
}

async fn archive(config: &Config, incarnation: &str) -> anyhow::Result<Arc<cold::Archive>> {
    let url = if config.object_store.url.value.is_empty() {
        let dir = cold_dir(&config.data_dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let absolute = std::path::absolute(&dir).with_context(|| format!("finding {}", dir.display()))?;
        absolute.to_str().with_context(|| format!("{} is not UTF-8", dir.display()))?.to_owned()
    } else {
        config.object_store.url.value.clone()
    };
    let node = config.node.clone().unwrap_or_else(|| default_node(incarnation));
    let options = config.object_store.options.clone();
    let archive = cold::ArchiveConfig { url: url.clone(), options, node, incarnation: incarnation.to_owned() };
    Box::pin(cold::Archive::open(archive)).await.with_context(|| format!("opening the archive at {url}"))
}

/// A data directory that nobody named is called after its own identity.
fn default_node(incarnation: &str) -> String {
    let short: String = incarnation.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("node-{}", short.to_ascii_lowercase())
}

/// Refuses a data directory that is an older copy of itself: its epochs would name other points than those that the
/// archive has under the same numbers, and what arrives now would be taken for archived.
async fn check_not_older(view: &hot::View, archive: &cold::Archive) -> anyhow::Result<()> {
    let hours = archive.archived_hours().await.context("reading which hours are archived")?;
    let Some((&(_, _, hour), &through)) = hours.iter().max_by_key(|(_, through)| **through) else { return Ok(()) };
    let (known, url) = (view.checkpoint(), archive.url());
    if through <= known {
        return Ok(());
    }
    bail!(
        "the data directory is older than its archive: {url} has hour {hour} through epoch {through}, the directory \
         knows epochs up to {known}. Is it a copy from a backup? Start with the newest copy of the directory, or with \
         an empty one and another object_store.url; the tables at {url} stay as they are",
        through = through.0,
        known = known.0,
    );
}

/// The store publishes a map that speaks of the tables as they are now.
async fn record_versions(store: &Arc<hot::Store>, versions: DeltaVersions) -> anyhow::Result<()> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || store.record_versions(versions)).await?.context("recording table versions")
}

fn compactor(
    config: &Config,
    store: &Arc<hot::Store>,
    archive: &Arc<cold::Archive>,
    clock: Arc<dyn Clock>,
    pool: CpuPool,
) -> Arc<compactor::Compactor> {
    let settings = compactor::Settings {
        timing: compactor::plan::SealTiming { lateness: config.seal.lateness.0, ..Default::default() },
        archive_every: config.archive.every.0,
        retention: config.retention.durations(),
    };
    compactor::Compactor::new(Arc::clone(store), Arc::clone(archive), clock, pool, settings)
}

fn engine(
    config: &Config,
    store: &Arc<hot::Store>,
    archive: &Arc<cold::Archive>,
    clock: Arc<dyn Clock>,
    pool: CpuPool,
) -> Arc<query::Engine> {
    let limits = query::QueryLimits {
        memory_bytes: config.limits.query_memory.0,
        timeout: config.limits.query_timeout.as_std(),
        series_max: config.limits.query_series,
        points_max: config.limits.query_points,
        concurrent_max: config.limits.queries,
        waiting_max: config.limits.queries_waiting,
        samples_max: config.limits.query_samples,
        slow_query: config.limits.slow_query.as_std(),
        ..query::QueryLimits::default()
    };
    query::Engine::new(Arc::clone(store), Arc::clone(archive), pool, clock, limits)
}

fn ingest_limits(config: &Config) -> ingest::Limits {
    let limits = &config.limits;
    ingest::Limits {
        body_bytes_max: limits.body.as_usize(),
        points_per_request: limits.points_per_request,
        labels_per_series: limits.labels_per_series,
        label_name_bytes: limits.label_name.as_usize(),
        label_value_bytes: limits.label_value.as_usize(),
        ..ingest::Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_name_is_called_after_its_directory() {
        assert_eq!(default_node("4F3A9C2E77"), "node-4f3a9c2e");
        assert_eq!(crate::config::units::check_node(&default_node("4F3A9C2E77")), Ok(()));
    }
}
