//! What SQL promises, one fact a test.

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt as _;
use query::{QueryError, QueryLimits};
use schemas::{DurationMs, Retention};

use crate::given::{Given, MIDNIGHT, labels};

async fn with_two_metrics() -> Given {
    let mut given = Given::empty_at(6).await;
    for (host, base) in [("a", 0_i32), ("b", 100)] {
        for name in ["cpu", "mem"] {
            let points = (0..600).map(|i| (MIDNIGHT + i64::from(i) * 10_000, f64::from(base + i % 50)));
            given.points(&labels(&[("__name__", name), ("host", host), ("env", "prod")]), points);
        }
    }
    given.points(&labels(&[("__name__", "up")]), [(MIDNIGHT, 1.0)]);
    given
}

fn table(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).expect("prints").to_string();
    text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_can_be_filtered_grouped_and_joined() {
    let given = with_two_metrics().await;
    let grouped = given
        .sql(
            "SELECT metric, labels['host'] AS host, count(*) AS n, max(value) AS top FROM samples \
             WHERE labels['env'] = 'prod' GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .await;
    assert_eq!(
        table(&grouped),
        [
            "| cpu    | a    | 600 | 49.0  |",
            "| cpu    | b    | 600 | 149.0 |",
            "| mem    | a    | 600 | 49.0  |",
            "| mem    | b    | 600 | 149.0 |",
        ]
    );
    let joined = given
        .sql(
            "SELECT count(*) AS n FROM samples a JOIN samples b ON a.ts = b.ts \
             WHERE a.metric = 'cpu' AND b.metric = 'mem' AND a.labels['host'] = 'a' AND b.labels['host'] = 'a'",
        )
        .await;
    assert_eq!(table(&joined), ["| 600 |"]);
    let absent = given.sql("SELECT count(*) AS n FROM samples WHERE labels['host'] IS NULL").await;
    assert_eq!(table(&absent), ["| 1 |"]);
    let none = given.sql("SELECT count(*) AS n FROM samples WHERE metric = 'nothing'").await;
    assert_eq!(table(&none), ["| 0 |"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_are_understood_leave_no_filter_in_the_plan() {
    let given = with_two_metrics().await;
    let plan = given
        .sql(
            "EXPLAIN SELECT value FROM samples WHERE metric IN ('cpu', 'mem') AND labels['host'] = 'a' \
             AND ts >= now() - interval '6 hours' AND ts < '2026-03-02T01:00:00Z'",
        )
        .await;
    let text = pretty_format_batches(&plan).expect("prints").to_string();
    assert!(text.contains("MetricScan: table=samples, series=2, metrics=2"), "{text}");
    assert!(!text.contains("FilterExec"), "{text}");
    assert!(text.contains("tiers=[hot raw from 1772409600000 for 1h]"), "{text}");
    let plan = given.sql("EXPLAIN SELECT ts FROM samples WHERE value > 5 AND metric = 'cpu'").await;
    let text = pretty_format_batches(&plan).expect("prints").to_string();
    assert!(text.contains("FilterExec: value"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_have_their_rows_from_every_tier() {
    let mut given = with_two_metrics().await;
    let count = "SELECT count(*) AS n, sum(count) AS points, max(p99) AS top FROM rollup_1m WHERE metric = 'cpu'";
    let expected = ["| 200 | 1200   | 149.0 |"];
    assert_eq!(table(&given.sql(count).await), expected, "from the head");
    given.sealed().await;
    assert_eq!(table(&given.sql(count).await), expected, "sealed");
    given.archived().await;
    let hour = DurationMs::HOUR;
    let retention = Retention { hot_raw: hour, warm_rollup_1m: hour, warm_rollup_1h: hour, ..Retention::default() };
    given.retained(retention).await;
    assert_eq!(table(&given.sql(count).await), expected, "from Delta");
    given.points(&labels(&[("__name__", "cpu"), ("host", "c")]), [(MIDNIGHT + 5, 7.0)]);
    assert_eq!(table(&given.sql(count).await), ["| 201 | 1201   | 149.0 |"], "and a late point");
    let hours = given.sql("SELECT count(*) AS n, sum(increase) AS up FROM rollup_1h WHERE metric = 'cpu'").await;
    assert_eq!(table(&hours).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_table_names_every_series() {
    let given = with_two_metrics().await;
    let named = given.sql("SELECT metric, labels['host'] AS host FROM series WHERE metric LIKE 'c%' ORDER BY 2").await;
    assert_eq!(table(&named), ["| cpu    | a    |", "| cpu    | b    |"]);
    let one = given
        .sql(
            "SELECT count(*) AS n FROM samples WHERE series_id = \
             (SELECT series_id FROM series WHERE metric = 'up')",
        )
        .await;
    assert_eq!(table(&one), ["| 1 |"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_our_tables_is_possible() {
    let given = with_two_metrics().await;
    for query in [
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "INSERT INTO samples VALUES ('a', NULL, 1, now(), 1.0)",
        "DELETE FROM samples",
        "DROP TABLE samples",
        "CREATE VIEW v AS SELECT 1",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SHOW ALL",
        "SHOW datafusion.execution.batch_size",
        "SHOW FUNCTIONS",
        "SELECT * FROM information_schema.df_settings",
        "SELECT count(*) FROM series WHERE metric IN (SELECT name FROM information_schema.df_settings)",
        "EXPLAIN SHOW ALL",
        "EXPLAIN ANALYZE INSERT INTO samples SELECT * FROM samples",
        "WITH x AS (SELECT 1) SELECT * INTO y FROM x",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM nothing",
        "SELEC 1",
        "SELECT 1; SELECT 2",
    ] {
        let refused = given.engine.sql(query).await;
        assert!(matches!(refused, Err(QueryError::BadRequest(_))), "{query}: {refused:?}");
    }
    assert_eq!(table(&given.sql("SELECT 1 + 1 AS two").await), ["| 2   |"]);
    let tables = given.sql("SHOW TABLES").await;
    let text = pretty_format_batches(&tables).expect("prints").to_string();
    for name in ["samples", "rollup_1m", "rollup_1h", "series"] {
        assert!(text.contains(name), "{text}");
    }
    for query in ["DESCRIBE samples", "SHOW COLUMNS FROM series", "VALUES (1), (2)", "EXPLAIN SELECT 1"] {
        assert!(!table(&given.sql(query).await).is_empty(), "{query}");
    }
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'samples'";
    assert_eq!(table(&given.sql(columns).await), ["| 5        |"]);
    let refused = given.engine.sql("show all").await.expect_err("not of our tables").to_string();
    assert!(refused.starts_with("SHOW ALL is refused") && refused.contains("SHOW TABLES"), "{refused}");
}

/// The lines of an explained plan that are scans of ours.
fn scans(plan: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(plan).expect("prints").to_string();
    let scans: Vec<String> = text.lines().filter(|line| line.contains("MetricScan")).map(str::to_owned).collect();
    assert!(!scans.is_empty(), "{text}");
    scans
}

/// The number behind a name in a line of a plan.
fn number(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{name} is no number in {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_the_files_of_delta_and_analyze_what_was_read_of_them() {
    let given = with_two_metrics().await;
    let both_hours = "SELECT value FROM samples WHERE metric = 'cpu'";
    let told = async |query: &str| {
        let scan = scans(&given.sql(&format!("EXPLAIN {query}")).await).remove(0);
        (number(&scan, "cold_files"), number(&scan, "cold_files_pruned"), number(&scan, "cold_file_bytes") > 0)
    };
    assert_eq!(told(both_hours).await, (0, 0, false), "in the head");
    given.sealed().await;
    given.archived().await;
    let hour = DurationMs::HOUR;
    let retention = Retention { hot_raw: hour, warm_rollup_1m: hour, warm_rollup_1h: hour, ..Retention::default() };
    given.retained(retention).await;
    assert_eq!(told(both_hours).await, (2, 0, true));
    let first_hour = format!("{both_hours} AND ts < '2026-03-02T01:00:00Z'");
    assert_eq!(told(&first_hour).await, (1, 1, true));
    // Each scan of a query counts by itself, and the query counts them all.
    let joined = "EXPLAIN ANALYZE SELECT count(*) FROM samples a JOIN samples b ON a.ts = b.ts \
                  WHERE a.metric = 'cpu' AND b.metric = 'mem' AND a.ts < '2026-03-02T01:00:00Z'";
    let answer = given.engine.sql(joined).await.expect("plans");
    let provenance = answer.provenance;
    let plan: Vec<RecordBatch> = answer.stream.try_collect().await.expect("reads");
    let gets: Vec<u64> = scans(&plan).iter().map(|scan| number(scan, "object_store_gets")).collect();
    let files: Vec<u64> = scans(&plan).iter().map(|scan| number(scan, "cold_files")).collect();
    assert!(gets.len() == 2 && gets.iter().zip(&files).all(|(gets, files)| gets >= files), "{gets:?} of {files:?}");
    assert_eq!(gets.iter().sum::<u64>(), provenance.snapshot().object_store_gets);
    assert!(scans(&plan).iter().all(|scan| number(scan, "cold_rows") > 0), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_all_time_scans_spans_of_data_only() {
    let mut given = with_two_metrics().await;
    given.clock.set(MIDNIGHT + 500 * 3_600_000);
    given.points(&labels(&[("__name__", "up")]), [(MIDNIGHT + 499 * 3_600_000, 1.0)]);
    let plan = given.sql("EXPLAIN SELECT ts FROM samples WHERE ts < to_timestamp_millis(253402300799000)").await;
    let scan = scans(&plan).remove(0);
    assert!(scan.contains("for 500h"), "{scan}");
    let answer = given.engine.sql("SELECT count(*) AS n FROM samples").await.expect("plans");
    let provenance = answer.provenance;
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await.expect("reads");
    assert_eq!(table(&batches), ["| 2402 |"]);
    assert_eq!(provenance.snapshot().hours_read, 3, "the hours of 500 that have points");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_stays_within_its_memory() {
    let given = with_two_metrics().await;
    let engine = given.engine_with(QueryLimits { memory_bytes: 20_000, ..QueryLimits::default() });
    let answer = engine.sql("SELECT metric, ts, count(*) FROM samples GROUP BY 1, 2").await.expect("plans");
    let error = answer.stream.try_collect::<Vec<_>>().await.expect_err("refused");
    let refused = QueryError::from(error);
    assert!(matches!(refused, QueryError::TooLarge(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provenance_of_a_stream_is_whole_at_its_end() {
    let given = with_two_metrics().await;
    let answer = given.engine.sql("SELECT value FROM samples WHERE metric = 'cpu'").await.expect("plans");
    let provenance = answer.provenance;
    let _batches: Vec<RecordBatch> = answer.stream.try_collect().await.expect("reads");
    let told = provenance.snapshot();
    assert_eq!((told.points_read, told.series_matched, told.complete), (1_200, 2, true));
}
