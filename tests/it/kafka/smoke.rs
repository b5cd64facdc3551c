//! One server: it answers with what was produced, commits what it has, and reads nothing again.

use std::time::Duration;

use anyhow::ensure;
use kit::kafka::Compression;
use kit::process::ServerOptions;
use kit::{Kafka, Server};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use super::found::{by_api, metric, wait_for_metric};
use super::load::{Format, Series, message};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "thermocline";
const TOPIC: &str = "metrics-raw";
const KILLS: u32 = 8;

fn options(kafka: &Kafka) -> ServerOptions {
    let topics = "  commit_every: 200ms\n  refresh_every: 500ms\n  \
                  librdkafka: { topic.metadata.refresh.interval.ms: 500 }\n  topics:\n    \
                  - { name: metrics-raw, format: json }\n    - { regex: \"^more-.*\", format: influx }\n";
    Server::options().config(format!("node: smoke\n{}{topics}", kafka.config(GROUP)))
}

/// Every point in a message of its own, as JSON.
async fn produce_one_by_one(kafka: &Kafka, load: &[Series]) -> anyhow::Result<()> {
    let mut producer = kafka.producer(Compression::Lz4)?;
    for slice in load.iter().flat_map(|series| series.slices(1)) {
        producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Json)))?;
    }
    producer.flush().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_stored_once_though_the_server_is_killed_and_a_restart_reads_none_again() -> anyhow::Result<()>
{
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 8).await?;
    let mut random = StdRng::seed_from_u64(kit::seed());
    let mut server = options(&kafka).start().await?;
    let load = Series::many("cpu", 40, 250, hour_of(now_ms()) - HOUR_MS);
    for part in load.chunks(10) {
        produce_one_by_one(&kafka, part).await?;
        for _ in 0..KILLS / 4 {
            sleep(Duration::from_millis(random.random_range(0..1_500))).await;
            server.kill().await?;
            server.restart().await?;
        }
    }
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&Api::of(&server), &load).await?;
    let committed = kafka.committed(GROUP, TOPIC).await?;
    let read = kafka.ends(TOPIC).await?.into_iter().filter(|(_, end)| *end > 0).count();
    let is_ours = committed.values().all(|of| of.metadata == "smoke");
    ensure!(read > 1 && committed.len() == read && is_ours, "{committed:?}");

    let status = server.terminate().await?;
    ensure!(status.success(), "{status}");
    server.restart().await?;
    let api = Api::of(&server);
    wait_for_metric(&api, "thermocline_kafka_partitions", "", |partitions| partitions == 8).await?;
    let another = Series::many("another", 1, 1, hour_of(now_ms()) - HOUR_MS);
    produce_one_by_one(&kafka, &another).await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    let read = metric(&api, "thermocline_kafka_messages_total", "").await?;
    ensure!(read == 1, "one message came since the restart, {read} were read");
    by_api(&api, &load).await?;
    by_api(&api, &another).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_and_partitions_that_appear_are_read_without_a_restart() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 1).await?;
    let server = options(&kafka).start().await?;
    let api = Api::of(&server);
    wait_for_metric(&api, "thermocline_kafka_partitions", "", |partitions| partitions == 1).await?;
    kafka.grow_topic(TOPIC, 3).await?;
    kafka.create_topic("more-of-it", 2).await?;
    let mut producer = kafka.producer(Compression::None)?;
    let start = hour_of(now_ms()) - HOUR_MS;
    let (old, new) = (Series::many("old", 30, 100, start), Series::many("new", 30, 100, start));
    for (topic, format, load) in [(TOPIC, Format::Json, &old), ("more-of-it", Format::Influx, &new)] {
        for slice in load.iter().flat_map(|series| series.slices(10)) {
            producer.send(message(topic, &slice.key(), &slice.payload(format)))?;
        }
    }
    producer.flush().await?;
    ensure!(kafka.ends(TOPIC).await?.values().all(|end| *end > 0), "every partition has messages");
    kafka.wait_until_committed(GROUP, &[TOPIC, "more-of-it"]).await?;
    by_api(&api, &old).await?;
    by_api(&api, &new).await
}
