//! What goes wrong, and in which order.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::{GROUP, Member, PARTITIONS, Run};
use crate::api::refusal_of;
use crate::kafka::found::{PATIENCE, wait_for_metric, wait_until};
use crate::kafka::load::Format;

const REGISTRY_DOWN: Duration = Duration::from_secs(20);
const STORE_DOWN: Duration = Duration::from_secs(60);
const MORE_PARTITIONS: i32 = 3;
/// A server is killed within so many ms after the last one came back.
const KILL_WITHIN_MS: u64 = 2_000;
/// How often it is killed again while it starts.
const ALSO_STARTING: f64 = 0.25;
const START_MS: u64 = 1_000;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// `kill -9` of a member at a random moment.
    Kill,
    KillBroker(u32),
    StopBroker(u32),
    /// Partitions move to other brokers.
    Reassign,
    /// Twelve in all, not eight.
    MorePartitions,
    RegistryDown,
    StoreDown,
    DiskFull,
    SecondJoins,
    SecondIsKilled,
    SecondLeaves,
}

/// Everything once, in a random order, with kills between.
pub(super) fn plan(random: &mut StdRng, kills: u32) -> Vec<Act> {
    let mut acts = vec![
        Act::KillBroker(random.random_range(1..=3)),
        Act::StopBroker(random.random_range(1..=3)),
        Act::Reassign,
        Act::MorePartitions,
        Act::RegistryDown,
        Act::StoreDown,
        Act::DiskFull,
    ];
    acts.extend([Act::Kill; 64].into_iter().take(usize::try_from(kills).expect("few kills")));
    acts.shuffle(random);
    // The second member's life, in order, at three places.
    let mut places: Vec<usize> = (0..3).map(|_| random.random_range(0..=acts.len())).collect();
    places.sort_unstable();
    for (n, act) in [Act::SecondJoins, Act::SecondIsKilled, Act::SecondLeaves].into_iter().enumerate() {
        acts.insert(places[n] + n, act);
    }
    acts
}

impl Run {
    /// The first member or the second, while there is one.
    fn some_member(&mut self) -> &mut Member {
        let second = self.random.random_bool(0.3);
        match &mut self.second {
            Some(member) if second && member.server.pid().is_some() => member,
            Some(_) | None => &mut self.first,
        }
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        let after = self.random.random_range(0..KILL_WITHIN_MS);
        let again = self.random.random_bool(ALSO_STARTING).then(|| self.random.random_range(0..START_MS));
        let member = self.some_member();
        sleep(Duration::from_millis(after)).await;
        member.server.kill().await?;
        if let Some(after) = again {
            member.server.launch_with(member.options.clone())?;
            sleep(Duration::from_millis(after)).await;
            member.server.kill().await?;
        }
        member.restart().await?;
        self.kills += 1 + u32::from(again.is_some());
        Ok(())
    }

    pub(super) async fn broker(&mut self, broker: u32, kill: bool) -> anyhow::Result<()> {
        for topic in self.traffic.topics() {
            self.kafka.wait_until_in_sync(topic).await?;
        }
        if kill {
            self.kafka.kill(Some(broker)).await?
        } else {
            self.kafka.stop(Some(broker)).await?
        }
        self.kafka.restart().await
    }

    pub(super) async fn reassign(&mut self) -> anyhow::Result<()> {
        for topic in self.traffic.topics().into_iter().take(2) {
            let partitions = self.kafka.ends(topic).await?.len();
            let brokers = [vec![2, 3], vec![3, 1], vec![1, 2]];
            self.kafka.reassign(topic, &brokers[..partitions]).await?;
        }
        Ok(())
    }

    pub(super) async fn more_partitions(&mut self) -> anyhow::Result<()> {
        const { assert!(MORE_PARTITIONS > PARTITIONS) }
        for topic in self.traffic.topics() {
            self.kafka.grow_topic(topic, MORE_PARTITIONS).await?;
        }
        Ok(())
    }

    /// Servers that know no schema wait for the registry with what needs it, and with nothing else.
    pub(super) async fn registry_down(&mut self) -> anyhow::Result<()> {
        let back = Instant::now() + REGISTRY_DOWN;
        self.registry.kill().await?;
        for member in [Some(&mut self.first), self.second.as_mut()].into_iter().flatten() {
            if member.server.pid().is_some() {
                member.server.kill().await?;
                member.restart().await?;
                self.kills += 1;
            }
        }
        let others = self.traffic.topics_but(|format| matches!(format, Format::Avro { .. }));
        self.kafka.wait_until_committed(GROUP, &others).await.context("without a registry")?;
        sleep_until(back).await;
        self.registry.restart().await
    }

    /// Without the archive points are taken as ever.
    pub(super) async fn store_down(&mut self) -> anyhow::Result<()> {
        let back = Instant::now() + STORE_DOWN;
        self.s3.kill().await?;
        self.kafka.wait_until_committed(GROUP, &self.traffic.topics()).await.context("without an archive")?;
        sleep_until(back).await;
        self.s3.restart().await
    }

    /// A member whose disk is full stores nothing until there is room.
    pub(super) async fn disk_full(&mut self) -> anyhow::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let api = self.first.api();
        let deadline = Instant::now() + PATIENCE;
        // What Kafka has may be stored already, or be the other member's, and jobs may leave room: so there is always a point
        // more, and a flush that needs a file for it.
        loop {
            disk.fill()?;
            let pushed = api.post("/write?precision=ms").body(self.by_http.next_line()).send().await?;
            if pushed.status().is_success() {
                self.by_http.grow();
            } else {
                ensure!(refusal_of(pushed).await?.status == 503, "points are refused as if they were wrong");
                break;
            }
            if !api.post("/api/v1/admin/flush").send().await?.status().is_success() {
                break;
            }
            ensure!(Instant::now() < deadline, "a full disk is never noticed");
        }
        disk.make_room()?;
        let ready = || async { Ok(api.get("/-/ready", &[]).send().await?.status().is_success()) };
        wait_until(ready).await.context("points are not taken again")
    }

    pub(super) async fn second_joins(&mut self) -> anyhow::Result<()> {
        let options = self.second_options();
        let second = Member { server: options.clone().start().await?, options };
        let has_some = |partitions| partitions > 0;
        wait_for_metric(&second.api(), "thermocline_kafka_partitions", "", has_some).await?;
        self.second = Some(second);
        Ok(())
    }

    pub(super) async fn second_is_killed(&mut self) -> anyhow::Result<()> {
        let second = self.second.as_mut().context("the second member is there")?;
        second.server.kill().await?;
        self.kills += 1;
        second.restart().await
    }

    pub(super) async fn second_leaves(&mut self) -> anyhow::Result<()> {
        let second = self.second.as_mut().context("the second member is there")?;
        let status = second.server.terminate().await?;
        ensure!(status.success(), "the second member did not leave well: {status}");
        Ok(())
    }
}
