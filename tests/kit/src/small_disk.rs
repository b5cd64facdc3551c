//! A disk that can be full: a small one of memory, which only a test and its server see.
//!
//! A process holds it in a mount namespace of its own; the server enters that through [`SmallDisk::program`], the test
//! looks in through `/proc`. Where the system lets nobody make one, there is none.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// See the module. It goes with this value.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB at a directory; `None` where that is not allowed.
    pub async fn mount(at: &Path, mebibytes: u32) -> anyhow::Result<Option<Self>> {
        let script = format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$1\" && echo mounted && exec sleep infinity");
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

    /// A program, written to `dir`, that runs another where the disk is.
    pub fn program(&self, program: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
        let script = dir.join("on-small-disk");
        let enter = format!("nsenter --preserve-credentials --user --mount --target {}", self.pid()?);
        std::fs::write(&script, format!("#!/bin/sh\nexec {enter} '{}' \"$@\"\n", program.display()))?;
        std::fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// Where others find the disk.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()?));
        Ok(root.join(self.at.strip_prefix("/").context("an absolute path")?).join(name))
    }

    /// Takes all the room that there is.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.path("filler")?)?;
        let (large, small) = (vec![0; 1 << 20], [0; 4_096]);
        while filler.write_all(&large).is_ok() {}
        while filler.write_all(&small).is_ok() {}
        Ok(())
    }

    pub fn make_room(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.path("filler")?).context("removing what fills the disk")
    }
}
