//! Rules for the intake: what is in force and what came of it, and other rules without a restart.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request};
use serde_json::{Map, Value, json};

use super::app::App;
use super::gate::{Parts, Ready};
use super::media;
use super::problem::{Kind, Problem};
use crate::config::controls::{RuleFault, RuleSpec, Word, from_json, rules};
use crate::controls::{ControlsDesk, Source, Standing};

/// The rules in force, in their order, each with the points that it has spoken of since the start; and what is disabled.
#[utoipa::path(get, path = "/api/v1/controls", tag = "operations", responses(
    (status = 200, description = "`source`: `config`, or `api` if rules were put; `controls`: the rules with `points` by what became of them; `disabled`: selectors of what is not stored; `config`: what `DELETE` would go back to")))]
pub(crate) async fn get(Ready(parts): Ready) -> Json<Value> {
    Json(shape(&parts.controls.standing()))
}

/// Replaces the rules: in force for the next request, and kept over restarts.
#[utoipa::path(put, path = "/api/v1/controls", tag = "operations",
    request_body(content = Value, description = "A list such as `[{\"name\": \"no-debug\", \"match\": \"{__name__=~\\\"debug_.*\\\"}\", \"action\": \"drop\"}]`; instead of `action` (`drop`, `keep`) a rule may have `drop_labels`, `rename_labels` or `keep_one_in`"),
    responses((status = 200, description = "What is in force now, as `GET` tells it"),
        (status = 400, description = "A rule is wrong; `errors` has each that is, with index and name; nothing changed"),
        (status = 503, description = "The disk is full; nothing changed")))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<Value>, Problem> {
    media::require(&headers, &["application/json"])?;
    let body = app.bodies.read(&headers, request.into_body()).await?;
    let (specs, rules) = from_json(&body.bytes)
        .and_then(|specs: Vec<RuleSpec>| rules(&specs).map(|rules| (specs, rules)))
        .map_err(|faults| wrong(&faults))?;
    change(&parts, move |desk| desk.put(specs, rules).map_err(anyhow::Error::from)).await
}

/// Forgets the rules that were put: those of the configuration are in force again.
#[utoipa::path(delete, path = "/api/v1/controls", tag = "operations", responses(
    (status = 200, description = "What is in force now, as `GET` tells it"), (status = 503, description = "The disk is full; nothing changed")))]
pub(crate) async fn delete(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    change(&parts, ControlsDesk::clear).await
}

/// Changes the rules off the async workers: the disk is waited for.
async fn change(
    parts: &Arc<Parts>,
    job: impl FnOnce(&ControlsDesk) -> anyhow::Result<Standing> + Send + 'static,
) -> Result<Json<Value>, Problem> {
    let desk = Arc::clone(&parts.controls);
    let changed = tokio::task::spawn_blocking(move || job(&desk)).await.map_err(|error| Problem::internal(&error))?;
    match changed {
        Ok(standing) => Ok(Json(shape(&standing))),
        Err(error) => Err(not_kept(&error)),
    }
}

fn not_kept(error: &anyhow::Error) -> Problem {
    let full = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull);
    if full {
        tracing::warn!("the rules cannot be kept: the disk of the data directory is full");
        return Problem::new(Kind::NotWritable, hot::Unwritable::DiskFull.to_string());
    }
    Problem::defect(&format_args!("the rules cannot be kept: {error:#}"))
}

fn wrong(faults: &[RuleFault]) -> Problem {
    let detail = match faults {
        [RuleFault { name, what, .. }] if name.is_empty() => what.clone(),
        [fault] => fault.to_string(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        [] => "no rule can be read".to_owned(),
    };
    let error = |fault: &RuleFault| json!({ "index": fault.index, "rule": fault.name, "reason": fault.what });
    Problem::bad_request(detail).with_errors(faults.iter().map(error))
}

fn shape(standing: &Standing) -> Value {
    let source = match standing.source {
        Source::Config => "config",
        Source::Api => "api",
    };
    let controls: Vec<Value> = standing
        .specs
        .iter()
        .zip(&standing.status)
        .map(|(spec, status)| {
            let mut rule = json!(spec);
            let points: Map<String, Value> =
                status.points.iter().map(|(action, n)| ((*action).to_owned(), json!(n))).collect();
            rule["points"] = Value::Object(points);
            if let Some(told) = &status.rename_refused {
                rule["rename_refused"] = json!(told);
            }
            rule
        })
        .collect();
    let disabled = standing.specs.iter().filter(|spec| spec.action == Some(Word::Drop)).map(|spec| &spec.selector);
    json!({
        "source": source,
        "controls": controls,
        "disabled": disabled.collect::<Vec<_>>(),
        "config": standing.config,
    })
}
