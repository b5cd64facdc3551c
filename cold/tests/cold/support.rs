//! Archives in temporary directories, and points to put in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cold::{
    Archive, ArchiveConfig, ArchivedSeries, ColdError, ColdSelection, HourBase, HourCommit, HourWriter, ReadCounters,
};
use futures::{FutureExt, TryStreamExt};
use object_store::ObjectStore;
use runtime::{Clock, ManualClock};
use schemas::histogram::{Buckets, Histogram, Span};
use schemas::rollup::Bucket;
use schemas::time::{HOUR_MS, SECOND_MS};
use schemas::{Epoch, Hour, Labels, Points, Resolution, RetentionClass, SeriesId, TimeRange, TimestampMs};
use tempfile::TempDir;

/// 2026-11-21T07.
pub(crate) const HOUR: Hour = Hour(20_778 * 24 + 7);
pub(crate) const CLASS: RetentionClass = RetentionClass::DEFAULT;

/// A directory, and as many archives on it as a test opens.
pub(crate) struct Given {
    pub(crate) dir: TempDir,
}

impl Given {
    pub(crate) fn a_directory() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn config(&self, node: &str) -> ArchiveConfig {
        ArchiveConfig {
            url: self.path().display().to_string(),
            options: BTreeMap::new(),
            node: node.to_owned(),
            incarnation: format!("{node}-1"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn archive(&self, node: &str) -> Arc<Archive> {
        Archive::open(self.config(node)).await.expect("opens")
    }

    /// An archive for another life of a node's disk.
    pub(crate) async fn archive_of(&self, node: &str, incarnation: &str) -> Arc<Archive> {
        let config = ArchiveConfig { incarnation: incarnation.to_owned(), ..self.config(node) };
        Archive::open(config).await.expect("opens")
    }

    pub(crate) async fn archive_through(
        &self,
        node: &str,
        decorate: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send,
    ) -> Result<Arc<Archive>, ColdError> {
        Archive::open_with(self.config(node), clock(), decorate).await
    }

    /// Names of all files below a directory of the archive, sorted.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        fn walk(directory: &Path, out: &mut Vec<String>) {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { walk(&path, out) } else { out.push(path.display().to_string()) }
            }
        }
        let mut out = Vec::new();
        walk(&self.path().join(below), &mut out);
        out.sort();
        out
    }

    pub(crate) fn parquet_files(&self, table: &str) -> Vec<String> {
        let data = |path: &String| path.ends_with(".parquet") && !path.contains("_delta_log");
        self.files(table).into_iter().filter(data).collect()
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(HOUR.end().0 + 600_000))
}

/// A series with its points of one hour.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) labels: Labels,
    pub(crate) points: Points,
}

impl Told {
    pub(crate) fn id(&self) -> SeriesId {
        self.labels.hash().series_id()
    }
}

pub(crate) fn labels(metric: &str, host: &str) -> Labels {
    Labels::new([("__name__", metric), ("host", host), ("env", "test")]).expect("valid")
}

pub(crate) fn points(list: &[(i64, f64)]) -> Points {
    let mut points = Points::default();
    for &(ts, value) in list {
        points.push(ts, value);
    }
    points
}

/// A point every ten seconds of the hour.
pub(crate) fn gauge(hour: Hour, seed: u32) -> Points {
    let mut points = Points::default();
    for i in 0..360_i32 {
        let ts = hour.start().0 + i64::from(i) * 10 * SECOND_MS;
        points.push(ts, f64::from((i * 7 + i32::try_from(seed).expect("small")) % 100) / 4.0);
    }
    points
}

/// Series of two metrics on so many hosts, in archive order.
pub(crate) fn fleet(hour: Hour, hosts: u32) -> Vec<Told> {
    let mut told: Vec<Told> = ["cpu", "mem"]
        .into_iter()
        .flat_map(|metric| (0..hosts).map(move |host| (metric, host)))
        .map(|(metric, host)| Told { labels: labels(metric, &format!("h{host}")), points: gauge(hour, host) })
        .collect();
    in_archive_order(&mut told);
    told
}

pub(crate) fn in_archive_order(told: &mut [Told]) {
    told.sort_by(|a, b| (a.labels.metric(), a.id()).cmp(&(b.labels.metric(), b.id())));
}

/// Archives an hour as a job does: of other writers' rows it takes in what it meets.
pub(crate) async fn archive_hour(
    archive: &Arc<Archive>,
    hour: Hour,
    through: u32,
    told: &[Told],
) -> Result<HourCommit, ColdError> {
    let mut base = archive.known_hour(hour, CLASS)?;
    loop {
        match archive_over(archive, &base, through, told).await {
            Err(ColdError::Overtaken { .. }) => base = archive.newest_hour(hour, CLASS).await?,
            done => return done,
        }
    }
}

