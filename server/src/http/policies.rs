//! Retention: what holds now, and what a change would cost, before it is made.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request};
use schemas::Retention;
use serde_json::{Map, Value, json};

use super::app::App;
use super::gate::Ready;
use super::instant::rfc3339;
use super::media;
use super::problem::Problem;
use crate::config::entries::retention_rows;
use crate::config::retention_of_json;

/// The durations in force.
#[utoipa::path(get, path = "/api/v1/policies", tag = "operations", responses((status = 200, description = "Retention by tier")))]
pub(crate) async fn get(Ready(parts): Ready) -> Json<Value> {
    let mut policy = Map::from_iter([
        ("name".to_owned(), json!("default")),
        ("match".to_owned(), json!("{}")),
        ("priority".to_owned(), json!(0)),
    ]);
    policy.extend(durations(&parts.compactor.retention()));
    Json(json!([policy]))
}

fn durations(retention: &Retention) -> Map<String, Value> {
    retention_rows(retention).into_iter().map(|(key, kept)| (key.to_owned(), json!(kept.to_string()))).collect()
}

/// A dry run: what would go under the durations in the body (those not named stay as they are), and when.
#[utoipa::path(post, path = "/api/v1/policies/plan", tag = "operations",
    request_body(content = Value, description = "For example `{\"hot.raw\": \"3d\"}`; empty for the durations in force"),
    responses((status = 200, description = "`at`: when retention is applied next; `drops`: series, points and bytes that would go then, by tier"),
        (status = 400, description = "A duration is wrong"),
        (status = 503, description = "The archive cannot be reached")))]
pub(crate) async fn plan(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<Value>, Problem> {
    media::require(&headers, &["application/json"])?;
    let body = app.bodies.read(&headers, request.into_body()).await?;
    let retention = retention_of_json(&body.bytes, parts.compactor.retention()).map_err(Problem::bad_request)?;
    let plan = parts.compactor.plan_retention(&retention).await.map_err(|e| Problem::failed(&e))?;
    let drops: Vec<Value> = plan.drops.iter().map(drop_shape).collect();
    let at = rfc3339(parts.compactor.next_retention());
    Ok(Json(json!({ "retention": durations(&retention), "at": at, "drops": drops })))
}

/// One thing that retention would do, or did.
pub(super) fn drop_shape(drop: &compactor::PlannedDrop) -> Value {
    let (tier, what) = match drop.place {
        compactor::DropPlace::Local { form, resolution } => {
            let tier = if resolution == schemas::Resolution::Raw { "hot" } else { "warm" };
            (tier, format!("{resolution} of form {}", form.as_str()))
        }
        compactor::DropPlace::Cold { table } => ("cold", table.as_str().to_owned()),
    };
    json!({
        "tier": tier,
        "what": what,
        "class": drop.class.name(),
        "keep": drop.keep.to_string(),
        "before": rfc3339(drop.before.start()),
        "wanted_before": rfc3339(drop.wanted.start()),
        "series": drop.series,
        "points": drop.points,
        "bytes": drop.bytes,
        "held_back": drop.held_back,
    })
}
