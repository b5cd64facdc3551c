//! Killed at any moment and at every crash point, the server loses nothing that it acknowledged, has nothing twice, and
//! leaves nothing behind.
//!
//! [`plan`](rounds::all) ─▶ a round: start, check the [`Ledger`], load ([`load`]) until the kill ─▶ next round ─▶ at the
//! end everything again, and the archive by an engine that is not ours ([`archive`])
//!
//! * What was acknowledged is there after every start, with the value that came last (ACK-1, SET-1).
//! * A batch without an acknowledgement is there as it was sent, or not at all.
//! * Rollups count what raw holds (ROLL-1), whichever tier owns the hour.
//! * At the end DuckDB finds in Delta exactly the points of the archived hours, each once, and no file that no version
//!   of a table names is left (GC-1).
//!
//! Random choices come from one seed (`TEST_SEED`); which thread the kill meets is the machine's choice.

mod archive;
mod founding;
mod ledger;
mod load;
mod rounds;

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kit::Server;
use kit::process::ServerOptions;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::ledger::Ledger;
use self::load::{Jobs, Window};
use self::rounds::{Kill, Round};
use crate::api::{Api, now_ms};

/// Hosts that send, each with a ledger of its own.
const SENDERS: u32 = 3;
/// Kills that the run must have seen.
const KILLS_MIN: u32 = 100;
/// How long a round waits for its crash point before it kills by hand.
const ROUND: Duration = Duration::from_secs(20);
/// Rounds between two checks of everything; the others check what was in doubt, and a sample.
const FULL_CHECK_EVERY: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_there_twice() -> anyhow::Result<()> {
    let mut run = Run::begin(kit::seed()).await?;
    let mut waiting = rounds::all(&mut run.random);
    while let Some(mut round) = waiting.pop_front() {
        let met = Box::pin(run.round(&round)).await.with_context(|| format!("after {} kills, {round:?}", run.kills))?;
        eprintln!(
            "{} kills, {} points: {:?} {}",
            run.kills,
            run.points(),
            round.kill,
            if met { "met" } else { "missed" }
        );
        if !met {
            // A point that the load did not come to in time gets other chances, and at last an error: at once, before
            // another round has done the work that comes to it.
            round.tries += 1;
            ensure!(
                round.tries < rounds::TRIES_MAX,
                "never passed: {:?} (is the program built with --features failpoints?)",
                round.kill
            );
            waiting.push_front(round);
        }
    }
    ensure!(run.kills >= KILLS_MIN, "only {} kills", run.kills);
    Box::pin(run.end()).await
}

/// The server, and what it must know.
struct Run {
    server: Server,
    ledgers: Vec<Ledger>,
    window: Window,
    random: StdRng,
    kills: u32,
}

impl Run {
    async fn begin(seed: u64) -> anyhow::Result<Self> {
        let window = Window::before(now_ms());
        let server = options(Jobs::KEEP_ALL, None).start().await?;
        let mut ledgers: Vec<Ledger> = (0..SENDERS).map(Ledger::new).collect();
        let api = Api::of(&server);
        load::seed_dense(&api, &mut ledgers[0], window).await?;
        api.seal_and_archive().await?;
        let mut run = Self { server, ledgers, window, random: StdRng::seed_from_u64(seed), kills: 0 };
        run.check(true).await?;
        run.server.kill().await?;
        Ok(run)
    }

    fn points(&self) -> usize {
        self.ledgers.iter().flat_map(Ledger::series).map(|(_, _, points)| points.len()).sum()
    }

    /// One life of the server. Tells whether it ended as the round wants.
    async fn round(&mut self, round: &Round) -> anyhow::Result<bool> {
        self.server.launch_with(options(round.jobs, round.kill.point()))?;
        if let Kill::Starting { after } = round.kill {
            sleep(after).await;
            self.kill().await?;
            return Ok(true);
        }
        if !self.ready().await? {
            return Ok(true);
        }
        let full = self.kills.is_multiple_of(FULL_CHECK_EVERY);
        if let Err(error) = self.check(full).await {
            return self.died_of_its_point(round, error).await;
        }
        self.load_until_dead(round).await
    }

    /// Waits for the start; false if a crash point ended it.
    async fn ready(&mut self) -> anyhow::Result<bool> {
        let failed = match self.server.wait_until_ready().await {
            Ok(()) => return Ok(true),
            Err(failed) => failed,
        };
        // A log replay, a sweep or a background job may come to the point before anybody sends anything.
        ensure!(format!("{failed:#}").contains("signal: 9"), "the server did not come back: {failed:#}");
        self.kills += 1;
        Ok(false)
    }

