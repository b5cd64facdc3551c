//! What the server says of itself is what it does: the OpenAPI document, the index and the documentation against the
//! router and its answers.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Server, example};
use crate::http::problem::Kind;
use crate::http::{openapi, provenance};

/// Methods and paths of the document, with their operations.
fn documented() -> BTreeMap<(String, String), Value> {
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |of| (path, of)));
    operations.map(|(path, (method, operation))| ((method.to_uppercase(), path.clone()), operation.clone())).collect()
}

/// Methods and paths of the router, but for the browsable page.
fn routed() -> BTreeSet<(String, String)> {
    let source: String = include_str!("../router.rs").split_whitespace().collect();
    let mut out = BTreeSet::new();
    for route in source.split(".route(\"").skip(1) {
        let (path, handlers) = route.split_once('"').unwrap();
        let handlers = handlers.split("))").next().unwrap();
        for method in ["get", "post", "put", "delete", "patch"] {
            if [format!(",{method}("), format!(").{method}(")].iter().any(|call| handlers.contains(call)) {
                out.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    out.retain(|(_, path)| !path.starts_with("/api/docs"));
    out
}

#[tokio::test]
async fn the_document_has_every_path_of_the_router_and_no_other() {
    let documented = documented();
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), routed());
    assert!(documented.contains_key(&("POST".to_owned(), "/ping".to_owned())));
    let (server, ..) = Server::starting();
    let mut ids = BTreeSet::new();
    for ((method, path), operation) in &documented {
        let asked = path.replace("{server_id}", "x").replace("{slug}", "bad-request").replace("{name}", "job");
        let answer = server.ask(method.parse().unwrap(), &asked, &[], "").await;
        assert!(!matches!(answer.status.as_u16(), 404 | 405), "{method} {path}: {}", answer.status);
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path} has the id of another");
    }
}

#[test]
fn every_error_in_the_document_has_a_body_and_every_reference_an_end() {
    for ((method, path), operation) in documented() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert_eq!(response["content"].is_null(), status == "204", "{method} {path} {status}");
        }
        let statuses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
        if !operation["requestBody"].is_null() {
            for status in ["400", "413", "415", "503"] {
                assert!(statuses.iter().any(|s| *s == status), "{method} {path} lacks {status}: {statuses:?}");
            }
        }
    }
    let text = openapi::document().to_string();
    let document: Value = serde_json::from_str(&text).unwrap();
    let ends = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    let missing: Vec<&str> = ends.filter(|end| document.pointer(end).is_none()).collect();
    assert_eq!(missing, [""; 0]);
    let bad = document["paths"]["/api/metrics"]["get"]["responses"]["400"]["content"].clone();
    assert_eq!(bad, json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }));
}

#[tokio::test]
async fn answers_have_the_shapes_and_headers_that_are_documented() {
    let server = Server::ready().await;
    server.push(&example()).await;
    let document = openapi::document();
    for path in ["/api/metrics/{server_id}", "/api/metrics"] {
        let asked = path.replace("{server_id}", "srv-us-east-1-04821");
        let answer = server.get(&format!("{asked}?metric=cpu_usage&granularity=1m&agg=p99")).await;
        let response = &document["paths"][path]["get"]["responses"]["200"];
        let told: BTreeSet<&str> = response["headers"].as_object().unwrap().keys().map(String::as_str).collect();
        let given = answer.headers.keys().map(|name| name.as_str());
        let given: BTreeSet<&str> =
            given.filter(|name| name.starts_with("x-thermocline") || *name == "server-timing").collect();
        // One point has no quantile that could be wrong.
        assert_eq!(told.difference(&given).collect::<Vec<_>>(), [&"x-thermocline-quantile-error"], "{path}");
        assert!(given.is_subset(&told), "{path}: {given:?}");
        assert_eq!(told, provenance::HEADERS.map(|(name, _)| name).into());
    }
    let sql = server.ask(Method::POST, "/api/v1/sql", &[], "SELECT count(*) FROM rollup_1m").await;
    let told = &document["paths"]["/api/v1/sql"]["post"]["responses"]["200"]["headers"];
    for (name, meaning) in [("tiers", "hot"), ("resolution", "1m"), ("complete", "true")] {
        let name = format!("x-thermocline-{name}");
        assert_eq!(sql.headers[&name], meaning, "{name}");
        assert!(told[&name].is_object(), "{name}");
    }
    assert_eq!(told.as_object().unwrap().len(), provenance::planned_headers().len());
    let members = |schema: &str| {
        let required = document["components"]["schemas"][schema]["required"].as_array().unwrap();
        required.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let answer = server.get("/api/metrics?metric=cpu_usage").await.json();
    assert_eq!((names(&answer), names(&answer["series"][0])), (members("SeriesAnswer"), members("Series")));
    let dots = server.get("/api/metrics/srv-us-east-1-04821?metric=cpu_usage").await.json();
    assert_eq!(names(&dots[0]), members("Dot"));
    assert_eq!(names(&server.get("/nothing").await.json()), members("Problem"));
    let influx = server.ask(Method::POST, "/write?precision=x", &[], "a v=1").await.json();
    assert_eq!(names(&influx), members("InfluxV1Error"));
    let influx = server.ask(Method::POST, "/api/v2/write?precision=x", &[], "a v=1").await.json();
    assert_eq!(names(&influx), members("InfluxV2Error"));
}

#[tokio::test]
async fn the_index_lists_every_path_and_its_links_can_be_followed() {
    let server = Server::ready().await;
    let index = server.get("/").await.json();
    let listed = index["paths"].as_object().unwrap().values().flat_map(|paths| paths.as_object().unwrap().keys());
    let listed: BTreeSet<(String, String)> = listed
        .map(|of| of.split_once(' ').unwrap())
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(listed, routed());
    for (name, link) in index["links"].as_object().unwrap() {
        let answer = server.get(link.as_str().unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.text());
    }
}

#[test]
fn every_problem_is_documented() {
    let text = include_str!("../../../../docs/api.md");
    for kind in Kind::ALL {
        let (status, slug, ..) = kind.facts();
        let row = format!("| `/problems/{slug}` | {} |", status.as_u16());
        assert!(text.contains(&row), "docs/api.md lacks {row}");
    }
}
