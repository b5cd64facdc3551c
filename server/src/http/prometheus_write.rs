//! Prometheus' ways to push: remote write 1.0 and 2.0, and text exposition.
//!
//! content type ─▶ [`Version`] ─▶ ingest ─▶ 204, or 400 with the good samples kept; to 2.0, how much was written
//!
//! Remote write's answers are plain text, as Prometheus logs their first line; it drops a request for any 4xx and
//! repeats it for any 5xx, so pressure is 503 and bad samples are 400 with the good ones kept.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ingest::decode::prom_text::Dialect;
use ingest::{ContentEncoding, Format, IngestOutcome};
use serde_json::json;

use super::app::App;
use super::gate::Ready;
use super::ingest_answer::{encoding, errors, reason, take};
use super::media;
use super::problem::{Kind, Problem};

/// Prometheus remote write 1.0 and 2.0.
#[utoipa::path(post, path = "/api/v1/write", tag = "push",
    request_body(content = Vec<u8>, content_type = "application/x-protobuf", description = "`prometheus.WriteRequest`, or by `proto=io.prometheus.write.v2.Request` that; snappy block format"),
    responses((status = 204, description = "All samples are durable; to 2.0, `X-Prometheus-Remote-Write-Samples-Written`, `-Histograms-Written` and `-Exemplars-Written` say how many"), (status = 400, description = "Some samples were refused, the others are kept; or the body is damaged"),
        (status = 415, description = "Not remote write, or not in snappy"), (status = 503, description = "Busy; nothing was taken")))]
pub(crate) async fn remote_write(
    State(app): State<Arc<App>>,
    ready: Result<Ready, Problem>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let version = match Version::of(&headers) {
        Ok(version) => version,
        Err(problem) => return as_text(&problem),
    };
    let outcome = async {
        let Ready(parts) = ready?;
        take(&app, &parts, version.format(), ContentEncoding::Snappy, &headers, request.into_body()).await
    };
    let (mut response, written) = match outcome.await {
        // What a rule leaves out counts as written: a sender that reads of nothing written takes it for a failure.
        Ok(outcome) => {
            let samples = outcome.taken().saturating_sub(outcome.histograms);
            (told(&outcome).into_response(), (samples, outcome.histograms))
        }
        Err(problem) => (as_text(&problem), (0, 0)),
    };
    if version == Version::Two {
        // Exemplars are counted, and not kept.
        for (name, count) in WRITTEN.into_iter().zip([written.0, written.1, 0]) {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

/// How many samples, histograms and exemplars were written.
const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// The version of the protocol that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Checks what the request says it is, before anything is decoded.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let refuse = |what: String| Err(Problem::new(Kind::UnsupportedMediaType, what));
        let kind = media::text(headers, &header::CONTENT_TYPE).unwrap_or("");
        let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
        if parts.next().as_deref() != Some("application/x-protobuf") {
            return refuse(format!("content type {kind:?} is not application/x-protobuf"));
        }
        let version = match parts.find_map(|part| part.strip_prefix("proto=").map(str::to_owned)).as_deref() {
            None | Some("prometheus.writerequest") => Self::One,
            Some("io.prometheus.write.v2.request") => Self::Two,
            Some(_) => {
                let known = "prometheus.WriteRequest nor io.prometheus.write.v2.Request";
                return refuse(format!("{kind:?} is neither {known}, the messages of remote write 1.0 and 2.0"));
            }
        };
        match media::text(headers, &header::CONTENT_ENCODING).map(str::trim) {
            None | Some("" | "snappy") => Ok(version),
            Some(other) => refuse(format!("content encoding {other:?} is not snappy")),
        }
    }

    fn format(self) -> Format {
        match self {
            Self::One => Format::RemoteWrite,
            Self::Two => Format::RemoteWriteV2,
        }
    }
}

fn told(outcome: &IngestOutcome) -> (StatusCode, String) {
    if outcome.rejections.is_empty() {
        return (StatusCode::NO_CONTENT, String::new());
    }
    let first: Vec<String> =
        outcome.rejections.first().iter().map(|r| format!("series {}: {}", r.index, reason(r))).collect();
    let of = samples(outcome.rejected() + outcome.taken());
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
    use super::*;

    fn check(kind: &'static str, encoding: Option<&'static str>) -> Result<Version, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Version::of(&headers)
    }

    #[test]
    fn one_sample_is_told_of_as_one() {
        assert_eq!(were_refused(1), "1 sample was refused");
        assert_eq!(were_refused(2), "2 samples were refused");
    }

    #[test]
    fn both_versions_of_remote_write_are_read_and_nothing_else() {
        for (kind, version) in [
            ("application/x-protobuf", Version::One),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Version::One),
            ("Application/X-Protobuf; proto=io.prometheus.write.v2.Request", Version::Two),
        ] {
            assert_eq!(check(kind, Some("snappy")).expect("read"), version);
            assert_eq!(check(kind, None).expect("read"), version);
        }
        for (kind, encoding) in [
            ("application/x-protobuf;proto=io.prometheus.write.v3.Request", Some("snappy")),
            ("application/json", None),
            ("application/x-protobuf", Some("zstd")),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Some("gzip")),
        ] {
            let problem = check(kind, encoding).expect_err(kind);
            assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }
}
