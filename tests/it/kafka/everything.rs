//! All that can go wrong, in turn, while two million points come: at the end each is stored once.
//!
//! [`acts::plan`] ─▶ an act, while [`Traffic`] produces its part ─▶ next act ─▶ everything consumed, sealed, archived ─▶ API
//! of both members, DuckDB, dead letters and committed offsets all agree with what was produced
//!
//! Three brokers, a registry, an S3 server, a disk that can be full, two members of one group. Random choices come from
//! one seed (`TEST_SEED`); what a kill meets is the machine's choice.

mod acts;
mod traffic;

use anyhow::{Context as _, ensure};
use futures::future::OptionFuture;
use kit::process::{ServerOptions, program};
use kit::{Kafka, S3, Server, SmallDisk};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::Response;

use self::acts::Act;
use self::traffic::Traffic;
use super::found::{by_apis, by_duckdb};
use super::load::{Format, Series, avro_schema};
use super::registry::Registry;
use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const GROUP: &str = "everything";
const BUCKET: &str = "metrics";
/// Two million points.
const SERIES: i32 = 200;
const POINTS: i32 = 10_000;
/// Hours that they lie in, all of them over.
const HOURS: i64 = 3;
const KILLS_MIN: u32 = 30;
/// Of each topic, at first; eight in all.
const PARTITIONS: i32 = 2;
const DISK_MIB: u32 = 1_024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_produced_is_stored_once_whatever_is_killed() -> anyhow::Result<()> {
    let Some(mut run) = Run::begin(kit::seed()).await? else { return Ok(()) };
    let result = Box::pin(run.everything()).await;
    if result.is_err() {
        run.tell().await;
    }
    result
}

/// Everything that runs.
struct Run {
    kafka: Kafka,
    s3: S3,
    registry: Registry,
    first: Member,
    second: Option<Member>,
    /// The first member's; `None` where none can be mounted.
    disk: Option<SmallDisk>,
    traffic: Traffic,
    /// What the first member was sent beside Kafka, and said it has.
    by_http: Series,
    random: StdRng,
    kills: u32,
}

/// A server of the group, running or not.
struct Member {
    server: Server,
    options: ServerOptions,
}

impl Member {
    fn api(&self) -> Api {
        Api::of(&self.server)
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.server.restart_with(self.options.clone()).await
    }
}

impl Run {
    async fn begin(seed: u64) -> anyhow::Result<Option<Self>> {
        let Some(kafka) = Kafka::options().brokers(3).start().await? else { return Ok(None) };
        let Some(s3) = S3::start().await? else { return Ok(None) };
        s3.bucket(BUCKET).await?;
        let registry = Registry::start().await?;
        let schema = registry.register("avro-value", &avro_schema()).await?;
        let formats = [Format::Json, Format::Influx, Format::RemoteWrite, Format::Avro { schema }];
        let start = hour_of(now_ms()) - HOURS * HOUR_MS;
        let traffic = Traffic::new(&kafka, &formats, (SERIES, POINTS), start)?;
        let by_http = Series::new("by_http", 0, 0, start);
        for topic in traffic.topics() {
            kafka.create_topic(topic, PARTITIONS).await?;
        }
        let config = config(&kafka, &s3, &registry, &traffic);
        let (first, disk) = on_small_disk(Server::options().config(format!("node: first\n{config}"))).await?;
        let random = StdRng::seed_from_u64(seed);
        Ok(Some(Self { kafka, s3, registry, first, second: None, disk, traffic, by_http, random, kills: 0 }))
    }

    fn second_options(&self) -> ServerOptions {
        let config = config(&self.kafka, &self.s3, &self.registry, &self.traffic);
        Server::options().config(format!("node: second\n{config}"))
    }

    #[expect(clippy::print_stderr, reason = "what a failure is told with")]
    async fn everything(&mut self) -> anyhow::Result<()> {
        let acts = acts::plan(&mut self.random, KILLS_MIN);
        let count = acts.len();
        for (n, act) in acts.into_iter().enumerate() {
            eprintln!("{} kills, {} messages: {act:?}", self.kills, self.traffic.sent());
            let producing = self.traffic.begin(count - n);
            Box::pin(self.act(act)).await.with_context(|| format!("{act:?}, after {} kills", self.kills))?;
            self.traffic.end(producing).await?;
        }
        ensure!(self.kills >= KILLS_MIN, "only {} kills", self.kills);
        Box::pin(self.end()).await
    }

