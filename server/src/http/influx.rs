//! InfluxDB's write API in its three versions, and the little around it that clients ask for first.
//!
//! Errors are InfluxDB's: `{"error": …}` for version 1, `{"code": …, "message": …}` for 2 and 3. Bad lines are 400 with
//! the good ones kept, never 5xx, which Telegraf would repeat for ever.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ingest::decode::line_protocol::Precision;
use ingest::{Format, IngestOutcome};
use serde_json::{Value, json};

use super::app::App;
use super::gate::Ready;
use super::ingest_answer::{encoding, reason, take};
use super::params::Params;
use super::problem::{Kind, Problem};

/// The version that clients are told: the last whose write API this is.
const COMPATIBLE_VERSION: &str = "1.8.10";
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-influxdb-version");

/// A version of the write API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    V1,
    V2,
    V3,
}

/// InfluxDB line protocol, version 1: `/write?db=…&precision=…`.
#[utoipa::path(post, path = "/write", tag = "push",
    params(("db" = Option<String>, Query, description = "Ignored"), ("precision" = Option<String>, Query, description = "`n`, `u`, `ms`, `s`, `m`, `h`")),
    request_body(content = String, content_type = "text/plain", description = "Line protocol"),
    responses((status = 204, description = "All lines are durable"), (status = 400, description = "Some lines were refused, the others are kept")))]
pub(crate) async fn write_v1(
    state: State<Arc<App>>,
    ready: Result<Ready, Problem>,
    query: RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    write(Api::V1, state, ready, query, headers, request).await
}

/// InfluxDB line protocol, version 2: `/api/v2/write?bucket=…&precision=…`.
#[utoipa::path(post, path = "/api/v2/write", tag = "push",
    params(("bucket" = Option<String>, Query, description = "Ignored"), ("precision" = Option<String>, Query, description = "`ns`, `us`, `ms`, `s`")),
    request_body(content = String, content_type = "text/plain", description = "Line protocol"),
    responses((status = 204, description = "All lines are durable"), (status = 400, description = "Some lines were refused, the others are kept")))]
pub(crate) async fn write_v2(
    state: State<Arc<App>>,
    ready: Result<Ready, Problem>,
    query: RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    write(Api::V2, state, ready, query, headers, request).await
}

/// InfluxDB line protocol, version 3: `/api/v3/write_lp?db=…&precision=…`.
#[utoipa::path(post, path = "/api/v3/write_lp", tag = "push",
    params(("db" = Option<String>, Query, description = "Ignored"), ("precision" = Option<String>, Query, description = "`auto`, `nanosecond`, `microsecond`, `millisecond`, `second`")),
    request_body(content = String, content_type = "text/plain", description = "Line protocol"),
    responses((status = 204, description = "All lines are durable"), (status = 400, description = "Some lines were refused, the others are kept")))]
pub(crate) async fn write_v3(
    state: State<Arc<App>>,
    ready: Result<Ready, Problem>,
    query: RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    write(Api::V3, state, ready, query, headers, request).await
}

async fn write(
    api: Api,
    State(app): State<Arc<App>>,
    ready: Result<Ready, Problem>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let outcome = async {
        let Ready(parts) = ready?;
        let format = Format::LineProtocol(precision(api, &Params::parse_any(raw.as_deref()))?);
        take(&app, &parts, format, encoding(&headers)?, &headers, request.into_body()).await
    };
    let response = match outcome.await {
        Ok(outcome) if outcome.rejections.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(outcome) => (StatusCode::BAD_REQUEST, Json(partial(api, &outcome))).into_response(),
        Err(problem) => as_influx(api, &problem),
    };
    with_version(response)
}

fn precision(api: Api, params: &Params) -> Result<Precision, Problem> {
    if params.get("accept_partial") == Some("false") {
        return Err(Problem::bad_request("accept_partial=false is not supported: good lines are always kept"));
    }
    match params.get("precision") {
        None if api == Api::V3 => Ok(Precision::Auto),
        None => Ok(Precision::Nanosecond),
        Some(word) => Precision::parse(word)
            .ok_or_else(|| Problem::bad_request(format!("invalid precision {word:?}: use ns, us, ms or s"))),
    }
}

/// Some lines were refused; the others are durable.
fn partial(api: Api, outcome: &IngestOutcome) -> Value {
    let lines: Vec<String> =
        outcome.rejections.first().iter().map(|r| format!("line {}: {}", r.index, reason(r))).collect();
    let lines = lines.join("; ");
    match api {
        Api::V1 => json!({ "error": format!("partial write: {lines} dropped={}", outcome.rejected()) }),
        Api::V2 | Api::V3 => json!({ "code": "invalid", "message": lines }),
    }
}

