//! The native histograms of a series, beside its columns of floats.
//!
//! Nearly no series has any, and an empty map allocates nothing. Histograms are shared, not copied: one lies in a head, in an
//! answer and in a cache at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::histogram::Histogram;

/// Native histograms by timestamp (ms), one each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histograms(BTreeMap<i64, Arc<Histogram>>);

impl Histograms {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, timestamp_ms: i64) -> Option<&Arc<Histogram>> {
        self.0.get(&timestamp_ms)
    }

    /// Sets the histogram of a timestamp; returns the one before.
    pub fn insert(&mut self, timestamp_ms: i64, histogram: Arc<Histogram>) -> Option<Arc<Histogram>> {
        self.0.insert(timestamp_ms, histogram)
    }

    pub fn remove(&mut self, timestamp_ms: i64) -> Option<Arc<Histogram>> {
        self.0.remove(&timestamp_ms)
    }

    /// All of them, by time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &Arc<Histogram>)> + '_ {
        self.0.iter().map(|(&timestamp_ms, histogram)| (timestamp_ms, histogram))
    }

    /// Those of timestamps in `[start_ms, end_ms)`, by time.
    pub fn range(&self, start_ms: i64, end_ms: i64) -> impl DoubleEndedIterator<Item = (i64, &Arc<Histogram>)> + '_ {
        let end_ms = end_ms.max(start_ms);
        self.0.range(start_ms..end_ms).map(|(&timestamp_ms, histogram)| (timestamp_ms, histogram))
    }

    /// Keeps those for which `keep(timestamp in ms, histogram)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(i64, &Arc<Histogram>) -> bool) {
        self.0.retain(|&timestamp_ms, histogram| keep(timestamp_ms, histogram));
    }

    /// Adds those of `newer`, which win where both have a timestamp.
    pub fn extend_from(&mut self, newer: &Self) {
        for (timestamp_ms, histogram) in newer.iter() {
            self.insert(timestamp_ms, Arc::clone(histogram));
        }
    }

    /// Bytes in memory, for bounds; what others share is counted too.
    pub fn bytes(&self) -> usize {
        let entry = size_of::<(i64, Arc<Histogram>)>();
        self.iter().map(|(_, histogram)| histogram.bytes() + entry).sum()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
