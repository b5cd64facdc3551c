//! `thermocline agent`: measures this host and pushes what it measured.
//!
//! sysinfo and /proc ([`probe`]) ─▶ points every second ─▶ a request every ten ([`wire`]) ─▶ [`spool`] on disk ─▶ POST ([`push`])
//!
//! What is measured is written to the spool before it is sent and removed once the server has it, so neither an
//! absent server nor a restart of the agent loses anything, as long as the spool's bound in bytes is not reached; then
//! the oldest goes first, and the log says so. One task measures, one sends; they meet in the spool only.

mod probe;
mod push;
mod spool;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use runtime::tasks::Stage;
use runtime::{Clock, SystemClock, Tasks};
use schemas::DurationMs;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::probe::Probe;
use self::push::Pusher;
use self::spool::Spool;
use self::wire::Batch;
use crate::config::units::Bytes;

const EXAMPLES: &str = "\
Examples:
  thermocline agent                                          to http://127.0.0.1:9464, every second, in pushes of ten
  thermocline agent --server http://metrics:9464 --every 5s --push 30s
  thermocline agent --server-id web-1 --tag env=production --tag service=shop

Stops on SIGTERM or Ctrl-C, after a last push; what could not be pushed waits in the spool for the next start.";

/// How long a last push may take when the agent is stopped.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AgentArgs {
    /// The server to push to
    #[arg(long, env = "THERMOCLINE_SERVER", default_value = "http://127.0.0.1:9464", value_name = "URL")]
    server: String,
    /// Time between two measurements
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = duration)]
    every: DurationMs,
    /// Time between two pushes
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    push: DurationMs,
    /// The label `server_id` of this host [default: its name]
    #[arg(long, env = "THERMOCLINE_SERVER_ID", value_name = "NAME")]
    server_id: Option<String>,
    /// A tag for every point; may be given more than once
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// Where points wait while the server is away
    #[arg(long, default_value = "./agent-spool", value_name = "DIR")]
    spool: PathBuf,
    /// Bytes that may wait; beyond that the oldest are dropped
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = Bytes::parse)]
    spool_max: Bytes,
}

/// Measures and pushes until told to stop.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    ensure!(
        args.every > DurationMs(0) && args.push >= args.every,
        "--push must be at least --every, and both more than 0"
    );
    let spool = Arc::new(Spool::open(&args.spool, args.spool_max.0)?);
    let waiting = spool.waiting();
    tracing::info!(server = args.server, every = %args.every, push = %args.push, waiting_bytes = waiting, "agent started");
    let fresh = Arc::new(Notify::new());
    let tasks = Tasks::new();
    let pusher = Pusher::new(&args.server, Arc::clone(&spool), Arc::clone(&fresh))?;
    // It sends until its own stage ends, after the measuring has handed over its last points.
    let sending = tasks.token(Stage::Storage);
    tasks.spawn(Stage::Storage, "push", pusher.run(sending, FAREWELL));
    let (ended, measuring) = tokio::sync::oneshot::channel();
    let stop = tasks.token(Stage::Intake);
    tasks.spawn(Stage::Intake, "measure", async move {
        // The receiver is gone only when `run` is.
        drop(ended.send(measure(args, &spool, &fresh, stop).await));
    });
    let outcome = tokio::select! {
        signal = stop_signal() => signal,
        outcome = measuring => outcome.context("measuring stopped")?,
    };
    tracing::info!("agent stops");
    tasks.shut_down(FAREWELL + Duration::from_secs(1)).await;
    outcome
}

/// Measures on the clock, and puts what it measured into the spool at every push, and at the end.
async fn measure(args: AgentArgs, spool: &Spool, fresh: &Notify, stop: CancellationToken) -> anyhow::Result<()> {
    let mut probe = Probe::new();
    let server_id = args.server_id.clone().unwrap_or_else(probe::host_name);
    let mut batch = Batch::new(&server_id, &args.tags);
    let every = args.every.as_std();
    // Not at once: the share of processor time is measured against the start.
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    // A late measurement is not made up for: two at once would tell nothing.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut pushed_ms = SystemClock.now_ms();
    loop {
        let stopping = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let now_ms = SystemClock.now_ms();
        if !stopping {
            // Reading /proc takes a millisecond or two and touches no disk.
            probe.measure(&mut |reading| batch.add(now_ms, reading));
        }
        if stopping || now_ms - pushed_ms >= args.push.0 || batch.is_full() {
            if let Some(body) = batch.take() {
                spool.append(&body).context("writing to the spool")?;
                fresh.notify_one();
            }
            pushed_ms = now_ms;
        }
        if stopping {
            return Ok(());
        }
    }
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("waiting for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

fn duration(text: &str) -> Result<DurationMs, String> {
    promql::parse_duration(text).map_err(|error| error.to_string())
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: AgentArgs,
    }

    #[test]
    fn tags_and_sizes_are_read() {
        let line = ["agent", "--tag", "env=dev", "--tag", "note=a=b", "--spool-max", "1MiB"];
        let args = Line::try_parse_from(line).expect("valid").args;
        assert_eq!(args.tags, [("env".to_owned(), "dev".to_owned()), ("note".to_owned(), "a=b".to_owned())]);
        assert_eq!(args.spool_max, Bytes(1 << 20));
        assert!(Line::try_parse_from(["agent", "--tag", "env"]).is_err());
        assert!(Line::try_parse_from(["agent", "--tag", "=dev"]).is_err());
    }
}
