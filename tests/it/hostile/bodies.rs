//! Hostile bodies: too large, cut off, lying about their length, nonsense in every protocol.

use std::io::Write as _;

use anyhow::ensure;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::RequestBuilder;
use serde_json::json;

use super::Target;
use crate::api::now_ms;

/// As the test server's `limits.body`.
const BODY_MAX: usize = 8 << 20;
const GOOD: &str = r#"{"server_id":"a","metrics":[{"name":"m","value":1}]}"#;

fn json_body(target: &Target, body: impl Into<reqwest::Body>) -> RequestBuilder {
    target.api.post("/api/metrics").header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_with_413() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let large = vec![b' '; BODY_MAX + 1];
    target.refuses("a large body", json_body(&target, large.clone()), &[413]).await?;
    for path in ["/api/v1/sql", "/api/v1/policies/plan", "/api/v1/import/prometheus"] {
        target.refuses(path, target.api.post(path).body(large.clone()), &[413]).await?;
    }
    let label = format!(
        r#"{{"server_id":"a","tags":{{"t":"{}"}},"metrics":[{{"name":"m","value":1}}]}}"#,
        "x".repeat(10 << 20)
    );
    target.refuses("a label of 10 MB", json_body(&target, label), &[413]).await?;
    Ok(())
}

#[tokio::test]
async fn bombs_stop_at_the_limit() -> anyhow::Result<()> {
    let target = Target::start().await?;
    // 128 MiB of blanks in less than a MB, and in some KB.
    let blanks = vec![b' '; 1 << 20];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zstd = zstd::Encoder::new(Vec::new(), 3)?;
    for _ in 0..128 {
        gzip.write_all(&blanks)?;
        zstd.write_all(&blanks)?;
    }
    for (encoding, bomb) in [("gzip", gzip.finish()?), ("zstd", zstd.finish()?)] {
        let request = json_body(&target, bomb).header("content-encoding", encoding);
        target.refuses(&format!("a {encoding} bomb"), request, &[413]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn damaged_and_unknown_encodings_are_refused() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(GOOD.as_bytes())?;
    let gzip = gzip.finish()?;
    let encoded = |encoding: &str, body: Vec<u8>| json_body(&target, body).header("content-encoding", encoding);
    target.refuses("gzip, cut off", encoded("gzip", gzip[..gzip.len() / 2].to_vec()), &[400]).await?;
    target.refuses("gzip that is none", encoded("gzip", GOOD.into()), &[400]).await?;
    target.refuses("zstd that is none", encoded("zstd", GOOD.into()), &[400]).await?;
    target.refuses("an encoding nobody knows", encoded("rot13", GOOD.into()), &[415]).await?;
    Ok(())
}

#[tokio::test]
async fn snappy_that_lies_about_its_length_is_refused() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let push = |body: Vec<u8>, kind: &'static str| {
        target.api.post("/api/v1/write").header("content-type", kind).header("content-encoding", "snappy").body(body)
    };
    // 4 GiB, 64 GiB, and a length that never ends; then a good length without its bytes.
    let lies: [&[u8]; 5] = [
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xff; 11],
        &[0x20, 0xf0, 0x1f],
        b"",
    ];
    for lie in lies {
        let answer = push(lie.to_vec(), "application/x-protobuf").send().await?;
        let status = answer.status().as_u16();
        ensure!(
            [204, 400, 413].contains(&status) && (status != 204 || lie.is_empty()),
            "{lie:?} was answered {status}"
        );
        target.goes_on().await?;
    }
    let damaged = snap::raw::Encoder::new().compress_vec(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3])?;
    ensure!(push(damaged, "application/x-protobuf").send().await?.status() == 400);
    ensure!(push(Vec::new(), "application/json").send().await?.status() == 415);
    target.goes_on().await
}

