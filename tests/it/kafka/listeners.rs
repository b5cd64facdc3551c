//! Brokers that let in only by TLS, or by a name and a password.

use anyhow::ensure;
use kit::kafka::Compression;
use kit::{Kafka, Server};

use super::found::{by_api, wait_for_metric};
use super::load::{Format, Series, message};
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

/// The `librdkafka` options for each listener, with the listener.
fn ways_in(kafka: &Kafka) -> anyhow::Result<Vec<(String, String)>> {
    let sasl = |mechanism: &str| {
        format!(
            "security.protocol: sasl_plaintext, sasl.mechanism: {mechanism}, sasl.username: {}, sasl.password: {}",
            Kafka::USER,
            Kafka::PASSWORD
        )
    };
    let mut ways = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        ways.push((kafka.sasl_bootstrap()?, sasl(mechanism)));
    }
    ways.push((kafka.ssl_bootstrap()?, format!("security.protocol: ssl, ssl.ca.location: {}", kafka.ca().display())));
    Ok(ways)
}

fn config(brokers: &str, group: &str, options: &str) -> String {
    format!(
        "kafka:\n  brokers: {brokers}\n  group: {group}\n  commit_every: 200ms\n  librdkafka: {{ {options} }}\n  \
         topics: [{{ name: t, format: json }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_come_by_tls_and_by_each_mechanism_of_sasl() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::options().secured().start().await? else { return Ok(()) };
    kafka.create_topic("t", 2).await?;
    let load = Series::many("secret", 4, 200, hour_of(now_ms()) - HOUR_MS);
    let mut producer = kafka.producer(Compression::Zstd)?;
    for slice in load.iter().flat_map(|series| series.slices(50)) {
        producer.send(message("t", &slice.key(), &slice.payload(Format::Json)))?;
    }
    // One dead letter: its producer must come in the same way.
    producer.send(message("t", "bad", b"{"))?;
    producer.flush().await?;
    for (n, (brokers, options)) in ways_in(&kafka)?.into_iter().enumerate() {
        let group = format!("group-{n}");
        let mut server = Server::options().config(config(&brokers, &group, &options)).start().await?;
        kafka.wait_until_committed(&group, &["t"]).await?;
        by_api(&Api::of(&server), &load).await?;
        ensure!(!server.log().contains(Kafka::PASSWORD), "the password is in the log");
        server.kill().await?;
        ensure!(kafka.read("t.dlq").await?.len() == n + 1, "each group has its dead letter: {options}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_the_server_goes_on() -> anyhow::Result<()> {
    let Some(kafka) = Kafka::options().secured().start().await? else { return Ok(()) };
    kafka.create_topic("t", 1).await?;
    let options = format!(
        "security.protocol: sasl_plaintext, sasl.mechanism: SCRAM-SHA-512, sasl.username: {}, sasl.password: wrong-one",
        Kafka::USER
    );
    let server = Server::options().config(config(&kafka.sasl_bootstrap()?, "g", &options)).start().await?;
    let api = Api::of(&server);
    api.works(now_ms()).await?;
    super::found::wait_until(|| async { Ok(server.log().to_lowercase().contains("authentication")) })
        .await
        .map_err(|error| error.context("the log says why nothing comes"))?;
    ensure!(!server.log().contains("wrong-one"), "the password is in the log");
    wait_for_metric(&api, "thermocline_kafka_partitions", "", |partitions| partitions == 0).await
}
