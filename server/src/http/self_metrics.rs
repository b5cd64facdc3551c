//! `/metrics`: OpenMetrics for whom asks for it, else Prometheus' text.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use super::app::App;
use super::media;
use crate::telemetry::{OPENMETRICS, PROMETHEUS_TEXT};

/// The server's own metrics.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Prometheus text 0.0.4, or OpenMetrics 1.0 by Accept", content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> impl IntoResponse {
    // Whatever a scraper asks for, one of both is what it can read.
    let offers = ["text/plain", "application/openmetrics-text"];
    if let Ok(parts) = app.gate.parts() {
        parts.store.refresh_metrics();
    }
    let (kind, body) = match media::accept(&headers, &offers) {
        Ok("application/openmetrics-text") => (OPENMETRICS, app.telemetry.openmetrics()),
        Ok(_) | Err(_) => (PROMETHEUS_TEXT, app.telemetry.prometheus_text()),
    };
    ([(header::CONTENT_TYPE, kind)], body)
}
