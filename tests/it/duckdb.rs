//! The archive is open: DuckDB, which knows nothing of us, reads from the Delta tables what the API answers, while the
//! server runs, and again after late data has replaced an hour.
//!
//! past hours ─▶ server ─▶ seal, archive ─▶ Delta ─▶ DuckDB = `GET /api/metrics` = SQL = what was sent

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use kit::Server;

use crate::api::{Api, HOUR_MS, close, hour_of, hourly, now_ms, number};
use crate::delta::{self, HourRow, Outside};

const SERVERS: [&str; 3] = ["srv-a", "srv-b", "srv-c"];
const METRICS: [&str; 2] = ["cpu_usage", "requests_total"];
/// Hours that are archived.
const HOURS: i64 = 3;
const SCRAPE_MS: i64 = 15_000;

/// Every point that was sent, by server and metric.
type Sent = BTreeMap<(&'static str, &'static str), BTreeMap<i64, f64>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_what_the_api_answers_also_after_late_data_replaced_an_hour() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let cold = server.data_dir().join("cold");
    let end = hour_of(now_ms());
    let start = end - HOURS * HOUR_MS;

    let mut sent = Sent::new();
    for (i, server_id) in (0_i32..).zip(SERVERS) {
        for metric in METRICS {
            let points: Vec<(i64, f64)> = (0_i32..)
                .zip((start..end).step_by(usize::try_from(SCRAPE_MS)?))
                .map(|(n, ts)| (ts, value(metric, i, n)))
                .collect();
            send(&api, &mut sent, server_id, metric, &points).await?;
        }
    }
    api.seal_and_archive().await?;
    let Some(first) = delta::read(&cold).await? else { return Ok(()) };
    agrees(&api, &first, &sent, (start, end)).await.context("at first")?;

    // New points between the others, corrections downwards, and a series that the hour did not have.
    let late: Vec<(i64, f64)> = (0..40).map(|n| (start + HOUR_MS + n * 90_000 + 7, -3.25)).collect();
    send(&api, &mut sent, "srv-a", "cpu_usage", &late).await?;
    let corrected: Vec<(i64, f64)> = (0..20).map(|n| (start + HOUR_MS + n * SCRAPE_MS, 0.125)).collect();
    send(&api, &mut sent, "srv-b", "cpu_usage", &corrected).await?;
    send(&api, &mut sent, "srv-late", "cpu_usage", &[(start + HOUR_MS + 1, 1.5)]).await?;
    api.seal_and_archive().await?;
    let again = delta::read(&cold).await?.context("DuckDB was there a moment ago")?;
    agrees(&api, &again, &sent, (start, end)).await.context("after late data")?;
    ensure!(again.series.len() == first.series.len() + 1, "one series came");
    let old = |outside: &Outside| -> Vec<HourRow> {
        outside.raw.iter().filter(|row| row.hour != start + HOUR_MS).copied().collect()
    };
    ensure!(old(&first) == old(&again), "an hour changed that nobody wrote to");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_native_histograms_as_the_bytes_that_are_documented() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    let time = hour_of(now_ms()) - HOUR_MS + 5_000;
    let field =
        |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).expect("short")], bytes].concat();
    let label = |name: &[u8], value: &[u8]| field(1, &[field(1, name), field(2, value)].concat());
    // Three observations, two in bucket 1 and one in bucket 2; their sum is 4.
    let mut histogram = vec![1 << 3, 3, 3 << 3 | 1, 0, 0, 0, 0, 0, 0, 0x10, 0x40];
    histogram.extend(field(11, &[1 << 3, 2, 2 << 3, 2]));
    histogram.extend(field(12, &[4, 1]));
    histogram.push(15 << 3);
    let mut rest = time.cast_unsigned();
    while rest >= 0x80 {
        histogram.push(u8::try_from(rest & 0x7f)? | 0x80);
        rest >>= 7;
    }
    histogram.push(u8::try_from(rest)?);
    let labels = [label(b"__name__", b"latency"), label(b"server_id", b"srv-a")].concat();
    let request = field(1, &[labels, field(4, &histogram)].concat());
    let body = snap::raw::Encoder::new().compress_vec(&request)?;
    let post = api.post("/api/v1/write").header("content-type", "application/x-protobuf");
    let answer = post.header("content-encoding", "snappy").body(body).send().await?;
    ensure!(answer.status() == 204, "{}: {}", answer.status(), answer.text().await?);
    api.seal_and_archive().await?;
    let Some(outside) = delta::read(&server.data_dir().join("cold")).await? else { return Ok(()) };
    // The example of docs/formats/histogram.md.
    let expected = "010C0000010202000000000601010000000000001040".to_owned();
    ensure!(outside.histograms == [(outside.id_of("srv-a", "latency")?, time, expected)], "{:?}", outside.histograms);
    ensure!(outside.raw.is_empty() && outside.rollup_1h.is_empty(), "floats have no part in it: {outside:?}");
    Ok(())
}

