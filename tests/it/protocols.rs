//! Every protocol end to end: what is acknowledged is readable by the next request, and after a restart.
//!
//! bytes as the protocol's own senders make them ─▶ acknowledged ─▶ `GET /api/metrics` at once ─▶ restart ─▶ again

mod agent;
pub(crate) mod wire;

use std::collections::BTreeMap;

use anyhow::ensure;
use kit::Server;
use serde_json::{Value, json};

use self::wire::{Sample, write_request};
use crate::api::{Api, json_of, now_ms, number};

/// What a protocol's requests were to store: metric, server, timestamp, value.
type Told = Vec<(&'static str, &'static str, i64, f64)>;

#[tokio::test]
async fn what_is_acknowledged_by_any_protocol_is_readable_at_once_and_after_a_restart() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms() / 1_000 * 1_000;
    let mut told = Told::new();
    told.extend(json_in_all_shapes(&api, now).await?);
    told.extend(remote_write(&api, now).await?);
    told.extend(line_protocol(&api, now).await?);
    told.extend(prometheus_text(&api, now).await?);
    are_there(&api, &told).await?;
    server.kill().await?;
    server.restart().await?;
    are_there(&Api::of(&server), &told).await
}

async fn are_there(api: &Api, told: &Told) -> anyhow::Result<()> {
    for &(metric, server_id, timestamp, value) in told {
        let found = api.raw(server_id, metric, timestamp, timestamp + 1).await?;
        ensure!(found == [(timestamp, value)], "{metric} of {server_id} at {timestamp}: {found:?}, not {value}");
    }
    Ok(())
}

/// One object, an array, NDJSON, and flat points; plain, gzip and zstd.
async fn json_in_all_shapes(api: &Api, now: i64) -> anyhow::Result<Told> {
    let object = |id: &str, value: f64| {
        json!({
            "server_id": id, "timestamp": now,
            "metrics": [{ "name": "cpu_usage", "value": value, "unit": "percent" }, { "name": "network_in", "value": 12_400 }],
            "tags": { "region": "us-east-1", "env": "production" },
        })
    };
    let flat = json!({ "metric_name": "flat", "value": 3.5, "timestamp": now, "labels": { "server_id": "j4" }, "source": "s" });
    let mut lines = format!("{}\n", object("j3", 0.5)).into_bytes();
    lines.extend(format!("{flat}\n").bytes());
    let requests = [
        ("application/json", None, object("j1", 72.5).to_string().into_bytes(), 2),
        ("application/json", Some("gzip"), wire::gzip(json!([object("j2", 1.25)]).to_string().as_bytes())?, 2),
        ("application/x-ndjson", Some("zstd"), zstd::encode_all(lines.as_slice(), 3)?, 3),
    ];
    for (kind, encoding, body, points) in requests {
        let mut request = api.post("/api/metrics").header("content-type", kind).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let answer = request.send().await?;
        ensure!(answer.status() == 202, "{kind}: {}", answer.status());
        let answer = json_of(answer).await?;
        ensure!(answer["status"] == "accepted" && answer["accepted"] == points && answer["rejected"] == 0, "{answer}");
        ensure!(answer["batch_id"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
    }
    Ok(vec![
        ("cpu_usage", "j1", now, 72.5),
        ("network_in", "j1", now, 12_400.0),
        ("cpu_usage", "j2", now, 1.25),
        ("cpu_usage", "j3", now, 0.5),
        ("flat", "j4", now, 3.5),
    ])
}

async fn remote_write(api: &Api, now: i64) -> anyhow::Result<Told> {
    let labels = |metric, instance| vec![("__name__", metric), ("instance", instance), ("job", "node")];
    let good = write_request(&[
        (labels("node_load1", "r1"), vec![Sample(now - 1_000, 0.5), Sample(now, 0.75)]),
        (labels("up", "r1"), vec![Sample(now, 1.0)]),
    ]);
    for path in ["/api/v1/write", "/api/v1/push"] {
        let answer = send_remote(api, path, &good).await?;
        ensure!(answer.status() == 204, "{path}: {}", answer.status());
    }
    // A series without a name is told of; the good one beside it is kept.
    let mixed = write_request(&[
        (vec![("job", "nameless")], vec![Sample(now, 9.0)]),
        (labels("kept", "r1"), vec![Sample(now, 4.0)]),
    ]);
    let answer = send_remote(api, "/api/v1/write", &mixed).await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == 400 && text.contains("1 of 2 samples refused"), "{status} {text}");
    Ok(vec![
        ("node_load1", "r1", now - 1_000, 0.5),
        ("node_load1", "r1", now, 0.75),
        ("up", "r1", now, 1.0),
        ("kept", "r1", now, 4.0),
    ])
}

async fn send_remote(api: &Api, path: &str, message: &[u8]) -> anyhow::Result<reqwest::Response> {
    let request = api.post(path).header("content-type", "application/x-protobuf").header("content-encoding", "snappy");
    Ok(request.body(snap::raw::Encoder::new().compress_vec(message)?).send().await?)
}

/// All three versions; each keeps its good lines and tells of the bad in its own words.
async fn line_protocol(api: &Api, now: i64) -> anyhow::Result<Told> {
    let seconds = now / 1_000;
    let writes = [
        ("/write?db=telegraf&precision=s", "host=l1", "partial write: line 2"),
        ("/api/v2/write?org=o&bucket=b&precision=s", "host=l2", "line 2"),
        ("/api/v3/write_lp?db=d&precision=second", "host=l3", "line 2"),
    ];
    for (path, tag, told) in writes {
        let good = format!("cpu,{tag} usage_idle=91.5,value=3i,name=\"text\" {seconds}\n");
        let answer = api.post(path).body(good.clone()).send().await?;
        ensure!(answer.status() == 204, "{path}: {}", answer.status());
        let mixed = format!("{good}cpu,{tag} usage_idle= {seconds}\nmem,{tag} used=5u {seconds}\n");
        let answer = api.post(path).body(mixed).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 400 && text.contains(told), "{path}: {status} {text}");
        let shape: Value = serde_json::from_str(&text)?;
        let expected: &[&str] = if path.starts_with("/write") { &["error"] } else { &["code", "message"] };
        let keys: Vec<&str> = shape.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        ensure!(keys == expected, "{path}: {shape}");
    }
    let ping = api.get("/ping", &[]).send().await?;
    ensure!(ping.status() == 204 && ping.headers().contains_key("x-influxdb-version"), "{ping:?}");
    let created = json_of(api.get("/query", &[("q", "CREATE DATABASE telegraf")]).send().await?).await?;
    ensure!(created == json!({ "results": [{ "statement_id": 0 }] }), "{created}");
    let of = |id| [("cpu_usage_idle", id, now, 91.5), ("cpu", id, now, 3.0), ("mem_used", id, now, 5.0)];
    Ok(["l1", "l2", "l3"].into_iter().flat_map(of).collect())
}

