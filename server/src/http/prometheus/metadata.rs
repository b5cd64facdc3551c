//! What senders said of metrics; and rules, alerts and targets, which another Prometheus would have, and this has none of.

use axum::body::Body;
use axum::http::Response;
use schemas::batch::MetricMetadata;
use serde_json::{Value, json};

use super::envelope::{self, ApiError};
use super::form::Asked;
use crate::http::params::Params;

/// Type, unit and help of metrics.
#[utoipa::path(get, path = "/api/v1/metadata", tag = "prometheus",
    params(
        ("metric" = Option<String>, Query, description = "Metric name; default all"),
        ("limit" = Option<i64>, Query, description = "The most metrics wanted"),
        ("limit_per_metric" = Option<i64>, Query, description = "Has no effect: a metric has one description")),
    responses((status = 200, description = "A list with one description for each metric that has one"),
        (status = 400, description = "A parameter is wrong")))]
pub(crate) async fn metadata(asked: Asked) -> Result<Response<Body>, ApiError> {
    let limit = whole(&asked.params, "limit")?;
    whole(&asked.params, "limit_per_metric")?;
    // Less than nothing is no limit.
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let said = asked.parts.engine.metadata(asked.params.get("metric"), limit);
    let document: serde_json::Map<String, Value> =
        said.into_iter().map(|(metric, said)| (metric, json!([shape(&said)]))).collect();
    Ok(envelope::document(&Value::Object(document)))
}

fn whole(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    let number = params.get(name).map(str::parse).transpose();
    number.map_err(|_| ApiError::bad_data(format!("{name} must be a number")))
}

fn shape(said: &MetricMetadata) -> Value {
    let text = |text: &Option<String>, default: &'static str| text.clone().unwrap_or_else(|| default.to_owned());
    json!({ "type": text(&said.kind, "unknown"), "help": text(&said.help, ""), "unit": text(&said.unit, "") })
}

/// Rules are evaluated elsewhere: there are no groups.
#[utoipa::path(get, path = "/api/v1/rules", tag = "prometheus", responses((status = 200, description = "No groups")))]
pub(crate) async fn rules(_: Asked) -> Response<Body> {
    envelope::document(&json!({ "groups": [] }))
}

/// Nor are there alerts.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "prometheus", responses((status = 200, description = "No alerts")))]
pub(crate) async fn alerts(_: Asked) -> Response<Body> {
    envelope::document(&json!({ "alerts": [] }))
}

/// Nothing is scraped: there are no targets.
#[utoipa::path(get, path = "/api/v1/targets", tag = "prometheus", responses((status = 200, description = "No targets")))]
pub(crate) async fn targets(_: Asked) -> Response<Body> {
    envelope::document(&json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} }))
}

/// Nobody is alerted.
#[utoipa::path(get, path = "/api/v1/alertmanagers", tag = "prometheus", responses((status = 200, description = "No Alertmanagers")))]
pub(crate) async fn alertmanagers(_: Asked) -> Response<Body> {
    envelope::document(&json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_said_of_a_metric_is_empty() {
        let said = MetricMetadata { unit: Some("percent".to_owned()), ..MetricMetadata::default() };
        assert_eq!(shape(&said), json!({ "type": "unknown", "help": "", "unit": "percent" }));
    }

    #[test]
    fn limits_are_whole_numbers_of_any_sign() {
        let ask = |text: &str| whole(&Params::parse_any(Some(text)), "limit");
        assert_eq!(ask("limit=-1").expect("a number"), Some(-1));
        assert!(ask("limit=1.5").is_err_and(|error| error.message == "limit must be a number"));
    }
}
