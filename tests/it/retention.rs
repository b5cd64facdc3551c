//! Retention: planned without touching anything, changed without a restart, obeyed only where the archive is good for it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::Server;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::{Api, HOUR_MS, hour_of, json_of, now_ms, refusal_of};

const SERVER: &str = "srv-a";
const METRIC: &str = "cpu_usage";
/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three hours of the day before yesterday, at least, and the hour that runs.
fn points() -> Vec<(i64, f64)> {
    let old = hour_of(now_ms()) - 60 * HOUR_MS;
    let value = |n: i32| f64::from(n * 7_919 % 1_000) / 10.0;
    let mut points: Vec<(i64, f64)> = (0..720).map(|n| (old + i64::from(n) * 15_000, value(n))).collect();
    points.push((now_ms(), 1.0));
    points
}

/// The points in `[from, to)` and the tiers that gave them, as the answer says; it must be complete.
async fn answered(api: &Api, from: i64, to: i64) -> anyhow::Result<(Vec<(i64, f64)>, String)> {
    let (f, t) = (from.to_string(), to.to_string());
    let params = [("metric", METRIC), ("from", &f), ("to", &t), ("granularity", "raw")];
    let answer = api.get(&format!("/api/metrics/{SERVER}"), &params).send().await?;
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let (tiers, complete) = (header("x-thermocline-tiers"), header("x-thermocline-complete"));
    ensure!(complete == "true", "an incomplete answer from {tiers:?}");
    Ok((api.raw(SERVER, METRIC, from, to).await?, tiers))
}

/// The old points, wherever they are.
async fn old_points_come_from(api: &Api, points: &[(i64, f64)], tier: &str) -> anyhow::Result<()> {
    let old = &points[..points.len() - 1];
    let (found, tiers) = answered(api, old[0].0, old[old.len() - 1].0 + 1).await?;
    ensure!(found == old, "{} of {} points", found.len(), old.len());
    ensure!(tiers == tier, "from {tiers:?}, not from {tier:?}");
    Ok(())
}

/// A 503 that says what to do; returns the problem.
async fn told_that_the_archive_is_away(answer: reqwest::Response) -> anyhow::Result<Value> {
    let url = answer.url().clone();
    let told = refusal_of(answer).await?;
    ensure!(told.status == 503 && told.retry_after.is_some(), "{url}: {told:?}");
    ensure!(told.content_type == "application/problem+json", "{url}: {told:?}");
    let problem: Value = serde_json::from_str(&told.body).context("a problem is JSON")?;
    ensure!(problem["type"] == "/problems/archive-unavailable", "{url}: {problem}");
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("object_store.url")), "{url}: {problem}");
    Ok(problem)
}

/// Puts a file where the archive was; the archive lies at the returned place.
fn take_away(server: &Server) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cold, away) = (server.data_dir().join("cold"), server.home().join("away"));
    std::fs::rename(&cold, &away)?;
    std::fs::write(&cold, "in the way")?;
    Ok((cold, away))
}

fn bring_back((cold, away): &(PathBuf, PathBuf)) -> anyhow::Result<()> {
    std::fs::remove_file(cold)?;
    std::fs::rename(away, cold).context("bringing the archive back")
}

async fn plan(api: &Api, durations: &Value) -> anyhow::Result<Vec<Value>> {
    let answer = json_of(api.post("/api/v1/policies/plan").json(durations).send().await?).await?;
    let at = answer["at"].as_str().with_context(|| format!("no time in {answer}"))?;
    ensure!(at.ends_with('Z') && at.len() >= 20, "{at}");
    answer["drops"].as_array().cloned().with_context(|| format!("no drops in {answer}"))
}

fn points_of(drops: &[Value], tier: &str) -> u64 {
    drops.iter().filter(|drop| drop["tier"] == tier).filter_map(|drop| drop["points"].as_u64()).sum()
}

fn configure(server: &Server, keep: &str) -> anyhow::Result<()> {
    let text = format!("retention: {{ hot.raw: {keep}, warm.rollup_1m: {keep}, warm.rollup_1h: {keep} }}\n");
    std::fs::write(server.home().join("thermocline.yml"), text).context("writing the config")
}

async fn policy(api: &Api) -> anyhow::Result<Value> {
    Ok(api.get_json("/api/v1/policies", &[]).await?[0].clone())
}

