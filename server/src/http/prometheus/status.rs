//! What the server says of itself in Prometheus' words: build, configuration, run time, cardinality.
//!
//! Clients learn from the build which functions and parameters they may use; a member `features` there would mean another
//! product, so there is none.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use schemas::TimestampMs;
use serde_json::{Map, Value, json};

use super::envelope::{self, ApiError};
use super::form::Asked;
use crate::http::instant::rfc3339;
use crate::http::problem::Problem;

/// The Prometheus whose language and API this is.
const COMPATIBLE_VERSION: &str = "3.15.0";
/// Rows of a table of `status/tsdb`, by default and at most.
const ROWS: usize = 10;
const ROWS_MAX: usize = 10_000;

/// The version of Prometheus that clients may take this for.
#[utoipa::path(get, path = "/api/v1/status/buildinfo", tag = "prometheus",
    responses((status = 200, description = "`version` is Prometheus'; `revision` names Thermocline's")))]
pub(crate) async fn buildinfo() -> Response<Body> {
    envelope::document(&json!({
        "version": COMPATIBLE_VERSION,
        "revision": concat!("thermocline-", env!("CARGO_PKG_VERSION")),
        "branch": "HEAD",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

/// The configuration in force, as YAML: all keys of docs/configuration.md, secrets hidden.
#[utoipa::path(get, path = "/api/v1/status/config", tag = "prometheus", responses((status = 200, description = "`yaml`")))]
pub(crate) async fn config(asked: Asked) -> Response<Body> {
    let lines = asked.app.settings.read().iter().map(|(key, value)| format!("{key}: {}\n", json!(value))).collect();
    envelope::document(&json!({ "yaml": Value::String(lines) }))
}

/// The same as a map, under the names of Prometheus' flags where there is one.
#[utoipa::path(get, path = "/api/v1/status/flags", tag = "prometheus", responses((status = 200, description = "Names with values")))]
pub(crate) async fn flags(asked: Asked) -> Response<Body> {
    const NAMES: [(&str, &str); 7] = [
        ("data_dir", "storage.tsdb.path"),
        ("listen", "web.listen-address"),
        ("log.level", "log.level"),
        ("log.format", "log.format"),
        ("limits.queries", "query.max-concurrency"),
        ("limits.query_timeout", "query.timeout"),
        ("promql.lookback", "query.lookback-delta"),
    ];
    let settings = asked.app.settings.read();
    let flag = |(key, name): &(&str, &str)| {
        let (_, value) = settings.iter().find(|(known, _)| known == key)?;
        Some(((*name).to_owned(), json!(value)))
    };
    let mut flags: Map<String, Value> = NAMES.iter().filter_map(flag).collect();
    let samples = settings.iter().find(|(key, _)| key == "limits.query_samples");
    flags.extend(samples.map(|(_, value)| ("query.max-samples".to_owned(), json!(value))));
    envelope::document(&Value::Object(flags))
}

/// Since when the process runs, and on what.
#[utoipa::path(get, path = "/api/v1/status/runtimeinfo", tag = "prometheus", responses((status = 200, description = "Times, threads, retention")))]
pub(crate) async fn runtimeinfo(asked: Asked) -> Response<Body> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = asked.app.settings.read();
    let retention = settings.iter().find(|(key, _)| key == "retention.cold.raw").map_or("", |(_, value)| value);
    envelope::document(&json!({
        "startTime": rfc3339(asked.app.started),
        "serverTime": rfc3339(asked.app.now()),
        "CWD": "",
        "hostname": "",
        "reloadConfigSuccess": true,
        "lastConfigTime": rfc3339(asked.app.started),
        "corruptionCount": asked.parts.store.view().map().quarantined.len(),
        "goroutineCount": 0,
        "GOMAXPROCS": cores,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": retention,
    }))
}

/// Where the cardinality is: metrics with the most series, labels with the most values.
#[utoipa::path(get, path = "/api/v1/status/tsdb", tag = "prometheus",
    params(("limit" = Option<usize>, Query, description = "Rows of each table; default 10")),
    responses((status = 200, description = "`headStats` and tables"), (status = 400, description = "`limit` is wrong")))]
pub(crate) async fn tsdb(asked: Asked) -> Result<Response<Body>, ApiError> {
    let limit = match asked.params.get("limit").map(str::parse::<i64>) {
        None => ROWS,
        Some(Ok(limit)) if limit >= 1 => match usize::try_from(limit) {
            Ok(limit) if limit <= ROWS_MAX => limit,
            _ => return Err(ApiError::bad_data(format!("limit must not exceed {ROWS_MAX}"))),
        },
        Some(_) => return Err(ApiError::bad_data("limit must be a positive number")),
    };
    let (store, now) = (Arc::clone(&asked.parts.store), asked.app.now());
    let document = tokio::task::spawn_blocking(move || tables(&store, now, limit)).await;
    Ok(envelope::document(&document.map_err(|error| ApiError::from(Problem::internal(&error)))?))
}

/// What is counted in chunks elsewhere is not here, and the newest point may be of any moment.
fn tables(store: &hot::Store, now: TimestampMs, limit: usize) -> Value {
    let index = store.index();
    let stats = index.stats();
    let cardinality = index.cardinality(limit);
    let rows = |rows: Vec<(String, u64)>| {
        rows.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>()
    };
    json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": stats.label_values,
            "chunkCount": 0,
            "minTime": store.intake_floor().0,
            "maxTime": now.0,
        },
        "seriesCountByMetricName": rows(cardinality.series_by_metric),
        "labelValueCountByLabelName": rows(cardinality.values_by_label),
        "memoryInBytesByLabelName": rows(cardinality.bytes_by_label),
        "seriesCountByLabelValuePair": rows(cardinality.series_by_pair),
    })
}
