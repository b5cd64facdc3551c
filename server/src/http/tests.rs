//! The HTTP front end over real parts in a temporary directory, asked in process. Answers are golden files in
//! `tests/golden/http/`; `INSTA_UPDATE=always` writes them anew.

mod controls;
mod documented;
mod grafana;
mod prometheus;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use runtime::{Clock, ManualClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::app::App;
use super::router::router;
use crate::assemble::{Begin, assemble};
use crate::config::Config;

/// 2025-03-17T14:30:00Z.
const NOW_MS: i64 = 1_742_221_800_000;
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server without a socket.
struct Server {
    app: Arc<App>,
    router: Router,
    _dir: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Status, the headers that are promised, and the body, without what differs from run to run.
    fn golden(&self) -> String {
        let mut out = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            let volatile = matches!(
                name.as_str(),
                "server-timing" | "x-thermocline-data-version" | "content-length" | "x-content-type-options" | "vary"
            );
            if !volatile {
                out.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
        }
        out.push('\n');
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(mut body) => {
                hide(&mut body);
                out.push_str(&serde_json::to_string_pretty(&body).unwrap());
            }
            Err(_) => out.push_str(&self.text()),
        }
        out
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if matches!(name.as_str(), "batch_id" | "elapsed_ms" | "data_version" | "bytes_read") {
                    *member = json!("…");
                } else {
                    hide(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Server {
    /// Listening, but with no parts yet.
    fn starting() -> (Self, Config, Arc<dyn Clock>) {
        Self::starting_with(|_| ())
    }

    fn starting_with(change: impl FnOnce(&mut Config)) -> (Self, Config, Arc<dyn Clock>) {
        let dir = TempDir::new().unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.limits.body = crate::config::units::Bytes::kib(64);
        change(&mut config);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW_MS));
        let (reloads, _) = mpsc::channel(1);
        let app = Arc::new(App::new(&config, Arc::clone(&clock), reloads));
        (Self { router: router(Arc::clone(&app)), app, _dir: dir }, config, clock)
    }

    async fn ready() -> Self {
        Self::configured(|_| ()).await
    }

    /// Ready, with some settings changed.
    async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let (server, config, clock) = Self::starting_with(change);
        let parts = Box::pin(assemble(&config, &server.app, clock, Begin::AsIs)).await.unwrap();
        server.app.gate.open(parts);
        server
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], Body::empty()).await
    }

    async fn push(&self, body: &Value) -> Answer {
        self.ask(Method::POST, "/api/metrics", &[JSON], body.to_string()).await
    }

    async fn sql(&self, query: &str, accept: &str) -> Answer {
        let headers = [("content-type", "text/plain"), ("accept", accept)];
        self.ask(Method::POST, "/api/v1/sql", &headers, query.to_owned()).await
    }
}

/// The example of the documentation.
fn example() -> Value {
    json!({
        "server_id": "srv-us-east-1-04821", "timestamp": "2025-03-17T14:29:00Z",
        "metrics": [
            { "name": "cpu_usage", "value": 72.5, "unit": "percent" },
            { "name": "network_in", "value": 12400, "unit": "bytes_per_sec" },
        ],
        "tags": { "region": "us-east-1", "env": "production", "service": "api-gateway" },
    })
}

fn golden(name: &str, answer: &Answer) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/http"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, answer.golden()));
}

#[tokio::test]
async fn a_pushed_point_is_read_back_by_its_server() {
    let server = Server::ready().await;
    golden("push_accepted", &server.push(&example()).await);
    let path = "/api/metrics/srv-us-east-1-04821?metric=cpu_usage&granularity=raw";
    golden("server_raw", &server.get(path).await);
    golden(
        "by_labels_1m",
        &server.get("/api/metrics?metric=cpu_usage&group_by=region&granularity=1m&agg=p99&from=-5m").await,
    );
    golden("unknown_series_is_an_empty_answer", &server.get("/api/metrics/nobody?metric=nothing").await);
}

#[tokio::test]
async fn good_points_are_kept_and_bad_ones_told() {
    let server = Server::ready().await;
    let flat = |value: Value, timestamp: i64| json!({ "metric_name": "m", "value": value, "timestamp": timestamp });
    let mixed = json!([flat(json!(1), NOW_MS), flat(json!("much"), NOW_MS), flat(json!(2), NOW_MS + 3_600_000)]);
    golden("push_partial", &server.push(&mixed).await);
    golden("push_nothing_good", &server.push(&json!([flat(json!("much"), NOW_MS)])).await);
    golden("push_malformed", &server.ask(Method::POST, "/api/metrics", &[JSON], "{\"metrics\": [").await);
}

