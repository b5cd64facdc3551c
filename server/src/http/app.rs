//! What every handler may use.

use std::sync::Arc;

use parking_lot::RwLock;
use runtime::Clock;
use schemas::{DurationMs, TimestampMs};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::body::BodyReader;
use super::gate::Gate;
use crate::config::{Change, Config, entries};
use crate::telemetry::Telemetry;

/// Somebody asks for the configuration to be read again, and waits for what came of it.
pub(crate) type ReloadRequest = oneshot::Sender<Result<Vec<Change>, String>>;

/// The query language as it is configured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromqlSettings {
    pub(crate) experimental: bool,
    pub(crate) lookback: DurationMs,
}

/// The state of the HTTP server. One a process.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Telemetry,
    pub(crate) gate: Gate,
    pub(crate) bodies: BodyReader,
    /// Room for requests under way.
    pub(crate) requests: Arc<Semaphore>,
    /// Labels that `{server_id}` may stand for.
    pub(crate) server_labels: Vec<String>,
    pub(crate) max_points: usize,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) promql: PromqlSettings,
    /// A request for raw points, once it is decoded.
    pub(crate) read_request_bytes_max: usize,
    /// Raw points that one message may have.
    pub(crate) read_samples_max: usize,
    /// Every key of the configuration in force, as it may be shown.
    pub(crate) settings: RwLock<Vec<(String, String)>>,
    pub(crate) started: TimestampMs,
    pub(crate) reloads: mpsc::Sender<ReloadRequest>,
}

impl App {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>, reloads: mpsc::Sender<ReloadRequest>) -> Self {
        let limits = &config.limits;
        let started = TimestampMs(clock.now_ms());
        let bodies =
            BodyReader::new(limits.body.as_usize(), limits.bodies_in_flight.as_usize(), limits.body_timeout.as_std());
        Self {
            clock,
            telemetry: Telemetry::new(),
            gate: Gate::new(),
            bodies,
            requests: Arc::new(Semaphore::new(limits.requests)),
            server_labels: config.rest.server_labels.clone(),
            max_points: config.rest.max_points,
            cors_origins: config.cors.origins.clone(),
            promql: PromqlSettings { experimental: config.promql.experimental, lookback: config.promql.lookback.0 },
            read_request_bytes_max: limits.body.as_usize(),
            read_samples_max: usize::try_from(limits.query_points).unwrap_or(usize::MAX),
            settings: RwLock::new(shown(config)),
            started,
            reloads,
        }
    }

    /// Tells another configuration from now on.
    pub(crate) fn show(&self, config: &Config) {
        *self.settings.write() = shown(config);
    }

    pub(crate) fn now(&self) -> TimestampMs {
        TimestampMs(self.clock.now_ms())
    }
}

fn shown(config: &Config) -> Vec<(String, String)> {
    entries::of(config).into_iter().map(|entry| (entry.key.clone(), entry.shown().to_owned())).collect()
}
