//! `thermocline inspect DIR`: what is in the data directory of a stopped server.
//!
//! lock of RocksDB, taken ─▶ [`shadow`]: links to its tables, copies of the rest ─▶ store opened *there* ─▶ text or JSON
//!
//! Opening a store replays its log and tidies up, so it is never opened in place: the directory stays as it is.

mod shadow;
mod text;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use runtime::SystemClock;
use schemas::tier_map::{ColdTable, TierMap};
use serde_json::{Value, json};

use self::shadow::Shadow;
use super::print;
use crate::assemble::{cold_dir, store_dir};
use crate::cli::InspectArgs;
use crate::http::tiers;

/// Prints what the directory holds.
pub(super) async fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let dir = args.dir.clone();
    let found = tokio::task::spawn_blocking(move || look(&dir)).await??;
    if args.json { print(&format!("{found:#}\n")) } else { print(&text::render(&found)) }
}

fn look(dir: &Path) -> anyhow::Result<Value> {
    let shadow = Shadow::of(&store_dir(dir))?;
    let mut config = hot::StoreConfig::new(shadow.path());
    config.background_flush = false;
    let store = hot::Store::open(config, Arc::new(SystemClock)).context("reading the hot store")?;
    let inventory = store.inventory().context("reading the hot store")?;
    let view = store.view();
    Ok(json!({
        "dir": dir,
        "tiers": tiers::map_shape(view.map()),
        "local": local_shape(&inventory),
        "archive": archive_on_disk(&cold_dir(dir), view.map())?,
    }))
}

/// What RocksDB holds.
pub(crate) fn local_shape(inventory: &hot::Inventory) -> Value {
    let family =
        |f: &hot::FamilyInventory| json!({ "name": f.name, "keys": f.keys, "bytes": f.bytes, "files": f.files });
    let run = |run: &hot::RunInventory| json!({ "epoch": run.epoch.0, "points": run.points, "hours": tiers::ranges(run.hours.iter().copied()) });
    json!({
        "incarnation": inventory.incarnation,
        "series": inventory.series,
        "active_epoch": inventory.active_epoch.0,
        "checkpoint": inventory.checkpoint.0,
        "head_points": inventory.head_points,
        "head_bytes": inventory.head_bytes,
        "log_bytes": inventory.log_bytes,
        "index_bytes": inventory.index_bytes,
        "runs": inventory.runs.iter().map(run).collect::<Vec<_>>(),
        "families": inventory.families.iter().map(family).collect::<Vec<_>>(),
    })
}

/// What the archive holds, as its tables say.
pub(crate) fn cold_shape(inventory: &cold::ColdInventory) -> Value {
    let partition = |p: &cold::PartitionInventory| {
        json!({
            "from": p.first_day.to_string(), "class": p.class.map(schemas::RetentionClass::name),
            "files": p.files, "rows": p.rows, "bytes": p.bytes,
        })
    };
    let table = |t: &cold::TableInventory| {
        json!({
            "table": t.table.as_str(), "version": t.version, "files": t.files, "rows": t.rows, "bytes": t.bytes,
            "partitions": t.partitions.iter().map(partition).collect::<Vec<_>>(),
        })
    };
    inventory.tables.iter().map(table).collect()
}

/// The archive beside the store, where it is one: Parquet files as they lie there, those of older versions included.
/// Opening it as tables would write to it.
fn archive_on_disk(dir: &Path, map: &TierMap) -> anyhow::Result<Value> {
    if !dir.exists() {
        return Ok(Value::Null);
    }
    let mut tables = Vec::new();
    for table in ColdTable::ALL {
        let (files, bytes) = parquet_files(&dir.join(table.as_str()))?;
        tables.push(json!({
            "table": table.as_str(), "version": map.delta.get(table), "files_on_disk": files, "bytes_on_disk": bytes,
        }));
    }
    Ok(Value::Array(tables))
}

fn parquet_files(dir: &Path) -> anyhow::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", dir.display()))?;
            let path = entry.path();
            let meta = entry.metadata().with_context(|| format!("reading {}", path.display()))?;
            if meta.is_dir() && entry.file_name() != "_delta_log" {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files += 1;
                bytes += meta.len();
            }
        }
    }
    Ok((files, bytes))
}