#[tokio::test]
async fn a_server_is_found_by_the_labels_of_other_agents() {
    let server = Server::ready().await;
    let lines = format!("cpu_usage{{instance=\"web-1:9100\"}} 5 {NOW_MS}\n");
    let answer = server.ask(Method::POST, "/api/v1/import/prometheus", &[("content-type", "text/plain")], lines).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = server.get("/api/metrics/web-1:9100?metric=cpu_usage&granularity=raw&to=now%2B1s").await;
    assert_eq!(answer.json(), json!([{ "timestamp": NOW_MS, "value": 5.0 }]));
}

#[tokio::test]
async fn raw_points_of_differing_series_are_not_merged_silently() {
    let server = Server::ready().await;
    for device in ["sda", "sdb"] {
        let point =
            json!({ "metric_name": "disk_usage", "value": 1, "labels": { "server_id": "s", "device": device } });
        assert_eq!(server.push(&point).await.status, StatusCode::ACCEPTED);
    }
    golden("raw_of_several_series", &server.get("/api/metrics/s?metric=disk_usage&granularity=raw&to=now%2B1s").await);
}

#[tokio::test]
async fn every_wrong_request_is_a_problem() {
    let server = Server::ready().await;
    golden("unknown_parameter", &server.get("/api/metrics?metrik=x").await);
    golden("missing_metric", &server.get("/api/metrics/s").await);
    golden("wrong_time", &server.get("/api/metrics/s?metric=m&from=yesterday").await);
    golden("wrong_selector", &server.get("/api/metrics?match[]=%7Benv%3D%7D").await);
    golden("no_such_path", &server.get("/api/v1/nothing?query=up").await);
    golden("no_such_method", &server.ask(Method::DELETE, "/api/metrics", &[], "").await);
    golden(
        "unsupported_content_type",
        &server.ask(Method::POST, "/api/metrics", &[("content-type", "text/xml")], "<m/>").await,
    );
    let encoded = [JSON, ("content-encoding", "br")];
    golden("unsupported_encoding", &server.ask(Method::POST, "/api/metrics", &encoded, "x").await);
    golden("too_large", &server.ask(Method::POST, "/api/metrics", &[JSON], vec![b' '; 65_537]).await);
    golden("not_acceptable", &server.sql("SELECT 1", "text/html").await);
    golden("wrong_sql", &server.sql("SELECT * FROM nowhere", "*/*").await);
    golden("sql_is_read_only", &server.sql("CREATE TABLE t (a INT)", "*/*").await);
}

