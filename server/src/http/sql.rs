//! SQL over HTTP: `POST /api/v1/sql`, read-only.
//!
//! body (JSON or text) ─▶ `query::Engine::sql` ─▶ record batches ─▶ [`encode`] by `Accept` ─▶ chunks of the answer
//!
//! The first batch is waited for before the status is sent, so an error in planning or at the start of the scan is a
//! problem with its status. An error later breaks the stream off, so that a client cannot take a part for the whole.

mod encode;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use query::QueryError;
use serde::Deserialize;
use utoipa::ToSchema;

use self::encode::{Encoder, Encoding};
use super::app::App;
use super::gate::Ready;
use super::media;
use super::metrics_read::query_problem;
use super::problem::Problem;
use super::provenance;

/// A query in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlRequest {
    /// One SELECT, or EXPLAIN.
    #[schema(example = "SELECT metric, count(*) FROM samples WHERE ts > now() - interval '1 hour' GROUP BY metric")]
    query: String,
}

/// Runs one query and streams its rows.
#[utoipa::path(post, path = "/api/v1/sql", tag = "sql",
    request_body(content = SqlRequest, description = "JSON, or the query itself as `text/plain` or `application/sql`"),
    responses((status = 200, description = "Rows, by `Accept`: application/json (an array of objects), application/x-ndjson, text/csv, application/vnd.apache.arrow.stream"),
        (status = 400, description = "The query is wrong"),
        (status = 406, description = "None of the media types can be produced"),
        (status = 422, description = "More than the limits allow")))]
pub(crate) async fn sql(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let kind = media::require(&headers, &["application/json", "text/plain", "application/sql", media::CURL_DEFAULT])?;
    let wanted = media::accept(&headers, &Encoding::MEDIA_TYPES)?;
    let body = app.bodies.read(&headers, request.into_body()).await?;
    let query = query_text(kind.as_deref(), &body.bytes)?;
    let answer = Box::pin(parts.engine.sql(&query)).await.map_err(query_problem)?;
    let encoding = Encoding::of(wanted);
    let encoder = Encoder::new(encoding, &answer.schema).map_err(|e| Problem::internal(&e))?;
    let planned = answer.provenance.planned();
    let mut rows = answer.stream;
    let first = rows.next().await.transpose().map_err(|e| query_problem(QueryError::from(e)))?;
    let chunks = chunks(encoder, first, rows.map(|batch| batch.map_err(|e| QueryError::from(e).to_string())));
    let mut response = Body::from_stream(chunks).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    provenance::add_planned_headers(response.headers_mut(), &planned);
    Ok(response)
}

/// JSON if it says so or looks so, else the query itself.
fn query_text(kind: Option<&str>, body: &[u8]) -> Result<String, Problem> {
    let json = match kind {
        Some(kind) if kind != media::CURL_DEFAULT => kind == "application/json",
        Some(_) | None => body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{'),
    };
    if json {
        let request: SqlRequest =
            serde_json::from_slice(body).map_err(|e| Problem::bad_request(format!("body: {e}")))?;
        return Ok(request.query);
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the query is not UTF-8"))?;
    Ok(text.to_owned())
}

enum Step<R> {
    Batch(RecordBatch, Encoder, R),
    Rows(Encoder, R),
    Done,
}

/// The encoded answer, piece by piece.
fn chunks<R>(encoder: Encoder, first: Option<RecordBatch>, rows: R) -> impl Stream<Item = Result<Bytes, String>> + Send
where
    R: Stream<Item = Result<RecordBatch, String>> + Send + Unpin,
{
    let begin = match first {
        Some(batch) => Step::Batch(batch, encoder, rows),
        None => Step::Rows(encoder, rows),
    };
    stream::try_unfold(begin, |step| async move {
        let (batch, mut encoder, rows) = match step {
            Step::Batch(batch, encoder, rows) => (Some(batch), encoder, rows),
            Step::Rows(encoder, mut rows) => {
                let batch = rows.next().await.transpose().inspect_err(|error| {
                    tracing::warn!(error, "a query failed after its first rows were sent");
                })?;
                (batch, encoder, rows)
            }
            Step::Done => return Ok(None),
        };
        match batch {
            Some(batch) => {
                let bytes = encoder.batch(&batch).map_err(|e| e.to_string())?;
                Ok(Some((bytes, Step::Rows(encoder, rows))))
            }
            None => {
                let bytes = encoder.finish().map_err(|e| e.to_string())?;
                Ok(Some((bytes, Step::Done)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_comes_as_json_or_as_text() {
        let text = |kind, body: &str| query_text(kind, body.as_bytes());
        assert_eq!(text(Some("application/json"), r#"{"query":"SELECT 1"}"#).expect("json"), "SELECT 1");
        assert_eq!(text(None, r#" {"query":"SELECT 1"}"#).expect("json"), "SELECT 1");
        assert_eq!(text(Some("text/plain"), "SELECT 1").expect("text"), "SELECT 1");
        assert!(text(Some("application/json"), "SELECT 1").is_err());
        assert!(text(None, r#"{"sql":"SELECT 1"}"#).is_err());
    }
}
