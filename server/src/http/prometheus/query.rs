//! `query` and `query_range`: an expression at one time, or at steps of a range; and exemplars, of which there are none.
//!
//! parameters ─▶ [`PromqlRequest`] ─▶ `query::Engine` ─▶ value (in pieces where it is long), remarks, provenance headers

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use promql::eval::Grid;
use promql::{ParseOptions, parse_expr};
use query::{PromqlAnswer, PromqlRequest, QueryError};
use schemas::{DurationMs, TimestampMs};
use serde_json::json;

use super::envelope::{self, ApiError, Remarks};
use super::form::Asked;
use super::pieces;
use super::render::{self, Piece, Pieces};
use super::time::{limit, optional_duration, optional_time, parse_duration, parse_time};
use crate::http::app::App;
use crate::http::provenance;

/// Bytes of an expression: far more than anybody writes, and little to parse.
const QUERY_BYTES_MAX: usize = 1 << 20;
/// Steps of a range query beyond its first.
const STEPS_MAX: i64 = 11_000;
const NS_PER_MS: i64 = 1_000_000;
/// Answers with fewer samples are written at once, where they are.
const LIGHT_SAMPLES_MAX: usize = 2_000;

/// An expression at one time.
#[utoipa::path(get, path = "/api/v1/query", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("time" = Option<String>, Query, description = "RFC 3339 or Unix seconds; default now"),
        ("timeout" = Option<String>, Query, description = "At most `limits.query_timeout`"),
        ("limit" = Option<usize>, Query, description = "The most series wanted"),
        ("lookback_delta" = Option<String>, Query, description = "How far back a selector looks; default `promql.lookback`"),
        ("stats" = Option<String>, Query, description = "`true` or `all`: tell what it took")),
    responses((status = 200, description = "`resultType` and `result`, with provenance headers"),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "Not possible; `error` says what is"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn query(asked: Asked) -> Result<Response<Body>, ApiError> {
    let limit = limit(&asked.params)?;
    let time = optional_time(&asked.params, "time")?.unwrap_or_else(|| asked.app.now());
    evaluate(asked, Grid::Instant(time.0), limit).await
}

/// An expression at the steps of a range.
#[utoipa::path(get, path = "/api/v1/query_range", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("start" = String, Query, description = "RFC 3339 or Unix seconds: the first step"),
        ("end" = String, Query, description = "As `start`: the last step is at or before it"),
        ("step" = String, Query, description = "Seconds, or a duration such as `1m`; at most 11,000 steps"),
        ("timeout" = Option<String>, Query, description = "At most `limits.query_timeout`"),
        ("limit" = Option<usize>, Query, description = "The most series wanted"),
        ("lookback_delta" = Option<String>, Query, description = "How far back a selector looks; default `promql.lookback`"),
        ("stats" = Option<String>, Query, description = "`true` or `all`: tell what it took")),
    responses((status = 200, description = "A matrix, with provenance headers"),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "Not possible; `error` says what is"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn query_range(asked: Asked) -> Result<Response<Body>, ApiError> {
    let params = &asked.params;
    let limit = limit(params)?;
    let time = |name: &str| parse_time(params.get(name).unwrap_or("")).map_err(|why| ApiError::parameter(name, &why));
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = parse_duration(params.get("step").unwrap_or("")).map_err(|why| ApiError::parameter("step", &why))?;
    let grid = Grid::Range { start: start.0, end: end.0, step: step_ms(start, end, step)? };
    evaluate(asked, grid, limit).await
}

/// Whole milliseconds of a step, checked against the range.
fn step_ms(start: TimestampMs, end: TimestampMs, step_ns: i64) -> Result<i64, ApiError> {
    // Time is kept in milliseconds: a shorter step is none.
    let step = step_ns / NS_PER_MS;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", why));
    }
    if i128::from(end.0 - start.0) * i128::from(NS_PER_MS) / i128::from(step_ns) > i128::from(STEPS_MAX) {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                   (?step=XX)";
        return Err(ApiError::bad_data(why));
    }
    Ok(step)
}

async fn evaluate(asked: Asked, grid: Grid, limit: Option<usize>) -> Result<Response<Body>, ApiError> {
    let Asked { app, parts, params } = asked;
    let lookback = optional_duration(&params, "lookback_delta")
        .map_err(|error| ApiError::bad_data(format!("error parsing lookback delta duration: {}", error.message)))?;
    let lookback = match lookback {
        // As in Prometheus, nothing and less than nothing mean the default.
        Some(ns) if ns >= NS_PER_MS => DurationMs(ns / NS_PER_MS),
        Some(_) | None => app.promql.lookback,
    };
    let timeout = optional_duration(&params, "timeout")?;
    let request = PromqlRequest {
        text: bounded_query(params.get("query").unwrap_or(""))?.to_owned(),
        grid,
        lookback: Some(lookback),
        timeout: timeout.map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0))),
        limit,
        experimental: app.promql.experimental,
    };
    let text = request.text.clone();
    let answer = Box::pin(parts.engine.promql(request)).await.map_err(|error| match error {
        QueryError::BadRequest(why) => ApiError::parameter("query", &why),
        other => other.into(),
    })?;
    Ok(rendered(answer, &text, params.get("stats").unwrap_or("")))
}

