//! Which path goes where, and what wraps all of them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;

use super::app::App;
use super::prometheus::{expressions, federate, metadata, names, query, remote_read, status};
use super::{
    admin, controls, documents, health, influx, kafka, metrics_read, metrics_write, middleware, otlp, policies,
    prometheus_write, self_metrics, sql, tiers,
};

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = push()
        .merge(questions())
        .merge(prometheus_api())
        .merge(operations())
        .merge(page())
        .with_state(Arc::clone(&app));
    router = router.fallback(middleware::no_such_path).method_not_allowed_fallback(middleware::no_such_method);
    if !app.cors_origins.is_empty() {
        router = router.layer(middleware::cors(&app.cors_origins));
    }
    router
        .layer(CompressionLayer::new())
        .layer(from_fn(middleware::no_sniffing))
        .layer(from_fn_with_state(app, middleware::observe))
}

fn push() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/write", post(prometheus_write::remote_write))
        .route("/api/v1/push", post(prometheus_write::remote_write))
        .route("/api/v1/import/prometheus", post(prometheus_write::import_text))
        .route("/v1/metrics", post(otlp::metrics))
        .route("/api/v1/otlp/v1/metrics", post(otlp::metrics))
        .route("/write", post(influx::write_v1))
        .route("/api/v2/write", post(influx::write_v2))
        .route("/api/v3/write_lp", post(influx::write_v3))
        .route("/ping", get(influx::ping).post(influx::ping))
        .route("/query", get(influx::query).post(influx::query))
}

fn questions() -> Router<Arc<App>> {
    Router::new()
        .route("/api/metrics", get(metrics_read::by_labels).post(metrics_write::push))
        .route("/api/metrics/{server_id}", get(metrics_read::of_server))
        .route("/api/v1/sql", post(sql::sql))
}

/// Prometheus' API: read only, by form or URL.
fn prometheus_api() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/query", get(query::query).post(query::query))
        .route("/api/v1/query_range", get(query::query_range).post(query::query_range))
        .route("/api/v1/query_exemplars", get(query::query_exemplars).post(query::query_exemplars))
        .route("/api/v1/series", get(names::series).post(names::series))
        .route("/api/v1/labels", get(names::labels).post(names::labels))
        .route("/api/v1/label/{name}/values", get(names::label_values))
        .route("/api/v1/metadata", get(metadata::metadata))
        .route("/api/v1/rules", get(metadata::rules))
        .route("/api/v1/alerts", get(metadata::alerts))
        .route("/api/v1/targets", get(metadata::targets))
        .route("/api/v1/alertmanagers", get(metadata::alertmanagers))
        .route("/api/v1/format_query", get(expressions::format_query).post(expressions::format_query))
        .route("/api/v1/parse_query", get(expressions::parse_query).post(expressions::parse_query))
        .route("/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/runtimeinfo", get(status::runtimeinfo))
        .route("/api/v1/status/tsdb", get(status::tsdb))
        .route("/api/v1/read", post(remote_read::read))
        .route("/federate", get(federate::federate))
}

fn operations() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(documents::index))
        .route("/api/v1/openapi.json", get(documents::openapi))
        .route("/problems", get(documents::problems))
        .route("/problems/{slug}", get(documents::problem))
        .route("/-/healthy", get(health::healthy))
        .route("/livez", get(health::healthy))
        .route("/health/live", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::health))
        .route("/health/ready", get(health::health))
        .route("/metrics", get(self_metrics::metrics))
        .route("/-/reload", post(admin::reload))
        .route("/api/v1/admin/flush", post(admin::flush))
        .route("/api/v1/admin/seal", post(admin::seal))
        .route("/api/v1/admin/archive", post(admin::archive))
        .route("/api/v1/admin/retention", post(admin::retention))
        .route("/api/v1/tiers", get(tiers::get))
        .route("/api/v1/quarantine", get(tiers::quarantine))
        .route("/api/v1/policies", get(policies::get))
        .route("/api/v1/policies/plan", post(policies::plan))
        .route("/api/v1/kafka", get(kafka::get))
        .route("/api/v1/controls", get(controls::get).put(controls::put).delete(controls::delete))
}

/// The browsable page, which is for people: the OpenAPI document does not list it.
fn page() -> Router<Arc<App>> {
    Router::new()
        .route("/api/docs", get(documents::browse_here))
        .route("/api/docs/", get(documents::browse))
        .route("/api/docs/{*file}", get(documents::browse_file))
}