async fn prometheus_text(api: &Api, now: i64) -> anyhow::Result<Told> {
    let text = format!(
        "# HELP http_requests_total The total.\n# TYPE http_requests_total counter\n\
         http_requests_total{{instance=\"p1\",path=\"/a \\\"b\\\"\"}} 1027 {now}\ntemperature{{instance=\"p1\"}} -3.5e-2 {now}\n"
    );
    let answer = api.post("/api/v1/import/prometheus").header("content-type", "text/plain").body(text).send().await?;
    ensure!(answer.status() == 204, "{}", answer.status());
    Ok(vec![("http_requests_total", "p1", now, 1_027.0), ("temperature", "p1", now, -0.035)])
}

#[tokio::test]
async fn labels_units_and_words_come_back_as_they_were_sent() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms();
    let odd = [("plain", "a b"), ("quotes", "\"\\\n"), ("unicode", "é 日本"), ("looks", "{a=\"b\"}")];
    let tags: BTreeMap<&str, &str> = odd.into_iter().collect();
    let words = [("nan", json!("NaN")), ("inf", json!("+Inf")), ("minus_inf", json!("-Inf")), ("tiny", json!(5e-324))];
    let metrics: Vec<Value> = words.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    api.push(&json!({ "server_id": "odd", "timestamp": now, "metrics": metrics, "tags": tags })).await?;
    for (name, value) in words {
        let to = (now + 1).to_string();
        let params = [("metric", name), ("from", &now.to_string()), ("to", &to), ("granularity", "raw")];
        let answer = api.get_json("/api/metrics", &params).await?;
        let series = &answer["series"][0];
        ensure!(series["points"][0][0] == now, "{answer}");
        let (sent, found) = (number(&value)?, number(&series["points"][0][1])?);
        ensure!(sent.to_bits() == found.to_bits() || (sent.is_nan() && found.is_nan()), "{name}: {answer}");
        for (label, text) in odd {
            ensure!(series["labels"][label] == text, "{label}: {answer}");
        }
    }
    let selector = "{quotes=\"\\\"\\\\\\n\",unicode=~\"é.*\"}";
    let from = (now - 1_000).to_string();
    let found = api.get_json("/api/metrics", &[("metric", "tiny"), ("match[]", selector), ("from", &from)]).await?;
    ensure!(found["series"].as_array().is_some_and(|series| series.len() == 1), "{found}");
    Ok(())
}
