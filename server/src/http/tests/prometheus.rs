//! Prometheus' API over real parts: shapes, statuses and words, as its clients know them.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, JSON, NOW_MS, Server, golden};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const TEXT: (&str, &str) = ("content-type", "text/plain");

/// Three series: a gauge and a counter of two jobs, a point every 15 s over the ten minutes before now.
async fn scraped() -> Server {
    let server = Server::ready().await;
    let mut lines = "# TYPE load gauge\n# HELP load How busy it is.\n# TYPE http_requests_total counter\n".to_owned();
    for step in 0..=40_i64 {
        let at = NOW_MS - 600_000 + step * 15_000;
        lines.push_str(&format!("load{{job=\"api\",instance=\"a:1\"}} {}.5 {at}\n", step % 4));
        for (job, rate) in [("api", 30), ("web", 15)] {
            lines.push_str(&format!("http_requests_total{{job=\"{job}\"}} {} {at}\n", step * rate));
        }
    }
    let answer = server.ask(Method::POST, "/api/v1/import/prometheus", &[TEXT], lines).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    server
}

async fn data(server: &Server, path: &str) -> Value {
    let answer = server.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    assert_eq!(answer.json()["status"], "success", "{path}");
    answer.json()["data"].clone()
}

fn refused(answer: &Answer, status: u16, kind: &str) -> String {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["status"].as_str()), (status, Some("error")), "{body}");
    assert_eq!(
        (body["errorType"].as_str(), &answer.headers["content-type"]),
        (Some(kind), &"application/json".parse().unwrap())
    );
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_expression_is_answered_at_one_time_and_at_steps() {
    let server = scraped().await;
    golden("prometheus_health", &server.ask(Method::POST, "/api/v1/query", &[FORM], "query=1%2B1&time=4").await);
    let now = NOW_MS / 1_000;
    golden("prometheus_vector", &server.get(&format!("/api/v1/query?query=load&time={now}.250")).await);
    let start = now - 60;
    let asked = format!(
        "/api/v1/query_range?query=sum+by+(job)(rate(http_requests_total%5B1m%5D))&start={start}&end={now}&step=30"
    );
    golden("prometheus_matrix", &server.get(&asked).await);
    assert_eq!(
        data(&server, "/api/v1/query?query=%22text%22&time=1.5").await,
        json!({ "resultType": "string", "result": [1.5, "text"] })
    );
    let values = data(&server, &format!("/api/v1/query?query=load%5B30s%5D&time={now}")).await;
    assert_eq!(
        values["result"][0]["values"],
        json!([[now - 15, "3.5"], [now, "0.5"]]),
        "a window is open at its start"
    );
}

