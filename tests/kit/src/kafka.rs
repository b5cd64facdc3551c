//! A real Kafka cluster, as processes (`tests/services/kafka.sh`): any number of brokers on free ports, with listeners
//! for SASL and TLS, that can be stopped, killed and started again.
//!
//! [`Kafka::start`] ─▶ topics ─▶ [`Producer`] ─▶ the system ─▶ [`Offsets of its group`](Kafka::committed),
//! [`Kafka::read`] of what it wrote
//!
//! Needs Java 17, and Maven once, to fetch the jars. Where they are missing, tests that want Kafka say so and pass; with
//! `CI=true` they fail. What talks to the brokers here is librdkafka, without anything of ours around it.

mod client;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

pub use rdkafka::message::{Header, OwnedHeaders};

pub use self::client::{Committed, Compression, Message, Producer, Record};

/// How long brokers may take to answer, each time: a bound on a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// For the script, in seconds: several clusters may start at once on few cores.
const START_TIMEOUT_SECONDS: &str = "180";

/// How a cluster is started.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    brokers: u32,
    secured: bool,
    properties: String,
}

impl KafkaOptions {
    /// More than the one broker.
    #[must_use]
    pub fn brokers(mut self, brokers: u32) -> Self {
        self.brokers = brokers;
        self
    }

    /// Opens the listeners for SASL and for TLS, beside the plain one.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secured = true;
        self
    }

    /// One more line of `server.properties`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push_str(&format!("{name}={value}\n"));
        self
    }

    /// Starts it; `None`, and a loud line, where there is no Java to run it, except with `CI=true`.
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    pub async fn start(self) -> anyhow::Result<Option<Kafka>> {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        let missing = run("installable", [""; 0], &[]).await.err();
        if let (Some(error), false) = (&missing, required) {
            eprintln!("SKIPPED: no Kafka for this test: {error:#} (with CI=true this fails)");
            return Ok(None);
        }
        let dir = tempfile::tempdir().context("making a directory for Kafka")?;
        let mut kafka = Kafka { dir, options: self, bootstrap: String::new() };
        kafka.bootstrap = kafka.script("start", &[]).await?;
        Ok(Some(kafka))
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("KAFKA_PORT", "0".to_owned()),
            ("KAFKA_NODES", self.brokers.to_string()),
            ("KAFKA_CONFIG", self.properties.clone()),
            ("KAFKA_START_TIMEOUT", START_TIMEOUT_SECONDS.to_owned()),
        ];
        if self.secured {
            env.push(("KAFKA_SASL", format!("{}:{}", Kafka::USER, Kafka::PASSWORD)));
            env.push(("KAFKA_SSL", "1".to_owned()));
        }
        env
    }
}

/// A cluster over a directory of its own. Its brokers end with this value.
#[derive(Debug)]
pub struct Kafka {
    dir: TempDir,
    options: KafkaOptions,
    bootstrap: String,
}

impl Kafka {
    /// Who may come in by SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub const USER: &str = "thermocline";
    pub const PASSWORD: &str = "only-for-tests";

