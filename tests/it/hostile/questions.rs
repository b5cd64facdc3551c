//! Hostile questions: wrong methods and parameters, broken selectors, absurd ranges.

use anyhow::ensure;
use reqwest::Method;

use super::Target;
use crate::api::{HOUR_MS, now_ms};

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let api = &target.api;
    for path in ["/nothing", "/api/v1/nothing", "/api/metrics/a/b", "/../etc/passwd", "/%00", "/problems/none"] {
        target.refuses(path, api.get(path, &[]), &[400, 404]).await?;
    }
    for path in ["/api/metrics/%ff?metric=x", "/api/metrics/%c3%28?metric=x", "/problems/%ff", "/api/docs/%ff"] {
        target.refuses(path, api.get(path, &[]), &[400]).await?;
    }
    for path in ["/api/docs/nosuch", "/api/docs/%2e%2e/%2e%2e/etc/passwd", "/api/docs/index.html%00"] {
        target.refuses(path, api.get(path, &[]), &[404]).await?;
    }
    for (method, path) in [
        (Method::DELETE, "/api/metrics"),
        (Method::PUT, "/api/v1/sql"),
        (Method::GET, "/api/v1/sql"),
        (Method::GET, "/api/v1/admin/flush"),
        (Method::POST, "/metrics"),
        (Method::PATCH, "/api/v1/tiers"),
    ] {
        let request = target.server.client().request(method.clone(), api.url(path, &[]));
        target.refuses(&format!("{method} {path}"), request, &[405]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_named() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let cases: [(&str, &str); 14] = [
        ("metrik", "cpu"),
        ("from", "yesterday"),
        ("from", "NaN"),
        ("to", "99999999999999999999"),
        ("granularity", "5m"),
        ("granularity", "raw; DROP TABLE samples"),
        ("agg", "p101"),
        ("agg", "median"),
        ("fill", "random"),
        ("group_agg", "p99"),
        ("limit", "-1"),
        ("limit", "0"),
        ("max_points", "1e9"),
        ("max_points", "many"),
    ];
    for (name, value) in cases {
        let request = target.api.get("/api/metrics", &[("metric", "cpu"), (name, value)]);
        let refusal = target.refuses(&format!("{name}={value}"), request, &[400]).await?;
        ensure!(refusal.body.contains(name), "{name}={value}: {}", refusal.body);
    }
    target.refuses("no metric", target.api.get("/api/metrics", &[]), &[400]).await?;
    target.refuses("no metric", target.api.get("/api/metrics/srv", &[]), &[400]).await?;
    let backwards = [("metric", "cpu"), ("from", "now"), ("to", "-1h")];
    target.refuses("a range that runs backwards", target.api.get("/api/metrics", &backwards), &[400]).await?;
    Ok(())
}

#[tokio::test]
async fn selectors_that_are_broken_are_refused() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let mut selectors: Vec<String> = [
        "{",
        "}",
        "{env=}",
        "{env=\"a\"",
        "{env~\"a\"}",
        "{=\"a\"}",
        "{env=\"\\x\"}",
        "{env=~\"(\"}",
        "{env=~\"[\"}",
        "{env=~\"a{1001}{1001}{1001}\"}",
        "{env=\"a\"}[5m]",
        "rate(x[5m])",
        "{env=\"a\u{0}\"",
        "",
        "{}",
    ]
    .map(str::to_owned)
    .into();
    selectors.push(format!("{{env=~\"{}\"}}", "(a*)*".repeat(1_000)));
    selectors.push(format!("{{{}}}", "a=\"b\",".repeat(1_000)) + "{");
    for selector in &selectors {
        let shown: String = selector.chars().take(40).collect();
        let request = target.api.get("/api/metrics", &[("metric", "cpu"), ("match[]", selector)]);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        // An empty selector selects what `metric` says; a strange one may yet be right.
        let harmless = ["", "{}"].contains(&selector.as_str()) || shown.contains("(a*)*");
        ensure!([400, 414, 431].contains(&status) || (harmless && status == 200), "{shown}: {status}");
        target.goes_on().await?;
    }
    Ok(())
}

#[tokio::test]
async fn absurd_ranges_are_answered_or_refused_at_once() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let now = now_ms();
    target.api.push_points("a", "cpu", &[(now - HOUR_MS, 1.0), (now, 2.0)]).await?;
    let ranges = [
        ("0", "253402300799"),
        ("0", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("-100y", "now"),
        ("now", "now"),
    ];
    for (from, to) in ranges {
        for granularity in ["raw", "1m", "1h", "1d", "auto"] {
            for fill in ["none", "null", "previous"] {
                let params =
                    [("metric", "cpu"), ("from", from), ("to", to), ("granularity", granularity), ("fill", fill)];
                let answer = target.api.get("/api/metrics", &params).send().await?;
                let status = answer.status().as_u16();
                let text = answer.text().await?;
                let shown = &text[..text.len().min(200)];
                ensure!([200, 400, 422].contains(&status), "{from}..{to} {granularity} {fill}: {status} {shown}");
            }
        }
        target.goes_on().await?;
    }
    Ok(())
}
