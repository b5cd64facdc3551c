//! Remote write 2.0 end to end: the bytes are Prometheus' own (`tests/golden/push`), sent to the real server.
//!
//! golden request ─▶ 204 or 400 with what was written in headers ─▶ `GET /api/metrics`

use anyhow::{Context as _, ensure};
use kit::Server;
use reqwest::Response;

use crate::api::Api;
use crate::protocols::wire;

/// The time of the golden requests: 2025-03-17T14:30:00Z.
const SENT_MS: i64 = 1_742_221_800_000;
const CONTENT_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A server that takes points as old as the golden requests are.
async fn server() -> anyhow::Result<Server> {
    let retention = "retention: { cold.raw: 20000d, cold.rollup_1m: 20000d, cold.rollup_1h: 20000d }";
    Server::options().config(retention).start().await
}

fn golden(name: &str) -> anyhow::Result<Vec<u8>> {
    let path = format!("{}/../golden/push/v1/remote_write_v2.{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).context(path)
}

async fn send(api: &Api, content_type: &str, snappy: Vec<u8>) -> anyhow::Result<Response> {
    let request = api.post("/api/v1/write").header("content-type", content_type).header("content-encoding", "snappy");
    Ok(request.header("x-prometheus-remote-write-version", "2.0.0").body(snappy).send().await?)
}

/// Samples, histograms and exemplars that an answer says were written.
fn written(answer: &Response) -> anyhow::Result<[u64; 3]> {
    let of = |what: &str| -> anyhow::Result<u64> {
        let name = format!("x-prometheus-remote-write-{what}-written");
        Ok(answer.headers().get(&name).with_context(|| name.clone())?.to_str()?.parse()?)
    };
    Ok([of("samples")?, of("histograms")?, of("exemplars")?])
}

#[tokio::test]
async fn what_prometheus_sends_by_remote_write_two_is_stored_and_counted() -> anyhow::Result<()> {
    let server = server().await?;
    let api = Api::of(&server);
    let answer = send(&api, CONTENT_TYPE, golden("scrape")?).await?;
    ensure!((answer.status().as_u16(), written(&answer)?) == (204, [4, 0, 0]), "{answer:?}");
    let from = SENT_MS - 60_000;
    let found = api.raw("localhost:9090", "http_requests_total", from, SENT_MS + 1).await?;
    ensure!(found == [(SENT_MS - 15_000, 1_027.0), (SENT_MS, 1_030.0)], "{found:?}");
    // The marker that a series has ended came as a histogram, and counts as one.
    let answer = send(&api, CONTENT_TYPE, golden("histograms")?).await?;
    ensure!((answer.status().as_u16(), written(&answer)?) == (204, [0, 4, 0]), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn good_samples_of_remote_write_two_are_kept_beside_bad_ones() -> anyhow::Result<()> {
    let server = server().await?;
    let api = Api::of(&server);
    let now = crate::api::now_ms();
    let symbols = ["", "__name__", "kept", "instance", "r2", "job"];
    let mixed = wire::write_request_v2(&symbols, &[(&[5, 4], now), (&[1, 2, 3, 4], now), (&[1, 99], now)]);
    let answer = send(&api, CONTENT_TYPE, snap::raw::Encoder::new().compress_vec(&mixed)?).await?;
    let counted = written(&answer)?;
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    ensure!((status, counted) == (400, [1, 0, 0]), "{status} {counted:?} {text}");
    ensure!(text.contains("2 of 3 samples refused: series 0:") && text.contains("series 2: reference 99"), "{text}");
    let found = api.raw("r2", "kept", now, now + 1).await?;
    ensure!(found == [(now, 1.0)], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_remote_write_is_refused_by_its_type() -> anyhow::Result<()> {
    let server = server().await?;
    let api = Api::of(&server);
    let later = "application/x-protobuf;proto=io.prometheus.write.v3.Request";
    let answer = send(&api, later, golden("scrape")?).await?;
    ensure!(answer.status() == 415, "{answer:?}");
    // Each version under the name of the other: told, and not stored.
    let answer = send(&api, "application/x-protobuf", golden("scrape")?).await?;
    ensure!(answer.status() == 204, "a message of unknown fields only is an empty one: {answer:?}");
    let one = wire::write_request(&[(vec![("__name__", "up")], vec![wire::Sample(SENT_MS, 1.0)])]);
    let answer = send(&api, CONTENT_TYPE, snap::raw::Encoder::new().compress_vec(&one)?).await?;
    ensure!((answer.status().as_u16(), written(&answer)?) == (400, [0, 0, 0]), "{answer:?}");
    ensure!(answer.text().await?.contains("remote write 1.0"));
    Ok(())
}
