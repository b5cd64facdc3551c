//! `serve --recover-from-archive`: founds the hot store of a node that lost its disk on what the archive has.
//!
//! archive ─▶ what it has of this node, and from where Kafka is read again ─▶ a new store ─▶ the archive is told whom it
//! follows ─▶ the store is in its place
//!
//! What the new incarnation still has to read it finds in the archive at each start (`Archive::resumed_recovery`), until all of
//! it is read, so nothing depends on the flag once the store is there.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use cold::Archive;
use hot::{FoundSeries, Founding, Store};
use ingest::kafka::Recover;
use runtime::Clock;
use schemas::LabelMatcher;
use schemas::labels::METRIC_NAME;
use tokio::runtime::Handle;

use super::{archive, store_config, store_dir};
use crate::config::Config;

/// The file in a data directory that says that Kafka has been read again.
const MARKER: &str = "recovered";

/// Founds the store, unless there is one.
pub(super) async fn found(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let dir = store_dir(&config.data_dir);
    if has_entries(&dir)? {
        tracing::info!(dir = %dir.display(), "there is a hot store: nothing to recover");
        return Ok(());
    }
    if config.node.is_none() {
        bail!("--recover-from-archive needs `node`: the name under which the lost disk wrote to the archive");
    }
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("creating {}", config.data_dir.display()))?;
    // Looks and writes nothing: the new store names its own incarnation.
    let looking = archive(config, "recovery").await?;
    let recovery = looking.recovery().await.context("reading what the archive has")?;
    let every_series = [LabelMatcher::not_equal(METRIC_NAME, "")];
    let series = looking.select_series(&recovery.versions, &every_series, None).await;
    let series = series.context("reading which series the archive has")?;
    let found = |entry: cold::SeriesEntry| FoundSeries { labels: entry.labels, first: entry.first, last: entry.last };
    let founding = Founding {
        first_hour: recovery.first_hour(),
        versions: recovery.versions,
        series: series.into_iter().map(found).collect(),
        start: recovery.start.clone(),
    };
    let (config, handle) = (config.clone(), Handle::current());
    let founded = tokio::task::spawn_blocking(move || {
        Store::found_on_archive(&store_config(&config), clock, &founding, &mut |incarnation| {
            let following = async {
                let archive = archive(&config, incarnation).await?;
                archive.follow(&recovery.start, recovery.follows.clone()).await?;
                anyhow::Ok(())
            };
            handle.block_on(following).map_err(Into::into)
        })
    });
    founded.await?.with_context(|| format!("founding the hot store in {}", dir.display()))
}

/// What a store that was founded so has to read of Kafka again; `None` once it has, and for every other store.
pub(super) async fn to_read_again(config: &Config, archive: &Archive) -> anyhow::Result<Option<Recover>> {
    let marker = config.data_dir.join(MARKER);
    if !config.kafka.is_on() || marker.exists() {
        return Ok(None);
    }
    let resumed = archive.resumed_recovery().await.context("reading from where Kafka is to be read again")?;
    let Some(recovery) = resumed else { return Ok(None) };
    let incarnation = archive.incarnation().as_str().to_owned();
    let done = move || {
        // Without it the next start looks again, and finds little to do.
        if let Err(error) = std::fs::write(&marker, &incarnation) {
            tracing::warn!(%error, marker = %marker.display(), "that recovery is complete could not be noted");
        }
    };
    Ok(Some(Recover {
        archived_until: recovery.first_hour().start(),
        start: recovery.start,
        archived: recovery.archived,
        done: Box::new(done),
    }))
}

fn has_entries(dir: &std::path::Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("looking into {}", dir.display())),
    }
}
