//! What brokers and senders may do besides failing: go away with one partition, forget, send what fits nowhere, abort.

use anyhow::{Context as _, ensure};
use kit::kafka::Compression;
use kit::process::program;
use kit::{Kafka, Server};
use rustix::process::Signal;
use tokio::process::Command;

use super::found::{by_api, metric, wait_for_metric};
use super::load::{Format, Series, message, poison};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "hostile";
const TOPIC: &str = "t";
const MESSAGES: &str = "thermocline_kafka_messages_total";

fn config(kafka: &Kafka, topics: &str) -> String {
    // A server that is stopped for a while stays in the group.
    let options = "librdkafka: { session.timeout.ms: 45000, statistics.interval.ms: 500 }";
    format!("{}  commit_every: 200ms\n  {options}\n  topics: [{topics}]\n", kafka.config(GROUP))
}

/// Every point in a message of its own, over the first `partitions` of the topic. Returns how many.
async fn produce(kafka: &Kafka, load: &[Series], partitions: i32) -> anyhow::Result<i64> {
    let mut producer = kafka.producer(Compression::None)?;
    let mut sent = 0;
    for (n, slice) in (0_i32..).zip(load.iter().flat_map(|series| series.slices(1))) {
        producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Json)).partition(n % partitions))?;
        sent += 1;
    }
    producer.flush().await?;
    Ok(sent)
}

async fn kcat(kafka: &Kafka, args: &[&str], input: &std::path::Path) -> anyhow::Result<()> {
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", kafka.bootstrap()]).args(args).arg(input);
    let output = kcat.output().await.context("running kcat")?;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_a_leader_keeps_no_other_waiting() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::options().brokers(3).start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 3).await?;
    kafka.reassign(TOPIC, &[vec![1], vec![2], vec![3]]).await?;
    let load = Series::many("leaders", 6, 50, hour_of(now_ms()) - HOUR_MS);
    let sent = produce(&kafka, &load, 3).await?;
    // The group's own topic is made while all brokers are there.
    kafka.committed(GROUP, TOPIC).await?;
    kafka.wait_until_in_sync("__consumer_offsets").await?;
    // A clean stop: after another the cluster may not trust the only replica any more.
    kafka.stop(Some(3)).await?;

    let server = Server::options().config(config(&kafka, "{ name: t, format: json }")).start().await?;
    let api = Api::of(&server);
    wait_for_metric(&api, MESSAGES, "outcome=\"stored\"", |stored| stored == sent / 3 * 2).await?;
    let status = server.get_json("/api/v1/kafka").await?.to_string();
    ensure!(status.contains("do not tell where it begins"), "what waits is told: {status}");
    kafka.restart().await?;
    wait_for_metric(&api, MESSAGES, "outcome=\"stored\"", |stored| stored == sent).await?;
    by_api(&api, &load).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_while_a_server_is_slow_is_told_and_what_is_behind_it_is_stored() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 1).await?;
    let load = Series::many("slow", 4, 50, hour_of(now_ms()) - HOUR_MS);
    let [first, second, third, fourth] = load.as_slice() else { anyhow::bail!("four series") };
    let server = Server::options().config(config(&kafka, "{ name: t, format: json }")).start().await?;
    let api = Api::of(&server);
    produce(&kafka, std::slice::from_ref(first), 1).await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;

    server.signal(Signal::STOP)?;
    // The server's last question is answered with some of the second; none asks for the third.
    produce(&kafka, std::slice::from_ref(second), 1).await?;
    produce(&kafka, std::slice::from_ref(third), 1).await?;
    kafka.forget_before(TOPIC, 0, 150).await?;
    produce(&kafka, std::slice::from_ref(fourth), 1).await?;
    server.signal(Signal::CONT)?;

    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&api, std::slice::from_ref(fourth)).await?;
    let missing = metric(&api, "thermocline_kafka_missing_messages_total", "").await?;
    let stored = metric(&api, MESSAGES, "outcome=\"stored\"").await?;
    ensure!(missing > 0 && missing + stored == 200, "{missing} are missing, {stored} are stored, 200 were sent");
    ensure!(server.log().contains("have dropped messages"), "it is told");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_as_large_as_the_brokers_take_becomes_a_dead_letter_and_comes_back() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 1).await?;
    let server = Server::options().config(config(&kafka, "{ name: t, format: json }")).start().await?;
    let large = server.home().join("large");
    std::fs::write(&large, "x".repeat(1_048_000))?;
    kcat(&kafka, &["-t", TOPIC, "-X", "message.max.bytes=1048588"], &large).await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    let letters = kafka.read("t.dlq").await?;
    ensure!(letters.len() == 1, "{} letters", letters.len());

    let replay = |to: &'static str| {
        let config = server.home().join("thermocline.yml");
        async move {
            let mut command = Command::new(program()?);
            command.args(["dlq", "replay", "--config"]).arg(config).args([TOPIC, "--to", to]);
            command.output().await.context("running dlq replay")
        }
    };
    let nowhere = replay("nowhere").await?;
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    ensure!(!nowhere.status.success() && told.contains("did not keep 1 letters"), "what is not kept is told: {told}");
    let back = replay(TOPIC).await?;
    ensure!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let sizes: Vec<_> = kafka.read(TOPIC).await?.into_iter().map(|record| record.payload.len()).collect();
    ensure!(sizes == [1_048_000; 2], "it is in its topic again: {sizes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_of_transactions_are_no_lag() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 1).await?;
    // Dead letters are written in transactions; read by name like any topic.
    let topics = "{ name: t, format: json }, { name: t.dlq, format: json, on_error: skip }";
    let server = Server::options().config(config(&kafka, topics)).start().await?;
    let mut producer = kafka.producer(Compression::None)?;
    for n in 0..3 {
        producer.send(message(TOPIC, "bad", &poison(Format::Json, n)))?;
    }
    producer.flush().await?;
    let api = Api::of(&server);
    wait_for_metric(&api, MESSAGES, "outcome=\"skipped\"", |skipped| skipped == 3).await?;
    let end: i64 = kafka.ends("t.dlq").await?.values().sum();
    ensure!(end > 3, "there are markers");
    wait_for_metric(&api, "thermocline_kafka_lag_messages", "topic=\"t.dlq\"", |lag| lag == 0).await
}
