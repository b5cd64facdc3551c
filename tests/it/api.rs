//! What the tests ask of a server, in the words of its HTTP API.
//!
//! [`Api`] is cheap to clone and knows only an address, so that it can be used beside the [`kit::Server`] that owns
//! the process.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use runtime::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
}

/// A refusal, as its reader sees it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Api {
    /// Of a server that runs. A restart changes the address: make a new one then.
    pub(crate) fn of(server: &Server) -> Self {
        Self { client: server.client().clone(), base: server.url("") }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// An address with parameters, encoded as they must be.
    pub(crate) fn url(&self, path: &str, params: &[(&str, &str)]) -> Url {
        let url = format!("{}{path}", self.base);
        Url::parse_with_params(&url, params).expect("tests write addresses that are some")
    }

    pub(crate) fn get(&self, path: &str, params: &[(&str, &str)]) -> RequestBuilder {
        self.client.get(self.url(path, params))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path, &[]))
    }

    pub(crate) async fn get_json(&self, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Value> {
        json_of(self.get(path, params).send().await.with_context(|| format!("GET {path}"))?).await
    }

    /// Pushes documents of `POST /api/metrics`; every point of them must be taken.
    pub(crate) async fn push(&self, documents: &Value) -> anyhow::Result<u64> {
        let answer = json_of(self.post("/api/metrics").json(documents).send().await?).await?;
        ensure!(answer["rejected"] == json!(0), "points were refused: {answer}");
        answer["accepted"].as_u64().context("an answer to a push says how many points it took")
    }

    /// Pushes points of one series, named by its server and its metric.
    pub(crate) async fn push_points(
        &self,
        server_id: &str,
        metric: &str,
        points: &[(i64, f64)],
    ) -> anyhow::Result<u64> {
        let document = |&(timestamp, value): &(i64, f64)| json!({ "server_id": server_id, "timestamp": timestamp, "metrics": [{ "name": metric, "value": value }] });
        self.push(&points.iter().map(document).collect()).await
    }

    /// The points of one series in `[from, to)`, as they are.
    pub(crate) async fn raw(
        &self,
        server_id: &str,
        metric: &str,
        from: i64,
        to: i64,
    ) -> anyhow::Result<Vec<(i64, f64)>> {
        self.dots(server_id, metric, (from, to), &[("granularity", "raw")]).await
    }

    /// One aggregate of one series by `granularity` in `[from, to)`.
    pub(crate) async fn buckets(
        &self,
        server_id: &str,
        metric: &str,
        range: (i64, i64),
        granularity: &str,
        agg: &str,
    ) -> anyhow::Result<Vec<(i64, f64)>> {
        self.dots(server_id, metric, range, &[("granularity", granularity), ("agg", agg)]).await
    }

    async fn dots(
        &self,
        server_id: &str,
        metric: &str,
        (from, to): (i64, i64),
        more: &[(&str, &str)],
    ) -> anyhow::Result<Vec<(i64, f64)>> {
        let (from, to) = (from.to_string(), to.to_string());
        let mut params = vec![("metric", metric), ("from", &from), ("to", &to)];
        params.extend_from_slice(more);
        let answer = self.get_json(&format!("/api/metrics/{server_id}"), &params).await?;
        let dots = answer.as_array().with_context(|| format!("not a bare array: {answer}"))?;
        dots.iter().map(|dot| Ok((timestamp(&dot["timestamp"])?, number(&dot["value"])?))).collect()
    }

    /// The rows of a query, as objects.
    pub(crate) async fn sql(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let sent = self.post("/api/v1/sql").json(&json!({ "query": query })).send().await?;
        match json_of(sent).await.with_context(|| query.to_owned())? {
            Value::Array(rows) => Ok(rows),
            other => anyhow::bail!("{query}: not an array of rows: {other}"),
        }
    }

    /// Runs a job now; a job that sets hours aside has failed.
    pub(crate) async fn admin(&self, job: &str) -> anyhow::Result<Value> {
        let report = json_of(self.post(&format!("/api/v1/admin/{job}")).send().await?).await?;
        let aside = report.get("quarantined").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(aside == 0, "{job} set hours aside: {report}");
        Ok(report)
    }

    /// Seals and archives everything that has ended.
    pub(crate) async fn seal_and_archive(&self) -> anyhow::Result<()> {
        self.admin("seal").await?;
        self.admin("archive").await?;
        Ok(())
    }

    /// The service still takes a point and gives it back.
    pub(crate) async fn works(&self, now_ms: i64) -> anyhow::Result<()> {
        let value = f64::from(u32::try_from(now_ms % 1_000_000)?);
        self.push_points("canary", "canary", &[(now_ms, value)]).await.context("a good write")?;
        let points = self.raw("canary", "canary", now_ms, now_ms + 1).await.context("a good read")?;
        ensure!(points == [(now_ms, value)], "a good write reads back as {points:?}");
        Ok(())
    }
}

/// The JSON of a good answer.
pub(crate) async fn json_of(answer: Response) -> anyhow::Result<Value> {
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.with_context(|| format!("reading the answer of {url}"))?;
    ensure!(status.is_success(), "{url} answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url} did not answer with JSON: {text}"))
}

/// The parts of a refusal that its reader acts on.
pub(crate) async fn refusal_of(answer: Response) -> anyhow::Result<Refusal> {
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (status, content_type, retry_after) = (answer.status(), header("content-type"), header("retry-after"));
    Ok(Refusal { status, content_type: content_type.unwrap_or_default(), retry_after, body: answer.text().await? })
}

/// A value as answers write it: a number, or a word where JSON has no number.
pub(crate) fn number(value: &Value) -> anyhow::Result<f64> {
    let word = match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("+Inf") => Some(f64::INFINITY),
        Some("-Inf") => Some(f64::NEG_INFINITY),
        Some(_) | None => value.as_f64(),
    };
    word.with_context(|| format!("not a value: {value}"))
}

fn timestamp(value: &Value) -> anyhow::Result<i64> {
    value.as_i64().with_context(|| format!("not a timestamp: {value}"))
}

/// Now, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now_ms()
}

/// The start of the hour that holds a time.
pub(crate) fn hour_of(timestamp_ms: i64) -> i64 {
    timestamp_ms.div_euclid(HOUR_MS) * HOUR_MS
}

/// What an aggregate of points is, the naive way, by the hour.
pub(crate) fn hourly<'a>(
    points: impl IntoIterator<Item = (&'a i64, &'a f64)>,
    aggregate: impl Fn(&[f64]) -> f64,
) -> Vec<(i64, f64)> {
    let mut hours: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (timestamp, value) in points {
        hours.entry(hour_of(*timestamp)).or_default().push(*value);
    }
    hours.into_iter().map(|(hour, values)| (hour, aggregate(&values))).collect()
}

/// Equal but for what another order of additions makes of a sum.
pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}