#[tokio::test]
async fn before_the_parts_are_started_only_health_answers() {
    let (server, ..) = Server::starting();
    server.app.gate.waiting_for("the hot store to replay its log");
    golden("starting", &server.get("/api/metrics/s?metric=m").await);
    golden("starting_influx", &server.ask(Method::POST, "/api/v2/write", &[], "cpu v=1").await);
    for path in ["/-/ready", "/readyz", "/health", "/health/ready"] {
        assert_eq!(server.get(path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    for path in ["/-/healthy", "/livez", "/health/live", "/metrics", "/api/v1/openapi.json", "/", "/problems"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn line_protocol_answers_in_the_words_of_its_version() {
    let server = Server::ready().await;
    let lines = format!("cpu,host=a usage=1,note=\"x\" {NOW_MS}\nbad line\ncpu,host=a usage= {NOW_MS}\n");
    for (name, path) in [
        ("v1", "/write?precision=ms"),
        ("v2", "/api/v2/write?precision=ms"),
        ("v3", "/api/v3/write_lp?precision=millisecond"),
    ] {
        let good = server.ask(Method::POST, path, &[], format!("mem,host=a used=3 {NOW_MS}")).await;
        assert_eq!((good.status, good.body.len()), (StatusCode::NO_CONTENT, 0), "{name}");
        let answer = server.ask(Method::POST, path, &[], lines.clone()).await;
        match name {
            "v1" => golden("influx_v1_partial", &answer),
            "v2" => golden("influx_v2_partial", &answer),
            _ => assert_eq!(answer.status, StatusCode::BAD_REQUEST),
        }
    }
    let answer = server.get("/api/metrics?metric=cpu_usage&granularity=raw&to=now%2B1s").await;
    assert_eq!(answer.json()["series"][0]["points"], json!([[NOW_MS, 1.0]]));
    assert_eq!(server.get("/ping").await.status, StatusCode::NO_CONTENT);
    golden("influx_create_database", &server.get("/query?q=CREATE%20DATABASE%20telegraf").await);
}

#[tokio::test]
async fn remote_write_checks_what_it_is_before_it_decodes() {
    let server = Server::ready().await;
    let damaged = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    for path in ["/api/v1/write", "/api/v1/push"] {
        let answer = server.ask(Method::POST, path, &[JSON], "{}").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        assert_eq!(server.ask(Method::POST, path, &damaged, "garbage").await.status, StatusCode::BAD_REQUEST, "{path}");
        // An empty message is a valid one.
        let empty = snap::raw::Encoder::new().compress_vec(b"").unwrap();
        assert_eq!(server.ask(Method::POST, path, &damaged, empty).await.status, StatusCode::NO_CONTENT, "{path}");
    }
}

#[tokio::test]
async fn rows_come_in_the_format_that_is_asked_for() {
    let server = Server::ready().await;
    server.push(&example()).await;
    let query = "SELECT metric, value FROM samples ORDER BY metric";
    golden("sql_json", &server.sql(query, "application/json").await);
    golden("sql_csv", &server.sql(query, "text/csv").await);
    golden("sql_ndjson", &server.sql(query, "application/x-ndjson").await);
    let none = server.sql("SELECT metric FROM samples WHERE metric = 'nothing'", "text/csv").await;
    assert_eq!(none.text(), "metric\n");
}

#[tokio::test]
async fn jobs_report_what_they_did() {
    let server = Server::ready().await;
    let old = json!({ "metric_name": "m", "value": 1, "timestamp": NOW_MS - 3 * 3_600_000 });
    server.push(&old).await;
    for action in ["flush", "seal", "archive", "retention"] {
        let answer = server.ask(Method::POST, &format!("/api/v1/admin/{action}"), &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{action}: {}", answer.text());
        if action == "seal" {
            assert_eq!(answer.json()["sealed"][0]["hours"], 1);
        }
    }
    let tiers = server.get("/api/v1/tiers").await.json();
    assert_eq!(tiers["sealed"], json!([{ "from": "2025-03-17T11:00:00Z", "to": "2025-03-17T12:00:00Z", "hours": 1 }]));
    assert_eq!(tiers["waiting_for_archive"], json!([]));
    assert_eq!(server.get("/api/v1/quarantine").await.json(), json!([]));
    golden("policies", &server.get("/api/v1/policies").await);
    let wrong = server.ask(Method::POST, "/api/v1/policies/plan", &[JSON], "{\"hot.raw\": \"soon\"}").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let plan = server.ask(Method::POST, "/api/v1/policies/plan", &[JSON], "{\"hot.raw\": \"1h\"}").await.json();
    assert_eq!(plan["retention"]["hot.raw"], "1h");
}

#[tokio::test]
async fn self_metrics_come_in_both_formats() {
    let server = Server::ready().await;
    server.push(&example()).await;
    let classic = server.get("/metrics").await;
    assert_eq!(classic.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.text().contains("handler=\"/api/metrics\",code=\"202\""), "{}", classic.text());
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = server.ask(Method::GET, "/metrics", &accept, "").await;
    assert!(open.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem_like_any_other() {
    let server = Server::ready().await;
    let problem = |answer: &Answer| {
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.text());
        (answer.status.as_u16(), answer.json()["type"].as_str().unwrap().to_owned())
    };
    for path in ["/api/metrics/%ff?metric=x", "/problems/%ff", "/api/docs/%ff"] {
        assert_eq!(problem(&server.get(path).await), (400, "/problems/bad-request".to_owned()), "{path}");
    }
    for path in ["/api/docs/nosuch", "/api/docs/../router.rs", "/problems/nosuch"] {
        assert_eq!(problem(&server.get(path).await), (404, "/problems/not-found".to_owned()), "{path}");
    }
    assert_eq!(server.get("/api/docs").await.headers["location"], "/api/docs/");
    for (path, media) in [("/api/docs/", "text/html"), ("/api/docs/swagger-ui.css", "text/css")] {
        assert_eq!((server.get(path).await.status, media), (StatusCode::OK, media), "{path}");
        assert_eq!(server.get(path).await.headers["content-type"], media, "{path}");
    }
}

#[tokio::test]
async fn text_is_taken_as_curl_sends_it() {
    let server = Server::ready().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let lines = format!("up{{instance=\"a\"}} 1 {NOW_MS}\nup{{instance=\"b\"}} 0 {NOW_MS}\n");
    let answer = server.ask(Method::POST, "/api/v1/import/prometheus", &form, lines).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let answer = server.get("/api/metrics?metric=up&granularity=raw&to=now%2B1s").await.json();
    assert_eq!(answer["series"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn too_many_new_series_are_told_with_the_setting() {
    let server = Server::configured(|config| config.limits.new_series_per_second = 2).await;
    let point = |name: &str| json!({ "metric_name": name, "value": 1 });
    assert_eq!(server.push(&json!([point("a"), point("b")])).await.status, StatusCode::ACCEPTED);
    let refused = server.push(&json!([point("a"), point("c")])).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("limits.new_series_per_second") && detail.ends_with("nothing was taken"), "{detail}");
    assert_eq!(server.push(&point("a")).await.status, StatusCode::ACCEPTED, "a series that is there is no new one");
}
