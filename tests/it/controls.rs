//! Metric control at the intake: rules change without a restart, survive kill -9, and are true of what is stored.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kit::Server;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::{Api, json_of, now_ms, refusal_of};

const PATH: &str = "/api/v1/controls";
/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// Points that are thinned out, a second apart.
const POINTS: i64 = 3_000;
const HOSTS: [&str; 3] = ["srv-0", "srv-1", "srv-2"];

async fn put(server: &Server, rules: &Value) -> anyhow::Result<Value> {
    json_of(server.client().put(server.url(PATH)).json(rules).send().await?).await
}

async fn standing(server: &Server) -> anyhow::Result<Value> {
    server.get_json(PATH).await
}

/// Names of the rules in force, and who said them.
async fn in_force(server: &Server) -> anyhow::Result<(String, Vec<String>)> {
    let told = standing(server).await?;
    let rules = told["controls"].as_array().with_context(|| format!("no rules in {told}"))?;
    let names = rules.iter().map(|rule| rule["name"].as_str().unwrap_or_default().to_owned()).collect();
    Ok((told["source"].as_str().unwrap_or_default().to_owned(), names))
}

/// Pushes a point a metric of one host; returns what was accepted and what was kept out.
async fn push(server: &Server, metrics: &[&str], timestamp: i64) -> anyhow::Result<(u64, u64)> {
    let metrics: Vec<Value> = metrics.iter().map(|name| json!({ "name": name, "value": 1 })).collect();
    let body = json!({ "server_id": "a", "timestamp": timestamp, "metrics": metrics, "tags": { "pod": "p-1" } });
    let told = server.post_json("/api/metrics", &body).await?;
    let disabled = told.get("disabled").map_or(Some(0), Value::as_u64).context("a count")?;
    ensure!(disabled > 0 || told.get("disabled").is_none(), "it is told only of some: {told}");
    Ok((told["accepted"].as_u64().context("a count")?, disabled))
}

async fn metric_names(api: &Api) -> anyhow::Result<Vec<String>> {
    let rows = api.sql("SELECT DISTINCT metric FROM samples ORDER BY metric").await?;
    rows.iter().map(|row| Ok(row["metric"].as_str().context("a name")?.to_owned())).collect()
}

