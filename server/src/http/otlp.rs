//! OpenTelemetry's way to push: OTLP over HTTP, in protobuf or JSON.
//!
//! headers ─▶ [`Language`] ─▶ ingest ─▶ `ExportMetricsServiceResponse`, or `google.rpc.Status`, in the language of the request
//!
//! Refused data points are a partial success (200) with their number: clients must not send them again. Pressure is 503 with
//! `Retry-After`, which they repeat; any other error they drop.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ingest::decode::otlp::Encoding;
use ingest::{Format, IngestOutcome};
use serde_json::{Value, json};

use super::app::App;
use super::gate::Ready;
use super::ingest_answer::{encoding, reason, take};
use super::media;
use super::problem::{Kind, Problem};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// OpenTelemetry metrics: OTLP over HTTP.
#[utoipa::path(post, path = "/v1/metrics", tag = "push",
    request_body(description = "`opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`, in protobuf or in OTLP's JSON",
        content((Vec<u8> = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses((status = 200, description = "`ExportMetricsServiceResponse`: all data points are durable but those that `partialSuccess` counts"),
        (status = 400, description = "The body is damaged"), (status = 415, description = "Neither protobuf nor JSON"),
        (status = 503, description = "Busy; nothing was taken")))]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    ready: Result<Ready, Problem>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let language = match Language::of(&headers) {
        Ok(language) => language,
        Err(problem) => return Language::Json.status(&problem),
    };
    let outcome = async {
        let Ready(parts) = ready?;
        let format = Format::Otlp(match language {
            Language::Protobuf => Encoding::Protobuf,
            Language::Json => Encoding::Json,
        });
        take(&app, &parts, format, encoding(&headers)?, &headers, request.into_body()).await
    };
    match outcome.await {
        Ok(outcome) => language.success(&outcome),
        Err(problem) => language.status(&problem),
    }
}

/// In which a request and its answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Protobuf,
    Json,
}

impl Language {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match media::content_type(headers).as_deref() {
            Some(PROTOBUF) => Ok(Self::Protobuf),
            Some(JSON) => Ok(Self::Json),
            given => {
                let given = given.unwrap_or("");
                let detail = format!("content type {given:?} is neither {PROTOBUF} nor {JSON}");
                Err(Problem::new(Kind::UnsupportedMediaType, detail))
            }
        }
    }

    /// `ExportMetricsServiceResponse`.
    fn success(self, outcome: &IngestOutcome) -> Response {
        let refused = outcome.rejections.items();
        let told: Vec<String> = (outcome.rejections.first().iter())
            .map(|rejected| format!("data point {}: {}", rejected.index, reason(rejected)))
            .collect();
        let told = told.join("; ");
        match self {
            _ if refused == 0 => self.answer(StatusCode::OK, Vec::new(), &json!({})),
            Self::Protobuf => {
                let mut partial = Vec::new();
                wire::number(&mut partial, 1, refused);
                wire::bytes(&mut partial, 2, told.as_bytes());
                let mut message = Vec::new();
                wire::bytes(&mut message, 1, &partial);
                self.answer(StatusCode::OK, message, &Value::Null)
            }
            Self::Json => {
                // Whole numbers of 64 bits are text in protobuf's JSON.
                let partial = json!({ "rejectedDataPoints": refused.to_string(), "errorMessage": told });
                self.answer(StatusCode::OK, Vec::new(), &json!({ "partialSuccess": partial }))
            }
        }
    }

    /// `google.rpc.Status`.
    fn status(self, problem: &Problem) -> Response {
        let code = code(problem.kind);
        let mut message = Vec::new();
        wire::number(&mut message, 1, code);
        wire::bytes(&mut message, 2, problem.detail.as_bytes());
        let mut response = self.answer(problem.status(), message, &json!({ "code": code, "message": problem.detail }));
        if let Some(wait) = problem.retry_after_header() {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }

    fn answer(self, status: StatusCode, protobuf: Vec<u8>, json: &Value) -> Response {
        match self {
            Self::Protobuf => (status, [(header::CONTENT_TYPE, PROTOBUF)], protobuf).into_response(),
            Self::Json => (status, [(header::CONTENT_TYPE, JSON)], json.to_string()).into_response(),
        }
    }
}

/// The code of `google.rpc.Code` for a kind of problem.
fn code(kind: Kind) -> u64 {
    const INVALID_ARGUMENT: u64 = 3;
    const DEADLINE_EXCEEDED: u64 = 4;
    const NOT_FOUND: u64 = 5;
    const INTERNAL: u64 = 13;
    const UNAVAILABLE: u64 = 14;
    match kind.facts().0 {
        StatusCode::REQUEST_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::NOT_FOUND => NOT_FOUND,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        status if status.is_client_error() => INVALID_ARGUMENT,
        _ => INTERNAL,
    }
}

/// As much of protobuf as an answer needs.
mod wire {
    fn varint(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        out.push(number.to_le_bytes()[0]);
    }

    pub(super) fn number(out: &mut Vec<u8>, field: u64, number: u64) {
        varint(out, field << 3);
        varint(out, number);
    }

    pub(super) fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
        varint(out, field << 3 | 2);
        varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn language(kind: &'static str) -> Result<Language, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Language::of(&headers)
    }

    #[test]
    fn protobuf_and_json_are_spoken_and_nothing_else() {
        assert_eq!(language("application/x-protobuf").expect("spoken"), Language::Protobuf);
        assert_eq!(language("application/json; charset=utf-8").expect("spoken"), Language::Json);
        assert_eq!(language("text/plain").expect_err("refused").status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(Language::of(&HeaderMap::new()).is_err());
    }

    #[tokio::test]
    async fn an_error_is_a_status_in_the_language_of_the_request() {
        let problem = Problem::new(Kind::Overloaded, "busy");
        for (language, kind, body) in [
            (Language::Protobuf, PROTOBUF, &b"\x08\x0e\x12\x04busy"[..]),
            (Language::Json, JSON, br#"{"code":14,"message":"busy"}"#),
        ] {
            let response = language.status(&problem);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(
                (&response.headers()[header::CONTENT_TYPE], &response.headers()[header::RETRY_AFTER]),
                (&HeaderValue::from_static(kind), &HeaderValue::from_static("1"))
            );
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.expect("memory");
            assert_eq!(bytes, body);
        }
    }
}
