//! The real server, as a process with a directory of its own.
//!
//! [`Server::start`] ─▶ ready ─▶ HTTP ─▶ [`kill`](Server::kill) or [`terminate`](Server::terminate) ─▶
//! [`restart`](Server::restart) over the same directory
//!
//! The program is the one that `THERMOCLINE_BIN` names, or the one beside the test's own build. A process ends with
//! its [`Server`], killed by its own id.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use reqwest::{Client, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a start or a stop may take: a bound on a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a log or a port.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Lines of the log that an error shows.
const LOG_LINES: usize = 40;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    config: String,
    env: Vec<(String, String)>,
    args: Vec<String>,
    bin: Option<PathBuf>,
    listen: Option<String>,
}

impl ServerOptions {
    /// The content of its YAML file.
    #[must_use]
    pub fn config(mut self, yaml: impl Into<String>) -> Self {
        self.config = yaml.into();
        self
    }

    /// A variable of its environment, such as `FAILPOINTS`.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// One more argument of `serve`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// An address of its own, such as the one that it had before; else it takes a free one.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Another program, such as one that was built with crash points.
    #[must_use]
    pub fn bin(mut self, bin: impl Into<PathBuf>) -> Self {
        self.bin = Some(bin.into());
        self
    }

    /// Starts it over a fresh directory and waits until it is ready.
    pub async fn start(self) -> anyhow::Result<Server> {
        let home = tempfile::tempdir().context("making a directory for the server")?;
        let mut server = Server::over(home, self)?;
        server.spawn()?;
        server.wait_until_ready().await?;
        Ok(server)
    }
}

/// A server, running or not.
#[derive(Debug)]
pub struct Server {
    home: TempDir,
    options: ServerOptions,
    bin: PathBuf,
    client: Client,
    running: Option<Running>,
    starts: usize,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Known once it listens.
    url: Option<String>,
}

impl Server {
    /// A server with the defaults.
    pub async fn start() -> anyhow::Result<Self> {
        ServerOptions::default().start().await
    }

    pub fn options() -> ServerOptions {
        ServerOptions::default()
    }

    fn over(home: TempDir, options: ServerOptions) -> anyhow::Result<Self> {
        let bin = match &options.bin {
            Some(bin) => bin.clone(),
            None => program()?,
        };
        std::fs::write(home.path().join("thermocline.yml"), &options.config).context("writing the config")?;
        let client = Client::builder().timeout(PATIENCE).build().context("making an HTTP client")?;
        Ok(Self { home, options, bin, client, running: None, starts: 0 })
    }

    /// The directory with `data/`, the config and the logs; it goes with the server.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `--data-dir`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The id of the process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// The address of a path that begins with `/`. A restart changes it.
    ///
    /// # Panics
    /// If the server is not running.
    pub fn url(&self, path: &str) -> String {
        let base = self.running.as_ref().and_then(|running| running.url.as_deref());
        format!("{}{path}", base.expect("the server is running"))
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// The JSON of a path; an error for any status but 2xx.
    pub async fn get_json(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        json_of(self.get(path).send().await.with_context(|| format!("GET {path}"))?).await
    }

    /// Posts JSON and reads JSON; an error for any status but 2xx.
    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        json_of(self.post(path).json(body).send().await.with_context(|| format!("POST {path}"))?).await
    }

