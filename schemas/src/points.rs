//! Points of one series, column by column.
//!
//! A *sample* is a float or a native histogram; a *staleness marker* is neither. A histogram stands as a *marker* among the floats
//! and lies in [`Histograms`] under its timestamp, so that what handles floats need not know of it.

mod histograms;

pub use histograms::Histograms;

use std::sync::Arc;

use crate::histogram::Histogram;

/// The staleness marker: a quiet NaN payload that Prometheus reserves. Never counted as a value.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a float.
pub fn stale() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Stands for a native histogram among floats: a signalling NaN that no sender may use and no arithmetic gives.
pub const HISTOGRAM_BITS: u64 = 0x7ff0_0000_0000_0003;

/// What stands for a native histogram among floats, as a float.
pub fn histogram_marker() -> f64 {
    f64::from_bits(HISTOGRAM_BITS)
}

/// Whether a value is the staleness marker, bit for bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Whether a value stands for a native histogram, bit for bit.
pub fn is_histogram(value: f64) -> bool {
    value.to_bits() == HISTOGRAM_BITS
}

/// Whether a value is a float that counts: neither a staleness marker nor a stand-in for a histogram.
pub fn is_sample(value: f64) -> bool {
    !matches!(value.to_bits(), STALE_BITS | HISTOGRAM_BITS)
}

/// A float as a sender may mean it: the bits that stand for a histogram become the ordinary NaN.
pub fn float_of_sender(value: f64) -> f64 {
    if is_histogram(value) { f64::NAN } else { value }
}

/// Points of one series: `timestamps[i]` (ms) belongs to `values[i]`. Sorted and unique by timestamp wherever
/// a reader hands them out; in arrival order inside the head.
///
/// `histograms` has one for each timestamp whose value stands for a histogram, and no others wherever points are settled. A
/// stand-in without its histogram is no sample: only a float of an archive that others wrote can be one.
#[derive(Debug, Clone, Default)]
pub struct Points {
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
    pub histograms: Histograms,
}

impl Points {
    /// Floats; both columns are of one length.
    pub fn new(timestamps: Vec<i64>, values: Vec<f64>) -> Self {
        debug_assert_eq!(timestamps.len(), values.len(), "one value a timestamp");
        Self { timestamps, values, histograms: Histograms::default() }
    }

