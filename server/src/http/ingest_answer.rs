//! From a pushed body to what became of it, for every push protocol alike.
//!
//! body ─▶ [`super::body`] ─▶ ingest pool: decompress, decode, append ─▶ [`IngestOutcome`] or [`Problem`]
//!
//! How an outcome is said is each protocol's own: its handler file renders it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use ingest::{BodyError, ContentEncoding, DecodeError, Format, IngestOutcome, IntakeError, Rejected, SinkError};
use serde_json::{Value, json};

use super::app::App;
use super::gate::Parts;
use super::media;
use super::problem::{Kind, Problem};

/// The content encoding that the headers name.
pub(super) fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Problem> {
    ContentEncoding::parse(media::text(headers, &header::CONTENT_ENCODING)).map_err(body_problem)
}

/// Reads a body and takes its points. On a problem nothing of it was taken.
pub(super) async fn take(
    app: &App,
    parts: &Parts,
    format: Format,
    encoding: ContentEncoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<IngestOutcome, Problem> {
    let held = app.bodies.read(headers, body).await?;
    let intake = Arc::clone(&parts.intake);
    let job = move || intake.ingest(format, encoding, &held.bytes);
    match parts.ingest_pool.try_run(job).await {
        Ok(outcome) => outcome.map_err(problem),
        Err(runtime::cpu_pool::Busy) => Err(Problem::new(Kind::Overloaded, "all ingest workers are busy")),
    }
}

/// The first refusals, by index.
pub(super) fn errors(outcome: &IngestOutcome) -> impl Iterator<Item = Value> {
    outcome.rejections.first().iter().map(|rejected| json!({ "index": rejected.index, "reason": reason(rejected) }))
}

/// Why an item was refused.
pub(super) fn reason(rejected: &Rejected) -> String {
    rejected.reason.to_string()
}

fn problem(error: IntakeError) -> Problem {
    match error {
        IntakeError::Body(error) => body_problem(error),
        IntakeError::Decode(error @ DecodeError::Malformed { .. }) => Problem::bad_request(error.to_string()),
        IntakeError::Decode(error @ DecodeError::TooManyPoints { .. }) => {
            Problem::new(Kind::TooLarge, error.to_string())
        }
        IntakeError::Sink(SinkError::Busy { why, retry_after }) => {
            Problem::new(Kind::Overloaded, format!("{why}; nothing was taken")).retry_after(retry_after)
        }
        IntakeError::Sink(SinkError::Unwritable { why, retry_after }) => {
            Problem::new(Kind::NotWritable, format!("{why}; nothing was taken")).retry_after(retry_after)
        }
    }
}

fn body_problem(error: BodyError) -> Problem {
    let kind = match error {
        BodyError::UnknownEncoding(_) => Kind::UnsupportedMediaType,
        BodyError::TooLarge { .. } => Kind::TooLarge,
        BodyError::Damaged { .. } => Kind::BadRequest,
    };
    Problem::new(kind, error.to_string())
}
