//! What the server says of itself: the index at `/`, the kinds of problems, and the OpenAPI document.

use axum::Json;
use axum::extract::Path;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::openapi::ApiDoc;
use super::problem::{Kind, Problem};

/// What there is.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, description = "Links to what there is")))]
pub(crate) async fn index() -> Json<Value> {
    Json(json!({
        "name": "thermocline",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "documentation": "/api/docs/",
            "openapi": "/api/v1/openapi.json",
            "ready": "/-/ready",
            "metrics": "/metrics",
            "tiers": "/api/v1/tiers",
            "policies": "/api/v1/policies",
            "quarantine": "/api/v1/quarantine",
            "series of a server": "/api/metrics/{server_id}?metric=cpu_usage&from=-1h",
            "series by labels": "/api/metrics?metric=cpu_usage&match[]={env=\"production\"}&group_by=region",
            "sql": "POST /api/v1/sql",
            "problems": "/problems",
        },
    }))
}

/// The OpenAPI document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI")))]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(ApiDoc::openapi())
}

/// All kinds of problems.
#[utoipa::path(get, path = "/problems", tag = "operations", responses((status = 200, description = "Kinds of problems")))]
pub(crate) async fn problems() -> Json<Value> {
    Json(Kind::ALL.iter().map(|kind| explain(*kind)).collect())
}

/// One kind of problem, by the last part of its `type`.
#[utoipa::path(get, path = "/problems/{slug}", tag = "operations", params(("slug" = String, Path, description = "The kind")),
    responses((status = 200, description = "What it means"), (status = 404, description = "No such kind")))]
pub(crate) async fn problem(Path(slug): Path<String>) -> Result<Json<Value>, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.facts().1 == slug);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no problem {slug:?}")))?;
    Ok(Json(explain(kind)))
}

fn explain(kind: Kind) -> Value {
    let (status, slug, title, meaning) = kind.facts();
    json!({ "type": format!("/problems/{slug}"), "title": title, "status": status.as_u16(), "meaning": meaning })
}
