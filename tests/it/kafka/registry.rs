//! The schema registry of the tests (`tests/services/registry.py`), as a process.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A registry that gives the same ids to the same registrations each time it is started. It ends with this value.
#[derive(Debug)]
pub(super) struct Registry {
    process: Option<Child>,
    url: String,
    /// Subjects with their schemas, in order.
    registered: Vec<(String, Value)>,
}

impl Registry {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (process, url) = spawn("0").await?;
        Ok(Self { process: Some(process), url, registered: Vec::new() })
    }

    /// `http://127.0.0.1:port`. A restart keeps it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Registers a schema and returns its id.
    pub(super) async fn register(&mut self, subject: &str, schema: Value) -> anyhow::Result<u32> {
        let id = send(&self.url, subject, &schema).await?;
        self.registered.push((subject.to_owned(), schema));
        Ok(id)
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the registry is running")?.kill().await.context("killing the registry")
    }

    /// Starts it again, with the schemas that it had under the ids that they had.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let port = self.url.rsplit(':').next().context("an address has a port")?;
        let (process, url) = spawn(port).await?;
        ensure!(url == self.url, "the registry came back at {url}");
        self.process = Some(process);
        for (subject, schema) in &self.registered {
            send(&url, subject, schema).await?;
        }
        Ok(())
    }
}

async fn spawn(port: &str) -> anyhow::Result<(Child, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/registry.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--port", port]).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().context("starting registry.py")?;
    let out = process.stdout.take().context("its output is read")?;
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url).await.context("reading the registry's address")?;
    ensure!(url.starts_with("http://"), "the registry did not start: {url:?}");
    Ok((process, url.trim().trim_end_matches('/').to_owned()))
}

async fn send(url: &str, subject: &str, schema: &Value) -> anyhow::Result<u32> {
    let request = Client::new().post(format!("{url}/subjects/{subject}/versions"));
    let answer = request.json(&json!({ "schema": schema.to_string() })).send().await.context("registering a schema")?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let id = answer["id"].as_u64().with_context(|| format!("an id: {answer}"))?;
    u32::try_from(id).context("an id is small")
}
