//! The OpenAPI document, collected from the handlers, and its browsable page.

use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    admin, documents, health, influx, metrics_read, metrics_write, policies, prometheus_write, provenance,
    self_metrics, sql, tiers,
};

/// The document at `/api/v1/openapi.json`.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Thermocline", description = "A tiered metrics store. Errors are `application/problem+json` (RFC 9457) outside the compatibility APIs."),
    paths(
        metrics_write::push, metrics_read::of_server, metrics_read::by_labels,
        prometheus_write::remote_write, prometheus_write::import_text,
        influx::write_v1, influx::write_v2, influx::write_v3, influx::ping, influx::query,
        sql::sql,
        policies::get, policies::plan, tiers::get, tiers::quarantine,
        admin::flush, admin::seal, admin::archive, admin::retention, admin::reload,
        health::healthy, health::ready, health::health, self_metrics::metrics,
        documents::index, documents::openapi, documents::problems, documents::problem,
    ),
    components(schemas(
        metrics_write::Accepted, sql::SqlRequest, provenance::ProvenanceShape, provenance::SegmentShape,
        health::Health, health::Check,
    )),
    tags(
        (name = "dashboards", description = "Questions"),
        (name = "push", description = "Points, in many protocols"),
        (name = "sql", description = "SQL"),
        (name = "operations", description = "Health, tiers, retention, jobs"),
    ),
)]
pub(crate) struct ApiDoc;

/// The browsable page; its files are part of the binary.
pub(super) fn page() -> SwaggerUi {
    SwaggerUi::new("/api/docs").config(utoipa_swagger_ui::Config::from("/api/v1/openapi.json"))
}
