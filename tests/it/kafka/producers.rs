//! Clients that are not ours produce: kcat, Confluent's for Python with Avro and a registry, librdkafka with each
//! compression.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use kit::kafka::Compression;
use kit::{Kafka, Server};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::found::by_api;
use super::load::{Format, Series, avro_schema, message};
use super::registry::Registry;
use crate::api::{Api, HOUR_MS, hour_of, now_ms};
use crate::delta::python;

const GROUP: &str = "producers";
const TOPICS: [(&str, &str); 5] = [
    ("kcat", "json"),
    ("kcat-lines", "influx"),
    ("python", "avro"),
    ("python-batched", "avro"),
    ("librdkafka", "json"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_of_kcat_of_confluents_client_and_of_every_compression_arrive() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    let registry = Registry::start().await?;
    let mut config =
        format!("{}  commit_every: 200ms\n  registry: {}\n  topics:\n", kafka.config(GROUP), registry.url());
    for (topic, format) in TOPICS {
        kafka.create_topic(topic, 2).await?;
        config.push_str(&format!("    - {{ name: {topic}, format: {format} }}\n"));
    }
    let server = Server::options().config(config).start().await?;
    let start = hour_of(now_ms()) - HOUR_MS;
    let mut load = Vec::new();
    load.extend(by_kcat(&kafka, start).await?);
    load.extend(by_confluent(&kafka, &registry, start).await?);
    load.extend(by_librdkafka(&kafka, start).await?);
    kafka.wait_until_committed(GROUP, &TOPICS.map(|(topic, _)| topic)).await?;
    by_api(&Api::of(&server), &load).await
}

/// A message a line, with its key before `|`.
async fn by_kcat(kafka: &Kafka, start: i64) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    let parts = [("kcat", "by_kcat", Format::Json, "snappy"), ("kcat-lines", "by_kcat_line", Format::Influx, "lz4")];
    for (topic, metric, format, compression) in parts {
        let load = Series::many(metric, 5, 100, start);
        let mut lines = Vec::new();
        for slice in load.iter().flat_map(|series| series.slices(1)) {
            lines.extend(slice.key().into_bytes());
            lines.push(b'|');
            lines.extend(slice.payload(format).trim_ascii_end());
            lines.push(b'\n');
        }
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", kafka.bootstrap(), "-t", topic, "-K", "|", "-z", compression]);
        if piped(kcat, &lines, "kcat").await?.is_some() {
            all.extend(load);
        }
    }
    Ok(all)
}

/// A point a message by the record of one schema, and many by another's.
async fn by_confluent(kafka: &Kafka, registry: &Registry, start: i64) -> anyhow::Result<Vec<Series>> {
    let one = json!({ "type": "record", "name": "Point", "namespace": "io.example", "fields": [
        { "name": "metric_name", "type": "string" }, { "name": "value", "type": "double" },
        { "name": "timestamp", "type": "long" }, { "name": "labels", "type": { "type": "map", "values": "string" } },
        { "name": "source", "type": "string" }] });
    let single = Series::many("by_confluent", 5, 100, start);
    let mut records = Vec::new();
    for series in &single {
        for (timestamp, value) in series.points() {
            let value = json!({ "metric_name": series.metric, "value": value, "timestamp": timestamp,
                "labels": { "server_id": series.server_id }, "source": "python" });
            records.push(json!({ "key": format!("{}:{}", series.metric, series.server_id), "value": value }));
        }
    }
    let batched = Series::many("by_confluent_batched", 5, 100, start);
    let batch = |series: &Series| {
        let points: Vec<Value> = series.points().map(|(ts, v)| json!({ "ts": ts, "v": v })).collect();
        let value = json!({ "metric": series.metric, "labels": { "server_id": series.server_id }, "points": points });
        json!({ "key": series.server_id, "value": value })
    };
    let batches: Vec<Value> = batched.iter().map(batch).collect();
    let mut all = Vec::new();
    let parts = [("python", one, records, single), ("python-batched", avro_schema(), batches, batched)];
    for (topic, schema, records, load) in parts {
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        let mut produce = Command::new(python());
        produce.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../services/produce_avro.py"));
        produce.args([kafka.bootstrap(), registry.url(), topic, &schema.to_string()]);
        let Some(delivered) = piped(produce, lines.as_bytes(), "confluent-kafka").await? else { continue };
        ensure!(delivered.trim() == records.len().to_string(), "{delivered} of {} were delivered", records.len());
        all.extend(load);
    }
    Ok(all)
}

async fn by_librdkafka(kafka: &Kafka, start: i64) -> anyhow::Result<Vec<Series>> {
    let mut all = Vec::new();
    for compression in Compression::ALL {
        let metric = match compression {
            Compression::None => "by_none",
            Compression::Gzip => "by_gzip",
            Compression::Snappy => "by_snappy",
            Compression::Lz4 => "by_lz4",
            Compression::Zstd => "by_zstd",
        };
        let load = Series::many(metric, 5, 100, start);
        let mut producer = kafka.producer(compression)?;
        for slice in load.iter().flat_map(|series| series.slices(20)) {
            producer.send(message("librdkafka", &slice.key(), &slice.payload(Format::Json)))?;
        }
        producer.flush().await?;
        all.extend(load);
    }
    Ok(all)
}

/// Runs a program over an input; `None`, and a loud line, where it is not installed, except with `CI=true`.
#[expect(clippy::print_stderr, reason = "a check that is skipped must be seen")]
async fn piped(mut command: Command, input: &[u8], name: &str) -> anyhow::Result<Option<String>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
            ensure!(!required, "{name} is required with CI=true: run scripts/setup.sh");
            eprintln!("SKIPPED: no {name} for this test (scripts/setup.sh installs it; with CI=true this fails)");
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("starting {name}")),
    };
    let mut stdin = child.stdin.take().context("its input is written")?;
    let written = stdin.write_all(input).await;
    drop(stdin);
    let output = child.wait_with_output().await.with_context(|| format!("waiting for {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    written.with_context(|| format!("writing to {name}"))?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}
