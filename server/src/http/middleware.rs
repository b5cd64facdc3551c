//! What happens around every request: room, time, panics, and headers that all answers have.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::app::App;
use super::problem::{Kind, Problem};
use super::provenance;
use crate::telemetry::HandledLabels;

/// Bounds requests under way, measures them, and turns a panic into a problem.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let handler = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let metrics = &app.telemetry.http;
    let room = Arc::clone(&app.requests).try_acquire_owned();
    // Health and self-metrics must be seen under pressure most of all.
    if room.is_err() && !always_answered(&handler) {
        metrics.refused.inc();
        return Problem::new(Kind::Overloaded, "limits.requests are under way").into_response();
    }
    metrics.in_flight.inc();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        metrics.panics.inc();
        Problem::defect(&format!("the handler of {handler} panicked")).into_response()
    });
    metrics.in_flight.dec();
    let labels = HandledLabels { handler, code: response.status().as_u16() };
    metrics.duration.get_or_create(&labels).observe(begun.elapsed());
    response
}

/// Whether a path is answered however many requests are under way.
pub(super) fn always_answered(handler: &str) -> bool {
    let paths = ["/metrics", "/-/healthy", "/-/ready", "/livez", "/readyz", "/health", "/health/live", "/health/ready"];
    paths.contains(&handler)
}

/// Answers of an API are not for a browser to guess at.
pub(super) async fn no_sniffing(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets pages of the configured origins read answers.
pub(super) fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers([header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION])
        .expose_headers(provenance::HEADERS.map(|(name, _)| HeaderName::from_static(name)));
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(AllowOrigin::any());
    }
    layer.allow_origin(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect::<Vec<_>>())
}

/// Any path that no route takes.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no path {:?}; GET / lists what there is", uri.path()))
}

/// A path that exists, asked by another method. `OPTIONS` asks which there are: `Allow`, which the router adds, says it.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Kind::MethodNotAllowed, format!("{:?} does not take {method}", uri.path())).into_response()
}
