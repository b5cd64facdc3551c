//! A full disk: writes are refused with what to do, reads go on, nothing acknowledged is lost, and room makes all well.
//!
//! The disk is a small one of memory, which only this test and its server see. Where the system lets nobody make one,
//! the test is skipped with a loud line.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::process::{ServerOptions, program};
use kit::{Server, SmallDisk};
use tokio::time::{Instant, sleep};

use crate::api::{Api, HOUR_MS, hour_of, now_ms, refusal_of};

const SIZE_MIB: u32 = 64;
/// Points of a batch: more bytes than a block of the disk.
const BATCH: i64 = 1_000;
/// Batches until a full disk must have said so.
const BATCHES_MAX: i64 = 200;
/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `n`th batch: points of one series in the past hours, each with a time and a value of its own.
fn batch(start: i64, n: i64) -> Vec<(i64, f64)> {
    (n * BATCH..(n + 1) * BATCH).map(|i| (start + i, f64::from(i32::try_from(i).expect("small")))).collect()
}

async fn wait_until_ready(api: &Api) -> anyhow::Result<()> {
    let began = Instant::now();
    while !api.get("/-/ready", &[]).send().await?.status().is_success() {
        ensure!(began.elapsed() < PATIENCE, "points are not taken again");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A server whose data directory lies on a small disk, and what it was started with; `None`, and a loud line, where none can be
/// mounted.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
async fn on_small_disk() -> anyhow::Result<Option<(Server, ServerOptions, SmallDisk)>> {
    let mut server = Server::start().await?;
    let program = program()?;
    server.terminate().await?;
    let Some(disk) = SmallDisk::mount(&server.data_dir(), SIZE_MIB).await? else {
        eprintln!("SKIPPED: no disk of our own can be mounted here (unshare)");
        return Ok(None);
    };
    let on_disk = Server::options().bin(disk.program(&program, server.home())?);
    server.restart_with(on_disk.clone()).await?;
    Ok(Some((server, on_disk, disk)))
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() -> anyhow::Result<()> {
    let Some((mut server, on_disk, disk)) = on_small_disk().await? else { return Ok(()) };
    let api = Api::of(&server);
    let start = hour_of(now_ms()) - 2 * HOUR_MS;
    let mut acknowledged = batch(start, 0);
    api.push_points("a", "m", &acknowledged).await?;

    disk.fill()?;
    let mut refused = None;
    for n in 1..BATCHES_MAX {
        let points = batch(start, n);
        let lines: Vec<String> =
            points.iter().map(|(ts, value)| format!("m,server_id=a value={value} {ts}\n")).collect();
        let answer = api.post("/write?precision=ms").body(lines.concat()).send().await?;
        if !answer.status().is_success() {
            refused = Some(refusal_of(answer).await?);
            break;
        }
        acknowledged.extend(points);
    }
    let refused = refused.context("a full disk takes points for ever")?;
    ensure!(refused.status == 503 && refused.retry_after.is_some(), "{refused:?}");
    ensure!(refused.body.contains("disk") && refused.body.contains("make room"), "{refused:?}");
    for path in ["/-/ready", "/health"] {
        let told = refusal_of(api.get(path, &[]).send().await?).await?;
        ensure!(told.status == 503 && told.body.contains("make room"), "{path}: {told:?}");
    }
    let metrics = api.get("/metrics", &[]).send().await?.text().await?;
    ensure!(metrics.contains("\nthermocline_hot_unwritable 1\n"), "{metrics}");
    // More than once: what fails half-way must not stand in the way later.
    for _ in 0..2 {
        let told = refusal_of(api.post("/api/v1/admin/flush").send().await?).await?;
        ensure!(told.status == 503 && told.body.contains("/problems/not-writable"), "{told:?}");
    }
    let all = (start, start + BATCHES_MAX * BATCH);
    ensure!(api.raw("a", "m", all.0, all.1).await? == acknowledged, "reads go on");

    disk.make_room()?;
    wait_until_ready(&api).await?;
    let more = batch(start, BATCHES_MAX - 1);
    api.push_points("a", "m", &more).await?;
    acknowledged.extend(more);
    api.admin("flush").await?;
    api.seal_and_archive().await?;
    ensure!(api.raw("a", "m", all.0, all.1).await? == acknowledged, "all of it, sealed");

    server.kill().await?;
    server.restart_with(on_disk).await?;
    ensure!(Api::of(&server).raw("a", "m", all.0, all.1).await? == acknowledged, "after kill -9");
    server.kill().await
}

#[tokio::test]
async fn regression_a_disk_that_is_full_at_a_seal_takes_points_again_once_there_is_room() -> anyhow::Result<()> {
    let Some((mut server, _, disk)) = on_small_disk().await? else { return Ok(()) };
    let api = Api::of(&server);
    let start = hour_of(now_ms()) - 2 * HOUR_MS;
    let points = batch(start, 0);
    api.push_points("a", "m", &points).await?;
    api.admin("flush").await?;
    disk.fill()?;
    // Nobody sends points: the first write that fails is one of a job, and the next is the sync of the log.
    let began = Instant::now();
    while api.get("/-/ready", &[]).send().await?.status().is_success() {
        ensure!(began.elapsed() < PATIENCE, "a full disk is never noticed");
        drop(api.post("/api/v1/admin/seal").send().await?);
        sleep(Duration::from_millis(50)).await;
    }
    disk.make_room()?;
    wait_until_ready(&api).await?;
    api.seal_and_archive().await?;
    ensure!(api.raw("a", "m", start, start + HOUR_MS).await? == points, "all of it, sealed");
    server.kill().await
}
