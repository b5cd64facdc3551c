//! The processes of the demo: the server and the agent, both this same program. Both end when they are dropped.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Server {
    /// Starts it on `listen`, or on a free port of the same address where that one is taken.
    pub(super) async fn start(dir: &Path, config: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        let listen = free(listen)?;
        let log = dir.join("server.log");
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = myself()?;
        command.arg("serve").arg("--config").arg(config).arg("--data-dir").arg(dir);
        command.arg("--listen").arg(listen.to_string()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().context("starting the server")?;
        Ok(Self { child, url: format!("http://{listen}"), log })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the server ends, which it should not, and says so.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("the server ended: {status}"),
            Err(error) => anyhow::Error::from(error).context("waiting for the server"),
        }
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        end(&mut self.child, "the server").await
    }
}

/// A running agent of this host.
#[derive(Debug)]
pub(super) struct Agent(Child);

impl Agent {
    /// Starts it to push to the server at `url`, with its spool and log in `dir`.
    pub(super) fn start(url: &str, dir: &Path) -> anyhow::Result<Self> {
        let log = dir.join("agent.log");
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = myself()?;
        command.args(["agent", "--server", url, "--every", "1s", "--push", "5s", "--spool"]);
        command.arg(dir.join("spool")).stdout(Stdio::null()).stderr(file);
        Ok(Self(command.spawn().context("starting the agent")?))
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        end(&mut self.0, "the agent").await
    }
}

/// This program, in a process group of its own: Ctrl-C is for the demo, which then stops the others in order.
fn myself() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command.process_group(0).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// The address, or one with a free port where it is taken.
fn free(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    let any = SocketAddr::new(listen.ip(), 0);
    let listener = TcpListener::bind(listen).or_else(|_| TcpListener::bind(any)).context("finding a free port")?;
    listener.local_addr().context("finding a free port")
}

/// Asks a process to end, and sees that it did so without complaint.
async fn end(child: &mut Child, who: &str) -> anyhow::Result<()> {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        kill_process(id, Signal::TERM).with_context(|| format!("stopping {who}"))?;
    }
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.with_context(|| format!("{who} does not end"))?;
    let status = status.with_context(|| format!("waiting for {who}"))?;
    anyhow::ensure!(status.success(), "{who} ended with {status}");
    Ok(())
}
