//! What came of the points: by the API of servers, and by DuckDB over the archive.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::load::Series;
use crate::api::Api;
use crate::delta;

/// Bounds a hang; nothing is measured.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The API answers with exactly these points: of each series, all its points and no others in their time.
pub(super) async fn by_api(api: &Api, load: &[Series]) -> anyhow::Result<()> {
    by_apis(std::slice::from_ref(api), load).await
}

/// As [`by_api`], of several members of a group: each has what it has read, and together they have everything.
pub(super) async fn by_apis(members: &[Api], load: &[Series]) -> anyhow::Result<()> {
    for series in load {
        let Series { server_id, metric, .. } = series;
        let expected: Vec<_> = series.points().collect();
        let mut together = BTreeMap::new();
        for api in members {
            let found = api.raw(server_id, metric, expected[0].0, series.end()).await?;
            ensure!(found.is_sorted_by(|a, b| a.0 < b.0), "{metric} of {server_id} has a moment twice");
            for (timestamp, value) in found {
                let other = together.insert(timestamp, value).filter(|other: &f64| other.to_bits() != value.to_bits());
                ensure!(other.is_none(), "members disagree about {metric} of {server_id} at {timestamp}");
            }
        }
        let together: Vec<_> = together.into_iter().collect();
        equal(&expected, &together).with_context(|| format!("{metric} of {server_id}"))?;
    }
    Ok(())
}

/// Delta holds exactly these points, each once, and no series but theirs.
pub(super) async fn by_duckdb(cold: &Path, load: &[Series]) -> anyhow::Result<()> {
    let Some(mut found) = delta::points(cold).await? else { return Ok(()) };
    for series in load {
        let rows = found.remove(&(series.metric.to_owned(), series.server_id.clone())).unwrap_or_default();
        let expected: Vec<_> = series.points().collect();
        equal(&expected, &rows).with_context(|| format!("DuckDB: {} of {}", series.metric, series.server_id))?;
    }
    ensure!(found.is_empty(), "Delta has series that nobody produced: {:?}", found.keys().take(5).collect::<Vec<_>>());
    Ok(())
}

/// Both in order of time.
fn equal(expected: &[(i64, f64)], found: &[(i64, f64)]) -> anyhow::Result<()> {
    if expected.iter().map(exact).eq(found.iter().map(exact)) {
        return Ok(());
    }
    let count = |points: &[(i64, f64)]| {
        points.iter().fold(BTreeMap::<_, u32>::new(), |mut count, point| {
            *count.entry(exact(point)).or_default() += 1;
            count
        })
    };
    let (wanted, there) = (count(expected), count(found));
    let lost: Vec<_> = wanted.keys().filter(|point| !there.contains_key(point)).map(|point| point.0).collect();
    let strange: Vec<_> = there.keys().filter(|point| !wanted.contains_key(point)).map(|point| point.0).collect();
    let twice: Vec<_> = there.iter().filter(|(_, count)| **count > 1).map(|(point, _)| point.0).collect();
    let some = |of: &[i64]| format!("{} ({:?})", of.len(), &of[..of.len().min(5)]);
    anyhow::bail!(
        "{} points expected, {} found; lost: {}, strange: {}, twice: {}",
        expected.len(),
        found.len(),
        some(&lost),
        some(&strange),
        some(&twice)
    )
}

fn exact(point: &(i64, f64)) -> (i64, u64) {
    (point.0, point.1.to_bits())
}

/// The sum of a metric's samples on a server's `/metrics`, of those whose labels contain a text.
pub(super) async fn metric(api: &Api, name: &str, with: &str) -> anyhow::Result<i64> {
    let text = api.get("/metrics", &[]).send().await?.text().await?;
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let samples = text.lines().filter(of_name).filter(|line| line.contains(with));
    let values = samples.map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<i64>());
    values.sum::<Result<i64, _>>().with_context(|| format!("{name} is a whole number"))
}

/// Waits until a metric is as wanted.
pub(super) async fn wait_for_metric(
    api: &Api,
    name: &str,
    with: &str,
    is_wanted: impl Fn(i64) -> bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = metric(api, name, with).await?;
        if is_wanted(value) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} with {with:?} is {value}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits until something is so.
pub(super) async fn wait_until<F: Future<Output = anyhow::Result<bool>>>(is_so: impl Fn() -> F) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "it is never so");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
