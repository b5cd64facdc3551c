//! Whether the process lives, and whether it can be used: `/-/healthy`, `/-/ready`, and the names others use for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::problem::{Kind, Problem};

/// One thing that is checked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    name: &'static str,
    /// `pass` or `fail`.
    status: &'static str,
    message: String,
}

/// Health with its checks; also what InfluxDB's clients expect of `/health`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    name: &'static str,
    /// `pass` or `fail`.
    status: &'static str,
    message: String,
    version: &'static str,
    checks: Vec<Check>,
}

/// The process answers.
#[utoipa::path(get, path = "/-/healthy", tag = "operations", responses((status = 200, description = "The process lives")))]
pub(crate) async fn healthy() -> &'static str {
    "Thermocline is healthy.\n"
}

/// All parts are started and points are taken.
#[utoipa::path(get, path = "/-/ready", tag = "operations", responses(
    (status = 200, description = "Ready for writes and queries"),
    (status = 503, description = "Not ready, or points cannot be written; `detail` says what is waited for")))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.gate.parts() {
        Ok(parts) => match parts.store.check_writable() {
            Ok(()) => "Thermocline is ready.\n".into_response(),
            Err(why) => Problem::new(Kind::NotWritable, why.to_string()).into_response(),
        },
        Err(why) => Problem::new(Kind::Starting, why).into_response(),
    }
}

/// The checks as JSON.
#[utoipa::path(get, path = "/health", tag = "operations", responses(
    (status = 200, description = "Every check passes", body = Health),
    (status = 503, description = "A check fails", body = Health)))]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    let checks = match app.gate.parts() {
        Err(why) => vec![Check { name: "started", status: "fail", message: why }],
        Ok(parts) => {
            let quarantined = parts.store.view().map().quarantined.len();
            let (writes, told) = match parts.store.check_writable() {
                Ok(()) => ("pass", "points are taken".to_owned()),
                Err(why) => ("fail", why.to_string()),
            };
            vec![
                Check { name: "started", status: "pass", message: "all parts are started".to_owned() },
                Check { name: "writes", status: writes, message: told },
                // A hour that is set aside holds nothing else back: told, but no reason to take the node away.
                Check { name: "quarantine", status: "pass", message: format!("{quarantined} hours set aside") },
            ]
        }
    };
    let (status, word, message) = match checks.iter().find(|check| check.status == "fail") {
        None => (StatusCode::OK, "pass", "ready for queries and writes".to_owned()),
        Some(failed) => (StatusCode::SERVICE_UNAVAILABLE, "fail", failed.message.clone()),
    };
    let health = Health { name: "thermocline", status: word, message, version: env!("CARGO_PKG_VERSION"), checks };
    (status, Json(health)).into_response()
}
