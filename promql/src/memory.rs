//! A storage in memory: for tests, and for who uses the language alone.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use schemas::{LabelMatcher, Labels, Points};

use crate::starts::Starts;
use crate::storage::{Selection, SeriesData, SeriesSet, Sink, Storage, StorageError};

/// Series by labels, each with its settled points.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    series: BTreeMap<Key, Points>,
    starts: BTreeMap<Key, Starts>,
}

/// Labels in Prometheus' order: by names and values, which is not the order of canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key(Labels);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().cmp(other.0.iter())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl MemoryStorage {
    pub fn new() -> Self {
        Self::default()
    }

    /// The points of a series, which is there from now on.
    pub fn points_mut(&mut self, labels: &Labels) -> &mut Points {
        self.series.entry(Key(labels.clone())).or_default()
    }

    /// Adds points behind those that a series has; later ones win (SET-1).
    pub fn append(&mut self, labels: &Labels, points: &Points) {
        let stored = self.points_mut(labels);
        stored.extend_from(points);
        stored.settle();
    }

    /// When the counters of a series' points began.
    pub fn starts_mut(&mut self, labels: &Labels) -> &mut Starts {
        self.starts.entry(Key(labels.clone())).or_default()
    }

    /// All series.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Labels, &Points)> {
        self.series.iter().map(|(key, points)| (&key.0, points))
    }

    pub fn clear(&mut self) {
        self.series.clear();
        self.starts.clear();
    }
}

impl Storage for MemoryStorage {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, StorageError> {
        let matching = self.series.iter().filter(|(Key(labels), _)| matches(labels, &selection.matchers));
        let data = |(key, points)| (key, (points, self.starts.get(key).filter(|starts| !starts.is_empty())));
        let (labels, data) = matching.map(data).map(|(Key(labels), data)| (labels.clone(), data)).unzip();
        Ok(Box::new(Selected { labels, data, span: selection.windows.span() }))
    }
}

/// Whether labels satisfy all matchers.
fn matches(labels: &Labels, matchers: &[LabelMatcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
}

struct Selected<'a> {
    labels: Vec<Labels>,
    data: Vec<(&'a Points, Option<&'a Starts>)>,
    /// Both ends inclusive, ms.
    span: (i64, i64),
}

impl SeriesSet for Selected<'_> {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn read(&self, series: Range<usize>, sink: Sink<'_>) -> Result<(), StorageError> {
        let (first, last) = self.span;
        for at in series {
            let (points, starts) = self.data[at];
            if !points.index_range(first, last.saturating_add(1)).is_empty() {
                sink(at, starts.map_or(SeriesData::Points(points), |starts| SeriesData::Started(points, starts)))?;
            }
        }
        Ok(())
    }
}
