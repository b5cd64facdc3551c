//! `/federate`: the newest sample of each selected series, for another Prometheus to scrape.
//!
//! `match[]` ─▶ raw points of the last `promql.lookback` ─▶ the last of each series, unless it is a staleness marker ─▶ by
//! metric ─▶ [`text`] 0.0.4, or [`families`] in protobuf where a scraper wants them
//!
//! Native histograms with custom buckets become classic ones; those with exponential buckets have no words in text, and
//! are left out of it, as in Prometheus. A series without `instance` gets an empty one, so that the scraper does not put
//! its own.

mod families;
mod text;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use axum::response::IntoResponse;
use schemas::histogram::{Histogram, ResetHint, SCHEMA_CUSTOM};
use schemas::points::{is_histogram, is_stale};
use schemas::{Labels, TimeRange, TimestampMs};

use super::envelope::ApiError;
use super::form::Asked;
use super::names::selectors;
use crate::http::media;
use crate::telemetry::PROMETHEUS_TEXT;

const INSTANCE: &str = "instance";
const PROTOBUF: &str = "application/vnd.google.protobuf";
const FAMILIES: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The newest sample of each series that any of the selectors selects, within `promql.lookback`.
#[utoipa::path(get, path = "/federate", tag = "prometheus",
    params(("match[]" = Vec<String>, Query, description = "Selectors; none gives nothing")),
    responses((status = 200, description = "Prometheus text 0.0.4; or by `Accept` delimited `io.prometheus.client.MetricFamily`", content_type = "text/plain"),
        (status = 400, description = "A selector is wrong", content_type = "text/plain"),
        (status = 422, description = "Too many series match", content_type = "text/plain"),
        (status = 503, description = "Busy, starting, or out of time", content_type = "text/plain")))]
pub(crate) async fn federate(headers: HeaderMap, asked: Result<Asked, ApiError>) -> Response<Body> {
    let answer = async { newest(asked?).await };
    match answer.await {
        Ok(newest) => {
            let (kind, body) = if wants_families(&headers) {
                (FAMILIES, families::written(&newest))
            } else {
                (PROMETHEUS_TEXT, text::written(&newest))
            };
            ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
        }
        Err(error) => error.into_text(),
    }
}

/// Whatever else a scraper asks for, text is what it can read.
fn wants_families(headers: &HeaderMap) -> bool {
    let delimited = media::text(headers, &header::ACCEPT).is_some_and(|accept| accept.contains("encoding=delimited"));
    delimited && media::accept(headers, &["text/plain", PROTOBUF]).is_ok_and(|kind| kind == PROTOBUF)
}

/// The newest sample of a series.
#[derive(Debug, Clone)]
struct Newest {
    labels: Labels,
    ts: i64,
    sample: Sample,
}

#[derive(Debug, Clone, PartialEq)]
enum Sample {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Sample {
    /// Custom buckets, which can be told as classic ones.
    fn is_classic(&self) -> bool {
        matches!(self, Self::Histogram(histogram) if histogram.schema == SCHEMA_CUSTOM)
    }

    fn is_gauge(&self) -> bool {
        matches!(self, Self::Histogram(histogram) if histogram.reset_hint == ResetHint::Gauge)
    }
}

/// Each series once, by metric.
async fn newest(asked: Asked) -> Result<Vec<Newest>, ApiError> {
    let now = asked.app.now();
    let range = TimeRange::new(now.minus(asked.app.promql.lookback), TimestampMs(now.0.saturating_add(1)));
    let range = range.map_err(|error| ApiError::bad_data(error.to_string()))?;
    let mut newest: Vec<Newest> = Vec::new();
    for matchers in selectors(&asked.params)? {
        let answer = Box::pin(asked.parts.engine.raw(matchers, range)).await?;
        for series in answer.series {
            let Some((ts, value)) = series.points.iter().next_back() else { continue };
            let sample = if is_histogram(value) {
                let histogram = series.points.histograms.get(ts).filter(|histogram| !is_stale(histogram.sum));
                histogram.map(|histogram| Sample::Histogram(Arc::clone(histogram)))
            } else {
                (!is_stale(value)).then_some(Sample::Float(value))
            };
            newest.extend(sample.map(|sample| Newest { labels: series.labels, ts, sample }));
        }
    }
    settle(&mut newest);
    Ok(newest)
}

fn settle(newest: &mut Vec<Newest>) {
    newest.sort_by(|a, b| a.labels.metric().cmp(b.labels.metric()).then_with(|| a.labels.iter().cmp(b.labels.iter())));
    newest.dedup_by(|a, b| a.labels == b.labels);
}

/// Upper bounds of custom buckets with the observations at or below them, without the last, `+Inf`.
fn classic_buckets(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut below = 0.0;
    let mut buckets = promql::histogram::positive(histogram).peekable();
    let cumulative = |bound: &f64| {
        while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= *bound) {
            below += bucket.count;
        }
        (*bound, below)
    };
    histogram.custom_values.iter().map(cumulative).collect()
}

#[cfg(test)]
mod tests;
