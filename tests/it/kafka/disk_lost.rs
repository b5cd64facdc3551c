//! A server that lost its disk goes on from its archive: what is archived or still in Kafka answers, and what is neither
//! is named.

use std::path::Path;

use anyhow::{Context as _, ensure};
use kit::kafka::Compression;
use kit::process::ServerOptions;
use kit::{Kafka, Server};
use tempfile::TempDir;

use super::found::{by_api, by_duckdb, metric};
use super::load::{Format, Series, message};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "lost";
const TOPIC: &str = "t";
const PARTITIONS: i32 = 4;
/// Two hours and a half.
const POINTS: i32 = 9_000;

fn options(kafka: &Kafka, cold: &Path) -> ServerOptions {
    Server::options().config(format!(
        "node: survivor\nobject_store: {{ url: \"{}\" }}\nseal: {{ lateness: 0s }}\narchive: {{ every: 1d }}\n{}  \
         commit_every: 200ms\n  topics: [{{ name: {TOPIC}, format: influx }}]\n",
        cold.display(),
        kafka.config(GROUP),
    ))
}

async fn produce(kafka: &Kafka, load: &[Series]) -> anyhow::Result<()> {
    let mut producer = kafka.producer(Compression::Lz4)?;
    for slice in load.iter().flat_map(|series| series.slices(100)) {
        producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Influx)))?;
    }
    producer.flush().await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await
}

/// A server with points that are archived, and others that are not, of the same hours and of later ones.
async fn given(kafka: &Kafka, cold: &TempDir) -> anyhow::Result<(Server, Vec<Series>, Vec<Series>)> {
    kafka.create_topic(TOPIC, PARTITIONS).await?;
    let server = options(kafka, cold.path()).start().await?;
    let start = hour_of(now_ms()) - 4 * HOUR_MS;
    let archived = Series::many("archived", 8, POINTS, start);
    produce(kafka, &archived).await?;
    Api::of(&server).seal_and_archive().await?;
    let open = Series::many("open", 8, POINTS, start + HOUR_MS);
    produce(kafka, &open).await?;
    Ok((server, archived, open))
}

/// Kills the server, takes its disk away, and starts it as one that lost it.
async fn lose_the_disk(server: &mut Server, options: ServerOptions) -> anyhow::Result<()> {
    server.kill().await?;
    std::fs::remove_dir_all(server.data_dir()).context("losing the disk")?;
    server.restart_with(options.arg("--recover-from-archive")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_disk_is_lost_everything_archived_or_still_in_kafka_answers() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    let cold = tempfile::tempdir()?;
    let (mut server, archived, open) = given(&kafka, &cold).await?;
    lose_the_disk(&mut server, options(&kafka, cold.path())).await?;
    let all: Vec<Series> = archived.iter().chain(&open).cloned().collect();
    let later = Series::many("later", 2, 100, hour_of(now_ms()) - HOUR_MS);
    produce(&kafka, &later).await?;
    recovered(&Api::of(&server)).await?;
    by_api(&Api::of(&server), &all).await?;
    by_api(&Api::of(&server), &later).await?;

    // Once more, in the middle of it: nothing was archived since.
    lose_the_disk(&mut server, options(&kafka, cold.path())).await?;
    recovered(&Api::of(&server)).await?;
    let all: Vec<Series> = all.into_iter().chain(later).collect();
    by_api(&Api::of(&server), &all).await?;
    Api::of(&server).seal_and_archive().await?;
    by_duckdb(cold.path(), &all).await?;
    by_api(&Api::of(&server), &all).await?;

    // And without the flag it is an ordinary server again.
    server.kill().await?;
    server.restart_with(options(&kafka, cold.path())).await?;
    by_api(&Api::of(&server), &all).await
}

/// Waits until everything has been read again: the group's offset, which is ahead of it, says nothing.
async fn recovered(api: &Api) -> anyhow::Result<()> {
    let partitions = i64::from(PARTITIONS);
    super::found::wait_for_metric(api, "thermocline_kafka_partitions", "", |has| has == partitions).await?;
    super::found::wait_until(|| async {
        let samples = api.get("/metrics", &[]).send().await?.text().await?;
        let lags: Vec<&str> =
            samples.lines().filter(|line| line.starts_with("thermocline_kafka_lag_messages{")).collect();
        Ok(i32::try_from(lags.len())? == PARTITIONS && lags.iter().all(|line| line.ends_with(" 0")))
    })
    .await
    .context("the lag never ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_no_longer_has_is_named_and_the_rest_is_there() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    let cold = tempfile::tempdir()?;
    let (mut server, archived, _) = given(&kafka, &cold).await?;
    for (partition, end) in kafka.ends(TOPIC).await? {
        kafka.forget_before(TOPIC, partition, end).await?;
    }
    lose_the_disk(&mut server, options(&kafka, cold.path())).await?;
    let later = Series::many("later", 4, 100, hour_of(now_ms()) - HOUR_MS);
    produce(&kafka, &later).await?;
    let api = Api::of(&server);
    recovered(&api).await?;
    by_api(&api, &archived).await?;
    by_api(&api, &later).await?;
    let missing = metric(&api, "thermocline_kafka_missing_messages_total", "").await?;
    ensure!(missing > 0, "messages that were dropped are counted");
    // Per partition: from which time to which.
    let log = server.log();
    let told = |line: &&str| line.contains("are missing") && line.contains(" from=2") && line.contains(" to=2");
    let told = log.lines().filter(told).count();
    ensure!(told > 1, "{told} partitions are told with their times:\n{log}");
    Ok(())
}
