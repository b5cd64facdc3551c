//! What every handler may use.

use std::sync::Arc;

use runtime::Clock;
use schemas::TimestampMs;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::body::BodyReader;
use super::gate::Gate;
use crate::config::{Change, Config};
use crate::telemetry::Telemetry;

/// Somebody asks for the configuration to be read again, and waits for what came of it.
pub(crate) type ReloadRequest = oneshot::Sender<Result<Vec<Change>, String>>;

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
    pub(crate) reloads: mpsc::Sender<ReloadRequest>,
}

impl App {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>, reloads: mpsc::Sender<ReloadRequest>) -> Self {
        let limits = &config.limits;
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
            reloads,
        }
    }

    pub(crate) fn now(&self) -> TimestampMs {
        TimestampMs(self.clock.now_ms())
    }
}
