//! `thermocline`: a tiered metrics store.
//!
//! command line ([`cli`]) ─▶ one of [`commands`];  `serve`: [`config`] ─▶ [`assemble`] the parts ─▶ [`http`]
//!
//! The only place where the parts meet. Exit codes: 0 done, 1 failed, 2 wrong usage.
//! Not here: anything that could be tested without a process; it is in the crates of the parts.

mod agent;
mod assemble;
mod cli;
mod commands;
mod config;
mod controls;
mod demo;
mod http;
mod loadgen;
mod open_files;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// How long threads that were given up may take to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return commands::failed(&anyhow::Error::from(error).context("starting worker threads")),
    };
    let outcome = runtime.block_on(Box::pin(commands::run(cli)));
    // What still runs on a thread of its own has had its time; everything acknowledged is in the log.
    runtime.shutdown_timeout(LAST_PATIENCE);
    outcome.unwrap_or_else(|error| commands::failed(&error))
}