    /// A check that could not be made since the crash point came first.
    async fn died_of_its_point(&mut self, round: &Round, error: anyhow::Error) -> anyhow::Result<bool> {
        let since = Instant::now();
        // The connection breaks a moment before the process can be seen to have ended.
        while round.kill.point().is_some() && since.elapsed() < Duration::from_secs(1) {
            if self.has_died()? {
                return Ok(true);
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(error)
    }

    async fn load_until_dead(&mut self, round: &Round) -> anyhow::Result<bool> {
        let api = Api::of(&self.server);
        let drops = round.jobs.of.contains(&"retention");
        let window = if drops { self.window.ended() } else { self.window };
        let mut senders = JoinSet::new();
        for ledger in self.ledgers.drain(..) {
            let seed = self.random.random();
            senders.spawn(load::send_until_gone(api.clone(), ledger, window, seed));
        }
        let mut operator = JoinSet::new();
        operator.spawn(load::operate_until_gone(api, round.jobs, self.random.random()));

        let met = self.wait_for_kill(round).await?;
        while let Some(ledger) = senders.join_next().await {
            self.ledgers.push(ledger.context("a sender panicked")??);
        }
        self.ledgers.sort_by_key(Ledger::sender);
        operator.join_next().await.context("there is an operator")?.context("the operator panicked")??;
        Ok(met)
    }

    async fn wait_for_kill(&mut self, round: &Round) -> anyhow::Result<bool> {
        let (deadline, by_hand) = match round.kill {
            Kill::Loaded { after } | Kill::Starting { after } => (after, true),
            Kill::Point { .. } => (ROUND, false),
        };
        let since = Instant::now();
        while since.elapsed() < deadline {
            if self.has_died()? {
                return Ok(true);
            }
            sleep(LOOK_AGAIN.min(deadline.saturating_sub(since.elapsed()))).await;
        }
        self.kill().await?;
        Ok(by_hand)
    }

    /// Whether the server has ended, which only its crash point may do.
    fn has_died(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.server.ended()? else { return Ok(false) };
        if status.signal() != Some(9) {
            bail!("the server ended by itself, {status}:\n{}", self.server.log());
        }
        self.kills += 1;
        Ok(true)
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        self.kills += 1;
        self.server.kill().await
    }

    /// What each sender was told is so, and what it was not told is whole or absent.
    async fn check(&mut self, everything: bool) -> anyhow::Result<()> {
        let api = Api::of(&self.server);
        for ledger in &mut self.ledgers {
            ledger.resolve(&api, self.window).await?;
            let hosts: Vec<String> = ledger.hosts().into_iter().collect();
            let sample = hosts.choose(&mut self.random).cloned();
            let chosen = if everything { hosts } else { sample.into_iter().collect() };
            for host in chosen {
                ledger.check(&api, &host, self.window).await?;
            }
        }
        Ok(())
    }

    /// The last life: everything is there, archived, once, and nothing else is.
    async fn end(mut self) -> anyhow::Result<()> {
        self.server.launch_with(options(Jobs::KEEP_ALL, None))?;
        self.server.wait_until_ready().await?;
        self.check(true).await?;
        let api = Api::of(&self.server);
        let sealed_to = archive::drain(&api, &mut self.ledgers[0], self.window).await?;
        self.check(true).await?;
        archive::equals_what_was_acknowledged(&self.server.data_dir().join("cold"), &self.ledgers, sealed_to).await?;
        archive::holds_no_orphans(&self.server.data_dir().join("cold"))?;
        let status = self.server.terminate().await?;
        ensure!(status.success(), "the last stop was not clean: {status}");
        Ok(())
    }
}

/// A server that is always at work: hours seal as they end, and are archived every second.
fn options(jobs: Jobs, point: Option<String>) -> ServerOptions {
    let keep = jobs.keep_hours;
    let config = format!(
        "head: {{ max_age: 1s }}\nseal: {{ lateness: 0s }}\narchive: {{ every: 1s }}\nretention:\n  hot.raw: {keep}h\n  \
         warm.rollup_1m: {keep}h\n  warm.rollup_1h: {keep}h\nlog: {{ level: \"info,buoyant_kernel=warn\" }}\n"
    );
    let options = Server::options().config(config);
    match point {
        Some(point) => options.env("FAILPOINTS", point),
        None => options,
    }
}

#[test]
fn every_crash_point_of_the_source_has_a_round() -> anyhow::Result<()> {
    let mut planned: std::collections::BTreeSet<String> =
        rounds::all(&mut StdRng::seed_from_u64(1)).iter().filter_map(|round| round.kill.name()).collect();
    planned.extend(founding::POINTS.map(str::to_owned));
    let source = rounds::crash_points_of_the_source()?;
    ensure!(planned == source, "without a round: {:?}", source.symmetric_difference(&planned).collect::<Vec<_>>());
    Ok(())
}