/// Archives an hour over a base: once.
pub(crate) async fn archive_over(
    archive: &Arc<Archive>,
    base: &HourBase,
    through: u32,
    told: &[Told],
) -> Result<HourCommit, ColdError> {
    let writer = archive.hour_writer(base.hour(), base.class(), Epoch(through));
    let (mut writer, feed) =
        if base.is_shared() { writer.over(base).await? } else { (writer, futures::future::ready(()).boxed()) };
    let mut told = told.to_vec();
    in_archive_order(&mut told);
    #[expect(clippy::result_large_err, reason = "as everywhere in the crate; once an hour")]
    let writing = tokio::task::spawn_blocking(move || -> Result<HourWriter, ColdError> {
        for series in &told {
            writer.push(&ArchivedSeries { series_id: series.id(), labels: &series.labels }, &series.points)?;
        }
        writer.finish_columns()?;
        Ok(writer)
    });
    let (writer, ()) = futures::join!(writing, feed);
    writer.expect("no test panics here")?.commit().await
}

pub(crate) fn everything() -> ColdSelection {
    ColdSelection::all(TimeRange::new(TimestampMs::MIN, TimestampMs::MAX).expect("ordered"))
}

pub(crate) fn hours(first: Hour, count: i64) -> TimeRange {
    TimeRange::new(first.start(), TimestampMs(first.start().0 + count * HOUR_MS)).expect("ordered")
}

/// Points by series, as bits, at the newest versions.
pub(crate) type Read = BTreeMap<i64, Vec<(i64, u64)>>;

pub(crate) async fn read_points(archive: &Archive, selection: &ColdSelection) -> (Read, ReadCounters) {
    let counters = ReadCounters::default();
    let stream = archive.scan_points(&archive.versions(), selection, &counters).await.expect("plans");
    let found: Vec<(SeriesId, Points)> = stream.try_collect().await.expect("reads");
    let count = found.len();
    let read: Read = found.into_iter().map(|(id, points)| (id.0, bits(&points))).collect();
    assert_eq!(read.len(), count, "each series comes once");
    (read, counters)
}

/// Native histograms by series and time.
pub(crate) type ReadHistograms = BTreeMap<(i64, i64), Arc<Histogram>>;

pub(crate) async fn read_histograms(archive: &Archive, selection: &ColdSelection) -> ReadHistograms {
    let counters = ReadCounters::default();
    let stream = archive.scan_points(&archive.versions(), selection, &counters).await.expect("plans");
    let found: Vec<(SeriesId, Points)> = stream.try_collect().await.expect("reads");
    let of_series = |(id, points): &(SeriesId, Points)| -> Vec<((i64, i64), Arc<Histogram>)> {
        points.histograms.iter().map(|(ts, histogram)| ((id.0, ts), Arc::clone(histogram))).collect()
    };
    found.iter().flat_map(of_series).collect()
}

/// What a reader must find of native histograms.
pub(crate) fn told_histograms(told: &[Told]) -> ReadHistograms {
    let of_series = |told: &Told| -> Vec<((i64, i64), Arc<Histogram>)> {
        let id = told.id().0;
        told.points.histograms.iter().map(|(ts, histogram)| ((id, ts), Arc::clone(histogram))).collect()
    };
    told.iter().flat_map(of_series).collect()
}

/// One of many native histograms.
pub(crate) fn histogram(number: u32) -> Arc<Histogram> {
    let counts: Vec<f64> = (1..=3 + number % 4).map(|bucket| f64::from(bucket * number) / 2.0).collect();
    let spans = vec![Span { offset: -2, length: 3 + number % 4 }];
    let count = counts.iter().sum();
    let positive = Buckets { spans, counts };
    Arc::new(Histogram { schema: 1, count, sum: f64::from(number) * 0.1, positive, ..Histogram::default() })
}

pub(crate) async fn read_buckets(archive: &Archive, resolution: Resolution) -> Vec<(SeriesId, Vec<Bucket>)> {
    let counters = ReadCounters::default();
    let stream = archive.scan_buckets(&archive.versions(), resolution, &everything(), &counters).await.expect("plans");
    stream.try_collect().await.expect("reads")
}

pub(crate) fn bits(points: &Points) -> Vec<(i64, u64)> {
    points.iter().map(|(ts, value)| (ts, value.to_bits())).collect()
}

/// What a reader must find after these hours.
pub(crate) fn told_points<'a>(told: impl IntoIterator<Item = &'a Told>) -> Read {
    let mut read = Read::new();
    for series in told {
        read.entry(series.id().0).or_default().extend(bits(&series.points));
    }
    read
}