#[tokio::test]
async fn shorter_durations_are_planned_then_reloaded_then_obeyed_and_cold_answers() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let points = points();
    api.push_points(SERVER, METRIC, &points).await?;
    api.seal_and_archive().await?;
    old_points_come_from(&api, &points, "hot").await?;

    // A plan says what would go, and lets it stay.
    let shorter = json!({ "hot.raw": "1d", "warm.rollup_1m": "1d", "warm.rollup_1h": "1d" });
    let planned = plan(&api, &shorter).await?;
    ensure!(points_of(&planned, "hot") == 720, "{planned:?}");
    ensure!(planned.iter().any(|drop| drop["bytes"].as_u64() > Some(0) && drop["series"] == 1), "{planned:?}");
    ensure!(points_of(&plan(&api, &json!({})).await?, "hot") == 0, "the durations in force keep everything");
    old_points_come_from(&api, &points, "hot").await?;

    // By request: two days and a half are more than two days.
    configure(&server, "2d")?;
    let reloaded = json_of(api.post("/-/reload").send().await?).await?;
    let keys: Vec<&Value> = reloaded["changes"].as_array().into_iter().flatten().map(|change| &change["key"]).collect();
    ensure!(keys == ["retention.hot.raw", "retention.warm.rollup_1m", "retention.warm.rollup_1h"], "{reloaded}");
    ensure!(reloaded["needs_restart"] == json!([]), "{reloaded}");
    ensure!(policy(&api).await?["hot.raw"] == "2d");
    api.admin("retention").await?;
    old_points_come_from(&api, &points, "cold").await?;
    ensure!(points_of(&plan(&api, &json!({})).await?, "hot") == 0, "it has gone already");

    // By signal.
    configure(&server, "1d")?;
    server.signal(Signal::HUP)?;
    let began = Instant::now();
    while policy(&api).await?["hot.raw"] != "1d" {
        ensure!(began.elapsed() < PATIENCE, "SIGHUP changed nothing");
        sleep(Duration::from_millis(20)).await;
    }
    // A file that is wrong changes nothing.
    std::fs::write(server.home().join("thermocline.yml"), "retention: { hot.raw: soon }\n")?;
    let refused = api.post("/-/reload").send().await?;
    ensure!(refused.status() == 400, "{}", refused.status());
    ensure!(policy(&api).await?["hot.raw"] == "1d");
    api.works(now_ms()).await
}

#[tokio::test]
async fn nothing_is_dropped_that_could_not_be_archived() -> anyhow::Result<()> {
    let server = Server::options().config("archive: { every: 1d }\n").start().await?;
    let api = Api::of(&server);
    let taken = take_away(&server)?;

    let points = points();
    api.push_points(SERVER, METRIC, &points).await?;
    api.admin("seal").await?;
    let report = told_that_the_archive_is_away(api.post("/api/v1/admin/archive").send().await?).await?;
    ensure!(report["archived"] == json!([]), "{report}");
    // The first hour finds it out, the others would only find the same.
    ensure!(report["quarantined"].as_array().is_some_and(|hours| hours.len() == 1), "{report}");
    let planned = api.post("/api/v1/policies/plan").json(&json!({ "hot.raw": "1d" })).send().await?;
    told_that_the_archive_is_away(planned).await?;
    // What is known without the archive is told.
    let tiers = api.get_json("/api/v1/tiers", &[]).await?;
    ensure!(tiers["cold"] == json!(null) && tiers["cold_unavailable"].is_string(), "{tiers}");
    ensure!(tiers["waiting_for_archive"].as_array().is_some_and(|ranges| !ranges.is_empty()), "{tiers}");
    configure(&server, "1d")?;
    json_of(api.post("/-/reload").send().await?).await?;
    // Whether it fails for the archive or drops nothing: the points stay.
    drop(api.post("/api/v1/admin/retention").send().await?);
    old_points_come_from(&api, &points, "hot").await?;
    let quarantine = api.get_json("/api/v1/quarantine", &[]).await?;
    ensure!(quarantine.as_array().is_some_and(|hours| !hours.is_empty()), "{quarantine}");

    // The archive is back, and still what it does not hold stays; then the same hours go the same way as any.
    bring_back(&taken)?;
    let planned = plan(&api, &json!({})).await?;
    ensure!(points_of(&planned, "hot") == 0, "{planned:?}");
    let held = |drop: &Value| drop["held_back"].as_str().is_some_and(|why| !why.is_empty());
    ensure!(planned.iter().any(held), "nobody says why: {planned:?}");
    api.admin("retention").await?;
    old_points_come_from(&api, &points, "hot").await?;
    api.admin("archive").await?;
    ensure!(api.get_json("/api/v1/quarantine", &[]).await? == json!([]), "released");
    api.admin("retention").await?;
    old_points_come_from(&api, &points, "cold").await
}

#[tokio::test]
async fn questions_that_need_an_archive_that_is_away_are_answered_503_and_the_others_as_ever() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let points = points();
    api.push_points(SERVER, METRIC, &points).await?;
    api.seal_and_archive().await?;
    configure(&server, "1d")?;
    json_of(api.post("/-/reload").send().await?).await?;
    api.admin("retention").await?;
    old_points_come_from(&api, &points, "cold").await?;

    let taken = take_away(&server)?;
    let (from, to) = (points[0].0.to_string(), now_ms().to_string());
    for path in ["/api/metrics".to_owned(), format!("/api/metrics/{SERVER}")] {
        let params = [("metric", METRIC), ("from", &from), ("to", &to), ("granularity", "raw")];
        told_that_the_archive_is_away(api.get(&path, &params).send().await?).await?;
    }
    for query in ["SELECT count(*) FROM samples", "SELECT ts, value FROM samples ORDER BY ts LIMIT 3"] {
        let query = json!({ "query": query });
        told_that_the_archive_is_away(api.post("/api/v1/sql").json(&query).send().await?).await?;
    }
    told_that_the_archive_is_away(api.post("/api/v1/admin/retention").send().await?).await?;
    api.works(now_ms()).await?;

    bring_back(&taken)?;
    old_points_come_from(&api, &points, "cold").await
}
