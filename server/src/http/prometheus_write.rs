//! Prometheus' ways to push: remote write 1.0, and text exposition.
//!
//! Remote write's answers are plain text, as Prometheus logs their first line; it drops a request for any 4xx and
//! repeats it for any 5xx, so pressure is 503 and bad samples are 400 with the good ones kept.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ingest::decode::prom_text::Dialect;
use ingest::{ContentEncoding, Format, IngestOutcome};
use serde_json::json;

use super::app::App;
use super::gate::Ready;
use super::ingest_answer::{encoding, errors, reason, take};
use super::media;
use super::problem::{Kind, Problem};

/// Prometheus remote write 1.0.
#[utoipa::path(post, path = "/api/v1/write", tag = "push",
    request_body(content = Vec<u8>, content_type = "application/x-protobuf", description = "`prometheus.WriteRequest`, snappy block format"),
    responses((status = 204, description = "All samples are durable"), (status = 400, description = "Some samples were refused, the others are kept; or the body is damaged"),
        (status = 415, description = "Not remote write 1.0"), (status = 503, description = "Busy; nothing was taken")))]
pub(crate) async fn remote_write(
    State(app): State<Arc<App>>,
    ready: Result<Ready, Problem>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let outcome = async {
        let Ready(parts) = ready?;
        let encoding = remote_write_encoding(&headers)?;
        take(&app, &parts, Format::RemoteWrite, encoding, &headers, request.into_body()).await
    };
    match outcome.await {
        Ok(outcome) => told(&outcome).into_response(),
        Err(problem) => as_text(&problem),
    }
}

/// Checks what the request says it is, before anything is decoded.
fn remote_write_encoding(headers: &HeaderMap) -> Result<ContentEncoding, Problem> {
    let refuse = |what: String| Err(Problem::new(Kind::UnsupportedMediaType, what));
    let kind = media::text(headers, &header::CONTENT_TYPE).unwrap_or("");
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    if parts.next().as_deref() != Some("application/x-protobuf") {
        return refuse(format!("content type {kind:?} is not application/x-protobuf"));
    }
    if parts.any(|part| part.starts_with("proto=") && part != "proto=prometheus.writerequest") {
        return refuse(format!("{kind:?} is not prometheus.WriteRequest, the message of remote write 1.0"));
    }
    match media::text(headers, &header::CONTENT_ENCODING).map(str::trim) {
        None | Some("" | "snappy") => Ok(ContentEncoding::Snappy),
        Some(other) => refuse(format!("content encoding {other:?} is not snappy")),
    }
}

fn told(outcome: &IngestOutcome) -> (StatusCode, String) {
    if outcome.rejections.is_empty() {
        return (StatusCode::NO_CONTENT, String::new());
    }
    let first: Vec<String> =
        outcome.rejections.first().iter().map(|r| format!("series {}: {}", r.index, reason(r))).collect();
    let of = samples(outcome.rejected() + outcome.accepted + outcome.disabled);
    (StatusCode::BAD_REQUEST, format!("{} of {of} refused: {}\n", outcome.rejected(), first.join("; ")))
}

fn were_refused(count: u64) -> String {
    format!("{} {} refused", samples(count), if count == 1 { "was" } else { "were" })
}

/// So many samples, in words.
fn samples(count: u64) -> String {
    format!("{count} {}", if count == 1 { "sample" } else { "samples" })
}

fn as_text(problem: &Problem) -> Response {
    let mut response = (problem.status(), format!("{}\n", problem.detail)).into_response();
    if let Some(wait) = problem.retry_after_header() {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// Prometheus text or OpenMetrics, as a scrape would read it.
#[utoipa::path(post, path = "/api/v1/import/prometheus", tag = "push",
    request_body(content = String, content_type = "text/plain", description = "Prometheus text or, by content type, OpenMetrics"),
    responses((status = 204, description = "All samples are durable"),
        (status = 400, description = "Some lines were refused, the others are kept; `errors` has their numbers"),
        (status = 415, description = "Not text"), (status = 503, description = "Busy; nothing was taken")))]
pub(crate) async fn import_text(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let known = ["text/plain", "application/openmetrics-text", media::CURL_DEFAULT];
    let dialect = match media::require(&headers, &known)?.as_deref() {
        Some("application/openmetrics-text") => Dialect::OpenMetrics,
        Some(_) | None => Dialect::Detect,
    };
    let body = request.into_body();
    let outcome = take(&app, &parts, Format::PromText(dialect), encoding(&headers)?, &headers, body).await?;
    if outcome.rejections.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let problem = Problem::bad_request(were_refused(outcome.rejected()))
        .with_errors(errors(&outcome))
        .with_member("accepted", json!(outcome.accepted))
        .with_member("rejected", json!(outcome.rejected()));
    Err(problem)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(kind: &'static str, encoding: Option<&'static str>) -> Result<ContentEncoding, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        remote_write_encoding(&headers)
    }

    #[test]
    fn one_sample_is_told_of_as_one() {
        assert_eq!(were_refused(1), "1 sample was refused");
        assert_eq!(were_refused(2), "2 samples were refused");
    }

    #[test]
    fn only_remote_write_one_is_read() {
        assert!(check("application/x-protobuf", Some("snappy")).is_ok());
        assert!(check("application/x-protobuf;proto=prometheus.WriteRequest", None).is_ok());
        for (kind, encoding) in [
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Some("snappy")),
            ("application/json", None),
            ("application/x-protobuf", Some("zstd")),
        ] {
            let problem = check(kind, encoding).expect_err(kind);
            assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }
}
