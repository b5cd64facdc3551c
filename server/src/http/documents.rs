//! What the server says of itself: the index at `/`, the kinds of problems, and the OpenAPI document.

use axum::Json;
use axum::response::{Redirect, Response};
use serde_json::{Map, Value, json};

use super::openapi;
use super::problem::{Kind, Problem};
use super::segment::Segment;

/// What there is.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, description = "All paths, by what they are for, and some links")))]
pub(crate) async fn index() -> Json<Value> {
    Json(json!({
        "name": "thermocline",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "documentation": "/api/docs/",
            "openapi": "/api/v1/openapi.json",
            "problems": "/problems",
            "ready": "/-/ready",
            "metrics": "/metrics",
            "tiers": "/api/v1/tiers",
            // Encoded, so that it can be followed as it stands.
            "series by labels": "/api/metrics?metric=cpu_usage&match%5B%5D=%7Benv%3D%22production%22%7D&group_by=region",
            "series of a server": "/api/metrics/web-1?metric=cpu_usage&from=-1h",
        },
        "paths": paths(&openapi::document()),
    }))
}

/// Every method and path with what it does, by tag.
fn paths(document: &Value) -> Map<String, Value> {
    let mut by_tag = Map::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            let paths = by_tag.entry(tag).or_insert_with(|| json!({}));
            let summary = operation["summary"].as_str().unwrap_or_default().replace('\n', " ");
            paths[format!("{} {path}", method.to_uppercase())] = json!(summary);
        }
    }
    by_tag
}

/// The OpenAPI document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI")))]
pub(crate) async fn openapi() -> Json<Value> {
    Json(openapi::document())
}

/// The page that makes it browsable.
pub(crate) async fn browse() -> Result<Response, Problem> {
    openapi::page("")
}

/// A file of that page.
pub(crate) async fn browse_file(Segment(file): Segment) -> Result<Response, Problem> {
    openapi::page(&file)
}

/// The page's links are relative to it.
pub(crate) async fn browse_here() -> Redirect {
    Redirect::to("/api/docs/")
}

/// All kinds of problems.
#[utoipa::path(get, path = "/problems", tag = "operations", responses((status = 200, description = "Kinds of problems")))]
pub(crate) async fn problems() -> Json<Value> {
    Json(Kind::ALL.iter().map(|kind| explain(*kind)).collect())
}

/// One kind of problem, by the last part of its `type`.
#[utoipa::path(get, path = "/problems/{slug}", tag = "operations", params(("slug" = String, Path, description = "The kind")),
    responses((status = 200, description = "What it means"), (status = 404, description = "No such kind")))]
pub(crate) async fn problem(Segment(slug): Segment) -> Result<Json<Value>, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.facts().1 == slug);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no problem {slug:?}")))?;
    Ok(Json(explain(kind)))
}

fn explain(kind: Kind) -> Value {
    let (status, slug, title, meaning) = kind.facts();
    json!({ "type": format!("/problems/{slug}"), "title": title, "status": status.as_u16(), "meaning": meaning })
}
