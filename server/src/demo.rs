//! `thermocline demo`: a fresh server, three past days of 50 hosts, this host's agent, and four questions whose answers
//! come from different tiers and are checked against the values that were sent.
//!
//! server process ─▶ load ─▶ agent process ─▶ seal, archive, retention ─▶ questions ─▶ plot ─▶ stays until Ctrl-C
//!
//! Everything goes over HTTP to the real binary. Retention is short here, so that three days reach every tier.

mod client;
pub(crate) mod fleet;
mod load;
mod plot;
mod process;
mod questions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use runtime::{Clock, SystemClock};
use schemas::{DurationMs, TimestampMs};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::client::Client;
use self::fleet::Fleet;
use self::process::{Agent, Server};
use crate::cli::DemoArgs;
use crate::commands::print;

/// What the server starts with: everything default.
const CONFIG: &str = "# Written by `thermocline demo`; every key has its default.\n";
/// What it is told later: raw points for a day, 1-minute and 1-hour data for two; the archive keeps all.
const SHORT_RETENTION: &str = "\
# Written by `thermocline demo`: three days of data are to reach every tier.
retention: { hot.raw: 1d, warm.rollup_1m: 2d, warm.rollup_1h: 2d }
";
/// How long the server may take to start.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo. Exit code 1 if an answer is wrong.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let dir = fresh_dir(args.data_dir.as_deref())?;
    let config = dir.join("thermocline.yml");
    std::fs::write(&config, CONFIG).with_context(|| format!("writing {}", config.display()))?;
    say(&format!("Starting a server on a fresh directory, {} …", dir.display()))?;
    let mut server = Server::start(&dir, &config, args.listen).await?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let (url, log) = (server.url().to_owned(), server.log().to_owned());
    let client = Client::new(&url);
    let outcome = tokio::select! {
        outcome = Box::pin(show(&client, &dir, &config)) => outcome,
        () = told_to_stop(&mut terminate) => {
            server.stop().await?;
            return Ok(ExitCode::FAILURE);
        }
        ended = server.ended() => Err(ended),
    };
    let outcome = outcome.with_context(|| format!("the server's log is {}", log.display()));
    let (right, agent) = match outcome {
        Ok(shown) => shown,
        Err(error) => {
            server.stop().await?;
            return Err(error);
        }
    };
    if !args.once {
        farewell(&url)?;
        told_to_stop(&mut terminate).await;
    }
    agent.stop().await?;
    server.stop().await?;
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads, moves the data down the tiers, asks. Says whether all answers were right.
async fn show(client: &Client, dir: &Path, config: &Path) -> anyhow::Result<(bool, Agent)> {
    client.wait_until_ready(START_PATIENCE).await?;
    let now = TimestampMs(SystemClock.now_ms());
    let fleet = Fleet::of_past(DurationMs::days(3), now);
    say(&format!("Loading {} points: {} hosts, 3 metrics, three past days …", fleet.points(), fleet::HOSTS))?;
    let loaded = load::run(client, &fleet).await?;
    say(&format!("  {loaded}"))?;
    say("Starting the agent on this host …")?;
    let agent = Agent::start(client.base(), dir)?;
    say("Sealing every hour: de-duplicated, encoded, rolled up …")?;
    client.post("/api/v1/admin/seal").await?;
    say(&format!("  {}", client.tiers().await?.sealed))?;
    say("Archiving sealed hours as Parquet in Delta tables …")?;
    client.post("/api/v1/admin/archive").await?;
    say(&format!("  {}", client.tiers().await?.archived))?;
    say("Shortening retention to 1d raw and 2d rollups, without a restart …")?;
    std::fs::write(config, SHORT_RETENTION).with_context(|| format!("writing {}", config.display()))?;
    client.post("/-/reload").await?;
    client.post("/api/v1/admin/retention").await?;
    say(&format!("  {}", client.tiers().await?.owners))?;
    let mut right = true;
    for (number, question) in (1..).zip(questions::all(&fleet, now)) {
        let answer = client.ask(&question.path).await?;
        let verdict = question.check(&answer);
        right &= verdict.is_ok();
        say(&questions::shown(number, client.base(), &question, &answer, &verdict))?;
        if question.plotted {
            say(&plot::text(&answer.points))?;
        }
    }
    Ok((right, agent))
}

/// Ctrl-C or SIGTERM: the processes that were started are to end with this one.
async fn told_to_stop(terminate: &mut Signal) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn farewell(url: &str) -> anyhow::Result<()> {
    let host = format!("{url}/api/metrics/host-07?metric=cpu_usage&from=-6h&granularity=1m");
    say(&format!(
        "\nThe server stays up. Try:\n  {url}/                 links\n  {url}/api/docs/        the API, browsable\n  \
         {url}/api/v1/tiers     who owns what\n  {host}\n  \
         thermocline sql --server {url} \"SELECT metric, count(*) FROM samples GROUP BY metric\"\nCtrl-C ends it."
    ))
}

/// An empty directory: the one that was named, emptied of a former demo, or a new one.
fn fresh_dir(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(dir) = named else {
        let name = format!("thermocline-demo-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        return Ok(dir);
    };
    if dir.join("thermocline.yml").exists() && dir.join("hot").exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let empty = std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?.next().is_none();
    anyhow::ensure!(empty, "{} is not empty, and not of a former demo", dir.display());
    Ok(dir.to_owned())
}

fn say(line: &str) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}
