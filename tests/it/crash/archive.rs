//! The archive at the end of the run: everything is in it, once, and nothing else is beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::ledger::Ledger;
use super::load::{Window, send_new_series};
use crate::api::{Api, close, hour_of, now_ms};
use crate::delta::{self, HourRow};

/// Brings every ended hour to Delta; returns the end of the last.
///
/// A series that is new makes all four tables commit, which is what the sweep of orphans waits for.
pub(super) async fn drain(api: &Api, ledger: &mut Ledger, window: Window) -> anyhow::Result<i64> {
    send_new_series(api, ledger, window.start).await?;
    let sealed_to = hour_of(now_ms());
    api.seal_and_archive().await?;
    // The driver may have been at some hour while the jobs asked for the others.
    api.seal_and_archive().await?;
    let tiers = api.get_json("/api/v1/tiers", &[]).await?;
    ensure!(tiers["waiting_for_archive"] == json!([]), "hours wait for the archive: {}", tiers["waiting_for_archive"]);
    Ok(sealed_to)
}

/// DuckDB finds exactly what was acknowledged in all hours before `sealed_to`.
pub(super) async fn equals_what_was_acknowledged(
    cold: &Path,
    ledgers: &[Ledger],
    sealed_to: i64,
) -> anyhow::Result<()> {
    let Some(outside) = delta::read(cold).await? else { return Ok(()) };
    outside.holds_nothing_twice()?;
    let mut expected: BTreeMap<(i64, i64), Vec<f64>> = BTreeMap::new();
    for (host, metric, points) in ledgers.iter().flat_map(Ledger::series) {
        for (&timestamp, &value) in points.iter().filter(|(timestamp, _)| hour_of(**timestamp) < sealed_to) {
            // Asked only for series that have archived points: others have no row.
            let id = outside.id_of(host, metric)?;
            expected.entry((id, hour_of(timestamp))).or_default().push(value);
        }
    }
    for (table, rows) in outside.data() {
        let found: BTreeMap<(i64, i64), &HourRow> = rows.iter().map(|row| ((row.series_id, row.hour), row)).collect();
        let before = |key: &&(i64, i64)| key.1 < sealed_to;
        let strange: Vec<_> = found.keys().filter(before).filter(|key| !expected.contains_key(key)).take(5).collect();
        ensure!(strange.is_empty(), "{table} has hours that nobody sent: {strange:?}");
        for (key, values) in &expected {
            let row = found.get(key).with_context(|| format!("{table} lacks series {} in hour {}", key.0, key.1))?;
            ensure!(is_of(row, values), "{table} has {row:?} of {} points", values.len());
        }
    }
    Ok(())
}

fn is_of(row: &HourRow, values: &[f64]) -> bool {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    usize::try_from(row.count) == Ok(values.len())
        && close(row.sum, values.iter().sum())
        && row.min.to_bits() == least.to_bits()
        && row.max.to_bits() == most.to_bits()
}

/// Every file below the tables is one that a commit names, or the log's own.
pub(super) fn holds_no_orphans(cold: &Path) -> anyhow::Result<()> {
    let orphans = delta::orphans(cold)?;
    ensure!(orphans.is_empty(), "{} files that no version names, such as {:?}", orphans.len(), orphans.first());
    Ok(())
}
