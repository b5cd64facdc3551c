//! The four delivery levels, under kills; and HTTP by way of a topic.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::kafka::Compression;
use kit::process::ServerOptions;
use kit::{Kafka, Server};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::found::{by_api, wait_until};
use super::load::{Format, Series, message};
use crate::api::{Api, HOUR_MS, hour_of, now_ms, refusal_of};

const GROUP: &str = "levels";
const KILLS: u64 = 6;

fn options(kafka: &Kafka, rest: &str) -> ServerOptions {
    Server::options().config(format!("node: levels\n{}  commit_every: 200ms\n{rest}", kafka.config(GROUP)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_level_but_the_lowest_loses_nothing_and_none_makes_anything_up() -> anyhow::Result<()> {
    const LOSING: &str = "at_most_once";
    const KEEPING: [&str; 3] = ["at_least_once", "no_duplicates", "exactly_once"];
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    let mut topics = "  topics:\n".to_owned();
    for level in KEEPING.into_iter().chain([LOSING]) {
        kafka.create_topic(level, 2).await?;
        topics.push_str(&format!("    - {{ name: {level}, format: influx, delivery: {level} }}\n"));
    }
    let mut server = options(&kafka, &topics).start().await?;
    let mut random = StdRng::seed_from_u64(kit::seed());
    let start = hour_of(now_ms()) - HOUR_MS;
    let loads = KEEPING.into_iter().chain([LOSING]).map(|level| (level, Series::many(level, 8, 3_000, start)));
    let loads: Vec<_> = loads.collect();
    let mut producer = kafka.producer(Compression::Gzip)?;
    for kill in 0..=i32::try_from(KILLS)? {
        for (level, load) in &loads {
            let part = load.iter().flat_map(|series| series.slices(50)).filter(|slice| slice.first() / 50 % 7 == kill);
            for slice in part {
                producer.send(message(level, &slice.key(), &slice.payload(Format::Influx)))?;
            }
        }
        producer.flush().await?;
        if u64::try_from(kill)? < KILLS {
            sleep(Duration::from_millis(random.random_range(0..1_000))).await;
            server.kill().await?;
            server.restart().await?;
        }
    }
    let all: Vec<&str> = loads.iter().map(|(level, _)| *level).collect();
    kafka.wait_until_committed(GROUP, &all).await?;
    let api = Api::of(&server);
    for (level, load) in loads {
        if level != LOSING {
            by_api(&api, &load).await.context(level)?;
            continue;
        }
        for series in load {
            let sent: Vec<_> = series.points().collect();
            let found = api.raw(&series.server_id, series.metric, start, series.end()).await?;
            ensure!(found.is_sorted_by(|a, b| a.0 < b.0), "a moment is there twice");
            ensure!(found.iter().all(|point| sent.contains(point)), "nobody sent some of {}", series.server_id);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_http_and_goes_through_a_topic_is_accepted_when_the_brokers_have_it() -> anyhow::Result<()> {
    const TOPIC: &str = "metrics-http";
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 3).await?;
    let via = "  topics: [{ name: metrics-http, format: prom_remote_write }]\n\
               ingest: { http: { via: kafka, topic: metrics-http } }\n";
    let server = options(&kafka, via).start().await?;
    let api = Api::of(&server);
    let load = Series::many("by_http", 10, 200, hour_of(now_ms()) - HOUR_MS);
    let (first, later) = load.split_at(5);
    ensure!(api.push(&documents(first)).await? == 1_000, "all are accepted");
    let records = kafka.read(TOPIC).await?;
    ensure!(!records.is_empty(), "what was accepted is in the topic by now");
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&api, first).await?;

    // Without brokers nothing is accepted, and what was is still answered.
    kafka.kill(None).await?;
    let refused = api.post("/api/metrics").json(&documents(later)).send().await?;
    let refused = refusal_of(refused).await?;
    ensure!(refused.status == 503 && refused.retry_after.is_some(), "{refused:?}");
    by_api(&api, first).await?;
    kafka.restart().await?;
    wait_until(|| async {
        let answer = api.post("/api/metrics").json(&documents(later)).send().await?;
        Ok(answer.status() == 202)
    })
    .await
    .context("accepted again")?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&api, &load).await
}

/// Documents of `POST /api/metrics`.
fn documents(load: &[Series]) -> Value {
    let document = |series: &Series| -> Vec<Value> {
        let point = |(timestamp, value)| {
            json!({ "server_id": series.server_id, "timestamp": timestamp,
                "metrics": [{ "name": series.metric, "value": value }] })
        };
        series.points().map(point).collect()
    };
    load.iter().flat_map(document).collect()
}
