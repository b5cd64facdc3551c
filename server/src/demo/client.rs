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

/// What the tiers hold, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiers {
    pub(super) sealed: String,
    pub(super) archived: String,
    pub(super) owners: String,
}

impl Tiers {
    fn of(map: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let sum = |value: &Value, key: &str| list(value).iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
        let archived =
            list(&map["archived"]).into_iter().find(|table| table["table"] == "rollup_1h").unwrap_or_default();
        let owner = |form: &str, resolution: &str| {
            let rows = list(&map["owners"]);
            let row = rows.iter().find(|row| row["form"] == form && row["resolution"] == resolution);
            row.and_then(|row| row["local_from"].as_str()).unwrap_or("ever").to_owned()
        };
        Self {
            sealed: format!(
                "{} hours sealed; RocksDB holds {} kB",
                sum(&map["sealed"], "hours"),
                sum(&map["local"]["families"], "bytes") / 1_000
            ),
            archived: format!(
                "{} hours archived: {} rows, {} kB of Parquet",
                sum(&archived["hours"], "hours"),
                sum(&map["cold"], "rows"),
                sum(&map["cold"], "bytes") / 1_000
            ),
            owners: format!(
                "RocksDB owns raw points since {}, rollups since {}; what is older, the archive",
                owner("raw", "raw"),
                owner("raw", "1h")
            ),
        }
    }
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

    /// Asks the server to do something now. Hours that it had to set aside are an error.
    pub(super) async fn post(&self, path: &str) -> anyhow::Result<()> {
        let response = self.http.post(format!("{}{path}", self.base)).send().await;
        let report = json(response.with_context(|| format!("asking for {path}"))?).await?;
        if let Some(bad) = report["quarantined"].as_array().filter(|bad| !bad.is_empty()) {
            bail!("{path} set {} hours aside, the first because {}", bad.len(), bad[0]["reason"]);
        }
        Ok(())
    }

    /// What the tiers hold now.
    pub(super) async fn tiers(&self) -> anyhow::Result<Tiers> {
        let response =
            self.http.get(format!("{}/api/v1/tiers", self.base)).send().await.context("asking for the tiers")?;
        Ok(Tiers::of(&json(response).await?))
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
            series => series["series"][0]["points"]
                .as_array()
                .map_or(&[][..], Vec::as_slice)
                .iter()
                .map(|p| pair(&p[0], &p[1]))
                .collect(),
        };
        let points: Option<Vec<(i64, f64)>> = points;
        Ok(Answer {
            points: points.context("the answer holds something else than points")?,
            tiers,
            resolution,
            complete,
            timing,
        })
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
