//! The OpenAPI document, collected from the handlers, and its browsable page.
//!
//! `#[utoipa::path]` of each handler ─▶ [`ApiDoc`] ─▶ [`common`]: what holds for all of them ─▶ [`document`]

mod common;

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::OpenApi;

use super::problem::{Kind, Problem};
use super::prometheus::{expressions, federate, metadata, names, query, remote_read, status};
use super::{
    admin, controls, documents, health, influx, kafka, metrics_read, metrics_write, otlp, policies, prometheus_write,
    provenance, self_metrics, sql, tiers,
};

/// Where [`document`] is served.
const DOCUMENT_PATH: &str = "/api/v1/openapi.json";

/// What the handlers say of themselves.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Thermocline", description = "A tiered metrics store. Errors are `application/problem+json` (RFC 9457) outside the compatibility APIs."),
    paths(
        metrics_write::push, metrics_read::of_server, metrics_read::by_labels,
        prometheus_write::remote_write, prometheus_write::import_text, otlp::metrics,
        influx::write_v1, influx::write_v2, influx::write_v3, influx::ping, influx::query,
        sql::sql,
        query::query, query::query_range, query::query_exemplars, names::series, names::labels, names::label_values,
        metadata::metadata, metadata::rules, metadata::alerts, metadata::targets, metadata::alertmanagers,
        expressions::format_query, expressions::parse_query, remote_read::read, federate::federate,
        status::buildinfo, status::config, status::flags, status::runtimeinfo, status::tsdb,
        policies::get, policies::plan, controls::get, controls::put, controls::delete, kafka::get, tiers::get, tiers::quarantine,
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
        (name = "prometheus", description = "Prometheus' API: PromQL, for Grafana and others"),
        (name = "sql", description = "SQL"),
        (name = "operations", description = "Health, tiers, retention, jobs"),
    ),
)]
struct ApiDoc;

/// The whole document.
pub(super) fn document() -> Value {
    let mut document = serde_json::to_value(ApiDoc::openapi()).expect("texts, numbers, lists and maps");
    common::complete(&mut document);
    document
}

/// A file of the browsable page (empty: the page itself); they are part of the binary.
pub(super) fn page(file: &str) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(file, Arc::new(utoipa_swagger_ui::Config::from(DOCUMENT_PATH)));
    match found.map_err(|error| Problem::defect(&error))? {
        Some(found) => Ok(([(header::CONTENT_TYPE, found.content_type)], found.bytes.into_owned()).into_response()),
        None => Err(Problem::new(Kind::NotFound, format!("there is no file {file:?} in /api/docs/"))),
    }
}
