//! What all operations have in common, laid over what each handler says of itself.
//!
//! other names of a path ─▶ operation ids ─▶ errors: status by [`Kind`], body by the path's [`Dialect`] ─▶ answers
//! without a shape of their own ─▶ headers ─▶ schemas

use serde_json::{Map, Value, json};

use crate::http::middleware::always_answered;
use crate::http::problem::{Kind, PROBLEM_JSON};
use crate::http::provenance;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const FORM: &str = "application/x-www-form-urlencoded";

/// Method and path of another name, and of the operation that it names.
const ALIASES: [[(&str, &str); 2]; 15] = [
    [("post", "/api/v1/push"), ("post", "/api/v1/write")],
    [("post", "/api/v1/otlp/v1/metrics"), ("post", "/v1/metrics")],
    [("post", "/ping"), ("get", "/ping")],
    [("get", "/query"), ("post", "/query")],
    [("get", "/livez"), ("get", "/-/healthy")],
    [("get", "/health/live"), ("get", "/-/healthy")],
    [("get", "/readyz"), ("get", "/-/ready")],
    [("get", "/health/ready"), ("get", "/health")],
    [("post", "/api/v1/query"), ("get", "/api/v1/query")],
    [("post", "/api/v1/query_range"), ("get", "/api/v1/query_range")],
    [("post", "/api/v1/query_exemplars"), ("get", "/api/v1/query_exemplars")],
    [("post", "/api/v1/series"), ("get", "/api/v1/series")],
    [("post", "/api/v1/labels"), ("get", "/api/v1/labels")],
    [("post", "/api/v1/format_query"), ("get", "/api/v1/format_query")],
    [("post", "/api/v1/parse_query"), ("get", "/api/v1/parse_query")],
];

/// Completes a document.
pub(super) fn complete(document: &mut Value) {
    for [(method, path), (of_method, of_path)] in ALIASES {
        let mut operation = document["paths"][of_path][of_method].clone();
        operation["summary"] = json!(format!("The same as `{} {of_path}`.", of_method.to_uppercase()));
        if method == "get" {
            remove(&mut operation, "requestBody");
        }
        // The parameters of a question may stand in a form as well.
        if method == "post" && operation["tags"][0] == "prometheus" {
            operation["requestBody"] = json!({ "content": { FORM: { "schema": { "type": "object" } } } });
        }
        document["paths"][path][method] = operation;
    }
    for (path, methods) in members(&mut document["paths"]) {
        for (method, operation) in members(methods) {
            let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            let id: Vec<&str> = std::iter::once(method.as_str()).chain(words).collect();
            operation["operationId"] = json!(id.join("_"));
            add_errors(path, operation);
            add_answer(method, path, operation);
        }
    }
    for (name, schema) in schemas() {
        document["components"]["schemas"][name] = schema;
    }
}

/// How a path tells errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Problem,
    InfluxV1,
    InfluxV2,
    Otlp,
    Prometheus,
    Text,
}

impl Dialect {
    fn of(path: &str, operation: &Value) -> Self {
        match path {
            "/federate" | "/api/v1/read" => Self::Text,
            _ if operation["tags"][0] == "prometheus" => Self::Prometheus,
            "/write" | "/ping" | "/query" => Self::InfluxV1,
            "/api/v2/write" | "/api/v3/write_lp" => Self::InfluxV2,
            "/v1/metrics" | "/api/v1/otlp/v1/metrics" => Self::Otlp,
            "/api/v1/write" | "/api/v1/push" => Self::Text,
            _ => Self::Problem,
        }
    }

    /// Media type and schema of an error.
    fn body(self) -> (&'static str, Value) {
        match self {
            Self::Problem => (PROBLEM_JSON, reference("Problem")),
            Self::InfluxV1 => (JSON, reference("InfluxV1Error")),
            Self::InfluxV2 => (JSON, reference("InfluxV2Error")),
            // In protobuf to who sent protobuf.
            Self::Otlp => (JSON, reference("RpcStatus")),
            Self::Prometheus => (JSON, reference("PrometheusError")),
            Self::Text => (TEXT, json!({ "type": "string" })),
        }
    }
}

/// Adds errors that any handler may answer with, and to each error its body.
fn add_errors(path: &str, operation: &mut Value) {
    let mut any = vec![Kind::Internal];
    if !always_answered(path) {
        any.push(Kind::Overloaded);
    }
    if operation.get("requestBody").is_some() {
        any.extend([Kind::RequestTimeout, Kind::TooLarge, Kind::UnsupportedMediaType]);
    }
    let dialect = Dialect::of(path, operation);
    let responses = &mut operation["responses"];
    for kind in any {
        let (status, _, _, meaning) = kind.facts();
        let response = &mut responses[status.as_str()];
        if response.is_null() {
            *response = json!({ "description": meaning });
        }
    }
    for (status, response) in members(responses).filter(|(status, _)| status.starts_with(['4', '5'])) {
        if response.get("content").is_none() {
            let (media, schema) = dialect.body();
            response["content"][media] = json!({ "schema": schema });
            // Bounds on all requests together, and a defect, are told before or after the protocol's own code.
            if matches!(status.as_str(), "500" | "503") {
                response["content"][PROBLEM_JSON] = json!({ "schema": reference("Problem") });
            }
        }
        if status == "503" {
            response["headers"]["Retry-After"] =
                header(&json!({ "type": "integer" }), "Seconds after which to come again");
        }
    }
}

