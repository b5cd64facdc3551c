//! `thermocline dlq replay`: dead letters go back to the topic that they came from.

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use ingest::kafka::replay::{Replay, Replayed, replay};

use super::print;
use crate::cli::DlqReplayArgs;
use crate::config::{Overrides, environment, from_file};

/// Replays, with a progress bar on a terminal, and says how many there were.
pub(super) async fn run(args: DlqReplayArgs) -> anyhow::Result<()> {
    let config = from_file(args.config.as_deref(), &Overrides::default(), environment())?;
    let brokers = args.brokers.unwrap_or_else(|| config.kafka.brokers.clone());
    ensure!(!brokers.is_empty(), "no brokers: give --brokers, or --config with kafka.brokers");
    let request = Replay {
        brokers,
        client: config.kafka.client(),
        topic: args.topic,
        to: args.to,
        group: args.group,
        limit: args.limit,
        dry_run: args.dry_run,
    };
    let (topic, dry_run) = (request.topic.clone(), request.dry_run);
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:40} {pos} of {len} dead letters")?);
    let told = bar.clone();
    let done = tokio::task::spawn_blocking(move || {
        replay(&request, |done, all| {
            told.set_length(all);
            told.set_position(done);
        })
    });
    let Replayed { messages } = done.await.context("the replay died")??;
    bar.finish_and_clear();
    // Before they are read, markers of transactions cannot be told from letters.
    let verb = if dry_run { "at most would be replayed" } else { "replayed" };
    print(&format!("{topic}: {messages} dead letters {verb}\n"))
}
