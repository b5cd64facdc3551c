//! A full disk: writes are refused with what to do, reads go on, nothing acknowledged is lost, and room makes all well.
//!
//! The disk is a small one of memory, which only this test and its server see. Where the system lets nobody make one,
//! the test is skipped with a loud line.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::Server;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::api::{Api, HOUR_MS, hour_of, now_ms, refusal_of};

const SIZE: &str = "64m";
/// Points of a batch: more bytes than a block of the disk.
const BATCH: i64 = 1_000;
/// Batches until a full disk must have said so.
const BATCHES_MAX: i64 = 200;
/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk that a process holds in a mount namespace of its own.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one at a directory; `None` where that is not allowed.
    async fn mount(at: &Path) -> anyhow::Result<Option<Self>> {
        let script = format!("mount -t tmpfs -o size={SIZE} tmpfs \"$1\" && echo mounted && exec sleep infinity");
        let mut command = Command::new("unshare");
        command.args(["--user", "--mount", "--map-root-user", "sh", "-c", &script, "sh"]).arg(at);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).kill_on_drop(true);
        let Ok(mut holder) = command.spawn() else { return Ok(None) };
        let mut said = String::new();
        let out = holder.stdout.take().context("its output is read")?;
        BufReader::new(out).read_line(&mut said).await?;
        Ok((said == "mounted\n").then(|| Self { holder, at: at.to_owned() }))
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.holder.id().context("the holder lives as long as the disk")
    }

    /// A program that runs another where the disk is.
    fn program(&self, program: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
        let script = dir.join("on-small-disk");
        let enter = format!("nsenter --preserve-credentials --user --mount --target {}", self.pid()?);
        std::fs::write(&script, format!("#!/bin/sh\nexec {enter} '{}' \"$@\"\n", program.display()))?;
        std::fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// Where others find the disk.
    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()?));
        Ok(root.join(self.at.strip_prefix("/").context("an absolute path")?).join(name))
    }

    /// Takes all the room that there is.
    fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::create(self.path("filler")?)?;
        while filler.write_all(&[0; 4_096]).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.path("filler")?).context("removing what fills the disk")
    }
}

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

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let pid = server.pid().context("the server runs")?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).context("finding the program")?;
    server.terminate().await?;
    let Some(disk) = SmallDisk::mount(&server.data_dir()).await? else {
        eprintln!("SKIPPED: no disk of our own can be mounted here (unshare)");
        return Ok(());
    };
    let on_disk = Server::options().bin(disk.program(&program, server.home())?);
    server.restart_with(on_disk.clone()).await?;
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
