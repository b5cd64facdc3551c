//! The load that the server is killed under: senders that keep a ledger, and an operator who asks for jobs.
//!
//! Senders write to recent hours mostly and to any hour of the window now and then, often over points that are there.
//! Both end when the server is gone; any answer but an acknowledgement and a promise to come back is an error.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::ledger::{Ledger, Sent};
use crate::api::{Api, HOUR_MS, hour_of};

/// Two decimals at a slow pace lie as chunks that serve minutes too; scattered doubles, dense, get rows of their own.
pub(super) const METRICS: [&str; 2] = ["load", DENSE];
const DENSE: &str = "dense";
/// Hosts of a sender.
const HOSTS: u32 = 4;
const SEED_POINTS: i64 = 6_000;
const SEED_DISTANCE_MS: i64 = 100;
/// How often a batch is of the last hours; what is older has passed to Delta, and costs a job much more.
const RECENT: f64 = 0.9;
/// How often a batch is of a host that was never seen.
const NEW_HOST: f64 = 0.005;
/// Distance of the timestamps that senders write to.
const SLOT_MS: i64 = 30_000;
/// Timestamps in one batch.
const SLOTS: std::ops::Range<usize> = 1..12;
/// The window reaches back this far beyond the last midnight but one.
const WINDOW_BEFORE_YESTERDAY_MS: i64 = 6 * HOUR_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The time that is written to: from the evening of the day before yesterday, so that whole days pass out of hot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: i64,
    /// Exclusive, and a little past: nothing is from the future.
    pub(super) end: i64,
}

impl Window {
    pub(super) fn before(now_ms: i64) -> Self {
        let yesterday = (now_ms.div_euclid(DAY_MS) - 1) * DAY_MS;
        Self { start: yesterday - WINDOW_BEFORE_YESTERDAY_MS, end: now_ms }
    }

    /// Without the hour that runs: a run that holds none of it is done with once its hours are sealed.
    pub(super) fn ended(self) -> Self {
        Self { end: hour_of(self.end), ..self }
    }

    /// The first hour of each day, as far as it has ended.
    fn first_hours(self) -> impl Iterator<Item = i64> {
        let days =
            [self.start, self.start + WINDOW_BEFORE_YESTERDAY_MS, self.start + WINDOW_BEFORE_YESTERDAY_MS + DAY_MS];
        days.into_iter().filter(move |start| start + HOUR_MS <= self.end)
    }

    fn hours(self) -> i64 {
        (self.end - self.start).div_euclid(HOUR_MS)
    }

    /// The start of some hour: a recent one more often than not.
    fn some_hour(self, random: &mut StdRng) -> i64 {
        let back =
            if random.random_bool(RECENT) { random.random_range(0..3) } else { random.random_range(0..self.hours()) };
        hour_of(self.end) - back * HOUR_MS
    }
}

/// What the operator asks for, one after the other, again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jobs {
    pub(super) of: &'static [&'static str],
    /// How long raw and rollups stay in RocksDB.
    pub(super) keep_hours: u32,
}

impl Jobs {
    pub(super) const KEEP_ALL: Self = Self { of: &[], keep_hours: 24 * 30 };
}

/// Ten minutes of each day at ten points a second: a day's form is decided by them, and its minutes get rows.
pub(super) async fn seed_dense(api: &Api, ledger: &mut Ledger, window: Window) -> anyhow::Result<()> {
    for start in window.first_hours() {
        let host = format!("s{}-h0", ledger.sender());
        let batch: Vec<Sent> = (0..SEED_POINTS)
            .flat_map(|n| {
                let timestamp = start + n * SEED_DISTANCE_MS;
                METRICS.map(|metric| Sent { host: host.clone(), metric, timestamp, value: next_value(ledger, metric) })
            })
            .collect();
        let documents = documents(&batch);
        ledger.send(batch);
        api.push(&documents).await?;
        ledger.acknowledged();
    }
    Ok(())
}

/// Sends one point of a host that is new, and waits for its acknowledgement.
pub(super) async fn send_new_series(api: &Api, ledger: &mut Ledger, timestamp: i64) -> anyhow::Result<()> {
    let host = new_host(ledger);
    let batch = METRICS.map(|metric| Sent { host: host.clone(), metric, timestamp, value: next_value(ledger, metric) });
    let documents = documents(&batch);
    ledger.send(batch.into());
    api.push(&documents).await?;
    ledger.acknowledged();
    Ok(())
}