    /// Prints what the members say of themselves.
    #[expect(clippy::print_stderr, reason = "what a failure is told with")]
    async fn tell(&self) {
        for member in [Some(&self.first), self.second.as_ref()].into_iter().flatten() {
            if member.server.pid().is_some() {
                let told = member.api().get("/api/v1/kafka", &[]).send().await.map(Response::text);
                eprintln!("{:?}", OptionFuture::from(told.ok()).await);
            }
            eprintln!("{}", member.server.last_lines());
        }
    }

    async fn act(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Kill => self.kill().await,
            Act::KillBroker(broker) => self.broker(broker, true).await,
            Act::StopBroker(broker) => self.broker(broker, false).await,
            Act::Reassign => self.reassign().await,
            Act::MorePartitions => self.more_partitions().await,
            Act::RegistryDown => self.registry_down().await,
            Act::StoreDown => self.store_down().await,
            Act::DiskFull => self.disk_full().await,
            Act::SecondJoins => self.second_joins().await,
            Act::SecondIsKilled => self.second_is_killed().await,
            Act::SecondLeaves => self.second_leaves().await,
        }
    }

    /// Everything is consumed, archived, and there once.
    async fn end(&mut self) -> anyhow::Result<()> {
        if let Some(second) = &mut self.second {
            second.restart().await.context("the second member comes back to archive what it has")?;
        }
        self.kafka.wait_until_committed(GROUP, &self.traffic.topics()).await?;
        let members: Vec<&Member> = [Some(&self.first), self.second.as_ref()].into_iter().flatten().collect();
        for member in members.iter().rev() {
            member.api().seal_and_archive().await?;
        }
        let mut series = self.traffic.series().to_vec();
        series.extend(Some(self.by_http.clone()).filter(|series| !series.is_empty()));
        let apis: Vec<Api> = members.iter().map(|member| member.api()).collect();
        by_apis(&apis, &series).await?;
        by_duckdb(&self.s3.objects(BUCKET).join("prod"), &series).await?;
        self.traffic.dead_letters_are_the_poison(&self.kafka).await?;
        self.offsets_agree().await?;
        for member in [Some(&mut self.first), self.second.as_mut()].into_iter().flatten() {
            let status = member.server.terminate().await?;
            ensure!(status.success(), "the last stop was not clean: {status}");
        }
        Ok(())
    }

    /// The group stands at the end of every partition, put there by the members.
    async fn offsets_agree(&self) -> anyhow::Result<()> {
        for topic in self.traffic.topics() {
            let (ends, committed) = (self.kafka.ends(topic).await?, self.kafka.committed(GROUP, topic).await?);
            for (partition, end) in ends.into_iter().filter(|(_, end)| *end > 0) {
                let of =
                    committed.get(&partition).with_context(|| format!("{topic}/{partition} was never committed"))?;
                let is_ours = ["first", "second"].contains(&of.metadata.as_str());
                ensure!(of.offset == end && is_ours, "{topic}/{partition} ends at {end}: {of:?}");
            }
        }
        Ok(())
    }
}

fn config(kafka: &Kafka, s3: &S3, registry: &Registry, traffic: &Traffic) -> String {
    let mut config = format!(
        "{}head: {{ max_age: 1s }}\nseal: {{ lateness: 0s }}\narchive: {{ every: 15s }}\n{}  registry: {}\n  \
         commit_every: 200ms\n  refresh_every: 500ms\n  librdkafka: {{ topic.metadata.refresh.interval.ms: 1000 }}\n  \
         topics:\n",
        s3.config(BUCKET, "prod"),
        kafka.config(GROUP),
        registry.url(),
    );
    for (topic, format) in traffic.topics_with_formats() {
        config.push_str(&format!("    - {{ name: {topic}, format: {} }}\n", format.name()));
    }
    config
}

/// A server whose disk can be full; on the ordinary disk, with a loud line, where none can be mounted.
#[expect(clippy::print_stderr, reason = "a check that is skipped must be seen")]
async fn on_small_disk(options: ServerOptions) -> anyhow::Result<(Member, Option<SmallDisk>)> {
    // A first start makes the directories; the disk is mounted over what it left.
    let mut server = Server::start().await?;
    server.terminate().await?;
    let disk = SmallDisk::mount(&server.data_dir(), DISK_MIB).await?;
    let mut member = Member { server, options };
    match &disk {
        Some(disk) => member.options = member.options.bin(disk.program(&program()?, member.server.home())?),
        None => {
            eprintln!("SKIPPED: a full disk: no disk of our own can be mounted here (unshare)");
            std::fs::remove_dir_all(member.server.data_dir()).context("removing what the first start left")?;
        }
    }
    member.restart().await?;
    Ok((member, disk))
}
