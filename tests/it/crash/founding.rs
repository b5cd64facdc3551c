//! Killed while a store is founded on its archive: the next start founds it again, or finds it.

use anyhow::{Context as _, ensure};
use kit::Server;
use kit::process::ServerOptions;

use crate::api::{Api, HOUR_MS, hour_of, now_ms};

/// The steps of founding that a process may die between.
pub(super) const POINTS: [&str; 2] = ["hot.found.written", "hot.found.told"];

fn recovering(cold: &str) -> ServerOptions {
    let config = format!("node: lost\nobject_store: {{ url: \"{cold}\" }}\n");
    Server::options().config(config).arg("--recover-from-archive")
}

#[tokio::test]
async fn killed_while_it_is_founded_a_store_begins_with_all_that_is_archived() -> anyhow::Result<()> {
    let cold = tempfile::tempdir()?;
    let cold = cold.path().to_str().context("UTF-8")?;
    let mut server = recovering(cold).start().await?;
    let start = hour_of(now_ms()) - 3 * HOUR_MS;
    let points: Vec<(i64, f64)> = (0..100_u32).map(|n| (start + i64::from(n) * 60_000, f64::from(n))).collect();
    Api::of(&server).push_points("a", "m", &points).await?;
    Api::of(&server).seal_and_archive().await?;
    for point in POINTS {
        server.kill().await?;
        std::fs::remove_dir_all(server.data_dir()).context("losing the disk")?;
        server.launch_with(recovering(cold).env("FAILPOINTS", format!("{point}=1")))?;
        server.wait_for_end().await.with_context(|| format!("{point} is not passed"))?;
        server.restart_with(recovering(cold)).await?;
        let found = Api::of(&server).raw("a", "m", start, start + 3 * HOUR_MS).await?;
        ensure!(found == points, "killed at {point}: {} of {} points", found.len(), points.len());
    }
    Ok(())
}
