//! Prometheus' API of the real server: what is hostile is refused readably, and answers do not depend on where data lie.

use std::io::Read as _;

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::api::{Api, HOUR_MS, hour_of, now_ms};

const FORM: &str = "application/x-www-form-urlencoded";

/// The data of a good answer.
async fn data(api: &Api, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Value> {
    let mut answer = api.get_json(path, params).await?;
    ensure!(answer["status"] == "success", "{answer}");
    Ok(answer["data"].take())
}

/// Sends something hostile: it is refused in Prometheus' words, and the service goes on.
async fn refused(api: &Api, what: &str, request: RequestBuilder, statuses: &[u16]) -> anyhow::Result<String> {
    let answer = request.send().await.with_context(|| format!("{what}: no answer"))?;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.with_context(|| format!("{what}: {status} without JSON"))?;
    ensure!(statuses.contains(&status), "{what}: {status} {body}");
    ensure!(body["status"] == "error" && body["errorType"].is_string(), "{what}: {body}");
    api.works(now_ms()).await.with_context(|| format!("after {what}"))?;
    Ok(body["error"].as_str().with_context(|| format!("{what}: {body}"))?.to_owned())
}

#[tokio::test]
async fn hostile_parameters_are_refused_in_prometheus_words() -> anyhow::Result<()> {
    let server = Server::options().config("limits: { body: 4MiB, query_timeout: 5s }\n").start().await?;
    let api = Api::of(&server);
    let deep = format!("{}x{}", "(".repeat(5_000), ")".repeat(5_000));
    let wide = format!("x{}", "+x".repeat(5_000));
    let regex = format!("x{{a=~\"{}\"}}", "(a{1000}){1000}");
    for query in [
        "",
        " ",
        "sum(",
        "x[5m",
        "x{a=}",
        "x{a=\"\\x\"}",
        "rate(x)",
        "nothing(x)",
        "x[0s]",
        "1 +",
        "\"",
        "x{a=~\"(\"}",
        "{}",
        "x offset",
        "x @ nan",
        "sum by (a) without (b) (x)",
        "\u{0}",
        "😀",
        &deep,
        &wide,
        &regex,
    ] {
        let shown: String = query.chars().take(20).collect();
        let error = refused(&api, &shown, api.get("/api/v1/query", &[("query", query)]), &[400]).await?;
        ensure!(error.starts_with("invalid parameter \"query\": "), "{shown}: {error}");
        refused(&api, &shown, api.get("/api/v1/format_query", &[("query", query)]), &[400]).await?;
    }
    let range = |start: &'static str, end: &'static str, step: &'static str| {
        api.get("/api/v1/query_range", &[("query", "1"), ("start", start), ("end", end), ("step", step)])
    };
    for (start, end, step) in [
        ("", "2", "1"),
        ("1", "", "1"),
        ("1", "2", ""),
        ("x", "2", "1"),
        ("NaN", "2", "1"),
        ("1", "Inf", "1"),
        ("2", "1", "1"),
        ("1", "2", "0"),
        ("1", "2", "-1"),
        ("1", "2", "NaN"),
        ("1", "2", "1e300"),
        ("1", "2", "1x"),
        ("1", "2", "0.0001"),
        ("0", "11001", "1"),
        ("-1e300", "1e300", "1"),
        ("1", "2", "9999999999999999999"),
    ] {
        refused(&api, &format!("{start}..{end} by {step}"), range(start, end, step), &[400]).await?;
    }
    for (path, name, value) in [
        ("/api/v1/query", "time", "yesterday"),
        ("/api/v1/query", "timeout", "1h1h"),
        ("/api/v1/query", "lookback_delta", "-"),
        ("/api/v1/query", "limit", "1e3"),
        ("/api/v1/series", "match[]", "{"),
        ("/api/v1/series", "match[]", "{a=~\".*\"}"),
        ("/api/v1/labels", "start", "soon"),
        ("/api/v1/labels", "limit", "-5"),
        ("/api/v1/label/job/values", "end", "NaN"),
        ("/api/v1/metadata", "limit", "many"),
        ("/api/v1/status/tsdb", "limit", "99999999"),
    ] {
        let request = api.get(path, &[("query", "1"), (name, value)]);
        refused(&api, &format!("{path} {name}={value}"), request, &[400]).await?;
    }
    let backwards = api.get("/api/v1/labels", &[("start", "5"), ("end", "4")]);
    refused(&api, "a range that runs backwards", backwards, &[400]).await?;
    Ok(())
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_nothing_is_a_500() -> anyhow::Result<()> {
    let server = Server::options().config("limits: { body: 2MiB }\n").start().await?;
    let api = Api::of(&server);
    let post = |path: &str, kind: &'static str, body: Vec<u8>| api.post(path).header("content-type", kind).body(body);
    for (what, kind, body, status) in [
        ("JSON", "application/json", b"{\"query\":\"1\"}".to_vec(), 415),
        ("another form", "multipart/form-data; boundary=x", b"--x--".to_vec(), 415),
        ("bytes", FORM, vec![0xff; 100], 400),
        ("escapes that are no text", FORM, b"query=%ff%fe".to_vec(), 400),
        ("a query without end", FORM, [b"query=".to_vec(), vec![b'x'; (1 << 20) + 1]].concat(), 400),
        ("a body without end", FORM, vec![b'x'; 3 << 20], 413),
        (
            "ten thousand selectors",
            FORM,
            b"query=1&".iter().copied().chain(b"match[]=x&".repeat(10_000)).collect(),
            200,
        ),
    ] {
        if status == 200 {
            // Not asked for here, and so not looked at.
            ensure!(post("/api/v1/query", kind, body.clone()).send().await?.status() == 200, "{what}");
            refused(&api, what, post("/api/v1/labels", kind, body), &[400]).await?;
        } else {
            refused(&api, what, post("/api/v1/query", kind, body), &[status]).await?;
        }
    }
    for (method, path) in [
        (Method::DELETE, "/api/v1/query"),
        (Method::PUT, "/api/v1/series"),
        (Method::POST, "/api/v1/metadata"),
        (Method::POST, "/api/v1/label/job/values"),
        (Method::GET, "/api/v1/read"),
        (Method::POST, "/federate"),
    ] {
        let answer = server.client().request(method.clone(), api.url(path, &[])).send().await?;
        ensure!(answer.status() == 405, "{method} {path}: {}", answer.status());
    }
    for body in [vec![], vec![0xff; 64], vec![0x0a; 1_000], snap::raw::Encoder::new().compress_vec(&[0x0b; 9])?] {
        let request = post("/api/v1/read", "application/x-protobuf", body);
        let status = request.send().await?.status().as_u16();
        ensure!([200, 400].contains(&status), "remote read: {status}");
        api.works(now_ms()).await?;
    }
    // A block that says it is 4 GiB.
    let huge = post("/api/v1/read", "application/x-protobuf", vec![0xff, 0xff, 0xff, 0xff, 0x0f]);
    ensure!([400, 413].contains(&huge.send().await?.status().as_u16()), "a bomb");
    for name in ["%ff", "U__%ff", "%00", "a%2Fb"] {
        let answer = server.client().get(format!("{}/api/v1/label/{name}/values", server.url(""))).send().await?;
        ensure!([200, 400].contains(&answer.status().as_u16()), "{name}: {}", answer.status());
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_the_same_from_the_head_and_from_the_archive() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let hour = hour_of(now_ms()) - 5 * HOUR_MS;
    let points: Vec<(i64, f64)> = (0..240_u32).map(|n| (hour + i64::from(n) * 15_000, f64::from(n * n % 97))).collect();
    api.push_points("a", "busy", &points).await?;
    let (start, end) = ((hour / 1_000).to_string(), (hour / 1_000 + 3_600).to_string());
    let mut answers = Vec::new();
    for archived in [false, true] {
        if archived {
            api.seal_and_archive().await?;
        }
        let mut round = Vec::new();
        for query in [
            "busy",
            "avg_over_time(busy[5m])",
            "max_over_time(busy[1h])",
            "rate(busy[2m])",
            "quantile_over_time(0.9, busy[90s])",
        ] {
            let params = [("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "60")];
            round.push(data(&api, "/api/v1/query_range", &params).await.with_context(|| query.to_owned())?);
        }
        round.push(data(&api, "/api/v1/series", &[("match[]", "busy"), ("start", &start), ("end", &end)]).await?);
        ensure!(round[0]["result"][0]["values"].as_array().is_some_and(|values| values.len() >= 60), "{}", round[0]);
        answers.push(round);
    }
    ensure!(answers[0] == answers[1], "{answers:?}");
    let answer = api.get("/api/v1/query", &[("query", "count_over_time(busy[1h])"), ("time", &end)]).send().await?;
    for header in ["x-thermocline-tiers", "x-thermocline-resolution", "x-thermocline-complete", "server-timing"] {
        ensure!(answer.headers().contains_key(header), "no {header}");
    }
    Ok(())
}

#[tokio::test]
async fn long_answers_are_compressed_whole() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let now = now_ms();
    let lines: String = (0..300).map(|n| format!("wide{{n=\"{n}\"}} {n}.5 {now}\n")).collect();
    api.post("/api/v1/import/prometheus").header("content-type", "text/plain").body(lines).send().await?;
    let (start, end) = ((now / 1_000).to_string(), (now / 1_000 + 290).to_string());
    let params = [("query", "wide"), ("start", start.as_str()), ("end", end.as_str()), ("step", "1")];
    let plain = api.get("/api/v1/query_range", &params).send().await?.bytes().await?;
    ensure!(plain.len() > 1_000_000, "{} bytes", plain.len());
    let answer = api.get("/api/v1/query_range", &params).header("accept-encoding", "gzip").send().await?;
    ensure!(
        answer.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip"),
        "{:?}",
        answer.headers()
    );
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&answer.bytes().await?[..]).read_to_end(&mut text)?;
    ensure!(text == plain, "the same document");
    let document: Value = serde_json::from_slice(&plain)?;
    ensure!(document["data"]["result"].as_array().is_some_and(|series| series.len() == 300), "all series");
    Ok(())
}
