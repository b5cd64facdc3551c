//! What one sender knows: the points that were acknowledged, and the batch whose answer never came.
//!
//! send ─▶ in doubt ─▶ acknowledged: certain;  refused: forgotten;  no answer: after the next start it is there as a
//! whole, and certain from then on, or not at all

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

use super::load::{METRICS, Window};
use crate::api::{Api, close, hourly};

/// One point of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) host: String,
    pub(super) metric: &'static str,
    pub(super) timestamp: i64,
    /// Never sent before by this sender.
    pub(super) value: f64,
}

type Series = BTreeMap<i64, f64>;

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    sender: u32,
    certain: BTreeMap<(String, &'static str), Series>,
    doubtful: Vec<Sent>,
    /// Values drawn so far: each is another.
    pub(super) drawn: u64,
}

impl Ledger {
    pub(super) fn new(sender: u32) -> Self {
        Self { sender, certain: BTreeMap::new(), doubtful: Vec::new(), drawn: 0 }
    }

    pub(super) fn sender(&self) -> u32 {
        self.sender
    }

    pub(super) fn hosts(&self) -> BTreeSet<String> {
        self.certain.keys().map(|(host, _)| host.clone()).collect()
    }

    /// Every series with its points.
    pub(super) fn series(&self) -> impl Iterator<Item = (&str, &'static str, &Series)> {
        self.certain.iter().map(|((host, metric), points)| (host.as_str(), *metric, points))
    }

    /// A batch goes out.
    pub(super) fn send(&mut self, batch: Vec<Sent>) {
        assert!(self.doubtful.is_empty(), "a sender waits for its answer");
        self.doubtful = batch;
    }

    /// It was acknowledged.
    pub(super) fn acknowledged(&mut self) {
        for sent in std::mem::take(&mut self.doubtful) {
            self.certain.entry((sent.host, sent.metric)).or_default().insert(sent.timestamp, sent.value);
        }
    }

    /// It was refused as a whole.
    pub(super) fn refused(&mut self) {
        self.doubtful.clear();
    }

    /// Finds out what became of the batch without an answer.
    pub(super) async fn resolve(&mut self, api: &Api, window: Window) -> anyhow::Result<()> {
        let (mut there, mut absent) = (0, 0);
        let hosts: BTreeSet<String> = self.doubtful.iter().map(|sent| sent.host.clone()).collect();
        for host in &hosts {
            for metric in METRICS {
                let found: Series = api.raw(host, metric, window.start, window.end).await?.into_iter().collect();
                for sent in self.doubtful.iter().filter(|sent| &sent.host == host && sent.metric == metric) {
                    match found.get(&sent.timestamp) {
                        Some(value) if value.to_bits() == sent.value.to_bits() => there += 1,
                        Some(_) | None => absent += 1,
                    }
                }
            }
        }
        match (there, absent) {
            (_, 0) => self.acknowledged(),
            (0, _) => self.refused(),
            (there, absent) => bail!(
                "a batch without an acknowledgement is there by half: {there} points are, {absent} are not, of {:?}",
                self.doubtful
            ),
        }
        // The host is checked as a whole: what the batch was to replace is as it was, or replaced.
        for host in hosts {
            self.check(api, &host, window).await?;
        }
        Ok(())
    }

    /// Every series of a host is as it was acknowledged, in points and in rollups.
    pub(super) async fn check(&self, api: &Api, host: &str, window: Window) -> anyhow::Result<()> {
        for metric in METRICS {
            let Some(expected) = self.certain.get(&(host.to_owned(), metric)) else { continue };
            let found = api.raw(host, metric, window.start, window.end).await?;
            same_points(expected, &found).with_context(|| format!("{metric} of {host}"))?;
            let range = (window.start, window.end);
            for (agg, of) in AGGREGATES {
                let found = api.buckets(host, metric, range, "1h", agg).await?;
                same_buckets(&hourly(expected, of), &found)
                    .with_context(|| format!("1h {agg} of {metric} of {host}"))?;
            }
        }
        Ok(())
    }
}

type Aggregate = (&'static str, fn(&[f64]) -> f64);

const AGGREGATES: [Aggregate; 3] = [
    ("count", |values| f64::from(u32::try_from(values.len()).expect("an hour has few points"))),
    ("sum", |values| values.iter().sum()),
    ("max", |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
];

fn same_points(expected: &Series, found: &[(i64, f64)]) -> anyhow::Result<()> {
    ensure!(found.is_sorted_by(|a, b| a.0 < b.0), "timestamps are not ascending, or one is there twice");
    let found: Series = found.iter().copied().collect();
    let lost: Vec<_> = expected.iter().filter(|(ts, _)| !found.contains_key(ts)).take(5).collect();
    let more: Vec<_> = found.iter().filter(|(ts, _)| !expected.contains_key(ts)).take(5).collect();
    let other = |(ts, value): &(&i64, &f64)| found.get(ts).is_some_and(|got| got.to_bits() != value.to_bits());
    let other: Vec<_> = expected.iter().filter(other).map(|(ts, value)| (ts, value, found[ts])).take(5).collect();
    ensure!(
        lost.is_empty() && more.is_empty() && other.is_empty(),
        "of {} points, lost: {lost:?}, never acknowledged: {more:?}, of another value (sent, found): {other:?}",
        expected.len()
    );
    Ok(())
}

fn same_buckets(expected: &[(i64, f64)], found: &[(i64, f64)]) -> anyhow::Result<()> {
    let same = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && close(a.1, b.1);
    let equal = expected.len() == found.len() && expected.iter().zip(found).all(same);
    let wrong = expected.iter().zip(found).find(|pair| !same(*pair));
    ensure!(equal, "{} buckets expected, {} found; the first that differ: {wrong:?}", expected.len(), found.len());
    Ok(())
}
