//! Whatever a client sends, the answer is a refusal that it can read, in bounded memory, and the service goes on.
//!
//! Each case: something hostile ─▶ its 4xx as `application/problem+json`, never a 500, never HTML ─▶ a good write and
//! read. The bound on memory is the highest that the kernel has seen (`VmHWM`).

mod bodies;
mod connections;
mod questions;
mod sql;

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::{RequestBuilder, StatusCode};

use crate::api::{Api, Refusal, now_ms, refusal_of};

/// More than the limits below allow to be held at once, with RocksDB and an unoptimized build; far less than any attack.
const MEMORY_BYTES_MAX: u64 = 900 << 20;

/// A server with limits that tests can reach, and the client of it.
struct Target {
    server: Server,
    api: Api,
}

impl Target {
    async fn start() -> anyhow::Result<Self> {
        Self::with("limits: { body: 8MiB, bodies_in_flight: 64MiB, query_memory: 64MiB, query_timeout: 5s }\n").await
    }

    async fn with(config: &str) -> anyhow::Result<Self> {
        let server = Server::options().config(config).start().await?;
        let api = Api::of(&server);
        Ok(Self { server, api })
    }

    /// Sends something hostile, and sees that it is refused with one of `statuses`, readably, and that life goes on.
    async fn refuses(&self, what: &str, request: RequestBuilder, statuses: &[u16]) -> anyhow::Result<Refusal> {
        let answer = request.send().await.with_context(|| format!("{what}: no answer"))?;
        let refusal = refusal_of(answer).await.with_context(|| format!("{what}: a broken answer"))?;
        ensure!(statuses.contains(&refusal.status.as_u16()), "{what}: {} {}", refusal.status, refusal.body);
        is_a_problem(&refusal).with_context(|| what.to_owned())?;
        self.goes_on().await.with_context(|| format!("after {what}"))?;
        Ok(refusal)
    }

    /// The service takes and gives, and has not taken too much memory.
    async fn goes_on(&self) -> anyhow::Result<()> {
        self.api.works(now_ms()).await?;
        let peak = peak_memory(self.server.pid().context("the server has ended")?)?;
        ensure!(peak <= MEMORY_BYTES_MAX, "the server took {} MiB", peak >> 20);
        Ok(())
    }
}

/// RFC 9457, with members that agree with the status.
fn is_a_problem(refusal: &Refusal) -> anyhow::Result<()> {
    ensure!(refusal.content_type == "application/problem+json", "answered as {:?}", refusal.content_type);
    let problem: serde_json::Value = serde_json::from_str(&refusal.body).context("a problem is JSON")?;
    ensure!(problem["status"] == refusal.status.as_u16(), "status {} in {problem}", refusal.status);
    for member in ["type", "title", "detail"] {
        ensure!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member} in {problem}");
    }
    ensure!(problem["errors"].is_array(), "no errors in {problem}");
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        ensure!(refusal.retry_after.is_some() || problem["type"] == "/problems/query-timeout", "when to come again?");
    }
    Ok(())
}

/// The most memory that a process has ever held, in bytes.
fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading the server's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM is a number")?;
    Ok(kib << 10)
}
