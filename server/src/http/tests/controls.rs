//! Rules for the intake, by HTTP.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use super::{Answer, JSON, NOW_MS, Server};

const PATH: &str = "/api/v1/controls";

async fn put(server: &Server, rules: &Value) -> Answer {
    server.ask(Method::PUT, PATH, &[JSON], rules.to_string()).await
}

fn no_debug() -> Value {
    json!({ "name": "no-debug", "match": "{__name__=~\"debug_.*\"}", "action": "drop" })
}

fn flat(metric: &str, labels: &Value) -> Value {
    json!({ "metric_name": metric, "value": 1, "timestamp": NOW_MS, "labels": labels })
}

/// The series of a metric that are stored, by their labels.
async fn stored(server: &Server, metric: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/metrics?metric={metric}&granularity=raw&to=now%2B1s")).await.json();
    answer["series"].as_array().unwrap().iter().map(|series| series["labels"].clone()).collect()
}

#[tokio::test]
async fn rules_hold_from_the_next_request_on_and_tell_what_they_did() {
    let server = Server::ready().await;
    let none = server.get(PATH).await.json();
    assert_eq!(none, json!({ "source": "config", "controls": [], "disabled": [], "config": [] }));
    let rename = json!({ "name": "host", "match": "{host!=\"\"}", "rename_labels": { "host": "instance" } });
    let said = put(&server, &json!([no_debug(), rename])).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text());

    let answer = server
        .push(&json!([
            flat("debug_a", &json!({ "host": "x" })),
            flat("up", &json!({ "host": "x" })),
            flat("up", &json!({ "host": "y", "instance": "z" })),
            flat("debug_b", &json!({})),
        ]))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let mut told = answer.json();
    told.as_object_mut().unwrap().remove("batch_id");
    assert_eq!(told, json!({ "status": "accepted", "accepted": 2, "rejected": 0, "disabled": 2 }));
    assert_eq!(stored(&server, "debug_a").await, Vec::<Value>::new());
    let up = stored(&server, "up").await;
    assert!(
        up.contains(&json!({ "instance": "x" })) && up.contains(&json!({ "host": "y", "instance": "z" })),
        "{up:?}"
    );

    let told = server.get(PATH).await.json();
    assert_eq!(told["source"], "api");
    assert_eq!(told["disabled"], json!(["{__name__=~\"debug_.*\"}"]));
    assert_eq!(told["controls"][0]["points"], json!({ "drop": 2 }));
    assert_eq!(told["controls"][1]["points"], json!({ "rename_labels": 1, "rename_refused": 1 }));
    let refused = told["controls"][1]["rename_refused"].as_str().unwrap();
    assert_eq!(refused, "up{host=\"y\",instance=\"z\"}: label \"instance\" stands twice");
    let metrics = server.get("/metrics").await.text();
    let line = "thermocline_ingest_controlled_points_total{rule=\"no-debug\",action=\"drop\"} 2\n";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_stored_on_purpose_is_no_error() {
    let server = Server::ready().await;
    put(&server, &json!([no_debug()])).await;
    let only = server.push(&flat("debug_a", &json!({}))).await;
    assert_eq!((only.status, only.json()["disabled"].clone()), (StatusCode::ACCEPTED, json!(1)));
    let bad = json!({ "metric_name": "up", "value": "much", "timestamp": NOW_MS });
    let mixed = server.push(&json!([flat("debug_a", &json!({})), bad])).await;
    assert_eq!(mixed.status, StatusCode::ACCEPTED, "{}", mixed.text());
    assert_eq!((mixed.json()["rejected"].clone(), mixed.json()["errors"][0]["index"].clone()), (json!(1), json!(1)));
    assert_eq!(server.push(&json!([bad])).await.status, StatusCode::BAD_REQUEST);
    let lines = server.ask(Method::POST, "/write?precision=ms", &[], format!("debug_a value=1 {NOW_MS}")).await;
    assert_eq!(lines.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn deleting_them_goes_back_to_those_of_the_configuration() {
    let config = || serde_json::from_value(no_debug()).unwrap();
    let server = Server::configured(|settings| {
        settings.controls = vec![Spanned::new(config(), Location::UNKNOWN, Location::UNKNOWN)];
    })
    .await;
    let disabled = |answer: Answer| answer.json()["disabled"].clone();
    assert_eq!(disabled(server.get(PATH).await), json!(["{__name__=~\"debug_.*\"}"]));
    let told = put(&server, &json!([])).await.json();
    assert_eq!(told, json!({ "source": "api", "controls": [], "disabled": [], "config": [no_debug()] }));
    assert_eq!(server.push(&flat("debug_a", &json!({}))).await.json()["accepted"], 1);
    let told = server.ask(Method::DELETE, PATH, &[], "").await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!((told.json()["source"].clone(), disabled(told)), (json!("config"), json!(["{__name__=~\"debug_.*\"}"])));
    assert_eq!(server.push(&flat("debug_a", &json!({}))).await.json()["disabled"], 1);
}

#[tokio::test]
async fn rules_that_are_wrong_are_named_and_change_nothing() {
    let server = Server::ready().await;
    put(&server, &json!([no_debug()])).await;
    let twice = json!({ "name": "labels", "match": "up", "rename_labels": { "a": "c", "b": "c" } });
    let nothing = json!({ "name": "what", "match": "up" });
    let refused = put(&server, &json!([no_debug(), twice, nothing])).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let problem = refused.json();
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(detail, "rule \"labels\": \"a\" and \"b\" are both renamed to \"c\"; and 1 more");
    let named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| (e["index"].clone(), e["rule"].clone())).collect();
    assert_eq!(named, [(json!(1), json!("labels")), (json!(2), json!("what"))]);
    for (body, what) in [("{}", "a list of rules is wanted"), ("", "a list of rules is wanted")] {
        let refused = server.ask(Method::PUT, PATH, &[JSON], body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.json()["detail"].as_str().unwrap().contains(what), "{}", refused.text());
    }
    let text = server.ask(Method::PUT, PATH, &[("content-type", "text/plain")], "[]").await;
    assert_eq!(text.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.get(PATH).await.json()["controls"].as_array().unwrap().len(), 1);
    assert_eq!(server.push(&flat("debug_a", &json!({}))).await.json()["disabled"], 1);
}
