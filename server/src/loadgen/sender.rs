//! Posts requests, and posts them again while the server is away or busy.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use runtime::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::Request;
use super::{ProtocolName, pause};

/// The first wait before trying again, where the server does not say; doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// An answer that takes longer counts as none.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// What became of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Points that the server did not take.
    pub(super) rejected: u64,
    /// What it said about them.
    pub(super) complaint: Option<String>,
    /// How often the request was sent again.
    pub(super) retries: u64,
    /// Of the attempt that succeeded.
    pub(super) took: Duration,
}

/// Sends over connections that are kept open.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    client: Client,
    url: String,
    protocol: ProtocolName,
    patience: Duration,
}

impl Sender {
    pub(super) fn new(server: &str, protocol: ProtocolName, patience: Duration) -> anyhow::Result<Self> {
        let path = match protocol {
            ProtocolName::RemoteWrite => "/api/v1/write",
            ProtocolName::Influx => "/write?precision=ms",
            ProtocolName::Json => "/api/metrics",
        };
        let client = Client::builder().timeout(ANSWER_PATIENCE).build().context("setting up HTTP")?;
        Ok(Self { client, url: format!("{}{path}", server.trim_end_matches('/')), protocol, patience })
    }

    /// Sends a request until the server takes or refuses it. Fails when it is away or busy for too long.
    pub(super) async fn send(&self, request: Request, stop: &CancellationToken) -> anyhow::Result<Sent> {
        let begun = Instant::now();
        let mut backoff = Backoff::new(WAIT_FIRST, WAIT_MAX);
        let mut sent = Sent::default();
        loop {
            let attempt = Instant::now();
            let (why, wait) = match self.post(&request).await {
                Ok(answer) if is_busy(answer.status()) => {
                    let wait = retry_after(&answer).unwrap_or_else(|| backoff.next_wait());
                    (anyhow::anyhow!("the server answers {}", answer.status()), wait)
                }
                Ok(answer) => {
                    sent.took = attempt.elapsed();
                    return read(answer, request.points, sent).await;
                }
                Err(error) => (anyhow::Error::from(error), backoff.next_wait()),
            };
            if begun.elapsed() + wait > self.patience {
                return Err(why.context(format!("{} did not take a request in {:?}", self.url, self.patience)));
            }
            sent.retries += 1;
            if !pause(wait, stop).await {
                bail!(why.context("stopped while the server took no requests"));
            }
        }
    }

    async fn post(&self, request: &Request) -> reqwest::Result<Response> {
        let post = self.client.post(&self.url);
        let post = match self.protocol {
            ProtocolName::RemoteWrite => post
                .header(CONTENT_TYPE, "application/x-protobuf")
                .header(CONTENT_ENCODING, "snappy")
                .header("X-Prometheus-Remote-Write-Version", "0.1.0"),
            ProtocolName::Influx => post.header(CONTENT_TYPE, "text/plain; charset=utf-8"),
            ProtocolName::Json => post.header(CONTENT_TYPE, "application/x-ndjson"),
        };
        post.body(request.body.clone()).send().await
    }
}

/// Whether the same request may be taken later.
fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::SERVICE_UNAVAILABLE
        || status == StatusCode::BAD_GATEWAY
        || status == StatusCode::GATEWAY_TIMEOUT
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    // A server on the same machine is free again long before a whole second is over.
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

async fn read(answer: Response, points: u64, mut sent: Sent) -> anyhow::Result<Sent> {
    let status = answer.status();
    let text = answer.text().await.context("the server broke its answer off")?;
    if status.is_success() {
        sent.rejected = json_count(&text).unwrap_or(0);
    } else if status == StatusCode::BAD_REQUEST {
        sent.rejected = json_count(&text).or_else(|| dropped_count(&text)).unwrap_or(points);
    } else {
        bail!("the server answers {status}: {}", excerpt(&text));
    }
    if sent.rejected > 0 {
        sent.complaint = Some(excerpt(&text));
    }
    Ok(sent)
}

/// `"rejected": 3` of our own answers.
fn json_count(text: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(text).ok()?.get("rejected")?.as_u64()
}

/// `dropped=3`, as answers to line protocol say it.
fn dropped_count(text: &str) -> Option<u64> {
    let rest = &text[text.find("dropped=")? + "dropped=".len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

fn excerpt(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_points_are_read_from_every_kind_of_answer() {
        assert_eq!(json_count(r#"{"status":"accepted","accepted":2,"rejected":1}"#), Some(1));
        assert_eq!(json_count("no JSON"), None);
        assert_eq!(dropped_count(r#"{"error":"partial write: line 2: bad dropped=12"}"#), Some(12));
        assert_eq!(dropped_count("dropped="), None);
    }
}
