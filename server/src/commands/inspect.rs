//! `thermocline inspect DIR`: what is in a data directory of a stopped server.

use serde_json::{Value, json};

use super::print;
use crate::cli::InspectArgs;

/// Prints what the directory holds.
pub(super) async fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let _ = (args, print);
    anyhow::bail!("not yet")
}

/// What RocksDB holds.
pub(crate) fn local_shape(inventory: &hot::Inventory) -> Value {
    let family = |f: &hot::FamilyInventory| json!({ "name": f.name, "keys": f.keys, "bytes": f.bytes, "files": f.files });
    let run = |run: &hot::RunInventory| {
        json!({ "epoch": run.epoch.0, "points": run.points, "hours": crate::http::tiers::ranges(run.hours.iter().copied()) })
    };
    json!({
        "incarnation": inventory.incarnation,
        "series": inventory.series,
        "active_epoch": inventory.active_epoch.0,
        "checkpoint": inventory.checkpoint.0,
        "head_points": inventory.head_points,
        "head_bytes": inventory.head_bytes,
        "runs": inventory.runs.iter().map(run).collect::<Vec<_>>(),
        "families": inventory.families.iter().map(family).collect::<Vec<_>>(),
    })
}

/// What the archive holds.
pub(crate) fn cold_shape(_: &cold::ColdInventory) -> Value {
    Value::Null
}
