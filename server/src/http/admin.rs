//! Jobs on demand: flush, seal, archive, retention, and reading the configuration again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::Hour;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::app::App;
use super::gate::Ready;
use super::instant::rfc3339;
use super::policies::drop_shape;
use super::problem::{ARCHIVE_ADVICE, Kind, Problem};
use super::tiers::ranges;

/// Writes what the head holds to disk as a run, now.
#[utoipa::path(post, path = "/api/v1/admin/flush", tag = "operations", responses(
    (status = 200, description = "What was flushed"), (status = 503, description = "The disk is full")))]
pub(crate) async fn flush(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    let report = parts.compactor.flush_now().await.map_err(failed)?;
    Ok(Json(json!({ "through_epoch": report.through.map(|epoch| epoch.0), "points": report.points })))
}

/// Seals every hour that has points newer than its base, whether due or not.
#[utoipa::path(post, path = "/api/v1/admin/seal", tag = "operations", responses(
    (status = 200, description = "What was sealed, and which hours were set aside with their reasons"),
    (status = 503, description = "The disk is full")))]
pub(crate) async fn seal(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    let report = parts.compactor.seal_now().await.map_err(failed)?;
    Ok(Json(json!({
        "sealed": hours(&report.sealed),
        "points": report.points,
        "series": report.series,
        "bytes": report.bytes,
        "quarantined": failures(&report.quarantined),
    })))
}

/// Commits every sealed hour to Delta that is not there yet.
#[utoipa::path(post, path = "/api/v1/admin/archive", tag = "operations", responses(
    (status = 200, description = "What was archived"),
    (status = 503, description = "The archive cannot be reached; `archived` and `quarantined` say how far it came")))]
pub(crate) async fn archive(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    let report = parts.compactor.archive_now().await.map_err(failed)?;
    let (archived, quarantined) = (hours(&report.archived), failures(&report.quarantined));
    if report.archive_away {
        return Err(Problem::new(Kind::ArchiveUnavailable, ARCHIVE_ADVICE)
            .with_member("archived", archived)
            .with_member("quarantined", quarantined));
    }
    Ok(Json(json!({
        "archived": archived,
        "unchanged": hours(&report.unchanged),
        "rows": report.rows,
        "bytes": report.bytes,
        "quarantined": quarantined,
    })))
}

/// Applies retention now: raises thresholds, and drops what no tier owns any more.
#[utoipa::path(post, path = "/api/v1/admin/retention", tag = "operations", responses(
    (status = 200, description = "What was dropped"),
    (status = 503, description = "The archive cannot be reached; what is local was dropped as far as is allowed")))]
pub(crate) async fn retention(Ready(parts): Ready) -> Result<Json<Value>, Problem> {
    let report = parts.compactor.apply_retention().await.map_err(failed)?;
    Ok(Json(json!({
        "drops": report.drops.iter().map(drop_shape).collect::<Vec<_>>(),
        "families_dropped": report.families_dropped,
        "runs_dropped": report.runs_dropped,
        "series_forgotten": report.series_forgotten,
        "delta_files_removed": report.delta_files_removed,
    })))
}

/// Reads the configuration again; retention takes effect with its next round, controls at once, other keys are named.
#[utoipa::path(post, path = "/-/reload", tag = "operations", responses(
    (status = 200, description = "What changed"), (status = 400, description = "The configuration is wrong; nothing changed")))]
pub(crate) async fn reload(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let (done, outcome) = oneshot::channel();
    let busy = |()| Problem::new(Kind::Overloaded, "a reload is under way");
    app.reloads.try_send(done).map_err(|_| busy(()))?;
    let changes = outcome.await.map_err(|_| busy(()))?.map_err(Problem::bad_request)?;
    let needs_restart: Vec<&str> = changes.iter().filter(|c| !c.applied).map(|c| c.key.as_str()).collect();
    Ok(Json(json!({ "changes": changes, "needs_restart": needs_restart })))
}

fn failed(error: compactor::CompactorError) -> Problem {
    match error {
        compactor::CompactorError::HourBusy(hour) => {
            Problem::new(Kind::Overloaded, format!("hour {hour} is being worked on by another job"))
        }
        other => Problem::failed(&other),
    }
}

fn hours(hours: &[Hour]) -> Value {
    let mut sorted = hours.to_vec();
    sorted.sort_unstable();
    ranges(sorted.into_iter())
}

fn failures(failures: &[compactor::HourFailure]) -> Value {
    failures.iter().map(|f| json!({ "hour": rfc3339(f.hour.start()), "reason": f.reason })).collect()
}