    /// What the server wrote to its log since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join(format!("server-{}.log", self.starts))
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "the server is running");
        self.starts += 1;
        let log = std::fs::File::create(self.log_path()).context("creating the log")?;
        let mut command = Command::new(&self.bin);
        command.arg("serve").arg("--config").arg(self.home.path().join("thermocline.yml"));
        command.arg("--data-dir").arg(self.data_dir()).args(&self.options.args);
        command.arg("--listen").arg(self.options.listen.as_deref().unwrap_or("127.0.0.1:0"));
        // Nothing of the caller's own settings reaches it.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THERMOCLINE_")) {
            command.env_remove(name);
        }
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("starting {}", self.bin.display()))?;
        self.running = Some(Running { child, url: None });
        Ok(())
    }

    /// Waits until `/-/ready` says so.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.is_ready().await {
                return Ok(());
            }
            let running = self.running.as_mut().context("the server is not running")?;
            if let Some(status) = running.child.try_wait().context("looking at the server")? {
                self.running = None;
                bail!("the server ended with {status}:\n{}", self.last_lines());
            }
            ensure!(Instant::now() < deadline, "the server is not ready:\n{}", self.last_lines());
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn is_ready(&mut self) -> bool {
        let log = self.log();
        let Some(running) = self.running.as_mut() else { return false };
        let Some(url) = running.url.clone().or_else(|| listening_at(&log)) else { return false };
        running.url = Some(url.clone());
        let answer = self.client.get(format!("{url}/-/ready")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The last lines of that log.
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// `kill -9`. Returns once the process is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the server is not running")?;
        running.child.kill().await.context("killing the server")
    }

    /// SIGTERM: the server stops by itself. Returns how it ended.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_end().await
    }

    /// Sends a signal, such as HUP to read the config again.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.pid().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.context("the server is not running")?, signal).context("signalling the server")
    }

    /// How the server ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let running = self.running.as_mut().context("the server is not running")?;
        let status = running.child.try_wait().context("looking at the server")?;
        if status.is_some() {
            self.running = None;
        }
        Ok(status)
    }

    /// Waits until the server ends, as a crash point makes it.
    pub async fn wait_for_end(&mut self) -> anyhow::Result<ExitStatus> {
        let mut running = self.running.take().context("the server is not running")?;
        match timeout(PATIENCE, running.child.wait()).await {
            Ok(status) => status.context("waiting for the server"),
            Err(_) => Err(anyhow!("the server does not end:\n{}", self.last_lines())),
        }
    }

    /// Starts it again over the same directory.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.wait_until_ready().await
    }

    /// Starts it again, with other options, over the same directory.
    pub async fn restart_with(&mut self, options: ServerOptions) -> anyhow::Result<()> {
        self.launch_with(options)?;
        self.wait_until_ready().await
    }

    /// As [`Self::restart_with`], but does not wait: it may be meant to die before it is ready.
    pub fn launch_with(&mut self, options: ServerOptions) -> anyhow::Result<()> {
        std::fs::write(self.home.path().join("thermocline.yml"), &options.config).context("writing the config")?;
        if let Some(bin) = &options.bin {
            self.bin.clone_from(bin);
        }
        self.options = options;
        self.spawn()
    }
}

async fn json_of(answer: Response) -> anyhow::Result<serde_json::Value> {
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.with_context(|| format!("reading the answer of {url}"))?;
    ensure!(status.is_success(), "{url} answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url} did not answer with JSON: {text}"))
}

/// The address that the log names once the server listens.
fn listening_at(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("listening") && line.contains("http://"))?;
    let url = &line[line.find("http://")?..];
    let end = url.find(|c: char| c.is_whitespace() || c == '"' || c == '\u{1b}').unwrap_or(url.len());
    Some(url[..end].trim_end_matches('/').to_owned())
}

/// The program under test.
pub fn program() -> anyhow::Result<PathBuf> {
    if let Some(bin) = std::env::var_os("THERMOCLINE_BIN") {
        return Ok(bin.into());
    }
    // A test is target/<profile>/deps/<name>-<hash>.
    let test = std::env::current_exe().context("finding this test")?;
    let beside = test.parent().and_then(Path::parent).map(|profile| profile.join("thermocline"));
    let found = beside.filter(|bin| bin.exists());
    found.context("the server is not built: cargo build -p thermocline, or set THERMOCLINE_BIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_where_the_server_listens() {
        let log = "ts=1 level=info msg=starting\nts=2 level=info msg=listening address=127.0.0.1:4711 url=\"http://127.0.0.1:4711/\"\n";
        assert_eq!(listening_at(log).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(listening_at("msg=listening address=127.0.0.1:4711"), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_an_error_with_its_log() {
        let error = Server::options().bin("/bin/false").start().await.expect_err("it ends");
        assert!(error.to_string().contains("the server ended with"), "{error}");
    }
}
