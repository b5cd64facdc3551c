//! Grafana's built-in Prometheus data source: the calls that it makes, as it makes them.
//!
//! `grafana/calls.json` (method, path, form ─▶ status and members of the answer) ─▶ the real server
//!
//! Source: `pkg/promlib` and `packages/grafana-prometheus` of Grafana 12. A resource is asked by POST; where that is 400 or
//! 405, by GET.

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Api, now_ms};

/// One call, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    what: String,
    method: String,
    path: String,
    form: Option<String>,
    /// 200 where none is named.
    status: Option<u16>,
    /// The method that is tried after that status.
    then: Option<String>,
    /// Members of the answer; null: not there.
    expect: Map<String, Value>,
    /// Members that are texts.
    #[serde(default)]
    strings: Vec<String>,
}

#[tokio::test]
async fn every_call_of_the_data_source_is_answered_as_prometheus_would() -> anyhow::Result<()> {
    let calls: Vec<Call> = serde_json::from_str(include_str!("grafana/calls.json")).context("reading the fixture")?;
    let server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms() / 1_000 * 1_000;
    push(&api, now).await?;
    for call in &calls {
        replay(&server, call, now).await.with_context(|| call.what.clone())?;
    }
    Ok(())
}

/// A gauge and a counter, a point every 15 s for ten minutes.
async fn push(api: &Api, now: i64) -> anyhow::Result<()> {
    let mut lines = "# HELP load How busy it is.\n# TYPE load gauge\n# TYPE http_requests_total counter\n".to_owned();
    for step in 0..=40 {
        let at = now - 600_000 + step * 15_000;
        lines.push_str(&format!("load{{job=\"api\",instance=\"a:1\"}} {} {at}\n", step % 5));
        lines.push_str(&format!("http_requests_total{{job=\"api\",instance=\"a:1\"}} {} {at}\n", 30 * step));
    }
    let answer = api.post("/api/v1/import/prometheus").header("content-type", "text/plain").body(lines).send().await?;
    ensure!(answer.status() == 204, "{}", answer.text().await?);
    Ok(())
}

async fn replay(server: &Server, call: &Call, now: i64) -> anyhow::Result<()> {
    let times = [
        ("{now_s}", (now / 1_000).to_string()),
        ("{now_ms}", now.to_string()),
        ("{start_s}", (now / 1_000 - 600).to_string()),
        ("{start_ms}", (now - 600_000).to_string()),
    ];
    let filled = |text: &str| times.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let path = filled(&call.path);
    let mut request = server.client().request(call.method.parse()?, server.url(&path));
    if let Some(form) = &call.form {
        request = request.header("content-type", "application/x-www-form-urlencoded").body(filled(form));
    }
    let mut answer = request.send().await?;
    ensure!(answer.status() == call.status.unwrap_or(200), "{}: {}", answer.status(), answer.text().await?);
    if let Some(method) = &call.then {
        let method: Method = method.parse()?;
        answer = server.client().request(method, server.url(&path)).send().await?;
        ensure!(answer.status() == 200, "{}: {}", answer.status(), answer.text().await?);
    }
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    ensure!(kind == "application/json", "answered as {kind:?}");
    let body: Value = answer.json().await?;
    for (pointer, expected) in &call.expect {
        let found = body.pointer(pointer).unwrap_or(&Value::Null);
        ensure!(found == expected, "{pointer} is {found}, not {expected}, in {body}");
    }
    for pointer in &call.strings {
        ensure!(body.pointer(pointer).is_some_and(Value::is_string), "{pointer} is no text in {body}");
    }
    Ok(())
}
