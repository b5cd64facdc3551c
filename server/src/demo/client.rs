//! The demo's side of HTTP.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Response, StatusCode};
use serde_json::Value;

/// How often a starting server is asked whether it is ready.
const POLL: Duration = Duration::from_millis(100);

/// An answer to a question: points, and where they came from.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Bucket start (ms) and value.
    pub(super) points: Vec<(i64, f64)>,
    pub(super) tiers: String,
    pub(super) resolution: String,
    pub(super) complete: bool,
    pub(super) timing: String,
}

/// Talks to the demo's server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(super) fn new(base: &str) -> Self {
        Self { http: reqwest::Client::new(), base: base.to_owned() }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) async fn wait_until_ready(&self, patience: Duration) -> anyhow::Result<()> {
        let ready = async {
            loop {
                match self.http.get(format!("{}/-/ready", self.base)).send().await {
                    Ok(response) if response.status().is_success() => return,
                    Ok(_) | Err(_) => tokio::time::sleep(POLL).await,
                }
            }
        };
        tokio::time::timeout(patience, ready).await.context("the server did not become ready")
    }

    /// Sends line protocol; waits and repeats when the server says so.
    pub(super) async fn push_lines(&self, lines: String) -> anyhow::Result<()> {
        let body = bytes::Bytes::from(lines);
        loop {
            let url = format!("{}/write?precision=ms", self.base);
            let response = self.http.post(url).body(body.clone()).send().await.context("pushing")?;
            match response.status() {
                StatusCode::NO_CONTENT => return Ok(()),
                StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(retry_after(&response)).await,
                status => bail!("pushing: {status}: {}", response.text().await.unwrap_or_default()),
            }
        }
    }

    /// Runs an admin action and says in a line what it did.
    pub(super) async fn admin(&self, action: &str) -> anyhow::Result<String> {
        let url = format!("{}/api/v1/admin/{action}", self.base);
        let report = json(self.http.post(url).send().await.with_context(|| format!("asking for {action}"))?).await?;
        if let Some(bad) = report["quarantined"].as_array().filter(|bad| !bad.is_empty()) {
            bail!("{action} set {} hours aside, the first because {}", bad.len(), bad[0]["reason"]);
        }
        let hours = |key: &str| -> u64 {
            report[key].as_array().map_or(0, |ranges| ranges.iter().filter_map(|range| range["hours"].as_u64()).sum())
        };
        Ok(match action {
            "seal" => format!("{} hours sealed, {} points in {} bytes", hours("sealed"), report["points"], report["bytes"]),
            "archive" => {
                format!("{} hours archived, {} rows in {} bytes", hours("archived"), report["rows"], report["bytes"])
            }
            _ => {
                let drops = report["drops"].as_array().map_or(0, Vec::len);
                format!("{drops} ranges changed their owner, {} column families dropped", report["families_dropped"])
            }
        })
    }

    /// Asks a question of `GET /api/metrics`, in either of its two forms.
    pub(super) async fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.context("asking")?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let (tiers, resolution) = (header("x-thermocline-tiers"), header("x-thermocline-resolution"));
        let (complete, timing) = (header("x-thermocline-complete") == "true", header("server-timing"));
        let body = json(response).await?;
        let points = match &body {
            Value::Array(dots) => dots.iter().map(|dot| pair(&dot["timestamp"], &dot["value"])).collect(),
            series => series["series"][0]["points"].as_array().map_or(&[][..], Vec::as_slice).iter().map(|p| pair(&p[0], &p[1])).collect(),
        };
        let points: Option<Vec<(i64, f64)>> = points;
        Ok(Answer { points: points.context("the answer holds something else than points")?, tiers, resolution, complete, timing })
    }
}

fn pair(timestamp: &Value, value: &Value) -> Option<(i64, f64)> {
    Some((timestamp.as_i64()?, value.as_f64()?))
}

async fn json(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let body = response.bytes().await.context("reading the answer")?;
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).context("the answer is not JSON")
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}