fn as_influx(api: Api, problem: &Problem) -> Response {
    let code = match problem.kind {
        Kind::TooLarge => "request too large",
        Kind::Overloaded | Kind::Starting | Kind::QueryTimeout | Kind::NotWritable | Kind::ArchiveUnavailable => {
            "unavailable"
        }
        Kind::Internal => "internal error",
        Kind::NotFound => "not found",
        Kind::MethodNotAllowed => "method not allowed",
        Kind::UnsupportedMediaType => "unsupported media type",
        Kind::BadRequest | Kind::NotAcceptable | Kind::RequestTimeout | Kind::NotPossible => "invalid",
    };
    let body = match api {
        Api::V1 => json!({ "error": problem.detail }),
        Api::V2 | Api::V3 => json!({ "code": code, "message": problem.detail }),
    };
    let mut response = (problem.status(), Json(body)).into_response();
    if let Some(wait) = problem.retry_after_header() {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// Clients ask whether somebody is there, and which version.
#[utoipa::path(get, path = "/ping", tag = "push", responses((status = 204, description = "Somebody is there")))]
pub(crate) async fn ping(RawQuery(raw): RawQuery) -> Response {
    let verbose = Params::parse_any(raw.as_deref()).get("verbose").is_some_and(|word| word != "false" && word != "0");
    let response = if verbose {
        Json(json!({ "version": COMPATIBLE_VERSION })).into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    with_version(response)
}

/// Telegraf creates its database first. There are none here, and that is told politely.
#[utoipa::path(post, path = "/query", tag = "push", params(("q" = String, Query, description = "`CREATE DATABASE …` or `SHOW DATABASES`")),
    responses((status = 200, description = "Done, in InfluxDB's words"), (status = 400, description = "Any other statement")))]
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    method: Method,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let mut statement = Params::parse_any(raw.as_deref()).get("q").map(str::to_owned);
    if statement.is_none() && method == Method::POST {
        match app.bodies.read(&headers, request.into_body()).await {
            Ok(form) => {
                let form = String::from_utf8_lossy(&form.bytes);
                statement = Params::parse_any(Some(&form)).get("q").map(str::to_owned);
            }
            Err(problem) => return with_version(as_influx(Api::V1, &problem)),
        }
    }
    with_version(execute(statement.as_deref().unwrap_or("")))
}

fn execute(statement: &str) -> Response {
    let words: Vec<String> = statement.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["CREATE", "DATABASE"] => Json(json!({ "results": [{ "statement_id": 0 }] })).into_response(),
        ["SHOW", "DATABASES"] => {
            let series = json!({ "name": "databases", "columns": ["name"], "values": [["thermocline"]] });
            Json(json!({ "results": [{ "statement_id": 0, "series": [series] }] })).into_response()
        }
        _ => {
            let message = "InfluxQL is not spoken here beyond CREATE DATABASE and SHOW DATABASES: use GET /api/metrics \
                           or POST /api/v1/sql";
            (StatusCode::BAD_REQUEST, Json(json!({ "error": message }))).into_response()
        }
    }
}

fn with_version(mut response: Response) -> Response {
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(COMPATIBLE_VERSION));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_default_precision() {
        let of = |api, query: &str| precision(api, &Params::parse_any(Some(query)));
        assert_eq!(of(Api::V1, "db=x").expect("default"), Precision::Nanosecond);
        assert_eq!(of(Api::V3, "db=x").expect("default"), Precision::Auto);
        assert_eq!(of(Api::V2, "bucket=b&precision=ms").expect("known"), Precision::Millisecond);
        assert!(of(Api::V2, "precision=fortnight").is_err());
        assert!(of(Api::V3, "accept_partial=false").is_err());
    }

    #[test]
    fn databases_are_created_politely_and_other_statements_are_not_run() {
        assert_eq!(execute("create database \"telegraf\"").status(), StatusCode::OK);
        assert_eq!(execute("SHOW DATABASES").status(), StatusCode::OK);
        assert_eq!(execute("DROP DATABASE telegraf").status(), StatusCode::BAD_REQUEST);
        assert_eq!(execute("").status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_problem_is_told_in_the_words_of_the_version() {
        let problem = Problem::new(Kind::Overloaded, "busy");
        for api in [Api::V1, Api::V2, Api::V3] {
            let response = as_influx(api, &problem);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }
}
