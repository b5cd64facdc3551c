//! The dashboards' questions: `GET /api/metrics/{server_id}` and `GET /api/metrics`.
//!
//! parameters ─▶ [`RangeRequest`] ─▶ `query::Engine` ─▶ JSON, with provenance as headers and, in the second, as JSON

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use query::{AnswerSeries, QueryError, RangeAnswer, RangeRequest};
use schemas::labels::METRIC_NAME;
use schemas::{DurationMs, LabelMatcher, TimeRange, TimestampMs};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::app::App;
use super::gate::{Parts, Ready};
use super::instant;
use super::number::JsonFloat;
use super::params::{Param, Params};
use super::problem::{Kind, Problem};
use super::provenance::{self, ProvenanceShape};
use super::segment::Segment;

/// What is asked for when `from` is not given.
const DEFAULT_RANGE: DurationMs = DurationMs::HOUR;

const SERVER_PARAMS: [Param; 7] = [
    Param::One("metric"),
    Param::One("from"),
    Param::One("to"),
    Param::One("granularity"),
    Param::One("agg"),
    Param::One("fill"),
    Param::One("max_points"),
];

const LABEL_PARAMS: [Param; 11] = [
    Param::One("metric"),
    Param::One("match[]"),
    Param::One("from"),
    Param::One("to"),
    Param::One("granularity"),
    Param::One("agg"),
    Param::Many("group_by"),
    Param::One("group_agg"),
    Param::One("limit"),
    Param::One("fill"),
    Param::One("max_points"),
];

