//! Hostile SQL: it may not write, may not read files, and may neither run for ever nor take all memory.

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{Target, is_a_problem};
use crate::api::{HOUR_MS, now_ms, refusal_of};

#[tokio::test]
async fn sql_only_reads_and_only_our_tables() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let secret = target.server.home().join("secret.csv");
    std::fs::write(&secret, "password\nhunter2\n").context("writing a file")?;
    let path = secret.display().to_string();
    let written = target.server.home().join("written.csv");
    let statements = [
        "DROP TABLE samples".to_owned(),
        "DELETE FROM samples".to_owned(),
        "UPDATE samples SET value = 0".to_owned(),
        "INSERT INTO samples VALUES (1)".to_owned(),
        "CREATE TABLE t (a INT)".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{path}'"),
        format!("COPY (SELECT 1) TO '{}'", written.display()),
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM \"{path}\""),
        format!("SELECT * FROM read_csv('{path}')"),
        format!("SELECT * FROM parquet_metadata('{path}')"),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SHOW ALL".to_owned(),
        "SELECT * FROM information_schema.df_settings".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELEKT 1".to_owned(),
        "SELECT * FROM nowhere".to_owned(),
        "SELECT nothing FROM samples".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO samples SELECT * FROM samples".to_owned(),
        String::new(),
        "(".repeat(20_000),
        format!("SELECT -{}1", "(".repeat(3_000)),
    ];
    for statement in &statements {
        let shown: String = statement.chars().take(60).collect();
        let request = target.api.post("/api/v1/sql").json(&json!({ "query": statement }));
        let refusal = target.refuses(&format!("{shown:?}"), request, &[400, 422]).await?;
        ensure!(!refusal.body.contains("hunter2"), "{shown} read a file");
    }
    ensure!(!written.exists(), "COPY wrote a file");
    Ok(())
}

#[tokio::test]
async fn sql_that_never_ends_is_stopped() -> anyhow::Result<()> {
    let target = Target::with("limits: { query_timeout: 2s, query_memory: 64MiB }\n").await?;
    let endless = [
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT -i FROM n) SELECT * FROM n WHERE i > 1",
        // Nothing in it ever waits: only threads of its own keep it from holding the others up.
        "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b WHERE a.value + b.value < 0",
    ];
    for query in endless {
        let answer = target.api.post("/api/v1/sql").json(&json!({ "query": query })).send().await?;
        let refusal = refusal_of(answer).await?;
        ensure!([400, 422, 503].contains(&refusal.status.as_u16()), "{query}: {} {}", refusal.status, refusal.body);
        is_a_problem(&refusal).with_context(|| query.to_owned())?;
        target.goes_on().await?;
    }
    Ok(())
}

#[tokio::test]
async fn sql_that_takes_much_memory_is_stopped() -> anyhow::Result<()> {
    let target = Target::with("limits: { query_timeout: 20s, query_memory: 16MiB }\n").await?;
    let now = now_ms();
    let points: Vec<(i64, f64)> = (0..40_000).map(|i| (now - HOUR_MS * 20 + i * 1_000, 1.0)).collect();
    for server in ["a", "b", "c"] {
        target.api.push_points(server, "m", &points).await?;
    }
    let greedy = [
        "SELECT array_agg(a.value) FROM samples a, samples b",
        "SELECT string_agg(CAST(a.labels AS VARCHAR) || CAST(b.ts AS VARCHAR), ',') FROM samples a, samples b",
        "SELECT a.ts, b.ts, a.labels FROM samples a, samples b ORDER BY b.value, a.ts, b.ts",
    ];
    for query in greedy {
        let answer = target.api.post("/api/v1/sql").json(&json!({ "query": query })).send().await?;
        let refusal = refusal_of(answer).await?;
        ensure!([400, 422, 503].contains(&refusal.status.as_u16()), "{query}: {} {}", refusal.status, refusal.body);
        is_a_problem(&refusal).with_context(|| query.to_owned())?;
        target.goes_on().await?;
    }
    Ok(())
}
