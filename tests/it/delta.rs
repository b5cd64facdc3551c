//! The archive as others see it: by DuckDB, an engine that is not ours, and by the plain files of its log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

/// The four tables.
pub(crate) const TABLES: [&str; 4] = ["series", "raw", "rollup_1m", "rollup_1h"];

/// What a table holds of one series in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "(i64, i64, i64, f64, f64, f64, i64, i64)")]
pub(crate) struct HourRow {
    pub(crate) series_id: i64,
    pub(crate) hour: i64,
    pub(crate) count: i64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rows: i64,
    pub(crate) distinct: i64,
}

impl From<(i64, i64, i64, f64, f64, f64, i64, i64)> for HourRow {
    fn from((series_id, hour, count, sum, min, max, rows, distinct): (i64, i64, i64, f64, f64, f64, i64, i64)) -> Self {
        Self { series_id, hour, count, sum, min, max, rows, distinct }
    }
}

/// A row of the table of series.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(i64, String, BTreeMap<String, String>)")]
pub(crate) struct SeriesRow {
    pub(crate) series_id: i64,
    pub(crate) metric: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl From<(i64, String, BTreeMap<String, String>)> for SeriesRow {
    fn from((series_id, metric, labels): (i64, String, BTreeMap<String, String>)) -> Self {
        Self { series_id, metric, labels }
    }
}

/// All four tables.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outside {
    pub(crate) raw: Vec<HourRow>,
    pub(crate) rollup_1m: Vec<HourRow>,
    pub(crate) rollup_1h: Vec<HourRow>,
    pub(crate) series: Vec<SeriesRow>,
    /// Series, time in ms and bytes in hex of every native histogram in `raw`.
    pub(crate) histograms: Vec<(i64, i64, String)>,
}

impl Outside {
    /// The three tables of data, with their names.
    pub(crate) fn data(&self) -> [(&'static str, &[HourRow]); 3] {
        [("raw", &self.raw), ("rollup_1m", &self.rollup_1m), ("rollup_1h", &self.rollup_1h)]
    }

    /// The id of a series.
    pub(crate) fn id_of(&self, server_id: &str, metric: &str) -> anyhow::Result<i64> {
        let is =
            |row: &&SeriesRow| row.metric == metric && row.labels.get("server_id").is_some_and(|id| id == server_id);
        let mut found = self.series.iter().filter(is);
        let row = found.next().with_context(|| format!("the table of series lacks {metric} of {server_id}"))?;
        ensure!(found.next().is_none(), "{metric} of {server_id} has two rows in the table of series");
        Ok(row.series_id)
    }

    /// No point, no bucket and no series is there twice.
    pub(crate) fn holds_nothing_twice(&self) -> anyhow::Result<()> {
        for (table, rows) in self.data() {
            let twice: Vec<_> = rows.iter().filter(|row| row.rows != row.distinct).take(5).collect();
            ensure!(twice.is_empty(), "{table} has rows twice in {twice:?}");
        }
        let ids: BTreeSet<i64> = self.series.iter().map(|row| row.series_id).collect();
        ensure!(ids.len() == self.series.len(), "a series has two rows");
        Ok(())
    }
}

/// Reads the tables with DuckDB; `None`, and a loud line, where DuckDB is not installed, except with `CI=true`.
pub(crate) async fn read(cold: &Path) -> anyhow::Result<Option<Outside>> {
    let Some(printed) = read_py(&[cold]).await? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&printed).context("what read.py printed")?))
}

/// By metric and server, every point in order of time: as often as it is there.
pub(crate) type Points = BTreeMap<(String, String), Vec<(i64, f64)>>;

/// As [`read`], but every single point.
pub(crate) async fn points(cold: &Path) -> anyhow::Result<Option<Points>> {
    let file = tempfile::NamedTempFile::new().context("making a file for the points")?;
    if read_py(&[cold, file.path()]).await?.is_none() {
        return Ok(None);
    }
    let mut points = Points::new();
    for line in std::fs::read_to_string(file.path()).context("reading the points")?.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [metric, server_id, timestamp, value] = fields[..] else { anyhow::bail!("not a point: {line}") };
        let point = (timestamp.parse().context("a time")?, value.parse().context("a value")?);
        points.entry((metric.to_owned(), server_id.to_owned())).or_default().push(point);
    }
    Ok(Some(points))
}

#[expect(clippy::print_stderr, reason = "a check that is skipped must be seen")]
async fn read_py(args: &[&Path]) -> anyhow::Result<Option<Vec<u8>>> {
    let python = python();
    if !python.exists() {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        ensure!(!required, "DuckDB is required with CI=true: run scripts/setup.sh");
        eprintln!("SKIPPED: no DuckDB at {} (scripts/setup.sh installs it; with CI=true this fails)", python.display());
        return Ok(None);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../duckdb/read.py");
    let output = Command::new(python).arg(script).args(args).output().await.context("running read.py")?;
    ensure!(output.status.success(), "read.py: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(output.stdout))
}

/// The Python of the tests, with DuckDB and with a client of Kafka.
pub(crate) fn python() -> PathBuf {
    venv().join("bin/python")
}

fn venv() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/thermocline/venv");
    std::env::var_os("THERMOCLINE_VENV").map_or_else(home, PathBuf::from)
}

/// Files below the tables that no commit has ever added, and in the logs what an upload had staged beside its place
/// (`….json#<number>`) when it was killed.
pub(crate) fn orphans(cold: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut orphans = Vec::new();
    for table in TABLES.map(|table| cold.join(table)) {
        let (added, log) = (added(&table)?, table.join("_delta_log"));
        let is_staged = |file: &Path| file.to_string_lossy().contains('#');
        let is_orphan = |file: &PathBuf| if file.starts_with(&log) { is_staged(file) } else { !added.contains(file) };
        orphans.extend(files(&table)?.into_iter().filter(is_orphan));
    }
    Ok(orphans)
}

/// The files that the commits of a table add, removed since or not.
fn added(table: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut added = BTreeSet::new();
    for commit in std::fs::read_dir(table.join("_delta_log")).context("listing a table's log")? {
        let commit = commit?.path();
        if commit.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        for line in std::fs::read_to_string(&commit)?.lines() {
            let action: Value = serde_json::from_str(line).with_context(|| format!("{}", commit.display()))?;
            if let Some(path) = action["add"]["path"].as_str() {
                added.insert(table.join(path));
            }
        }
    }
    Ok(added)
}

/// All files of a table.
fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(self::files(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}