/// One metric of one server: a bare array, oldest first.
#[utoipa::path(get, path = "/api/metrics/{server_id}", tag = "dashboards",
    params(
        ("server_id" = String, Path, description = "Value of the label `server_id`, else `instance`, `host`, `hostname`"),
        ("metric" = String, Query, description = "Metric name"),
        ("from" = Option<String>, Query, description = "RFC 3339, Unix seconds or milliseconds, `now`, or `-6h`; default one hour before `to`"),
        ("to" = Option<String>, Query, description = "As `from`; default now"),
        ("granularity" = Option<String>, Query, description = "`raw`, `1m`, `1h`, `1d` or `auto`"),
        ("agg" = Option<String>, Query, description = "`avg`, `min`, `max`, `sum`, `count`, `first`, `last`, `p50`, `p90`, `p95`, `p99`, `rate`, `increase`; raw ignores it"),
        ("fill" = Option<String>, Query, description = "`none`, `null` or `previous`"),
        ("max_points" = Option<usize>, Query, description = "With `auto`: the most points wanted")),
    responses((status = 200, description = "`[{\"timestamp\": 1742221800000, \"value\": 72.5}]`, with provenance headers"),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "At `raw`: several series differ, in the labels that are named"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn of_server(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    Segment(server_id): Segment,
    RawQuery(raw): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(raw.as_deref(), &SERVER_PARAMS)?;
    let metric = params.required("metric")?;
    let matchers = vec![LabelMatcher::equal(METRIC_NAME, metric), server_matcher(&app, &parts, metric, &server_id)];
    let mut request = request(&app, &params, matchers)?;
    request.merge_all = true;
    let answer = Box::pin(parts.engine.range(request)).await.map_err(query_problem)?;
    let points = answer.series.first().map_or(&[][..], |series| &series.points);
    Ok(json_with_provenance(&Dots(points), &answer))
}

/// One metric of many series, by labels.
#[utoipa::path(get, path = "/api/metrics", tag = "dashboards",
    params(
        ("metric" = Option<String>, Query, description = "Metric name; may also stand in `match[]`"),
        ("match[]" = Option<String>, Query, description = "A selector such as `{env=\"production\",host=~\"a.*\"}`"),
        ("from" = Option<String>, Query, description = "As above"),
        ("to" = Option<String>, Query, description = "As above"),
        ("granularity" = Option<String>, Query, description = "As above"),
        ("agg" = Option<String>, Query, description = "As above"),
        ("group_by" = Option<String>, Query, description = "Labels, separated by commas: merges the series of each group"),
        ("group_agg" = Option<String>, Query, description = "`sum`, `avg`, `min`, `max` or `count`: combines each series' `agg` instead of merging"),
        ("limit" = Option<usize>, Query, description = "The most series wanted"),
        ("fill" = Option<String>, Query, description = "`none`, `null` or `previous`"),
        ("max_points" = Option<usize>, Query, description = "With `auto`: the most points wanted a series")),
    responses((status = 200, description = "`{\"series\": [{\"metric\", \"labels\", \"points\": [[1742221800000, 72.5]]}], \"provenance\": {…}}`"),
        (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "Not possible; `errors` says what is"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn by_labels(
    State(app): State<Arc<App>>,
    Ready(parts): Ready,
    RawQuery(raw): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::parse(raw.as_deref(), &LABEL_PARAMS)?;
    let mut request = request(&app, &params, matchers(&params)?)?;
    request.group_by = group_by(&params);
    request.group_agg = params.word("group_agg")?;
    request.limit = params.count("limit")?;
    let answer = Box::pin(parts.engine.range(request)).await.map_err(query_problem)?;
    let shape = SeriesAnswer {
        series: answer.series.iter().map(SeriesShape).collect(),
        truncated: answer.truncated,
        provenance: ProvenanceShape::of(&answer.provenance),
    };
    Ok(json_with_provenance(&shape, &answer))
}

/// What both paths take in the same way.
fn request(app: &App, params: &Params, matchers: Vec<LabelMatcher>) -> Result<RangeRequest, Problem> {
    let mut request = RangeRequest::new(matchers, range(params, app.now())?);
    request.granularity = params.word("granularity")?.unwrap_or(request.granularity);
    request.agg = params.word("agg")?.unwrap_or(request.agg);
    request.fill = params.word("fill")?.unwrap_or(request.fill);
    request.max_points = params.count("max_points")?.unwrap_or(app.max_points);
    Ok(request)
}

fn range(params: &Params, now: TimestampMs) -> Result<TimeRange, Problem> {
    let time = |name: &str| params.get(name).map(|text| instant::param(name, text, now)).transpose();
    let to = time("to")?.unwrap_or(now);
    let from = time("from")?.unwrap_or(to.minus(DEFAULT_RANGE));
    TimeRange::new(from, to).map_err(|_| Problem::bad_request("from lies behind to"))
}

fn matchers(params: &Params) -> Result<Vec<LabelMatcher>, Problem> {
    let mut all = Vec::new();
    if let Some(metric) = params.get("metric") {
        all.push(LabelMatcher::equal(METRIC_NAME, metric));
    }
    if let Some(selector) = params.get("match[]") {
        let parsed =
            promql::parse_selector(selector).map_err(|e| Problem::bad_request(format!("match[]={selector:?}: {e}")))?;
        all.extend(parsed);
    }
    if all.iter().any(|matcher| matcher.name() == METRIC_NAME) {
        Ok(all)
    } else {
        Err(Problem::bad_request("parameter \"metric\" is missing, and match[] does not name a metric either"))
    }
}

fn group_by(params: &Params) -> Option<Vec<String>> {
    let given = params.all("group_by").flat_map(|list| list.split(','));
    let labels: Vec<String> = given.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect();
    (!labels.is_empty()).then_some(labels)
}

/// The first of the labels under which the server has series of the metric; else the first of all.
fn server_matcher(app: &App, parts: &Parts, metric: &str, server_id: &str) -> LabelMatcher {
    let matcher = |label: &String| LabelMatcher::equal(label.as_str(), server_id);
    let found = app.server_labels.iter().map(matcher).find(|matcher| {
        let both = [LabelMatcher::equal(METRIC_NAME, metric), matcher.clone()];
        // More than one is found just as well.
        parts.store.index().select(&both, None, 1).map_or(true, |series| !series.is_empty())
    });
    found.unwrap_or_else(|| LabelMatcher::equal(app.server_labels[0].as_str(), server_id))
}

/// A failed query as a problem.
pub(super) fn query_problem(error: QueryError) -> Problem {
    match error {
        QueryError::BadRequest(detail) => Problem::bad_request(detail),
        QueryError::Impossible { detail, errors } => {
            Problem::new(Kind::NotPossible, detail).with_errors(errors.into_iter().map(Into::into))
        }
        QueryError::TooLarge(detail) => Problem::new(Kind::NotPossible, detail),
        error @ QueryError::Timeout { .. } => Problem::new(Kind::QueryTimeout, error.to_string()),
        error @ QueryError::Overloaded => Problem::new(Kind::Overloaded, error.to_string()),
        error @ QueryError::Internal { .. } => Problem::failed(&error),
    }
}

fn json_with_provenance<T: Serialize>(shape: &T, answer: &RangeAnswer) -> Response {
    let body = match serde_json::to_vec(shape) {
        Ok(body) => body,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    provenance::add_headers(headers, &answer.provenance);
    response
}

/// Points as `[{"timestamp": …, "value": …}]`.
struct Dots<'a>(&'a [(i64, Option<f64>)]);

impl Serialize for Dots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Dot {
            timestamp: i64,
            value: Option<JsonFloat>,
        }
        serializer.collect_seq(self.0.iter().map(|&(timestamp, value)| Dot { timestamp, value: value.map(JsonFloat) }))
    }
}

#[derive(Serialize)]
struct SeriesAnswer<'a> {
    series: Vec<SeriesShape<'a>>,
    /// Series that `limit` has cut off.
    truncated: usize,
    provenance: ProvenanceShape,
}

