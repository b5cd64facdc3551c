//! The cold tier on a real S3 server: archived, lost for a while, back, and the only one that still has the points.

use std::time::Duration;

use anyhow::ensure;
use kit::{S3, Server};
use serde_json::json;
use tokio::time::timeout;

use crate::api::{Api, HOUR_MS, hour_of, json_of, now_ms};

/// How long an archive is tried while its store is away; what comes of it does not matter.
const A_WHILE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn hours_pass_through_s3_though_it_is_killed_in_between() -> anyhow::Result<()> {
    let Some(s3) = S3::start().await? else { return Ok(()) };
    s3.bucket("metrics").await?;
    let config = format!("archive: {{ every: 1d }}\n{}", s3.config("metrics", "prod"));
    let mut server = Server::options().config(config.clone()).start().await?;
    let api = Api::of(&server);

    let old = hour_of(now_ms()) - 60 * HOUR_MS;
    let hour = |h: i64| -> Vec<(i64, f64)> {
        (0_i32..240).map(|n| (old + h * HOUR_MS + i64::from(n) * 15_000, f64::from(n) / 4.0)).collect()
    };
    api.push_points("srv", "cpu", &hour(0)).await?;
    api.seal_and_archive().await?;
    ensure!(s3.objects("metrics").join("prod/raw/_delta_log").is_dir(), "the tables lie below the prefix");

    // Without its archive the server takes and gives, and an archive that fails loses nothing.
    s3.kill().await?;
    api.push_points("srv", "cpu", &hour(1)).await?;
    api.admin("seal").await?;
    drop(timeout(A_WHILE, api.post("/api/v1/admin/archive").send()).await);
    api.works(now_ms()).await?;
    let both: Vec<(i64, f64)> = hour(0).into_iter().chain(hour(1)).collect();
    ensure!(api.raw("srv", "cpu", old, old + 2 * HOUR_MS).await? == both, "from hot");

    s3.restart().await?;
    api.admin("archive").await?;
    let tiers = api.get_json("/api/v1/tiers", &[]).await?;
    ensure!(tiers["waiting_for_archive"] == json!([]), "{}", tiers["waiting_for_archive"]);
    let shorter = "retention: { hot.raw: 1d, warm.rollup_1m: 1d, warm.rollup_1h: 1d }\n";
    std::fs::write(server.home().join("thermocline.yml"), format!("{config}{shorter}"))?;
    json_of(api.post("/-/reload").send().await?).await?;
    api.admin("retention").await?;
    comes_from_cold(&api, old, &both).await?;
    server.kill().await?;
    server.restart().await?;
    comes_from_cold(&Api::of(&server), old, &both).await
}

async fn comes_from_cold(api: &Api, old: i64, expected: &[(i64, f64)]) -> anyhow::Result<()> {
    let (from, to) = (old.to_string(), (old + 2 * HOUR_MS).to_string());
    let params = [("metric", "cpu"), ("from", &from), ("to", &to), ("granularity", "raw")];
    let answer = api.get_json("/api/metrics", &params).await?;
    let provenance = &answer["provenance"];
    ensure!(provenance["tiers"] == json!(["cold"]) && provenance["complete"] == true, "{provenance}");
    ensure!(provenance["object_store_gets"].as_u64() > Some(0), "read without a GET: {provenance}");
    ensure!(api.raw("srv", "cpu", old, old + 2 * HOUR_MS).await? == expected);
    Ok(())
}

#[tokio::test]
async fn a_server_whose_store_is_not_there_says_so() -> anyhow::Result<()> {
    let config = "object_store:\n  url: s3://metrics/prod\n  options: { endpoint: 'http://127.0.0.1:1', region: us-east-1, \
                  allow_http: 'true', access_key_id: a, secret_access_key: very-secret }\n";
    let Err(error) =
        timeout(Duration::from_secs(50), Server::options().config(config).start()).await.unwrap_or_else(|_| {
            // It may go on trying, as long as it does not say that it is ready.
            Err(anyhow::anyhow!("opening the archive at s3://metrics/prod: still trying"))
        })
    else {
        anyhow::bail!("a server without its archive said that it is ready");
    };
    let text = format!("{error:#}");
    ensure!(text.contains("s3://metrics/prod"), "{text}");
    ensure!(!text.contains("very-secret"), "the secret is in the log");
    Ok(())
}
