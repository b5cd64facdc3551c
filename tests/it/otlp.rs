//! OpenTelemetry end to end: its own SDK and exporter for Python send to the real server.
//!
//! `otlp/exporter.py` ─▶ `/v1/metrics` ─▶ `GET /api/metrics`
//!
//! JSON has no exporter in Python: its request is the collector's own (`tests/golden/push`).

use std::path::Path;

use anyhow::{Context as _, ensure};
use kit::Server;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::api::{Api, json_of, now_ms, number};
use crate::delta::python;
use crate::protocols::wire::gzip;

const RETENTION: &str = "retention: { cold.raw: 20000d, cold.rollup_1m: 20000d, cold.rollup_1h: 20000d }\n";

/// Lets the exporter measure and send `rounds` times. Says `false` where there is no Python.
#[expect(clippy::print_stderr, reason = "a check that is skipped must be seen")]
async fn export(api: &Api, path: &str, temporality: &str, rounds: usize) -> anyhow::Result<bool> {
    if !python().exists() {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        ensure!(!required, "OpenTelemetry's exporter is required with CI=true: run scripts/setup.sh");
        eprintln!("SKIPPED: no Python at {} (scripts/setup.sh installs it)", python().display());
        return Ok(false);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp/exporter.py");
    let url = api.url(path, &[]).to_string();
    let arguments = [url.trim_end_matches('?'), temporality, &rounds.to_string()].map(str::to_owned);
    let output = Command::new(python()).arg(script).args(arguments).output().await.context("running exporter.py")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said == "ok\n".repeat(rounds), "exporter.py: {said}{errors}");
    Ok(true)
}

/// Labels and values of each series of a metric, oldest first.
async fn found(api: &Api, metric: &str) -> anyhow::Result<Vec<(Value, Vec<f64>)>> {
    let (from, to) = ((now_ms() - 600_000).to_string(), (now_ms() + 60_000).to_string());
    let params = [("metric", metric), ("from", &from), ("to", &to), ("granularity", "raw")];
    let answer = api.get_json("/api/metrics", &params).await?;
    let series = answer["series"].as_array().context("series")?;
    series
        .iter()
        .map(|one| {
            let points = one["points"].as_array().context("points")?.iter();
            Ok((one["labels"].clone(), points.map(|point| number(&point[1])).collect::<anyhow::Result<_>>()?))
        })
        .collect()
}

/// The values of the one series of a metric with these labels beside `job` and `instance`.
async fn values(api: &Api, metric: &str, labels: Value) -> anyhow::Result<Vec<f64>> {
    let mut expected = json!({ "job": "eu/shop", "instance": "i-1" });
    expected.as_object_mut().context("an object")?.extend(labels.as_object().context("an object")?.clone());
    let series = found(api, metric).await?;
    let of: Vec<&Vec<f64>> =
        series.iter().filter(|(labels, _)| *labels == expected).map(|(_, values)| values).collect();
    ensure!(of.len() == 1, "{metric}{expected}: {series:?}");
    Ok(of[0].clone())
}

