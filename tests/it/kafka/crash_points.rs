//! The process dies between two steps of storing messages: whichever they are, nothing is lost and nothing is there twice.

use anyhow::{Context as _, ensure};
use kit::kafka::{Compression, Record};
use kit::{Kafka, Server};

use super::found::{by_api, wait_until};
use super::letters::are_letters_of;
use super::load::{Format, Series, message, poison};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "crash-points";
const TOPIC: &str = "c";
/// The points in the log and their offset with them, then: the dead letters and the group's offset in one transaction.
const POINTS: [&str; 2] = ["kafka.slice.stored", "kafka.dead_letters.sent"];
/// At which pass of the point it dies.
const PASSES: [u32; 2] = [1, 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_each_message_is_stored_or_dead_once() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 2).await?;
    let topics = format!("  topics: [{{ name: {TOPIC}, format: json }}]\n");
    // No commit but those of revocations and dead letters: the stored offsets alone must do.
    let config = format!("node: crash\n{}  commit_every: 1h\n{topics}", kafka.config(GROUP));
    let mut server = Server::options().config(&*config).start().await?;
    let start = hour_of(now_ms()) - HOUR_MS;
    let mut all = Vec::new();
    for (n, (point, pass)) in POINTS.into_iter().flat_map(|point| PASSES.map(|pass| (point, pass))).enumerate() {
        server.kill().await?;
        let load = Series::many(["m0", "m1", "m2", "m3"][n], 4, 100, start);
        let mut producer = kafka.producer(Compression::None)?;
        for (number, slice) in (0_u32..).zip(load.iter().flat_map(|series| series.slices(10))) {
            let partition = i32::try_from(number % 2)?;
            producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Json)).partition(partition))?;
            if number % 9 == 4 {
                producer.send(message(TOPIC, "poison", &poison(Format::Json, number)).partition(partition))?;
            }
        }
        producer.flush().await?;
        server.launch_with(Server::options().config(&*config).env("FAILPOINTS", format!("{point}={pass}")))?;
        server.wait_for_end().await.with_context(|| format!("{point} is not passed {pass} times"))?;
        server.restart_with(Server::options().config(&*config)).await?;
        all.extend(load);
        stored_once(&kafka, &server, &all).await.with_context(|| format!("killed at {point}, pass {pass}"))?;
    }
    Ok(())
}

async fn stored_once(kafka: &Kafka, server: &Server, load: &[Series]) -> anyhow::Result<()> {
    wait_until_read(kafka, server).await?;
    by_api(&Api::of(server), load).await?;
    let records = kafka.read(TOPIC).await?;
    let bad: Vec<Record> = records.into_iter().filter(|record| record.key.as_deref() == Some(b"poison")).collect();
    let letters = kafka.read(&format!("{TOPIC}.dlq")).await?;
    ensure!(!letters.is_empty(), "no letters");
    are_letters_of(TOPIC, &bad, &letters)
}

/// Waits until the server stands at the end of each partition: the group does not know, for nothing is committed.
async fn wait_until_read(kafka: &Kafka, server: &Server) -> anyhow::Result<()> {
    let ends = kafka.ends(TOPIC).await?;
    wait_until(|| async {
        let status = server.get_json("/api/v1/kafka").await?;
        let partitions = status["partitions"].as_array().context("partitions")?;
        let of = |partition: &serde_json::Value| {
            Some((partition["partition"].as_i64()?, partition["next_offset"].as_i64()?))
        };
        let read: Vec<_> = partitions.iter().filter_map(of).collect();
        Ok(ends.iter().all(|(partition, end)| read.contains(&(i64::from(*partition), *end))))
    })
    .await
}