#[tokio::test]
async fn json_that_makes_no_sense_is_refused() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_object = format!("{}1{}", r#"{"tags":"#.repeat(100_000), "}".repeat(100_000));
    let cases: [(&str, Vec<u8>); 9] = [
        ("cut off", GOOD.as_bytes()[..GOOD.len() - 5].to_vec()),
        ("empty", Vec::new()),
        ("not UTF-8", b"{\"server_id\":\"\xff\xfe\"}".to_vec()),
        ("a NUL", b"\0".to_vec()),
        ("deep arrays", deep.into_bytes()),
        ("deep objects", deep_object.into_bytes()),
        ("a number", b"42".to_vec()),
        ("no metrics", br#"{"server_id":"a"}"#.to_vec()),
        ("metrics of a wrong type", br#"{"server_id":"a","metrics":"all"}"#.to_vec()),
    ];
    for (what, body) in cases {
        target.refuses(what, json_body(&target, body), &[400]).await?;
    }
    for kind in ["text/html", "application/xml", "image/png", "multipart/form-data; boundary=x"] {
        let request = target.api.post("/api/metrics").header("content-type", kind).body(GOOD);
        target.refuses(kind, request, &[415]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn points_that_cannot_be_are_refused_one_by_one_with_reasons() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let now = now_ms();
    let point = |timestamp: serde_json::Value| json!({ "metric_name": "m", "value": 1, "timestamp": timestamp });
    let labels: serde_json::Map<String, serde_json::Value> = (0..65).map(|i| (format!("l{i}"), json!("v"))).collect();
    let cases = [
        point(json!("0001-01-01T00:00:00Z")),
        point(json!("9999-12-31T23:59:59Z")),
        point(json!("NaN")),
        point(json!("yesterday")),
        point(json!(1e300)),
        point(json!(-1)),
        point(json!(now + 3_600_000)),
        json!({ "metric_name": "m", "value": "many", "timestamp": now }),
        json!({ "metric_name": "m", "value": null, "timestamp": now }),
        json!({ "metric_name": "", "value": 1, "timestamp": now }),
        json!({ "metric_name": "m", "value": 1, "timestamp": now, "labels": labels }),
        json!({ "metric_name": "m", "value": 1, "timestamp": now, "labels": { "big": "x".repeat(3_000) } }),
    ];
    for case in &cases {
        let refusal = target
            .refuses(&case.to_string()[..60.min(case.to_string().len())], json_body(&target, case.to_string()), &[400])
            .await?;
        let problem: serde_json::Value = serde_json::from_str(&refusal.body)?;
        ensure!(problem["errors"][0]["reason"].as_str().is_some_and(|why| !why.is_empty()), "no reason in {problem}");
    }
    // A good point among them is kept, and each of the others has its index.
    let mut mixed = cases.to_vec();
    mixed.insert(3, json!({ "metric_name": "kept", "value": 7, "timestamp": now, "labels": { "server_id": "a" } }));
    let answer = target.api.post("/api/metrics").json(&mixed).send().await?;
    ensure!(answer.status() == 202, "{}", answer.status());
    let told: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
    ensure!(told["accepted"] == 1 && told["rejected"] == cases.len(), "{told}");
    let indexes: Vec<u64> =
        told["errors"].as_array().into_iter().flatten().filter_map(|e| e["index"].as_u64()).collect();
    let expected: Vec<u64> = (0..=u64::try_from(cases.len())?).filter(|index| *index != 3).collect();
    ensure!(indexes == expected, "{told}");
    ensure!(target.api.raw("a", "kept", now, now + 1).await? == [(now, 7.0)]);
    Ok(())
}

#[tokio::test]
async fn a_million_labels_cost_a_refusal() -> anyhow::Result<()> {
    let target = Target::with("limits: { body: 32MiB, bodies_in_flight: 64MiB }\n").await?;
    let labels: Vec<String> = (0..1_000_000).map(|i| format!(r#""l{i}":"v""#)).collect();
    let body = format!(r#"{{"server_id":"a","tags":{{{}}},"metrics":[{{"name":"m","value":1}}]}}"#, labels.join(","));
    target.refuses("a million labels", json_body(&target, body), &[400]).await?;
    // The same by line protocol and by Prometheus' text.
    let tags: Vec<String> = (0..1_000_000).map(|i| format!("l{i}=v")).collect();
    let line = format!("m,{} value=1 1\n", tags.join(","));
    let answer = target.api.post("/write").body(line).send().await?;
    ensure!(answer.status() == 400, "line protocol: {}", answer.status());
    let labels: Vec<String> = (0..1_000_000).map(|i| format!("l{i}=\"v\"")).collect();
    let text = format!("m{{{}}} 1\n", labels.join(","));
    let request = target.api.post("/api/v1/import/prometheus").header("content-type", "text/plain").body(text);
    target.refuses("a million labels as text", request, &[400]).await?;
    Ok(())
}

#[tokio::test]
async fn nonsense_in_line_protocol_is_refused_in_its_own_words() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let bodies: [&[u8]; 6] = [b"\xff\xfe\xfd", b"m", b"m value=", b"m value=1 notatime", b",=,= =", b"m,\0=\0 \0=\0"];
    for body in bodies {
        for (path, member) in [("/write", "error"), ("/api/v2/write", "message"), ("/api/v3/write_lp", "message")] {
            let answer = target.api.post(path).body(body.to_vec()).send().await?;
            ensure!(answer.status() == 400, "{path} answered {} to {body:?}", answer.status());
            let told: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
            ensure!(told[member].as_str().is_some_and(|text| !text.is_empty()), "{path}: {told}");
        }
    }
    target.goes_on().await
}
