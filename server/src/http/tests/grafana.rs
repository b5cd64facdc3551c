//! Every query of the dashboards in `grafana/`, panels and variables, against the demo's fleet and the server's own
//! metrics: each gives data, and none a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::http::{Method, StatusCode};
use schemas::{DurationMs, TimestampMs};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::{JSON, NOW_MS, Server, example};
use crate::demo::fleet::Fleet;

const TEXT: (&str, &str) = ("content-type", "text/plain");
/// What Grafana puts for its own variables at a step of 30 s.
const GRAFANA: [(&str, &str); 4] =
    [("$__rate_interval", "2m"), ("$__interval", "30s"), ("$__range_s", "3600"), ("$__range", "3600s")];
const STEP_S: i64 = 30;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana").join(name)
}

fn dashboard(name: &str) -> Value {
    let text = std::fs::read_to_string(folder("dashboards").join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// An hour of the demo's fleet.
async fn fleet() -> Server {
    let server = Server::configured(|config| config.limits.body = crate::config::units::Bytes::mib(8)).await;
    let fleet = Fleet::of_past(DurationMs::hours(1), TimestampMs(NOW_MS));
    let mut lines = String::new();
    for ts in fleet.timestamps(fleet.range()) {
        fleet.write_lines(ts, &mut lines);
    }
    let answer = server.ask(Method::POST, "/write?precision=ms", &[], lines).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    server
}

/// The server's own metrics, as a scraper would have brought them a minute ago and now, with something done before each.
async fn itself() -> Server {
    let server = Server::ready().await;
    for (hours_ago, at) in [(3, NOW_MS - 60_000), (4, NOW_MS)] {
        server.push(&example()).await;
        let old = serde_json::json!({ "metric_name": "m", "value": 1, "timestamp": NOW_MS - hours_ago * 3_600_000 });
        server.ask(Method::POST, "/api/metrics", &[JSON], old.to_string()).await;
        server.get("/api/metrics?metric=cpu_usage").await;
        for action in ["flush", "seal", "archive"] {
            let done = server.ask(Method::POST, &format!("/api/v1/admin/{action}"), &[], "").await;
            assert_eq!(done.status, StatusCode::OK, "{action}: {}", done.text());
        }
        scraped(&server, at).await;
    }
    server
}

async fn scraped(server: &Server, at: i64) {
    let metrics = server.get("/metrics").await.text();
    let mut lines = String::new();
    for line in metrics.lines() {
        // A sample, to which a scraper adds from where and when it is.
        let labelled = match line.split_once('{') {
            _ if line.starts_with('#') => line.to_owned(),
            Some((name, rest)) => format!("{name}{{instance=\"localhost:9464\",{rest} {at}"),
            None => line.split_once(' ').map_or_else(String::new, |(name, value)| {
                format!("{name}{{instance=\"localhost:9464\"}} {value} {at}")
            }),
        };
        lines.push_str(&labelled);
        lines.push('\n');
    }
    let answer = server.ask(Method::POST, "/api/v1/import/prometheus", &[TEXT], lines).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
}

fn filled_in(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = text.to_owned();
    // Longer names first: `$__range_s` before `$__range`.
    for (name, value) in GRAFANA {
        out = out.replace(name, value);
    }
    for (name, value) in variables {
        out = out.replace(&format!("${name}"), value);
    }
    assert!(!out.contains('$'), "{out}");
    out
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// The first value of a variable; `label_values(metric, label)` becomes the question that Grafana asks for it.
async fn first_value(server: &Server, query: &str) -> String {
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (selector, label) = inside.rsplit_once(", ").unwrap();
    let (start, end) = (NOW_MS / 1_000 - 3_600, NOW_MS / 1_000);
    let path =
        format!("/api/v1/label/{label}/values?match[]={}&start={start}&end={end}&limit=40000", encoded(selector));
    let answer = server.get(&path).await.json();
    answer["data"][0].as_str().unwrap_or_else(|| panic!("{query} has no values: {answer}")).to_owned()
}

async fn every_query_gives_data(server: &Server, name: &str) {
    let dashboard = dashboard(name);
    let mut variables = BTreeMap::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            let query = filled_in(variable["query"]["query"].as_str().unwrap(), &variables);
            let value = first_value(server, &query).await;
            let value =
                if variable["multi"] == true { variable["allValue"].as_str().unwrap().to_owned() } else { value };
            variables.insert(variable["name"].as_str().unwrap().to_owned(), value);
        }
    }
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = filled_in(target["expr"].as_str().unwrap(), &variables);
            let (start, end) = (NOW_MS / 1_000 - 300, NOW_MS / 1_000);
            let path = if target["instant"] == true {
                format!("/api/v1/query?query={}&time={end}", encoded(&query))
            } else {
                format!("/api/v1/query_range?query={}&start={start}&end={end}&step={STEP_S}", encoded(&query))
            };
            let answer = server.get(&path).await.json();
            let what = format!("{name}, {}: {query}: {answer}", panel["title"]);
            assert_eq!(answer["status"], "success", "{what}");
            assert_eq!(answer["warnings"], Value::Null, "{what}");
            assert!(numbers(&answer["data"]["result"]), "{what}");
            asked += 1;
        }
    }
    assert!(asked >= 10, "{name} has {asked} queries");
}

/// Whether there is a series with a number.
fn numbers(result: &Value) -> bool {
    let is_number = |point: &Value| point[1].as_str().is_some_and(|text| text != "NaN");
    let series = result.as_array().map_or(&[][..], Vec::as_slice);
    series
        .iter()
        .any(|one| is_number(&one["value"]) || one["values"].as_array().is_some_and(|v| v.iter().any(is_number)))
}

#[tokio::test]
async fn every_panel_of_the_fleet_has_data() {
    let server = fleet().await;
    every_query_gives_data(&server, "fleet").await;
    every_query_gives_data(&server, "host").await;
}

#[tokio::test]
async fn every_panel_of_thermocline_itself_has_data() {
    let server = itself().await;
    every_query_gives_data(&server, "itself").await;
}

#[test]
fn dashboards_are_what_the_provisioning_says() {
    let mut uids = Vec::new();
    for file in std::fs::read_dir(folder("dashboards")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let dashboard = dashboard(&name);
        uids.push(dashboard["uid"].as_str().unwrap().to_owned());
        let datasource = &dashboard["templating"]["list"][0];
        assert_eq!(
            (&datasource["type"], &datasource["current"]["value"]),
            (&"datasource".into(), &"thermocline".into())
        );
        let mut ids: Vec<i64> =
            dashboard["panels"].as_array().unwrap().iter().map(|p| p["id"].as_i64().unwrap()).collect();
        let panels = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), panels, "{name}: panels have ids of their own");
    }
    uids.sort_unstable();
    assert_eq!(uids, ["thermocline-fleet", "thermocline-host", "thermocline-itself"]);
    let read =
        |path: &str| -> Value { serde_saphyr::from_str(&std::fs::read_to_string(folder(path)).unwrap()).unwrap() };
    let source = &read("provisioning/datasources/thermocline.yaml")["datasources"][0];
    assert_eq!((&source["uid"], &source["type"]), (&"thermocline".into(), &"prometheus".into()));
    let provider = &read("provisioning/dashboards/thermocline.yaml")["providers"][0];
    assert_eq!(provider["options"]["path"], "/var/lib/grafana-dashboards");
    let compose = std::fs::read_to_string(folder("../deploy/compose.yaml")).unwrap();
    assert!(compose.contains("../grafana/dashboards:/var/lib/grafana-dashboards:ro"), "the container has them there");
}
