//! The schema registry of the tests (`tests/services/registry.py`), as a process.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A registry that is never without a schema it once had, however often it is started: to say that there is none is to
/// condemn each message that needs it. It ends with this value.
#[derive(Debug)]
pub(super) struct Registry {
    process: Option<Child>,
    url: String,
    /// Where it remembers its schemas.
    home: TempDir,
}

impl Registry {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let home = TempDir::new().context("a directory for the registry")?;
        let (process, url) = spawn("0", &home).await?;
        Ok(Self { process: Some(process), url, home })
    }

    /// `http://127.0.0.1:port`. A restart keeps it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Registers a schema and returns its id.
    pub(super) async fn register(&self, subject: &str, schema: &Value) -> anyhow::Result<u32> {
        let request = Client::new().post(format!("{}/subjects/{subject}/versions", self.url));
        let answer = request.json(&json!({ "schema": schema.to_string() })).send().await.context("registering")?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let id = answer["id"].as_u64().with_context(|| format!("an id: {answer}"))?;
        u32::try_from(id).context("an id is small")
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the registry is running")?.kill().await.context("killing the registry")
    }

    /// Starts it again where it was.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let port = self.url.rsplit(':').next().context("an address has a port")?;
        let (process, url) = spawn(port, &self.home).await?;
        ensure!(url == self.url, "the registry came back at {url}");
        self.process = Some(process);
        Ok(())
    }
}

async fn spawn(port: &str, home: &TempDir) -> anyhow::Result<(Child, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/registry.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--port", port]).arg("--file").arg(home.path().join("schemas.json"));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().context("starting registry.py")?;
    let out = process.stdout.take().context("its output is read")?;
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url).await.context("reading the registry's address")?;
    ensure!(url.starts_with("http://"), "the registry did not start: {url:?}");
    Ok((process, url.trim().trim_end_matches('/').to_owned()))
}