#[tokio::test]
async fn what_opentelemetry_measures_is_found_under_prometheus_names() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    if !export(&api, "/v1/metrics", "cumulative", 2).await? {
        return Ok(());
    }
    let is = async |metric: &str, labels: Value, expected: &[f64]| -> anyhow::Result<()> {
        let values = values(&api, metric, labels).await?;
        // What a shutdown sends repeats the last round.
        ensure!(values.starts_with(expected), "{metric}: {values:?}, not {expected:?}");
        Ok(())
    };
    is("shop_orders_total", json!({ "payment": "card" }), &[5.0, 10.0]).await?;
    is("shop_orders_total", json!({ "payment": "cash", "first_time": "true" }), &[2.0, 4.0]).await?;
    is("shop_sent_bytes_total", json!({}), &[1_500.5, 3_001.0]).await?;
    is("shop_queue_length", json!({}), &[2.0, 4.0]).await?;
    is("cpu_utilization_ratio", json!({ "cpu": "0" }), &[0.25, 0.25]).await?;
    let labels = |le: Option<&str>| {
        let mut labels = json!({ "http_method": "GET", "http_status": "200" });
        if let Some(le) = le {
            labels["le"] = json!(le);
        }
        labels
    };
    let wait = "http_server_request_duration_seconds";
    for (le, count) in [("0.005", 1.0), ("0.25", 3.0), ("1", 3.0), ("10", 3.0), ("+Inf", 4.0)] {
        is(&format!("{wait}_bucket"), labels(Some(le)), &[count, 2.0 * count]).await?;
    }
    is(&format!("{wait}_count"), labels(None), &[4.0, 8.0]).await?;
    is(&format!("{wait}_sum"), labels(None), &[12.403, 24.806]).await?;
    let info = found(&api, "target_info").await?;
    ensure!(
        info.len() == 1 && info[0].0["deployment_environment"] == "test" && info[0].0["host_cores"] == "8",
        "{info:?}"
    );
    ensure!(info[0].0["process_command_args"] == r#"["run","--fast"]"#, "{info:?}");
    // The exponential histogram is one series; the buckets are those of 0, 1, 2, 3 and 1,000.
    for (question, value) in [
        ("histogram_count(payload_size_bytes)", "10"),
        ("histogram_sum(payload_size_bytes)", "2012"),
        ("histogram_fraction(-0.5, 0.5, payload_size_bytes)", "0.2"),
        ("histogram_fraction(512, +Inf, payload_size_bytes)", "0.2"),
        ("shop_sent_bytes_total * on (job, instance) group_left (deployment_environment) target_info", "3001"),
    ] {
        let answer = api.get_json("/api/v1/query", &[("query", question)]).await?;
        ensure!(answer["data"]["result"][0]["value"][1] == value, "{question}: {answer}");
    }
    let metrics = server.client().get(api.url("/metrics", &[])).send().await?.text().await?;
    ensure!(!metrics.contains(r#"rejected_samples_total{protocol="otlp""#), "nothing is refused");
    Ok(())
}

#[tokio::test]
async fn differences_are_added_up_until_the_server_forgets() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let api = Api::of(&server);
    if !export(&api, "/api/v1/otlp/v1/metrics", "delta", 3).await? {
        return Ok(());
    }
    ensure!(values(&api, "shop_orders_total", json!({ "payment": "card" })).await? == [5.0, 10.0, 15.0]);
    ensure!(values(&api, "shop_sent_bytes_total", json!({})).await? == [1_500.5, 3_001.0, 4_501.5]);
    let bucket = json!({ "http_method": "GET", "http_status": "200", "le": "0.25" });
    ensure!(values(&api, "http_server_request_duration_seconds_bucket", bucket).await? == [3.0, 6.0, 9.0]);
    server.kill().await?;
    server.restart().await?;
    let api = Api::of(&server);
    export(&api, "/v1/metrics", "delta", 1).await?;
    ensure!(values(&api, "shop_orders_total", json!({ "payment": "card" })).await? == [5.0, 10.0, 15.0, 5.0]);
    Ok(())
}

#[tokio::test]
async fn names_stay_as_they_are_where_the_operator_wants_them_so() -> anyhow::Result<()> {
    let config = "otlp: { translation_strategy: NoTranslation, promote_resource_attributes: [deployment.environment] }";
    let server = Server::options().config(config).start().await?;
    let api = Api::of(&server);
    if !export(&api, "/v1/metrics", "cumulative", 1).await? {
        return Ok(());
    }
    let labels = json!({ "first.time": "true", "payment": "cash", "deployment.environment": "test" });
    ensure!(values(&api, "shop.orders", labels).await?.starts_with(&[2.0]));
    Ok(())
}

#[tokio::test]
async fn json_is_answered_in_json_and_protobuf_in_protobuf() -> anyhow::Result<()> {
    let server = Server::options().config(RETENTION).start().await?;
    let api = Api::of(&server);
    let golden = |ending: &str| {
        let path = format!("{}/../golden/push/v1/otlp.odd.{ending}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).context(path)
    };
    let send = async |kind: &str, body: Vec<u8>| {
        api.post("/v1/metrics").header("content-type", kind).header("content-encoding", "gzip").body(body).send().await
    };
    let answer = send("application/json", gzip(&golden("json")?)?).await?;
    ensure!(answer.status() == 200 && json_of(answer).await? == json!({}));
    let answer = send("application/x-protobuf", gzip(&golden("bin")?)?).await?;
    ensure!(answer.headers()["content-type"] == "application/x-protobuf" && answer.bytes().await?.is_empty());

    // One data point of two is too old for any tier.
    let point = |time_ms: i64, value: &str| json!({ "timeUnixNano": format!("{time_ms}000000"), "asInt": value });
    let points = [point(1, "1"), point(now_ms(), "9007199254740993")];
    let metric = json!({ "name": "big", "gauge": { "dataPoints": points } });
    let request = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] });
    let answer = json_of(send("application/json", gzip(request.to_string().as_bytes())?).await?).await?;
    let partial = &answer["partialSuccess"];
    ensure!(partial["rejectedDataPoints"] == "1", "{answer}");
    ensure!(
        partial["errorMessage"].as_str().is_some_and(|told| told.starts_with("data point 0: timestamp")),
        "{answer}"
    );
    ensure!(found(&api, "big").await? == [(json!({}), vec![9_007_199_254_740_992.0])]);

    // What cannot be read at all is a status.
    let answer = send("application/json", gzip(b"{]")?).await?;
    ensure!(answer.status() == 400);
    let status: Value = serde_json::from_str(&answer.text().await?)?;
    ensure!(status["code"] == 3 && status["message"].as_str().is_some_and(|text| text.contains("line 1")), "{status}");
    let answer = send("application/x-protobuf", gzip(b"\xff")?).await?;
    ensure!(answer.status() == 400 && answer.headers()["content-type"] == "application/x-protobuf");
    ensure!(answer.bytes().await?.starts_with(b"\x08\x03\x12"));
    let answer = send("text/plain", gzip(b"x 1")?).await?;
    ensure!(answer.status() == 415, "{answer:?}");
    Ok(())
}