/// Sends batch after batch until the server is gone.
pub(super) async fn send_until_gone(api: Api, mut ledger: Ledger, window: Window, seed: u64) -> anyhow::Result<Ledger> {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let batch = some_batch(&mut ledger, window, &mut random);
        let points = batch.len();
        let body = documents(&batch);
        ledger.send(batch);
        let Ok(answer) = api.post("/api/metrics").json(&body).send().await else { return Ok(ledger) };
        let status = answer.status();
        let Ok(text) = answer.text().await else { return Ok(ledger) };
        match status {
            StatusCode::ACCEPTED => {
                let told: Value = serde_json::from_str(&text).context("an acknowledgement is JSON")?;
                ensure!(told["accepted"] == json!(points) && told["rejected"] == json!(0), "{points} points: {told}");
                ledger.acknowledged();
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                ledger.refused();
                sleep(Duration::from_millis(20)).await;
            }
            other => bail!("a batch of {points} points was answered {other}: {text}"),
        }
        sleep(Duration::from_millis(random.random_range(0..10))).await;
    }
}

/// Asks for jobs until the server is gone.
pub(super) async fn operate_until_gone(api: Api, jobs: Jobs, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for job in jobs.of.iter().cycle() {
        let path = format!("/api/v1/admin/{job}");
        let Ok(answer) = api.post(&path).send().await else { return Ok(()) };
        let status = answer.status();
        let Ok(text) = answer.text().await else { return Ok(()) };
        // Another job may hold an hour.
        ensure!(
            status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE,
            "{job} was answered {status}: {text}"
        );
        let report: Value = serde_json::from_str(&text).with_context(|| format!("{job} answered {text}"))?;
        let aside = report.get("quarantined").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(aside == 0, "{job} set hours aside: {report}");
        sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    Ok(())
}

/// A few points of one host in one hour, sometimes two, at timestamps that may have been written before.
fn some_batch(ledger: &mut Ledger, window: Window, random: &mut StdRng) -> Vec<Sent> {
    let host = if random.random_bool(NEW_HOST) {
        new_host(ledger)
    } else {
        format!("s{}-h{}", ledger.sender(), random.random_range(0..HOSTS))
    };
    let hour = window.some_hour(random);
    let hours = if random.random_bool(0.2) { vec![hour, window.some_hour(random)] } else { vec![hour] };
    let wanted = random.random_range(SLOTS);
    let slot = |random: &mut StdRng| {
        let hour = hours.choose(random).expect("there is an hour");
        hour + random.random_range(0..HOUR_MS / SLOT_MS) * SLOT_MS
    };
    let drawn: BTreeSet<i64> = (0..wanted).map(|_| slot(random)).collect();
    let mut timestamps: Vec<i64> = drawn.into_iter().filter(|ts| (window.start..window.end).contains(ts)).collect();
    if timestamps.is_empty() {
        timestamps.push(hour_of(window.end) - HOUR_MS);
    }
    timestamps
        .into_iter()
        .flat_map(|timestamp| {
            METRICS.map(|metric| Sent { host: host.clone(), metric, timestamp, value: next_value(ledger, metric) })
        })
        .collect()
}

/// A host that nobody has sent of.
pub(super) fn new_host(ledger: &Ledger) -> String {
    format!("s{}-n{}", ledger.sender(), ledger.drawn)
}

/// A value that this sender has not sent yet. Few enough digits that any reader of decimals reads it exactly.
fn next_value(ledger: &mut Ledger, metric: &str) -> f64 {
    ledger.drawn += 1;
    let n = ledger.drawn;
    // Scattered, so that nothing but the value itself can stand for it.
    let (digits, scale) = if metric == DENSE { (scatter(n) % 10_000_000_000_000, 1e4) } else { (n, 1e2) };
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let digits = digits as f64;
    digits / scale
}

/// The finalizer of SplitMix64: no two numbers become the same.
fn scatter(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// As `POST /api/metrics` takes it: one document a timestamp.
fn documents(batch: &[Sent]) -> Value {
    let metric = |sent: &Sent| json!({ "name": sent.metric, "value": sent.value });
    let document = |same: &[Sent]| {
        let metrics: Vec<Value> = same.iter().map(metric).collect();
        json!({ "server_id": same[0].host, "timestamp": same[0].timestamp, "metrics": metrics })
    };
    batch.chunk_by(|a, b| a.timestamp == b.timestamp).map(document).collect()
}