/// Adds the body of the good answer where the handler names none, and its headers.
fn add_answer(method: &str, path: &str, operation: &mut Value) {
    let prometheus = operation["tags"][0] == "prometheus";
    let response = &mut operation["responses"]["200"];
    if response.is_null() {
        remove(&mut operation["responses"], "200");
        return;
    }
    let rows = json!({ "type": "array", "items": { "type": "object" } });
    let text = json!({ "type": "string" });
    let content: Vec<(&str, Value)> = match (method, path) {
        ("get", "/api/metrics") => vec![(JSON, reference("SeriesAnswer"))],
        ("get", "/api/metrics/{server_id}") => {
            vec![(JSON, json!({ "type": "array", "items": reference("Dot") }))]
        }
        ("post", "/api/v1/sql") => vec![
            (JSON, rows),
            ("application/x-ndjson", text.clone()),
            ("text/csv", text),
            ("application/vnd.apache.arrow.stream", json!({ "type": "string", "format": "binary" })),
        ],
        (_, "/metrics") => vec![(TEXT, text.clone()), ("application/openmetrics-text", text)],
        (_, "/federate") => vec![(TEXT, text)],
        (_, "/api/v1/read") => {
            let binary = json!({ "type": "string", "format": "binary" });
            let chunked = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
            vec![("application/x-protobuf", binary.clone()), (chunked, binary)]
        }
        _ if prometheus => vec![(JSON, reference("PrometheusAnswer"))],
        (_, "/-/healthy" | "/livez" | "/health/live" | "/-/ready" | "/readyz") => vec![(TEXT, text)],
        // Objects that are described in words.
        _ => vec![(JSON, json!({}))],
    };
    if response.get("content").is_none() {
        for (media, schema) in content {
            response["content"][media] = json!({ "schema": schema });
        }
    }
    let headers = match (method, path) {
        ("get", "/api/metrics" | "/api/metrics/{server_id}")
        | (_, "/api/v1/query" | "/api/v1/query_range" | "/api/v1/read") => &provenance::HEADERS[..],
        ("post", "/api/v1/sql") => provenance::planned_headers(),
        _ => &[],
    };
    for (name, meaning) in headers {
        response["headers"][*name] = header(&json!({ "type": "string" }), meaning);
    }
}

/// Shapes that are written by hand, and so are described by hand.
fn schemas() -> Vec<(&'static str, Value)> {
    let text = |meaning: &str| json!({ "type": "string", "description": meaning });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let problem = json!({
        "type": text("`/problems/<kind>`; that path explains it"),
        "title": text("The kind in words"),
        "status": { "type": "integer", "description": "The HTTP status" },
        "detail": text("What is wrong with this request"),
        "errors": {
            "type": "array", "items": {},
            "description": "Single things that are wrong (of a push: the first 20, with `index` and `reason`), or what is possible",
        },
    });
    let series = json!({
        "metric": text("Metric name"),
        "labels": { "type": "object", "additionalProperties": { "type": "string" } },
        "points": {
            "type": "array",
            "description": "Milliseconds since 1970 and value, oldest first",
            "items": {
                "type": "array", "minItems": 2, "maxItems": 2,
                "prefixItems": [{ "type": "integer", "format": "int64" }, reference("Value")],
            },
        },
    });
    vec![
        ("Problem", object(&["type", "title", "status", "detail", "errors"], problem)),
        ("InfluxV1Error", object(&["error"], json!({ "error": text("What is wrong") }))),
        (
            "InfluxV2Error",
            object(&["code", "message"], json!({ "code": text("Kind of error"), "message": text("What is wrong") })),
        ),
        (
            "PrometheusAnswer",
            object(
                &["status", "data"],
                json!({
                    "status": { "enum": ["success"] },
                    "data": { "description": "As Prometheus' own documentation describes it" },
                    "warnings": { "type": "array", "items": text("What may not be as it was meant") },
                    "infos": { "type": "array", "items": text("What is worth knowing") },
                }),
            ),
        ),
        (
            "PrometheusError",
            object(
                &["status", "errorType", "error"],
                json!({
                    "status": { "enum": ["error"] },
                    "errorType": { "enum": ["bad_data", "execution", "timeout", "unavailable", "internal", "not_found", "not_acceptable"] },
                    "error": text("What is wrong"),
                }),
            ),
        ),
        (
            "RpcStatus",
            object(
                &["code", "message"],
                json!({ "code": { "type": "integer", "description": "Of `google.rpc.Code`" }, "message": text("What is wrong") }),
            ),
        ),
        (
            "Value",
            json!({
                "description": "A number; `\"NaN\"`, `\"+Inf\"` or `\"-Inf\"`; null where `fill` has nothing to show",
                "oneOf": [{ "type": "number" }, { "enum": ["NaN", "+Inf", "-Inf"] }, { "type": "null" }],
            }),
        ),
        (
            "Dot",
            object(
                &["timestamp", "value"],
                json!({
                    "timestamp": { "type": "integer", "format": "int64", "description": "Milliseconds since 1970" },
                    "value": reference("Value"),
                }),
            ),
        ),
        ("Series", object(&["metric", "labels", "points"], series)),
        (
            "SeriesAnswer",
            object(
                &["series", "truncated", "provenance"],
                json!({
                    "series": { "type": "array", "items": reference("Series") },
                    "truncated": { "type": "integer", "description": "Series that `limit` has cut off" },
                    "provenance": reference("ProvenanceShape"),
                }),
            ),
        ),
    ]
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn header(schema: &Value, meaning: &str) -> Value {
    json!({ "description": meaning, "schema": schema })
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flat_map(Map::iter_mut)
}

fn remove(value: &mut Value, member: &str) {
    if let Some(members) = value.as_object_mut() {
        members.shift_remove(member);
    }
}
