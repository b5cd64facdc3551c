//! Answers byte for byte: what clients and people have learned to expect of refusals and acknowledgements.
//!
//! requests, with what varies left out of them ─▶ status, content type and body ─▶ `tests/golden/http/*.txt`;
//! `UPDATE_GOLDEN=1` writes the files anew

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::api::{Api, now_ms};

/// Compares what the requests are answered with a file of that name.
async fn golden(name: &str, requests: Vec<(&str, RequestBuilder)>) -> anyhow::Result<()> {
    let mut text = String::new();
    for (what, request) in requests {
        let answer = request.send().await.with_context(|| what.to_owned())?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("-").to_owned();
        let status = answer.status();
        let body = answer.text().await?;
        writeln!(text, "# {what}\n{} {kind}\n{}\n", status.as_u16(), body.trim_end())?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/http").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
    }
    let expected = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let differs = expected.lines().zip(text.lines()).find(|(expected, found)| expected != found);
    ensure!(expected == text, "{name} has changed, first here (expected, found): {differs:#?}\nall of it:\n{text}");
    Ok(())
}

#[tokio::test]
async fn refusals_of_questions_read_as_they_always_did() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let ask = |params: &[(&str, &str)]| api.get("/api/metrics", params);
    let sql = |query: &str| api.post("/api/v1/sql").json(&json!({ "query": query }));
    let requests = vec![
        ("an unknown path", api.get("/nothing", &[])),
        ("a wrong method", api.post("/api/v1/tiers")),
        ("an unknown parameter", ask(&[("metric", "cpu"), ("metrik", "cpu")])),
        ("a parameter twice", ask(&[("metric", "cpu"), ("metric", "mem")])),
        ("no metric", ask(&[])),
        ("a time that is none", ask(&[("metric", "cpu"), ("from", "yesterday")])),
        ("a range that runs backwards", ask(&[("metric", "cpu"), ("from", "now"), ("to", "-1h")])),
        ("a granularity that is none", ask(&[("metric", "cpu"), ("granularity", "5m")])),
        ("an aggregate that is none", ask(&[("metric", "cpu"), ("agg", "median")])),
        ("a selector that is broken", ask(&[("metric", "cpu"), ("match[]", "{env=\"a\"")])),
        ("a regular expression that is broken", ask(&[("metric", "cpu"), ("match[]", "{env=~\"(\"}")])),
        ("an unknown series of a server", api.get("/api/metrics/nobody", &[("metric", "cpu")])),
        ("SQL that writes", sql("DROP TABLE samples")),
        ("SQL of a table that is not there", sql("SELECT * FROM nowhere")),
        ("SQL that is none", sql("SELEKT 1")),
        ("a duration that is none", api.post("/api/v1/policies/plan").json(&json!({ "hot.raw": "soon" }))),
    ];
    golden("questions", requests).await
}

#[tokio::test]
async fn answers_to_pushes_read_as_they_always_did() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms();
    let push = |body: serde_json::Value| api.post("/api/metrics").json(&body);
    let good = json!({ "metric_name": "cpu", "value": 1, "timestamp": now });
    let requests = vec![
        (
            "a batch of one's own id",
            push(json!({ "batch_id": "b-1", "server_id": "a", "timestamp": now,
            "metrics": [{ "name": "cpu", "value": 72.5, "unit": "percent" }, { "name": "mem", "value": 1 }] })),
        ),
        (
            "one good and two bad points",
            push(json!([
            good, { "metric_name": "cpu", "value": "many", "batch_id": "b-2" }, { "metric_name": "", "value": 1 } ])),
        ),
        (
            "nothing good",
            push(json!({ "batch_id": "b-3", "metric_name": "cpu", "value": 1, "timestamp": "0001-01-01T00:00:00Z" })),
        ),
        ("no JSON", api.post("/api/metrics").header("content-type", "application/json").body("{\"a\"")),
        ("a content type that is not read", api.post("/api/metrics").header("content-type", "text/html").body("")),
        ("line protocol, version 1", api.post("/write?precision=s").body("cpu value=1\ncpu value=\nmem value\n")),
        (
            "line protocol, version 2",
            api.post("/api/v2/write?precision=s").body("cpu value=1\ncpu value=\nmem value\n"),
        ),
        ("line protocol, version 3", api.post("/api/v3/write_lp").body("cpu value=1\ncpu value=\nmem value\n")),
        ("a precision that is none", api.post("/api/v2/write?precision=fortnight").body("cpu value=1\n")),
        ("remote write of a wrong type", api.post("/api/v1/write").header("content-type", "text/plain").body("")),
        (
            "remote write that is damaged",
            api.post("/api/v1/write").header("content-type", "application/x-protobuf").body("snap"),
        ),
        (
            "text that is none",
            api.post("/api/v1/import/prometheus").header("content-type", "text/plain").body("a b c d\n"),
        ),
        ("a statement of InfluxQL", api.get("/query", &[("q", "DROP DATABASE telegraf")])),
    ];
    golden("pushes", requests).await
}

#[tokio::test]
async fn rows_of_sql_read_as_they_always_did_in_every_format() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms();
    api.push(&json!({ "server_id": "a", "timestamp": now, "tags": { "env": "x,\"y\"" }, "metrics": [
        { "name": "cpu", "value": 72.5 }, { "name": "down", "value": "NaN" }, { "name": "full", "value": "+Inf" } ] }))
        .await?;
    let query = "SELECT metric, value, labels, CAST(NULL AS BIGINT) AS nothing, TIMESTAMP '2025-03-17T14:30:00Z' AS at \
                 FROM samples ORDER BY metric";
    let ask = |accept: &str| api.post("/api/v1/sql").header("accept", accept).json(&json!({ "query": query }));
    let requests = vec![
        ("JSON", ask("application/json")),
        ("NDJSON", ask("application/x-ndjson")),
        ("CSV", ask("text/csv")),
        ("a format that is none", ask("text/html")),
    ];
    golden("sql", requests).await
}
