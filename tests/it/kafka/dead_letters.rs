//! Messages that cannot be read: copied, skipped, or the end of their partition; and the way back.

use anyhow::{Context as _, ensure};
use kit::kafka::{Compression, Header, OwnedHeaders, Record};
use kit::process::program;
use kit::{Kafka, Server};
use tokio::process::Command;

use super::found::{by_api, metric, wait_for_metric, wait_until};
use super::load::{Format, Series, message, poison};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "letters";
const TOPIC: &str = "t";
const DLQ: &str = "t.dlq";
/// How many messages of poison, before, between and after good ones.
const POISON: u32 = 7;

fn config(kafka: &Kafka, format: &str, on_error: &str) -> String {
    let topics = format!("  topics: [{{ name: {TOPIC}, format: {format}, on_error: {on_error} }}]\n");
    format!("node: letters\n{}  commit_every: 200ms\n{topics}", kafka.config(GROUP))
}

/// Good messages and poison in turn, over two partitions.
async fn produce(kafka: &Kafka, load: &[Series]) -> anyhow::Result<()> {
    let mut producer = kafka.producer(Compression::Snappy)?;
    let mut slices = load.iter().flat_map(|series| series.slices(10)).peekable();
    for n in 0..POISON {
        let payload = poison(Format::Json, n);
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("abc") });
        let key = format!("key-{n}");
        let bad = message(TOPIC, &key, &payload).headers(headers).timestamp(1_742_221_800_000 + i64::from(n));
        producer.send(bad.partition(i32::try_from(n % 2)?))?;
        for (m, slice) in (0_i32..).zip(slices.by_ref().take(5)) {
            producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Json)).partition(m % 2))?;
        }
    }
    ensure!(slices.peek().is_none(), "the load is for {} messages", POISON * 5);
    producer.flush().await
}

/// Thirty-five messages.
fn load() -> Vec<Series> {
    Series::many("good", 7, 50, hour_of(now_ms()) - HOUR_MS)
}

fn is_poison(record: &Record) -> bool {
    record.key.as_ref().is_some_and(|key| key.starts_with(b"key-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_the_message_and_says_where_it_was_and_what_is_wrong() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 2).await?;
    let mut server = Server::options().config(config(&kafka, "json", "dlq")).start().await?;
    produce(&kafka, &load()).await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&Api::of(&server), &load()).await?;
    let bad: Vec<Record> = kafka.read(TOPIC).await?.into_iter().filter(is_poison).collect();
    let letters = kafka.read(DLQ).await?;
    super::letters::are_letters_of(TOPIC, &bad, &letters)?;
    for letter in &letters {
        ensure!(letter.header("trace") == Some("abc"), "its own headers are kept: {letter:?}");
    }
    let dead = metric(&Api::of(&server), "thermocline_kafka_messages_total", "outcome=\"dead\"").await?;
    ensure!(dead == i64::from(POISON), "{dead} are counted");
    // Read again from the start by a server that knows nothing: the group's offset is behind them all.
    server.kill().await?;
    std::fs::remove_dir_all(server.data_dir())?;
    server.restart().await?;
    let another = Series::many("another", 1, 1, hour_of(now_ms()) - HOUR_MS);
    let mut producer = kafka.producer(Compression::None)?;
    for partition in [0, 1] {
        let slice = another[0].slices(1).next().context("one point")?;
        producer.send(message(TOPIC, "another", &slice.payload(Format::Json)).partition(partition))?;
    }
    producer.flush().await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&Api::of(&server), &another).await?;
    ensure!(kafka.read(DLQ).await?.len() == letters.len(), "no letter twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skipped_messages_are_counted_and_halted_partitions_wait_for_somebody() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 2).await?;
    produce(&kafka, &load()).await?;
    let mut server = Server::options().config(config(&kafka, "json", "halt")).start().await?;
    let halted = "thermocline_kafka_halted_partitions";
    wait_for_metric(&Api::of(&server), halted, "", |partitions| partitions == 2).await?;
    let api = Api::of(&server);
    api.works(now_ms()).await?;
    ensure!(server.log().contains(TOPIC), "the log says where");
    // Nothing behind the first bad message of a partition is taken.
    let bad: Vec<Record> = kafka.read(TOPIC).await?.into_iter().filter(is_poison).collect();
    let first = |of: i32| bad.iter().find(|record| record.partition == of).map(|record| record.offset);
    let (one, other) = (first(0).context("poison in 0")?, first(1).context("poison in 1")?);
    wait_until(|| async {
        let committed = kafka.committed(GROUP, TOPIC).await?;
        Ok([0, 1].map(|of| committed.get(&of).map_or(0, |of| of.offset)) == [one, other])
    })
    .await
    .context("the group stands at the bad messages")?;
    let taken = metric(&api, "thermocline_kafka_messages_total", "").await?;
    ensure!(taken == one + other, "{one} and {other} were good, {taken} were taken");

    server.kill().await?;
    server.restart_with(Server::options().config(config(&kafka, "json", "skip"))).await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    let api = Api::of(&server);
    by_api(&api, &load()).await?;
    let skipped = metric(&api, "thermocline_kafka_messages_total", "outcome=\"skipped\"").await?;
    ensure!(skipped == i64::from(POISON), "{skipped} were skipped");
    ensure!(kafka.ends(DLQ).await.is_err(), "nobody made a topic of dead letters");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_dead_letters_are_messages_again_each_once() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::start().await? else { return Ok(()) };
    kafka.create_topic(TOPIC, 2).await?;
    // The wrong format: everything is a dead letter.
    let mut server =
        Server::options().config(config(&kafka, "avro", "dlq").replace("  topics", REGISTRY)).start().await?;
    let load = load();
    let mut producer = kafka.producer(Compression::None)?;
    for slice in load.iter().flat_map(|series| series.slices(10)) {
        producer.send(message(TOPIC, &slice.key(), &slice.payload(Format::Json)))?;
    }
    producer.flush().await?;
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    let letters = kafka.read(DLQ).await?;
    ensure!(letters.len() == 35, "{} of 35 messages are dead", letters.len());
    server.terminate().await?;
    server.restart_with(Server::options().config(config(&kafka, "json", "dlq"))).await?;
    ensure!(replay(&server).await?.contains("35"), "it says how many");
    kafka.wait_until_committed(GROUP, &[TOPIC]).await?;
    by_api(&Api::of(&server), &load).await?;

    let before: i64 = kafka.ends(TOPIC).await?.values().sum();
    replay(&server).await?;
    ensure!(kafka.ends(TOPIC).await?.values().sum::<i64>() == before, "a second replay has nothing to do");
    let replayed = kafka.read(TOPIC).await?;
    let plain = |record: &Record| record.headers.iter().all(|(name, _)| !name.starts_with("x-"));
    ensure!(replayed.iter().all(plain), "messages go back as they came");
    wait_until(|| async { Ok(kafka.read(DLQ).await?.len() == 35) }).await
}

/// Nobody answers there, and nobody is asked: what is no Avro at all needs no schema.
const REGISTRY: &str = "  registry: http://127.0.0.1:1\n  topics";

async fn replay(server: &Server) -> anyhow::Result<String> {
    let mut command = Command::new(program()?);
    command.args(["dlq", "replay", "--config"]).arg(server.home().join("thermocline.yml")).arg(TOPIC);
    let output = command.output().await.context("running dlq replay")?;
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "dlq replay: {text}");
    Ok(text)
}
