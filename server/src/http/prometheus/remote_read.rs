//! Remote read: the raw points of series, for another Prometheus to query.
//!
//! snappy ─▶ [`ReadRequest`] ─▶ `query::Engine::raw` a query ─▶ what the client takes first: samples (one message, snappy),
//! or chunks (`chunk`) in frames, a series after the other
//!
//! Errors are plain text. Points that retention has dropped are not there; the provenance headers tell it.

mod bits;
mod chunk;
mod frames;
mod histograms;
mod message;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use query::{Provenance, RawSeries};
use schemas::{TimeRange, TimestampMs};

use self::message::{Query, ReadRequest, ResponseType};
use super::envelope::ApiError;
use super::pieces;
use crate::http::app::App;
use crate::http::gate::{Parts, Ready};
use crate::http::media;
use crate::http::problem::{Kind, Problem};
use crate::http::provenance;

const PROTOBUF: &str = "application/x-protobuf";
const CHUNKED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// Queries in one request.
const QUERIES_MAX: usize = 100;

/// Raw points of series, as samples or as chunks.
#[utoipa::path(post, path = "/api/v1/read", tag = "prometheus",
    request_body(content = Vec<u8>, content_type = "application/x-protobuf", description = "Snappy-compressed `prometheus.ReadRequest`"),
    responses((status = 200, description = "`prometheus.ReadResponse` in snappy, or frames of `prometheus.ChunkedReadResponse`, whichever the request names first"),
        (status = 400, description = "The request is wrong"),
        (status = 422, description = "Too many series or points"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    ready: Result<Ready, Problem>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response<Body> {
    let answer = async {
        let Ready(parts) = ready?;
        let request = received(&app, &headers, request.into_body()).await?;
        answered(&parts, request, app.read_samples_max).await
    };
    answer.await.unwrap_or_else(ApiError::into_text)
}

async fn received(app: &App, headers: &HeaderMap, body: Body) -> Result<ReadRequest, ApiError> {
    media::require(headers, &[PROTOBUF])?;
    if let Some(encoding) = media::text(headers, &header::CONTENT_ENCODING).filter(|encoding| *encoding != "snappy") {
        let what = format!("content encoding {encoding:?} is not snappy");
        return Err(Problem::new(Kind::UnsupportedMediaType, what).into());
    }
    let body = app.bodies.read(headers, body).await?;
    let length = snap::raw::decompress_len(&body.bytes).map_err(|error| ApiError::bad_data(error.to_string()))?;
    if length > app.read_request_bytes_max {
        return Err(Problem::new(Kind::TooLarge, "the request is larger than limits.body once it is decoded").into());
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&body.bytes);
    let plain = plain.map_err(|error| ApiError::bad_data(error.to_string()))?;
    let request = ReadRequest::decode(&plain).map_err(ApiError::bad_data)?;
    if request.queries.len() > QUERIES_MAX {
        return Err(ApiError::bad_data(format!("at most {QUERIES_MAX} queries in a request")));
    }
    Ok(request)
}

async fn answered(parts: &Parts, request: ReadRequest, samples_max: usize) -> Result<Response<Body>, ApiError> {
    let response_type = request.response_type().map_err(ApiError::bad_data)?;
    let mut results: Vec<Vec<RawSeries>> = Vec::with_capacity(request.queries.len());
    let mut worst: Option<Provenance> = None;
    for query in request.queries {
        let answer = match range(&query) {
            Some(range) => Box::pin(parts.engine.raw(query.matchers, range)).await?,
            None => {
                results.push(Vec::new());
                continue;
            }
        };
        let mut series = answer.series;
        series.sort_unstable_by(|a, b| a.labels.iter().cmp(b.labels.iter()));
        results.push(series);
        if worst.as_ref().is_none_or(|worst| worst.complete) {
            worst = Some(answer.provenance);
        }
    }
    let points: usize = results.iter().flatten().map(|series| series.points.len()).sum();
    if response_type == ResponseType::Samples && points > samples_max {
        return Err(ApiError::bad_data(format!("exceeded sample limit ({samples_max})")));
    }
    let (kind, encoding, body) = match response_type {
        ResponseType::Samples => (PROTOBUF, Some("snappy"), Body::from(samples(results).await?)),
        ResponseType::Chunks => (CHUNKED, None, pieces::body(frames::Frames::new(results))),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Some(provenance) = worst {
        provenance::add_headers(headers, &provenance);
    }
    Ok(response.into_response())
}

/// Both ends inclusive; `None` where there is nothing between them.
fn range(query: &Query) -> Option<TimeRange> {
    let start = query.start_ms.max(TimestampMs::MIN.0);
    let end = query.end_ms.saturating_add(1).min(TimestampMs::MAX.0);
    TimeRange::new(TimestampMs(start), TimestampMs(end)).ok().filter(|range| range.start() < range.end())
}

/// One message with all samples, compressed. It is held whole: the points it is made of are as well.
async fn samples(results: Vec<Vec<RawSeries>>) -> Result<Vec<u8>, ApiError> {
    let made = tokio::task::spawn_blocking(move || {
        let mut plain = Vec::new();
        for series in &results {
            message::push_result(&mut plain, series);
        }
        snap::raw::Encoder::new().compress_vec(&plain)
    });
    let made = made.await.map_err(|error| Problem::internal(&error))?;
    made.map_err(|_| Problem::new(Kind::NotPossible, "the answer is too large for one message; ask for chunks").into())
}

#[cfg(test)]
mod tests;