    pub fn with_capacity(points: usize) -> Self {
        Self::new(Vec::with_capacity(points), Vec::with_capacity(points))
    }

    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
    }

    pub fn push(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps.push(timestamp_ms);
        self.values.push(value);
    }

    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: Arc<Histogram>) {
        self.push(timestamp_ms, histogram_marker());
        self.histograms.insert(timestamp_ms, histogram);
    }

    /// Timestamps (ms) and values, stand-ins of histograms among them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, f64)> + DoubleEndedIterator + '_ {
        self.timestamps.iter().copied().zip(self.values.iter().copied())
    }

    /// Appends `other` behind what is here.
    pub fn extend_from(&mut self, other: &Self) {
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
        self.histograms.extend_from(&other.histograms);
    }

    /// Appends the points of `other` at `indexes`; `other` must be settled.
    pub fn extend_from_range(&mut self, other: &Self, indexes: std::ops::Range<usize>) {
        let timestamps = &other.timestamps[indexes.clone()];
        if let (Some(&first), Some(&last), false) = (timestamps.first(), timestamps.last(), other.histograms.is_empty())
        {
            for (timestamp_ms, histogram) in other.histograms.range(first, last.saturating_add(1)) {
                self.histograms.insert(timestamp_ms, Arc::clone(histogram));
            }
        }
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(&other.values[indexes]);
    }

    /// The points at `indexes`; they must be settled.
    #[must_use]
    pub fn slice(&self, indexes: std::ops::Range<usize>) -> Self {
        let mut out = Self::default();
        out.extend_from_range(self, indexes);
        out
    }

    /// The half-open index range of timestamps in `[start_ms, end_ms)`; the points must be sorted.
    pub fn index_range(&self, start_ms: i64, end_ms: i64) -> std::ops::Range<usize> {
        let from = self.timestamps.partition_point(|&ts| ts < start_ms);
        let to = self.timestamps.partition_point(|&ts| ts < end_ms);
        from..to.max(from)
    }

    /// Whether timestamps are strictly increasing.
    pub fn is_sorted_unique(&self) -> bool {
        self.timestamps.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// Brings points from arrival order into stored order (SET-1): sorted by timestamp, one value each, the later
    /// arrival winning, except that a staleness marker never replaces a value. Floats and histograms replace each other.
    pub fn settle(&mut self) {
        if self.is_sorted_unique() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| self.timestamps[i]);
        let mut settled = Self::with_capacity(self.len());
        for i in order {
            settled.push_winner(self.timestamps[i], self.values[i]);
        }
        // The map has the newest histogram of a timestamp, which is the one that a stand-in that won speaks of.
        settled.histograms = std::mem::take(&mut self.histograms);
        settled.drop_replaced_histograms();
        *self = settled;
    }

    /// Overlays `newer` on `self`: both settled, and every point of `newer` arrived later (SET-1).
    #[must_use]
    pub fn overlaid_with(&self, newer: &Self) -> Self {
        if newer.is_empty() {
            return self.clone();
        }
        let mut out = Self::with_capacity(self.len() + newer.len());
        let (mut a, mut b) = (0, 0);
        while a < self.len() && b < newer.len() {
            if self.timestamps[a] <= newer.timestamps[b] {
                out.push_winner(self.timestamps[a], self.values[a]);
                a += 1;
            } else {
                out.push_winner(newer.timestamps[b], newer.values[b]);
                b += 1;
            }
        }
        for i in a..self.len() {
            out.push_winner(self.timestamps[i], self.values[i]);
        }
        for i in b..newer.len() {
            out.push_winner(newer.timestamps[i], newer.values[i]);
        }
        out.histograms = self.histograms.clone();
        out.histograms.extend_from(&newer.histograms);
        out.drop_replaced_histograms();
        out
    }

    /// Appends a later arrival at or behind the last timestamp, resolving a repeat of it.
    fn push_winner(&mut self, timestamp_ms: i64, value: f64) {
        match (self.timestamps.last(), self.values.last_mut()) {
            (Some(&last), Some(kept)) if last == timestamp_ms => {
                if !is_stale(value) || is_stale(*kept) {
                    *kept = value;
                }
            }
            _ => self.push(timestamp_ms, value),
        }
    }

    /// Drops histograms that a later float replaced.
    fn drop_replaced_histograms(&mut self) {
        let (timestamps, values) = (&self.timestamps, &self.values);
        let stands =
            |timestamp_ms: i64| timestamps.binary_search(&timestamp_ms).is_ok_and(|at| is_histogram(values[at]));
        self.histograms.retain(|timestamp_ms, _| stands(timestamp_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(list: &[(i64, f64)]) -> Points {
        let mut out = Points::default();
        for &(ts, v) in list {
            out.push(ts, v);
        }
        out
    }

    #[test]
    fn later_arrival_wins_but_a_stale_marker_never_replaces_a_value() {
        let mut p = points(&[(2, 1.0), (1, 5.0), (2, 7.0), (2, stale()), (3, stale()), (3, 4.0)]);
        p.settle();
        assert_eq!(p.iter().collect::<Vec<_>>(), vec![(1, 5.0), (2, 7.0), (3, 4.0)]);
    }

    #[test]
    fn overlay_equals_settling_the_concatenation() {
        let base = points(&[(1, 1.0), (3, 3.0), (5, stale())]);
        let newer = points(&[(0, 9.0), (3, stale()), (5, 5.5), (6, 6.0)]);
        let mut all = base.clone();
        all.extend_from(&newer);
        all.settle();
        assert_eq!(base.overlaid_with(&newer).iter().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    }

    fn histogram(count: f64) -> Arc<Histogram> {
        Arc::new(Histogram { count, zero_count: count, ..Histogram::default() })
    }

    fn counts(points: &Points) -> Vec<(i64, f64)> {
        points.histograms.iter().map(|(ts, histogram)| (ts, histogram.count)).collect()
    }

    #[test]
    fn histograms_and_floats_replace_each_other_by_arrival_and_stale_markers_replace_neither() {
        let mut p = Points::default();
        p.push_histogram(2, histogram(1.0));
        p.push(2, stale());
        p.push_histogram(1, histogram(2.0));
        p.push(1, 5.0);
        p.push(3, 6.0);
        p.push_histogram(3, histogram(3.0));
        p.push_histogram(3, histogram(4.0));
        p.push(4, stale());
        p.push_histogram(4, histogram(7.0));
        let arrived = p.clone();
        p.settle();
        assert_eq!(p.timestamps, [1, 2, 3, 4]);
        assert_eq!(p.values[0].to_bits(), 5.0_f64.to_bits());
        assert!(p.values[1..].iter().all(|&value| is_histogram(value)));
        assert_eq!(counts(&p), [(2, 1.0), (3, 4.0), (4, 7.0)]);
        for split in 0..=arrived.len() {
            let part = |indexes: std::ops::Range<usize>| {
                let mut part = Points::default();
                let seen = [1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 7.0];
                for i in indexes {
                    match is_histogram(arrived.values[i]) {
                        true => part.push_histogram(arrived.timestamps[i], histogram(seen[i])),
                        false => part.push(arrived.timestamps[i], arrived.values[i]),
                    }
                }
                part.settle();
                part
            };
            let overlaid = part(0..split).overlaid_with(&part(split..arrived.len()));
            assert_eq!(
                (overlaid.timestamps.as_slice(), counts(&overlaid)),
                (p.timestamps.as_slice(), counts(&p)),
                "{split}"
            );
        }
    }

    #[test]
    fn a_range_of_points_takes_its_histograms_along() {
        let mut p = points(&[(1, 1.0)]);
        p.push_histogram(2, histogram(2.0));
        p.push_histogram(3, histogram(3.0));
        let slice = p.slice(1..2);
        assert_eq!((slice.timestamps.as_slice(), counts(&slice)), (&[2][..], vec![(2, 2.0)]));
        assert!(p.slice(0..1).histograms.is_empty() && p.slice(1..1).is_empty());
    }

    #[test]
    fn index_range_is_half_open() {
        let p = points(&[(10, 0.0), (20, 0.0), (30, 0.0)]);
        assert_eq!(p.index_range(10, 30), 0..2);
        assert_eq!(p.index_range(31, 5), 3..3);
    }
}
