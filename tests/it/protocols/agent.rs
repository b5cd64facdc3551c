//! The agent measures this host: what it measures while the server is away waits on disk and comes later.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::Server;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::api::{Api, HOUR_MS, now_ms};

/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `thermocline agent`, the program that the kit's server is.
fn agent(program: &Path, url: &str, spool: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.args(["agent", "--server", url, "--every", "200ms", "--push", "400ms", "--server-id", "agent-host"]);
    command.args(["--tag", "env=test", "--spool"]).arg(spool);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("starting the agent")
}

#[tokio::test]
async fn the_agent_keeps_what_it_measures_until_the_server_is_there() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let program = std::fs::read_link(format!("/proc/{}/exe", server.pid().context("it runs")?))?;
    let url = server.url("");
    let address = url.trim_start_matches("http://").to_owned();
    server.kill().await?;

    let spool = server.home().join("spool");
    let began = now_ms();
    let mut agent = agent(&program, &url, &spool)?;
    until("the spool holds something", async || Ok(spool_bytes(&spool) > 0)).await?;
    let waited = now_ms();
    // Back at the address that the agent knows.
    server.restart_with(Server::options().listen(address)).await?;
    let api = Api::of(&server);
    let points = async || api.raw("agent-host", "cpu_usage", began - HOUR_MS, now_ms() + 1).await;
    until("what was measured without a server arrives", async || {
        Ok(points().await?.iter().any(|(timestamp, _)| *timestamp <= waited))
    })
    .await?;
    until("new measurements arrive", async || Ok(points().await?.last().is_some_and(|(at, _)| *at > waited))).await?;
    agent.kill().await?;
    let seen = points().await?;
    ensure!(seen.iter().all(|(_, value)| (0.0..=100.0).contains(value)), "a share of time beyond 100 %: {seen:?}");
    Ok(())
}

fn spool_bytes(spool: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(spool) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// Looks until something is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !so().await? {
        ensure!(began.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