#[tokio::test]
async fn forms_and_urls_ask_alike() {
    let server = scraped().await;
    let now = NOW_MS / 1_000;
    let by_url = data(&server, &format!("/api/v1/query?query=http_requests_total&time={now}&unknown=1")).await;
    let form = format!("query=http_requests_total&time={now}");
    let by_form = server.ask(Method::POST, "/api/v1/query?query=ignored", &[FORM], form).await.json();
    assert_eq!(by_form["data"], by_url, "the form wins over the URL");
    let json = server.ask(Method::POST, "/api/v1/query", &[JSON], "{\"query\":\"1\"}").await;
    refused(&json, 415, "bad_data");
    let bytes = server.ask(Method::POST, "/api/v1/query", &[FORM], vec![b'q', 0xff, 0xfe]).await;
    assert!(refused(&bytes, 400, "bad_data").contains("not UTF-8"));
    let options = server.ask(Method::OPTIONS, "/api/v1/query", &[], "").await;
    assert_eq!(
        (options.status, &options.headers["allow"]),
        (StatusCode::NO_CONTENT, &"GET,HEAD,POST".parse().unwrap())
    );
    assert_eq!(
        server.ask(Method::POST, "/api/v1/label/job/values", &[FORM], "").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn names_are_listed_and_a_cut_list_says_so() {
    let server = scraped().await;
    assert_eq!(data(&server, "/api/v1/labels").await, json!(["__name__", "instance", "job"]));
    assert_eq!(data(&server, "/api/v1/label/job/values?match[]=load&limit=40000").await, json!(["api"]));
    assert_eq!(data(&server, "/api/v1/label/__name__/values").await, json!(["http_requests_total", "load"]));
    assert_eq!(data(&server, "/api/v1/label/U__job/values").await, json!(["api", "web"]));
    assert_eq!(data(&server, "/api/v1/label/nothing/values").await, json!([]));
    golden(
        "prometheus_series_cut",
        &server.get("/api/v1/series?match[]=http_requests_total&match[]=load&limit=2").await,
    );
    let years_ago = data(&server, "/api/v1/series?match[]=load&start=0&end=86400").await;
    assert_eq!(years_ago, json!([]));
    assert_eq!(refused(&server.get("/api/v1/series").await, 400, "bad_data"), "no match[] parameter provided");
    refused(&server.get("/api/v1/label/%ff/values").await, 400, "bad_data");
}

#[tokio::test]
async fn wrong_parameters_are_told_in_prometheus_words() {
    let server = Server::ready().await;
    let cases = [
        ("query?query=", "invalid parameter \"query\": unknown position: parse error: no expression found in input"),
        ("query?query=up%7B", "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces"),
        (
            "query?query=1&time=soon",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"soon\" to a valid timestamp",
        ),
        ("query?query=1&timeout=soon", "invalid parameter \"timeout\": cannot parse \"soon\" to a valid duration"),
        ("query?query=1&limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
        ("query_range?query=1", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        (
            "query_range?query=1&start=2&end=1&step=1",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "query_range?query=1&start=1&end=2&step=0",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "query_range?query=1&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "query_range?query=1&start=NaN&end=2&step=1",
            "invalid parameter \"start\": cannot parse \"NaN\" to a valid timestamp",
        ),
        (
            "query_range?query=x%5B5m%5D&start=1&end=2&step=1",
            "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        ("query_exemplars?query=x&start=2&end=1", "end timestamp must not be before start timestamp"),
        (
            "labels?match[]=%7B%7D",
            "invalid parameter \"match[]\": 1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("metadata?limit=x", "limit must be a number"),
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("format_query?query=1%2B", "invalid parameter \"query\": 1:3: parse error: unexpected end of input"),
    ];
    for (asked, expected) in cases {
        assert_eq!(refused(&server.get(&format!("/api/v1/{asked}")).await, 400, "bad_data"), expected, "{asked}");
    }
    let ok = server.get("/api/v1/query_range?query=1&start=0&end=11000&step=1").await.json();
    assert_eq!(ok["data"]["result"][0]["values"].as_array().map(Vec::len), Some(11_001));
}

#[tokio::test]
async fn what_an_expression_took_is_told_on_demand() {
    let server = scraped().await;
    let now = NOW_MS / 1_000;
    let stats = data(&server, &format!("/api/v1/query?query=load&time={now}&stats=all")).await["stats"].clone();
    assert!(stats["timings"]["execTotalTime"].as_f64().is_some_and(|seconds| seconds > 0.0), "{stats}");
    assert!(stats["samples"]["totalQueryableSamples"].as_u64().is_some_and(|samples| samples > 0), "{stats}");
    let odd = server.get(&format!("/api/v1/query?query=load&time={now}&stats=yes&limit=1")).await.json();
    assert!(odd["warnings"][0].as_str().is_some_and(|text| text.contains("deprecated")), "{odd}");
    let cut = server.get(&format!("/api/v1/query?query=http_requests_total&time={now}&limit=1")).await;
    assert_eq!(cut.json()["warnings"], json!(["results truncated due to limit"]));
    assert_eq!(cut.json()["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&cut.headers["x-thermocline-tiers"], &cut.headers["x-thermocline-complete"]),
        (&"hot".parse().unwrap(), &"true".parse().unwrap())
    );
}

#[tokio::test]
async fn a_long_answer_is_one_document() {
    let server = Server::ready().await;
    let mut lines = String::new();
    for series in 0..500 {
        lines.push_str(&format!("wide{{n=\"{series}\"}} {series}.25 {NOW_MS}\n"));
    }
    assert_eq!(
        server.ask(Method::POST, "/api/v1/import/prometheus", &[TEXT], lines).await.status,
        StatusCode::NO_CONTENT
    );
    let now = NOW_MS / 1_000;
    let asked = format!("/api/v1/query_range?query=wide&start={now}&end={}&step=1", now + 299);
    let answer = server.get(&asked).await;
    assert!(answer.body.len() > 2_000_000, "{}", answer.body.len());
    let result = answer.json()["data"]["result"].clone();
    assert_eq!(result.as_array().map(Vec::len), Some(500));
    assert_eq!(result[0]["values"][299], json!([now + 299, "0.25"]));
    assert_eq!(data(&server, "/api/v1/label/n/values?limit=400").await.as_array().map(Vec::len), Some(400));
}

#[tokio::test]
async fn expressions_are_formatted_and_taken_apart() {
    let server = Server::ready().await;
    let formatted = data(&server, "/api/v1/format_query?query=sum+by(job)(rate(x%5B5m%5D))").await;
    assert_eq!(formatted, "sum by (job) (rate(x[5m]))");
    let tree = server.ask(Method::POST, "/api/v1/parse_query", &[FORM], "query=-x").await.json();
    assert_eq!((&tree["data"]["type"], &tree["data"]["expr"]["name"]), (&json!("unaryExpr"), &json!("x")));
    let experimental = server.get("/api/v1/parse_query?query=mad_over_time(x%5B5m%5D)").await;
    assert!(refused(&experimental, 400, "bad_data").contains("mad_over_time"));
    let switched = Server::configured(|config| config.promql.experimental = true).await;
    assert_eq!(data(&switched, "/api/v1/parse_query?query=mad_over_time(x%5B5m%5D)").await["type"], "call");
    assert_eq!(data(&switched, "/api/v1/query?query=mad_over_time(x%5B5m%5D)").await["result"], json!([]));
}

#[tokio::test]
async fn the_server_describes_itself_as_a_prometheus() {
    let server = scraped().await;
    let build = data(&server, "/api/v1/status/buildinfo").await;
    assert!(build["version"].as_str().unwrap().starts_with("3."), "{build}");
    assert_eq!(build.get("features"), None, "else it would be taken for Mimir");
    for (path, expected) in [
        ("rules", json!({ "groups": [] })),
        ("alerts", json!({ "alerts": [] })),
        ("targets", json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} })),
        ("alertmanagers", json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] })),
        ("query_exemplars?query=load&start=1742218200000&end=1742221800000", json!([])),
    ] {
        assert_eq!(data(&server, &format!("/api/v1/{path}")).await, expected, "{path}");
    }
    let said = data(&server, "/api/v1/metadata?metric=load&limit=1000").await;
    assert_eq!(said, json!({ "load": [{ "type": "gauge", "help": "How busy it is.", "unit": "" }] }));
    assert_eq!(data(&server, "/api/v1/metadata?limit=1").await.as_object().map(serde_json::Map::len), Some(1));
    let yaml = data(&server, "/api/v1/status/config").await["yaml"].as_str().unwrap().to_owned();
    assert!(yaml.contains("promql.lookback: \"5m\"\n") && yaml.contains("limits.body: "), "{yaml}");
    assert_eq!(data(&server, "/api/v1/status/flags").await["query.lookback-delta"], "5m");
    assert_eq!(data(&server, "/api/v1/status/runtimeinfo").await["serverTime"], "2025-03-17T14:30:00Z");
    let tsdb = data(&server, "/api/v1/status/tsdb?limit=1").await;
    assert_eq!(tsdb["headStats"]["numSeries"], 3);
    assert_eq!(tsdb["seriesCountByMetricName"], json!([{ "name": "http_requests_total", "value": 2 }]));
}

#[tokio::test]
async fn the_newest_samples_are_federated_as_text() {
    let server = scraped().await;
    let answer = server.get("/federate?match[]=load&match[]=%7Bjob%3D%22api%22%7D").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let expected = format!(
        "# TYPE http_requests_total untyped\nhttp_requests_total{{job=\"api\",instance=\"\"}} 1200 {NOW_MS}\n\
         # TYPE load untyped\nload{{instance=\"a:1\",job=\"api\"}} 0.5 {NOW_MS}\n"
    );
    assert_eq!(answer.text(), expected);
    let wrong = server.get("/federate?match[]=%7B").await;
    assert_eq!(
        (wrong.status, &wrong.headers["content-type"]),
        (StatusCode::BAD_REQUEST, &"text/plain; charset=utf-8".parse().unwrap())
    );
}

#[tokio::test]
async fn raw_points_are_read_from_afar() {
    let server = scraped().await;
    // Matchers `__name__="load"` over all of the time, as samples and as chunks.
    let matcher = b"\x12\x08__name__\x1a\x04load";
    let mut query = vec![0x10];
    query.extend(varint(NOW_MS.cast_unsigned()));
    query.extend([0x1a, u8::try_from(matcher.len()).unwrap()]);
    query.extend(matcher);
    let mut request = vec![0x0a, u8::try_from(query.len()).unwrap()];
    request.extend(&query);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let compressed = |plain: &[u8]| snap::raw::Encoder::new().compress_vec(plain).unwrap();
    let samples = server.ask(Method::POST, "/api/v1/read", &headers, compressed(&request)).await;
    assert_eq!(samples.status, StatusCode::OK, "{}", samples.text());
    assert_eq!(samples.headers["content-encoding"], "snappy");
    let message = snap::raw::Decoder::new().decompress_vec(&samples.body).unwrap();
    let point = [&b"\x09"[..], &0.5_f64.to_le_bytes(), b"\x10", &varint(NOW_MS.cast_unsigned())].concat();
    assert!(message.windows(point.len()).any(|part| part == point), "the newest point is there");

    request.extend([0x10, 0x01]);
    let chunks = server.ask(Method::POST, "/api/v1/read", &headers, compressed(&request)).await;
    assert_eq!(chunks.headers["content-type"], "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    assert!(chunks.body.windows(4).any(|part| part == b"load") && chunks.headers.get("content-encoding").is_none());
    for (body, status) in [(b"garbage".to_vec(), 400), (compressed(b"\x0b"), 400)] {
        let answer = server.ask(Method::POST, "/api/v1/read", &headers, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["content-type"]),
            (status, &"text/plain; charset=utf-8".parse().unwrap())
        );
    }
    assert_eq!(
        server.ask(Method::POST, "/api/v1/read", &[JSON], "{}").await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    out
}

/// `prompb.WriteRequest` as Prometheus 3.15 writes it: `latency`, integers with exponential buckets at 60 and 30 s before
/// now and now, and `size`, a float gauge with custom buckets, now.
const HISTOGRAMS: &str = "0aa8010a130a085f5f6e616d655f5f12076c6174656e63790a0a0a036a6f621203617069222b08041900000000\
                          00001a4029000000000000d03f30015a0210015a04080210016202020278e08f88a4da32222b0808190000000000\
                          002a4029000000000000d03f30025a0210015a0408021001620204047890fa89a4da32222b081419000000000040\
                          404029000000000000d03f30055a0210015a040802100162020a0a78c0e48ba4da320a670a100a085f5f6e616d65\
                          5f5f120473697a650a0a0a036a6f6212036170692247110000000000000c40190000000000000040206939000000\
                          00000000005a0210026a10000000000000f83f0000000000000040700378c0e48ba4da32820108000000000000e0\
                          3f";

#[tokio::test]
async fn native_histograms_are_told_with_their_buckets() {
    let server = Server::ready().await;
    let digits: Vec<char> = HISTOGRAMS.chars().collect();
    let plain: Vec<u8> =
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect();
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let compressed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let written = server.ask(Method::POST, "/api/v1/write", &headers, compressed).await;
    assert_eq!(written.status, StatusCode::NO_CONTENT, "{}", written.text());
    let now = NOW_MS / 1_000;
    golden("prometheus_histogram", &server.get(&format!("/api/v1/query?query=size&time={now}")).await);
    let start = now - 60;
    let asked = format!("/api/v1/query_range?query=latency&start={start}&end={now}&step=30");
    golden("prometheus_histograms", &server.get(&asked).await);
    let rate =
        data(&server, &format!("/api/v1/query?query=histogram_count(increase(latency%5B61s%5D))&time={now}")).await;
    assert_eq!(rate["result"][0]["metric"], json!({ "job": "api" }), "{rate}");
    let federated = server.get("/federate?match[]=size&match[]=latency").await.text();
    let expected = format!(
        "# TYPE size histogram\nsize_bucket{{job=\"api\",instance=\"\",le=\"0.5\"}} 1.5 {NOW_MS}\n\
         size_bucket{{job=\"api\",instance=\"\",le=\"+Inf\"}} 3.5 {NOW_MS}\nsize_sum{{job=\"api\",instance=\"\"}} 2 {NOW_MS}\n\
         size_count{{job=\"api\",instance=\"\"}} 3.5 {NOW_MS}\n"
    );
    assert_eq!(federated, expected, "exponential buckets have no words here");
}

#[tokio::test]
async fn before_the_parts_are_started_the_api_is_unavailable() {
    let (server, ..) = Server::starting();
    for path in ["/api/v1/query?query=1", "/api/v1/labels", "/api/v1/metadata"] {
        let answer = server.get(path).await;
        refused(&answer, 503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(server.get("/federate?match[]=up").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.get("/api/v1/status/buildinfo").await.status, StatusCode::OK);
}