/// A gauge of two decimals; a counter that starts again now and then.
fn value(metric: &str, server: i32, n: i32) -> f64 {
    match metric {
        "cpu_usage" => f64::from((n * 7_919 + server * 31) % 10_000) / 100.0,
        _ => f64::from((n % 500) * (server + 3)),
    }
}

async fn send(
    api: &Api,
    sent: &mut Sent,
    server_id: &'static str,
    metric: &'static str,
    points: &[(i64, f64)],
) -> anyhow::Result<()> {
    api.push_points(server_id, metric, points).await?;
    sent.entry((server_id, metric)).or_default().extend(points.iter().copied());
    Ok(())
}

/// What was sent, the API's buckets and rows, and DuckDB's reading of the three tables are one and the same.
async fn agrees(api: &Api, outside: &Outside, sent: &Sent, range: (i64, i64)) -> anyhow::Result<()> {
    outside.holds_nothing_twice()?;
    ensure!(outside.series.len() == sent.len(), "{} series, {} were sent", outside.series.len(), sent.len());
    for (&(server_id, metric), points) in sent {
        let id = outside.id_of(server_id, metric)?;
        for (agg, of) in AGGREGATES {
            let expected = hourly(points, of);
            let answered = api.buckets(server_id, metric, range, "1h", agg).await?;
            same(&expected, &answered).with_context(|| format!("REST: {agg} of {metric} of {server_id}"))?;
            let rows = sql_buckets(api, id, agg).await?;
            same(&expected, &rows).with_context(|| format!("SQL: {agg} of {metric} of {server_id}"))?;
            for (table, rows) in outside.data() {
                let of_series = rows.iter().filter(|row| row.series_id == id);
                let found: Vec<(i64, f64)> = of_series.map(|row| (row.hour, column(row, agg))).collect();
                same(&expected, &found)
                    .with_context(|| format!("DuckDB: {agg} in {table} of {metric} of {server_id}"))?;
            }
        }
    }
    Ok(())
}

type Aggregate = (&'static str, fn(&[f64]) -> f64);

const AGGREGATES: [Aggregate; 4] = [
    ("count", |values| f64::from(u32::try_from(values.len()).expect("an hour has few points"))),
    ("sum", |values| values.iter().sum()),
    ("min", |values| values.iter().copied().fold(f64::INFINITY, f64::min)),
    ("max", |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
];

/// The same by SQL, from the 1-hour rollups and from the points; both must be equal.
async fn sql_buckets(api: &Api, series_id: i64, agg: &str) -> anyhow::Result<Vec<(i64, f64)>> {
    let rollup =
        format!("SELECT ts, CAST({agg} AS DOUBLE) AS value FROM rollup_1h WHERE series_id = {series_id} ORDER BY ts");
    let points = format!(
        "SELECT date_bin(INTERVAL '1 hour', ts) AS ts, CAST({agg}(value) AS DOUBLE) AS value FROM samples \
         WHERE series_id = {series_id} GROUP BY 1 ORDER BY 1"
    );
    let (rollup, points) = (rows(api, &rollup).await?, rows(api, &points).await?);
    same(&rollup, &points).context("rollup_1h and samples differ")?;
    Ok(rollup)
}

async fn rows(api: &Api, query: &str) -> anyhow::Result<Vec<(i64, f64)>> {
    let row = |row: &serde_json::Value| -> anyhow::Result<(i64, f64)> {
        let time = row["ts"].as_str().with_context(|| format!("not a time: {row}"))?;
        Ok((utc_ms(time)?, number(&row["value"])?))
    };
    api.sql(query).await?.iter().map(row).collect()
}

/// Milliseconds of a whole hour such as `2025-03-17T14:00:00Z`.
fn utc_ms(time: &str) -> anyhow::Result<i64> {
    let part = |range: std::ops::Range<usize>| -> anyhow::Result<i64> {
        time.get(range).and_then(|digits| digits.parse().ok()).with_context(|| format!("not a time: {time}"))
    };
    let (year, month, day, hour) = (part(0..4)?, part(5..7)?, part(8..10)?, part(11..13)?);
    // Days from civil (Howard Hinnant): March is the first month.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok((days * 24 + hour) * HOUR_MS)
}

fn column(row: &HourRow, agg: &str) -> f64 {
    match agg {
        "count" => f64::from(u32::try_from(row.count).expect("an hour has few points")),
        "sum" => row.sum,
        "min" => row.min,
        _ => row.max,
    }
}

fn same(expected: &[(i64, f64)], found: &[(i64, f64)]) -> anyhow::Result<()> {
    let equal = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && close(a.1, b.1);
    let wrong = expected.iter().zip(found).find(|pair| !equal(*pair));
    ensure!(
        expected.len() == found.len() && wrong.is_none(),
        "{} hours expected, {} found; the first that differ: {wrong:?}",
        expected.len(),
        found.len()
    );
    Ok(())
}
