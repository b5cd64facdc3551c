//! Points of one series, column by column.

/// The staleness marker: a quiet NaN payload that Prometheus reserves. Never counted as a value.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a float.
pub fn stale() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Whether a value is the staleness marker, bit for bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Points of one series: `timestamps[i]` (ms) belongs to `values[i]`. Sorted and unique by timestamp wherever
/// a reader hands them out; in arrival order inside the head.
#[derive(Debug, Clone, Default)]
pub struct Points {
    pub timestamps: Vec<i64>,
    pub values: Vec<f64>,
}

impl Points {
    pub fn with_capacity(points: usize) -> Self {
        Self { timestamps: Vec::with_capacity(points), values: Vec::with_capacity(points) }
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
    }

    pub fn push(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps.push(timestamp_ms);
        self.values.push(value);
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, f64)> + DoubleEndedIterator + '_ {
        self.timestamps.iter().copied().zip(self.values.iter().copied())
    }

    /// Appends `other` behind what is here.
    pub fn extend_from(&mut self, other: &Self) {
        self.timestamps.extend_from_slice(&other.timestamps);
        self.values.extend_from_slice(&other.values);
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
    /// arrival winning, except that a staleness marker never replaces a value.
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

    #[test]
    fn index_range_is_half_open() {
        let p = points(&[(10, 0.0), (20, 0.0), (30, 0.0)]);
        assert_eq!(p.index_range(10, 30), 0..2);
        assert_eq!(p.index_range(31, 5), 3..3);
    }
}
