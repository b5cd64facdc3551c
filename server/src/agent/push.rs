//! Sends what waits in the spool, oldest first.
//!
//! something waits ─▶ POST ─▶ taken: removed │ refused: told, removed │ away or busy: kept, tried again later

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use runtime::Backoff;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::spool::Spool;

/// The wait after a first failure; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// An answer that takes longer counts as none.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What came of sending the oldest request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing waits.
    Empty,
    /// The server has it, or will never take it; either way it is out of the spool.
    Done,
    /// Try again after this long.
    Later { wait: Option<Duration>, why: String },
}

/// Drains a spool into a server.
#[derive(Debug)]
pub(super) struct Pusher {
    client: Client,
    url: String,
    spool: Arc<Spool>,
    fresh: Arc<Notify>,
    /// The server did not take the last request; the log has said so.
    away: bool,
}

impl Pusher {
    pub(super) fn new(server: &str, spool: Arc<Spool>, fresh: Arc<Notify>) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(ANSWER_PATIENCE).build().context("setting up HTTP")?;
        let url = format!("{}/api/metrics", server.trim_end_matches('/'));
        Ok(Self { client, url, spool, fresh, away: false })
    }

    /// Sends until told to stop; then tries for `farewell` to send what still waits.
    pub(super) async fn run(mut self, stop: CancellationToken, farewell: Duration) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.drain_for_ever() => {}
        }
        let emptied = tokio::time::timeout(farewell, self.drain_once()).await;
        if emptied != Ok(true) {
            tracing::info!(waiting_bytes = self.spool.waiting(), "points wait in the spool for the next start");
        }
    }

    async fn drain_for_ever(&mut self) {
        let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MAX);
        loop {
            match self.send_oldest().await {
                Outcome::Done => backoff.reset(),
                Outcome::Empty => self.fresh.notified().await,
                Outcome::Later { wait, why } => {
                    let wait = wait.unwrap_or_else(|| backoff.next_wait());
                    if !self.away {
                        self.away = true;
                        tracing::warn!(url = self.url, why, "the server takes no points: they wait in the spool");
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Sends until nothing waits (`true`) or the server takes no more.
    async fn drain_once(&mut self) -> bool {
        loop {
            match self.send_oldest().await {
                Outcome::Done => {}
                Outcome::Empty => return true,
                Outcome::Later { .. } => return false,
            }
        }
    }

    async fn send_oldest(&mut self) -> Outcome {
        let waiting = match self.spool.oldest() {
            Ok(Some(waiting)) => waiting,
            Ok(None) => return Outcome::Empty,
            Err(error) => return Outcome::Later { wait: None, why: format!("{error:#}") },
        };
        // Dropped half-way it is sent again, which changes nothing: the same points, the same values.
        let answer = self.post(waiting.body).await;
        let outcome = match answer {
            Err(error) => return Outcome::Later { wait: None, why: format!("{:#}", anyhow::Error::from(error)) },
            Ok(answer) => read(answer).await,
        };
        if outcome == Outcome::Done {
            if let Err(error) = self.spool.remove(waiting.number) {
                return Outcome::Later { wait: None, why: format!("{error:#}") };
            }
            if std::mem::take(&mut self.away) {
                tracing::info!(url = self.url, waiting_bytes = self.spool.waiting(), "the server takes points again");
            }
        }
        outcome
    }

    async fn post(&self, body: Vec<u8>) -> reqwest::Result<Response> {
        let post = self.client.post(&self.url).header(CONTENT_TYPE, "application/x-ndjson");
        post.header(CONTENT_ENCODING, "zstd").body(body).send().await
    }
}

async fn read(answer: Response) -> Outcome {
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT {
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wait = seconds.map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
        return Outcome::Later { wait, why: format!("the server answers {status}") };
    }
    // What cannot be read is no reason to send it again.
    let text = answer.text().await.unwrap_or_default();
    let told: String = text.chars().take(300).collect();
    if !status.is_success() {
        tracing::error!(%status, answer = told, "the server refuses a request: its points are dropped");
    } else if rejected(&text) > 0 {
        tracing::warn!(answer = told, "the server refuses points");
    }
    Outcome::Done
}

/// Points that an answer says were refused.
fn rejected(text: &str) -> u64 {
    let answer: Option<serde_json::Value> = serde_json::from_str(text).ok();
    answer.and_then(|answer| answer.get("rejected")?.as_u64()).unwrap_or(0)
}