    /// One broker without security.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        Self::options().start().await
    }

    pub fn options() -> KafkaOptions {
        KafkaOptions { brokers: 1, secured: false, properties: String::new() }
    }

    /// `host:port[,host:port]` of the plain listeners. A restart keeps it.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The first broker's listener for SASL without TLS.
    pub fn sasl_bootstrap(&self) -> anyhow::Result<String> {
        self.listener(2)
    }

    /// The first broker's listener for TLS; [`Self::ca`] vouches for it.
    pub fn ssl_bootstrap(&self) -> anyhow::Result<String> {
        self.listener(3)
    }

    /// The certificate that signs the brokers' own.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("cluster/ssl-ca.pem")
    }

    fn listener(&self, beyond: u16) -> anyhow::Result<String> {
        ensure!(self.options.secured, "this cluster has plain listeners only");
        let first = self.bootstrap.split(',').next().unwrap_or_default();
        let (host, port) = first.rsplit_once(':').context("an address has a port")?;
        Ok(format!("{host}:{}", port.parse::<u16>().context("a port is a number")? + beyond))
    }

    /// The `kafka` section of a server's config, up to its other keys, which are to be indented by two.
    pub fn config(&self, group: &str) -> String {
        format!("kafka:\n  brokers: {}\n  group: {group}\n", self.bootstrap)
    }

    /// What a client of the plain listeners is made from.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        // A broker that comes back is found at once.
        config.set("reconnect.backoff.max.ms", "500").set("socket.connection.setup.timeout.ms", "5000");
        config
    }

    /// A producer that delivers each message once, whichever brokers go and come.
    pub fn producer(&self, compression: Compression) -> anyhow::Result<Producer> {
        Producer::new(self.client(), compression)
    }

    /// Makes a topic with as many replicas as there are brokers, but at most three.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let replicas = i32::try_from(self.options.brokers.min(3)).context("few brokers")?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        let made = self.admin()?.create_topics([&topic], &within_patience()).await;
        each(made.context("creating a topic")?)?;
        self.wait_until_known(name, partitions).await
    }

    /// Gives a topic more partitions: `partitions` in all.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let grown = NewPartitions::new(name, usize::try_from(partitions).context("a number of partitions")?);
        let made = self.admin()?.create_partitions([&grown], &within_patience()).await;
        each(made.context("adding partitions")?)?;
        self.wait_until_known(name, partitions).await
    }

    /// Forgets the messages before an offset, as a topic's retention does.
    pub async fn forget_before(&self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).context("an offset to forget up to")?;
        let forgotten = self.admin()?.delete_records(&list, &within_patience()).await.context("deleting records")?;
        forgotten.elements().iter().try_for_each(|element| element.error()).context("deleting records")
    }

    /// Moves a topic's partitions: for each, in order, the brokers that are to hold it, the leader first.
    pub async fn reassign(&self, topic: &str, replicas: &[Vec<u32>]) -> anyhow::Result<()> {
        let partitions: Vec<_> = (0..)
            .zip(replicas)
            .map(|(partition, replicas): (i32, _)| {
                serde_json::json!({ "topic": topic, "partition": partition, "replicas": replicas })
            })
            .collect();
        let plan = self.dir.path().join(format!("reassign-{topic}.json"));
        std::fs::write(&plan, serde_json::json!({ "version": 1, "partitions": partitions }).to_string())?;
        let command = |step: &'static str| {
            [
                OsStr::new("reassign.ReassignPartitionsCommand").to_owned(),
                OsStr::new("--reassignment-json-file").to_owned(),
                plan.clone().into_os_string(),
                OsStr::new(step).to_owned(),
            ]
        };
        self.script("tool", &command("--execute")).await?;
        let deadline = Instant::now() + PATIENCE;
        while self.script("tool", &command("--verify")).await?.contains("in progress") {
            ensure!(Instant::now() < deadline, "{topic} is still being moved");
        }
        Ok(())
    }

    /// Every message of a topic to its end, by partition and offset.
    pub async fn read(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        self.read_at_least(topic, 0).await
    }

    /// As [`Kafka::read`], of a topic known to have so many messages: a leader that has just been elected takes for the end
    /// of a partition what it knew its followers to have.
    pub async fn read_at_least(&self, topic: &str, messages: usize) -> anyhow::Result<Vec<Record>> {
        let (config, topic) = (self.client(), topic.to_owned());
        blocking(move || client::read(&config, &topic, messages, PATIENCE)).await
    }

    /// The offset of each partition's next message.
    pub async fn ends(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let (config, topic) = (self.client(), topic.to_owned());
        blocking(move || client::ends(&config, &topic, PATIENCE)).await
    }

    /// What a group has committed of a topic.
    pub async fn committed(&self, group: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, Committed>> {
        let (mut config, topic) = (self.client(), topic.to_owned());
        config.set("group.id", group);
        blocking(move || client::committed(&config, &topic, PATIENCE)).await
    }

    /// Waits until a group has committed all that topics hold now.
    pub async fn wait_until_committed(&self, group: &str, topics: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut ends = Vec::new();
        for &topic in topics {
            ends.push((topic, self.ends(topic).await?));
        }
        loop {
            let mut behind = Vec::new();
            for (topic, ends) in &ends {
                let committed = self.committed(group, topic).await?;
                let offset = |partition| committed.get(partition).map_or(0, |committed| committed.offset);
                let open = ends.iter().filter(|(partition, end)| offset(partition) < **end);
                behind.extend(
                    open.map(|(partition, end)| format!("{topic}/{partition}: {} of {end}", offset(partition))),
                );
            }
            if behind.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "group {group} is behind in {}", behind.join(", "));
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until every replica of a topic follows its leader, as before another broker may go.
    pub async fn wait_until_in_sync(&self, topic: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (config, name) = (self.client(), topic.to_owned());
            if blocking(move || client::is_in_sync(&config, &name, PATIENCE)).await? {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "replicas of {topic} do not follow");
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn wait_until_known(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (config, name) = (self.client(), topic.to_owned());
            let known = blocking(move || client::partitions(&config, &name, PATIENCE)).await;
            if known.as_ref().is_ok_and(|known| i32::try_from(known.len()) == Ok(partitions)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{topic} does not have its {partitions} partitions: {known:?}");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// `kill -9` of one broker (the first is 1), or of all.
    pub async fn kill(&self, broker: Option<u32>) -> anyhow::Result<()> {
        self.end("kill", broker).await
    }

    /// A clean stop of one broker, or of all.
    pub async fn stop(&self, broker: Option<u32>) -> anyhow::Result<()> {
        self.end("stop", broker).await
    }

    async fn end(&self, how: &str, broker: Option<u32>) -> anyhow::Result<()> {
        let broker = broker.map(|broker| broker.to_string());
        self.script(how, &broker.as_slice().iter().map(OsStr::new).map(OsStr::to_owned).collect::<Vec<_>>())
            .await
            .map(|_| ())
    }

    /// Starts the brokers that do not run, where they were and with what they had.
    pub async fn restart(&self) -> anyhow::Result<()> {
        let bootstrap = self.script("start", &[]).await?;
        ensure!(bootstrap == self.bootstrap, "Kafka came back at {bootstrap}");
        Ok(())
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        self.client().create().context("making an admin client")
    }

    /// Runs one command of the script on this cluster and returns what it printed.
    async fn script(&self, command: &str, args: &[std::ffi::OsString]) -> anyhow::Result<String> {
        let dir = self.dir.path().join("cluster");
        let args = std::iter::once(dir.as_os_str()).chain(args.iter().map(std::ffi::OsString::as_os_str));
        run(command, args, &self.options.env()).await
    }
}

impl Drop for Kafka {
    /// The script kills by the process ids that it wrote down at the start.
    fn drop(&mut self) {
        let ended = std::process::Command::new(script_path()).arg("kill").arg(self.dir.path().join("cluster")).output();
        if let Ok(output) = ended {
            debug_assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn within_patience() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

fn each(results: Vec<rdkafka::admin::TopicResult>) -> anyhow::Result<()> {
    for result in results {
        result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    Ok(())
}

/// librdkafka's own calls wait on threads.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(call).await.context("a call of librdkafka panicked")?
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/kafka.sh")
}

async fn run(
    command: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    env: &[(&str, String)],
) -> anyhow::Result<String> {
    let mut script = Command::new(script_path());
    script.arg(command).args(args).envs(env.iter().map(|(name, value)| (name, value)));
    let output = script.output().await.context("running kafka.sh")?;
    ensure!(output.status.success(), "kafka.sh {command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests;
