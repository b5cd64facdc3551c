//! Whether the parts of the process can be used yet, and what is waited for until then.
//!
//! starting("replaying the log") ─▶ ready(parts) ─▶ stopping

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;
use parking_lot::RwLock;
use runtime::CpuPool;

use super::app::App;
use super::problem::{Kind, Problem};
use crate::controls::ControlsDesk;

/// The started parts. Cheap to clone through its `Arc`.
pub(crate) struct Parts {
    pub(crate) store: Arc<hot::Store>,
    pub(crate) archive: Arc<cold::Archive>,
    pub(crate) compactor: Arc<compactor::Compactor>,
    pub(crate) engine: Arc<query::Engine>,
    pub(crate) intake: Arc<ingest::Intake>,
    pub(crate) controls: Arc<ControlsDesk>,
    /// Where the configuration names brokers.
    pub(crate) kafka: Option<Arc<ingest::kafka::Kafka>>,
    /// Decodes and appends. Its jobs wait for the group commit, so it has more threads than there are cores.
    pub(crate) ingest_pool: CpuPool,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Phase {
    Starting(String),
    Ready(Arc<Parts>),
    Stopping,
}

/// The gate in front of the parts.
#[derive(Debug)]
pub(crate) struct Gate(RwLock<Phase>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(Phase::Starting("the process to start".to_owned())))
    }

    /// Says what is waited for now.
    pub(crate) fn waiting_for(&self, what: impl Into<String>) {
        *self.0.write() = Phase::Starting(what.into());
    }

    pub(crate) fn open(&self, parts: Arc<Parts>) {
        *self.0.write() = Phase::Ready(parts);
    }

    /// Nothing is let through any more.
    pub(crate) fn close(&self) {
        *self.0.write() = Phase::Stopping;
    }

    /// The parts, or why they cannot be used.
    pub(crate) fn parts(&self) -> Result<Arc<Parts>, String> {
        match &*self.0.read() {
            Phase::Ready(parts) => Ok(Arc::clone(parts)),
            Phase::Starting(what) => Err(format!("waiting for {what}")),
            Phase::Stopping => Err("the server is stopping".to_owned()),
        }
    }
}

/// Extracts the parts, or answers 503.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Arc<Parts>);

impl FromRequestParts<Arc<App>> for Ready {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut RequestParts, app: &Arc<App>) -> Result<Self, Problem> {
        app.gate.parts().map(Self).map_err(|why| Problem::new(Kind::Starting, why))
    }
}
