//! `thermocline serve`: the life of the server process.
//!
//! config ─▶ listener (answers 503 and health) ─▶ parts ─▶ gate opens ─▶ … reload … ─▶ signal ─▶ gate closes ─▶
//! connections end ─▶ jobs end ─▶ store flushes and closes ─▶ exit 0
//!
//! Should the listener or the driver of the jobs end by itself, the rest stops in the same order, and the exit code is 1:
//! whatever supervises the process can start it again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use runtime::tasks::Stage;
use runtime::{Clock, SystemClock, Tasks};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::init_logging;
use crate::assemble::{Begin, assemble, store_config};
use crate::cli::{LogArgs, ServeArgs};
use crate::config::{Change, Config, ConfigError, Overrides, changes, environment, from_file};
use crate::http::app::{App, ReloadRequest};
use crate::http::gate::Parts;
use crate::http::listen::{self, ConnectionLimits};
use crate::http::router::router;
use crate::open_files;

/// How long each stage of stopping may take before the next one begins.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last flush may take: at worst two epochs of log.
const CLOSE_PATIENCE: Duration = Duration::from_secs(120);
/// Reloads that wait for each other.
const RELOADS_MAX: usize = 4;

/// Runs until a signal.
pub(super) async fn run(args: &ServeArgs, log: &LogArgs) -> anyhow::Result<ExitCode> {
    let source = ConfigSource { file: args.config.clone(), overrides: args.overrides(log) };
    let config = source.read()?;
    init_logging(&config.log.level, config.log.format)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data_dir = %config.data_dir.display(), "starting");

    open_files::raise_limit(store_config(&config).open_files_max, config.limits.connections);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (reload, reloads) = mpsc::channel(RELOADS_MAX);
    let app = Arc::new(App::new(&config, Arc::clone(&clock), reload));
    let tasks = Arc::new(Tasks::new());
    let mut signals = Signals::new()?;
    start_listening(&config, &app, &tasks).await?;

    let begin = if args.recover_from_archive { Begin::FromArchive } else { Begin::AsIs };
    let parts = tokio::select! {
        parts = Box::pin(assemble(&config, &app, clock, begin)) => parts?,
        () = signals.stop() => {
            tracing::info!("stopped before the start was complete");
            return Ok(ExitCode::SUCCESS);
        }
        task = tasks.lost() => bail!("the {task} ended by itself before the start was complete"),
    };
    tasks.spawn_vital(Stage::Work, "compactor", Arc::clone(&parts.compactor).run(tasks.token(Stage::Work)));
    if let Some(kafka) = &parts.kafka {
        tasks.spawn(Stage::Intake, "kafka", stop_with(Arc::clone(kafka), tasks.token(Stage::Intake)));
    }
    app.gate.open(Arc::clone(&parts));
    app.telemetry.ready.set(1);
    tracing::info!("ready");

    let mut server = Server { source, running: config, reloads, parts, app: Arc::clone(&app) };
    let ending = server.run(&mut signals, &tasks).await;
    if let Ending::Lost { task } = ending {
        tracing::error!(task, "a task that the server cannot do without ended by itself; stopping the rest");
    }
    server.stop(&app, &tasks).await?;
    match ending {
        Ending::Asked => Ok(ExitCode::SUCCESS),
        Ending::Lost { task } => bail!("the {task} ended by itself"),
    }
}

/// Ends the consumer when the intake ends: what it has in hand is stored, and the group told.
async fn stop_with(kafka: Arc<ingest::kafka::Kafka>, asked: CancellationToken) {
    asked.cancelled().await;
    if tokio::task::spawn_blocking(move || kafka.stop()).await.is_err() {
        tracing::error!("stopping the consumer of Kafka failed");
    }
}

async fn start_listening(config: &Config, app: &Arc<App>, tasks: &Arc<Tasks>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr().context("asking for the listener's address")?;
    tracing::info!(%address, url = %format!("http://{address}/"), "listening");
    let limits = ConnectionLimits {
        connections: config.limits.connections,
        header_timeout: config.limits.header_timeout.as_std(),
    };
    let open = app.telemetry.http.connections.clone();
    let serving = listen::serve(listener, router(Arc::clone(app)), limits, open, Arc::clone(tasks));
    tasks.spawn_vital(Stage::Intake, "listener", serving);
    Ok(())
}

/// A started server.
struct Server {
    source: ConfigSource,
    /// The configuration in force: keys that need a restart keep their old value.
    running: Config,
    reloads: mpsc::Receiver<ReloadRequest>,
    parts: Arc<Parts>,
    app: Arc<App>,
}

/// Why a started server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A signal said so.
    Asked,
    /// Without this task it is none.
    Lost { task: &'static str },
}

impl Server {
    /// Reloads when asked to, until it must stop.
    async fn run(&mut self, signals: &mut Signals, tasks: &Tasks) -> Ending {
        loop {
            tokio::select! {
                task = tasks.lost() => return Ending::Lost { task },
                signal = signals.next() => match signal {
                    Told::Stop => return Ending::Asked,
                    // Said in the log either way.
                    Told::Reload => drop(self.reload()),
                },
                Some(reply) = self.reloads.recv() => {
                    // Whoever asked may have gone away.
                    drop(reply.send(self.reload()));
                }
            }
        }
    }

    /// Reads the configuration again and applies what can be applied.
    fn reload(&mut self) -> Result<Vec<Change>, String> {
        let new = self.source.read().map_err(|error| {
            tracing::error!(%error, "reload failed; the configuration in force stays");
            error.to_string()
        })?;
        self.parts.controls.reload(new.rule_specs()).map_err(|error| error.to_string())?;
        let changes = changes(&self.running, &new);
        for change in &changes {
            let Change { key, from, to, applied } = change;
            if *applied {
                tracing::info!(key, from, to, "configuration changed");
            } else {
                tracing::warn!(key, from, to, "this change needs a restart");
            }
        }
        self.running.retention = new.retention;
        self.running.controls = new.controls;
        self.parts.compactor.set_retention(self.running.retention.durations());
        self.app.show(&self.running);
        tracing::info!(changes = changes.len(), "configuration read again");
        Ok(changes)
    }

    /// No new requests, then no jobs, then everything to disk.
    async fn stop(self, app: &App, tasks: &Tasks) -> anyhow::Result<()> {
        tracing::info!("stopping");
        app.gate.close();
        app.telemetry.ready.set(0);
        tasks.shut_down(PATIENCE).await;
        let store = Arc::clone(&self.parts.store);
        let closed = tokio::time::timeout(CLOSE_PATIENCE, tokio::task::spawn_blocking(move || store.close())).await;
        closed
            .context("the hot store did not close in time; its log has everything")??
            .context("closing the hot store")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Where the configuration is read from, now and at each reload.
#[derive(Debug)]
struct ConfigSource {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl ConfigSource {
    fn read(&self) -> Result<Config, ConfigError> {
        from_file(self.file.as_deref(), &self.overrides, environment())
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// The signals that a server obeys.
#[derive(Debug)]
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            hangup: open(SignalKind::hangup())?,
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Ends when the process is told to stop; there is nothing to reload yet.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