fn rendered(answer: PromqlAnswer, query: &str, stats: &str) -> Response<Body> {
    let mut remarks = Remarks::of(&answer.notes, query).truncated(answer.truncated);
    if !matches!(stats, "" | "true" | "all") {
        remarks.warn(format!(
            "value {stats:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
             \"true\" or \"all\""
        ));
    }
    let mut head = Vec::new();
    envelope::push_head(&mut head);
    head.extend_from_slice(br#"{"resultType":""#);
    head.extend_from_slice(render::result_type(&answer.value).as_bytes());
    head.extend_from_slice(br#"","result":"#);
    let mut tail = Vec::new();
    if !stats.is_empty() {
        tail.extend_from_slice(br#","stats":"#);
        tail.extend_from_slice(statistics(&answer).to_string().as_bytes());
    }
    tail.push(b'}');
    envelope::push_tail(&mut tail, &remarks);

    let light = render::samples(&answer.value) <= LIGHT_SAMPLES_MAX;
    let pieces = Pieces::new(head, answer.value, tail);
    let body = match light {
        true => Body::from(pieces.map(Piece::render).collect::<Vec<_>>().concat()),
        false => pieces::side_by_side(pieces.map(|piece| || piece.render())),
    };
    let mut response = envelope::json(body);
    provenance::add_headers(response.headers_mut(), &answer.provenance);
    response
}

/// What it took, under Prometheus' names: what is not known apart is 0.
fn statistics(answer: &PromqlAnswer) -> serde_json::Value {
    let timings = answer.timings;
    let evaluation = timings.evaluate.as_secs_f64();
    json!({
        "timings": {
            "evalTotalTime": evaluation,
            "resultSortTime": 0.0,
            "queryPreparationTime": timings.parse.as_secs_f64(),
            "innerEvalTime": evaluation,
            "execQueueTime": timings.queue.as_secs_f64(),
            "execTotalTime": timings.total.as_secs_f64(),
        },
        "samples": {
            "totalQueryableSamples": answer.samples,
            "samplesRead": answer.provenance.points_read,
            "peakSamples": answer.peak_samples,
        },
    })
}

/// An expression that is not too long to be one.
pub(super) fn bounded_query(query: &str) -> Result<&str, ApiError> {
    if query.len() > QUERY_BYTES_MAX {
        let why = format!("{} bytes are too long for an expression; at most {QUERY_BYTES_MAX}", query.len());
        return Err(ApiError::parameter("query", &why));
    }
    Ok(query)
}

/// The language as it is configured.
pub(super) fn language(app: &App) -> ParseOptions {
    if app.promql.experimental { ParseOptions::ALL } else { ParseOptions::default() }
}

/// Exemplars are not kept: the list is empty. The expression and the times are still checked.
#[utoipa::path(get, path = "/api/v1/query_exemplars", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("start" = Option<String>, Query, description = "RFC 3339 or Unix seconds"),
        ("end" = Option<String>, Query, description = "As `start`")),
    responses((status = 200, description = "An empty list"), (status = 400, description = "A parameter is wrong")))]
pub(crate) async fn query_exemplars(asked: Asked) -> Result<Response<Body>, ApiError> {
    let (start, end) = (optional_time(&asked.params, "start")?, optional_time(&asked.params, "end")?);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let query = bounded_query(asked.params.get("query").unwrap_or(""))?;
    parse_expr(query, language(&asked.app)).map_err(|error| ApiError::bad_data(error.to_string()))?;
    Ok(envelope::document(&json!([])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(end_ms: i64, step_ns: i64) -> Result<i64, String> {
        step_ms(TimestampMs(0), TimestampMs(end_ms), step_ns).map_err(|error| error.message)
    }

    #[test]
    fn a_range_has_at_most_eleven_thousand_steps_beyond_its_first() {
        assert_eq!(steps(11_000_000, 1_000_000_000), Ok(1_000));
        assert_eq!(
            steps(11_001_000, 1_000_000_000),
            Err("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)".to_owned())
        );
        assert_eq!(steps(0, i64::MAX), Ok(9_223_372_036_854));
    }

    #[test]
    fn a_step_is_at_least_a_millisecond() {
        for step_ns in [0, -1_000_000_000, 999_999] {
            assert!(steps(1_000, step_ns).is_err_and(|why| why.contains("zero or negative")), "{step_ns}");
        }
        assert_eq!(steps(1_000, 15_000_500_000), Ok(15_000));
    }

    #[test]
    fn an_endless_expression_is_refused_before_it_is_read() {
        assert!(bounded_query(&"x".repeat(QUERY_BYTES_MAX)).is_ok());
        assert!(bounded_query(&"x".repeat(QUERY_BYTES_MAX + 1)).is_err());
    }
}