/// A series as `{"metric": …, "labels": {…}, "points": [[…, …]]}`.
struct SeriesShape<'a>(&'a AnswerSeries);

impl Serialize for SeriesShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct LabelMap<'a>(&'a [(String, String)]);
        impl Serialize for LabelMap<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        struct Pairs<'a>(&'a [(i64, Option<f64>)]);
        impl Serialize for Pairs<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut list = serializer.serialize_seq(Some(self.0.len()))?;
                for &(timestamp, value) in self.0 {
                    list.serialize_element(&(timestamp, value.map(JsonFloat)))?;
                }
                list.end()
            }
        }
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("metric", &self.0.metric)?;
        map.serialize_entry("labels", &LabelMap(&self.0.labels))?;
        map.serialize_entry("points", &Pairs(&self.0.points))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_742_221_800_000);

    #[test]
    fn the_default_range_is_the_hour_before_to() {
        let params = Params::parse(Some("to=2025-03-17T12:00:00Z"), &SERVER_PARAMS).expect("known");
        let range = range(&params, NOW).expect("ordered");
        assert_eq!((range.length(), range.end()), (DurationMs::HOUR, TimestampMs(1_742_212_800_000)));
        let params = Params::parse(Some("from=now&to=-1h"), &SERVER_PARAMS).expect("known");
        assert!(super::range(&params, NOW).is_err());
    }

    #[test]
    fn a_metric_may_stand_alone_or_in_the_selector() {
        let ask = |query: &str| matchers(&Params::parse(Some(query), &LABEL_PARAMS).expect("known"));
        assert_eq!(ask("metric=up&match[]={env=\"a\"}").expect("both").len(), 2);
        assert_eq!(ask("match[]=up{env=\"a\"}").expect("in the selector").len(), 2);
        assert!(ask("match[]={env=\"a\"}").is_err());
        assert!(ask("metric=up&match[]={env=").is_err());
    }

    #[test]
    fn points_are_objects_in_one_answer_and_pairs_in_the_other() {
        let points = vec![(1_000, Some(72.5)), (2_000, None), (3_000, Some(f64::NAN))];
        let dots = serde_json::to_value(Dots(&points)).expect("serializes");
        assert_eq!(dots[0], json!({ "timestamp": 1_000, "value": 72.5 }));
        assert_eq!((&dots[1]["value"], &dots[2]["value"]), (&json!(null), &json!("NaN")));
        let series =
            AnswerSeries { metric: "cpu".to_owned(), labels: vec![("env".to_owned(), "a".to_owned())], points };
        let shape = serde_json::to_value(SeriesShape(&series)).expect("serializes");
        let pairs = json!([[1_000, 72.5], [2_000, null], [3_000, "NaN"]]);
        assert_eq!(shape, json!({ "metric": "cpu", "labels": { "env": "a" }, "points": pairs }));
    }
}
