//! `POST /api/metrics`: points as JSON, in every shape that senders use.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use ingest::decode::json::Framing;
use ingest::{Format, IngestOutcome};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::app::App;
use super::gate::Ready;
use super::ingest_answer::{encoding, errors, take};
use super::media;
use super::problem::Problem;

const JSON: &str = "application/json";
const NDJSON: [&str; 4] =
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// `accepted`: durable and queryable.
    status: &'static str,
    batch_id: String,
    /// Points taken.
    accepted: u64,
    /// Points refused.
    rejected: u64,
    /// Points that rules of `controls` keep out: `GET /api/v1/controls`.
    #[serde(skip_serializing_if = "is_zero")]
    disabled: u64,
    /// The first refusals: index of the point, and the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
}

/// Takes points: an object with `metrics`, an array of them, NDJSON, or flat points.
#[utoipa::path(post, path = "/api/metrics", tag = "push",
    request_body(content = Value, description = "`{\"server_id\", \"timestamp\", \"metrics\": [{\"name\", \"value\", \"unit\"}], \"tags\": {}}`, an array or NDJSON of these, or flat points `{\"metric_name\", \"value\", \"timestamp\", \"labels\", \"source\"}`. `Content-Encoding: gzip` or `zstd`."),
    responses((status = 202, description = "Good points are durable and queryable", body = Accepted),
        (status = 400, description = "Nothing good in it"), (status = 413, description = "Too large"),
        (status = 415, description = "Not JSON"), (status = 503, description = "Busy; nothing was taken")))]
pub(crate) async fn push(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let known: Vec<&str> = std::iter::once(JSON).chain(NDJSON).collect();
    let kind = media::require(&headers, &known)?;
    let lines = kind.is_some_and(|kind| NDJSON.contains(&kind.as_str()));
    let framing = if lines { Framing::Lines } else { Framing::Any };
    let outcome = take(&app, &parts, Format::Json(framing), encoding(&headers)?, &headers, request.into_body()).await?;
    Ok(answer(&outcome))
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn answer(outcome: &IngestOutcome) -> Response {
    let errors: Vec<Value> = errors(outcome).collect();
    // What a rule keeps out was good.
    if outcome.accepted == 0 && outcome.disabled == 0 {
        let detail = match outcome.rejected() {
            0 => "the batch holds no points".to_owned(),
            n => format!("no point of the batch was good: {n} refused"),
        };
        return Problem::bad_request(detail)
            .with_errors(errors)
            .with_member("batch_id", json!(outcome.batch_id))
            .with_member("accepted", json!(0))
            .with_member("rejected", json!(outcome.rejected()))
            .into_response();
    }
    let shape = Accepted {
        status: "accepted",
        batch_id: outcome.batch_id.clone(),
        accepted: outcome.accepted,
        rejected: outcome.rejected(),
        disabled: outcome.disabled,
        errors,
    };
    (StatusCode::ACCEPTED, Json(shape)).into_response()
}