async fn counted(server: &Server, rule: &str, action: &str) -> anyhow::Result<u64> {
    let text = server.get("/metrics").send().await?.text().await?;
    let start = format!("thermocline_ingest_controlled_points_total{{rule=\"{rule}\",action=\"{action}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.with_context(|| format!("no counter of {rule}"))?.parse().context("a count")
}

fn no_debug() -> Value {
    json!({ "name": "no-debug", "match": "{__name__=~\"debug_.*\"}", "action": "drop" })
}

#[tokio::test]
async fn rules_take_effect_with_the_next_request_and_survive_a_kill() -> anyhow::Result<()> {
    let mut server =
        Server::options().config("controls:\n  - { name: config, match: 'never', action: drop }\n").start().await?;
    let now = now_ms();
    ensure!(in_force(&server).await? == ("config".to_owned(), vec!["config".to_owned()]));
    ensure!(push(&server, &["up", "debug_a"], now - 3_000).await? == (2, 0));

    let pods = json!({ "name": "pods", "match": "{pod!=\"\"}", "drop_labels": ["pod"] });
    put(&server, &json!([no_debug(), pods])).await?;
    let rules = ("api".to_owned(), vec!["no-debug".to_owned(), "pods".to_owned()]);
    ensure!(in_force(&server).await? == rules);
    ensure!(push(&server, &["up", "debug_a", "debug_b"], now - 2_000).await? == (1, 2));
    ensure!(metric_names(&Api::of(&server)).await? == ["debug_a", "up"], "what was stored before stays");
    ensure!(counted(&server, "no-debug", "drop").await? == 2 && counted(&server, "pods", "drop_labels").await? == 1);
    let told = standing(&server).await?;
    ensure!(told["disabled"] == json!(["{__name__=~\"debug_.*\"}"]), "{told}");
    ensure!(told["controls"][0]["points"] == json!({ "drop": 2 }), "{told}");

    server.kill().await?;
    server.restart().await?;
    ensure!(in_force(&server).await? == rules, "after kill -9");
    ensure!(push(&server, &["up", "debug_b"], now - 1_000).await? == (1, 1));
    ensure!(metric_names(&Api::of(&server)).await? == ["debug_a", "up"]);
    let rows =
        Api::of(&server).sql("SELECT count(*) AS n FROM samples WHERE metric = 'up' AND labels['pod'] IS NULL").await?;
    ensure!(rows[0]["n"] == 2, "{rows:?}");

    // Back to the configuration, which a reload changes.
    let back = json_of(server.client().delete(server.url(PATH)).send().await?).await?;
    ensure!(back["source"] == "config", "{back}");
    ensure!(push(&server, &["debug_a", "never"], now).await? == (1, 1));
    std::fs::write(server.home().join("thermocline.yml"), "controls: [{ name: reloaded, match: up, action: drop }]\n")?;
    server.signal(Signal::HUP)?;
    let began = Instant::now();
    while in_force(&server).await?.1 != ["reloaded"] {
        ensure!(began.elapsed() < PATIENCE, "SIGHUP changed nothing");
        sleep(Duration::from_millis(20)).await;
    }
    ensure!(push(&server, &["up", "never"], now).await? == (1, 1));
    server.kill().await?;
    server.restart().await?;
    ensure!(
        in_force(&server).await? == ("config".to_owned(), vec!["reloaded".to_owned()]),
        "nothing is left of what was put"
    );
    Ok(())
}

/// The points of each host that are stored.
async fn stored(api: &Api, until: i64) -> anyhow::Result<Vec<Vec<(i64, f64)>>> {
    let mut by_host = Vec::new();
    for host in HOSTS {
        by_host.push(api.raw(host, "load", until - POINTS * 1_000, until + 1).await?);
    }
    Ok(by_host)
}

#[tokio::test]
async fn one_point_in_so_many_is_the_same_one_however_often_it_comes() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let less = json!([{ "name": "less", "match": "load", "keep_one_in": 10 }]);
    put(&server, &less).await?;
    let now = now_ms();
    let batch: Vec<Value> = (0..POINTS)
        .map(|n| json!({ "server_id": format!("srv-{}", n % 3), "timestamp": now - n * 1_000, "metrics": [{ "name": "load", "value": n }] }))
        .collect();
    let first = server.post_json("/api/metrics", &json!(batch)).await?;
    let kept = first["accepted"].as_i64().context("a count")?;
    ensure!(first["disabled"].as_i64() == Some(POINTS - kept) && first["rejected"] == 0, "{first}");
    ensure!((200..400).contains(&kept), "{kept} of {POINTS} are not about a tenth");
    ensure!(counted(&server, "less", "keep_one").await? == u64::try_from(kept)?);
    ensure!(counted(&server, "less", "leave_out").await? == u64::try_from(POINTS - kept)?);
    let points = stored(&Api::of(&server), now).await?;
    ensure!(points.iter().map(Vec::len).sum::<usize>() == usize::try_from(kept)?, "{points:?}");

    // Again, in another order, after a kill, with another rule before it.
    server.kill().await?;
    server.restart().await?;
    put(&server, &json!([no_debug(), less[0]])).await?;
    let mut again = batch;
    again.reverse();
    for part in again.chunks(700) {
        server.post_json("/api/metrics", &json!(part)).await?;
    }
    ensure!(stored(&Api::of(&server), now).await? == points, "a repeat brought other points");
    Ok(())
}

#[tokio::test]
async fn rules_that_are_wrong_are_refused_wherever_they_are_written() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    put(&server, &json!([no_debug()])).await?;
    let wrong = json!([{ "name": "names", "match": "up", "rename_labels": { "a": "__name__" } }]);
    let refused = refusal_of(server.client().put(server.url(PATH)).json(&wrong).send().await?).await?;
    ensure!(refused.status == 400 && refused.content_type == "application/problem+json", "{refused:?}");
    ensure!(refused.body.contains("rule \\\"names\\\""), "{refused:?}");
    ensure!(in_force(&server).await?.1 == ["no-debug"]);
    std::fs::write(
        server.home().join("thermocline.yml"),
        "controls:\n- { name: a, match: up, action: keep }\n- { name: b, match: up }\n",
    )?;
    let refused = refusal_of(server.post("/-/reload").send().await?).await?;
    ensure!(
        refused.status == 400 && refused.body.contains("thermocline.yml:3:") && refused.body.contains("rule \\\"b\\\""),
        "{refused:?}"
    );
    std::fs::write(server.home().join("thermocline.yml"), "")?;

    // Rules that cannot be read must not be taken for none.
    server.terminate().await?;
    std::fs::write(server.data_dir().join("controls.json"), "{\"version\":1,")?;
    let told = format!("{:#}", server.restart().await.expect_err("it cannot know what is to be kept out"));
    ensure!(told.contains("controls.json") && told.contains("mend it, or remove it"), "{told}");
    std::fs::remove_file(server.data_dir().join("controls.json"))?;
    server.restart().await?;
    ensure!(in_force(&server).await? == ("config".to_owned(), Vec::new()));
    Ok(())
}
