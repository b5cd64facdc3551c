//! When counters began, of samples whose sender said so.
//!
//! A storage that knows hands [`Starts`] out beside the points (`storage::SeriesData::Started`); functions of counters
//! then see resets that values do not show (`range`), and `start_timestamp` gives what is known (`eval`). Only where
//! `eval::Options::start_timestamps` is set.

use std::collections::BTreeMap;

/// What stands for a start that is not known.
const UNKNOWN: i64 = 0;

/// Starts by the time of the sample, both ms since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Starts(BTreeMap<i64, i64>);

impl Starts {
    /// Says when the counter of a sample began; 0 if that is not known.
    pub fn set(&mut self, timestamp_ms: i64, start_ms: i64) {
        if start_ms == UNKNOWN {
            self.0.remove(&timestamp_ms);
        } else {
            self.0.insert(timestamp_ms, start_ms);
        }
    }

    /// When the counter of a sample began, as it was said; 0 where nothing was.
    pub fn get(&self, timestamp_ms: i64) -> i64 {
        self.0.get(&timestamp_ms).copied().unwrap_or(UNKNOWN)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the counter of a sample is another one than that of the sample before it.
    pub(crate) fn began_between(&self, before: i64, timestamp: i64) -> bool {
        let (old, start) = (self.get(before), self.get(timestamp));
        // A start that is not before its sample is how some say that they do not know.
        let is_known = |start, timestamp| start != UNKNOWN && start < timestamp;
        if start == old || !is_known(start, timestamp) {
            return false;
        }
        // One at the sample before is of a sum that begins anew with every sample, if the one of that sample is known,
        // too. Otherwise it is of a total that somebody saw there for the first time.
        start > before || (start == before && is_known(old, before))
    }

    /// Whether a counter began before the sample in front of it, though that one was of another counter.
    pub(crate) fn overlap(&self, before: i64, timestamp: i64) -> bool {
        let start = self.get(timestamp);
        start != UNKNOWN && start < before && start != self.get(before)
    }

    /// When the counter of a sample began, where that was before it, but after another time.
    pub(crate) fn within(&self, after: i64, timestamp: i64) -> Option<i64> {
        let start = self.get(timestamp);
        (start != UNKNOWN && start > after && start < timestamp).then_some(start)
    }
}

impl FromIterator<(i64, i64)> for Starts {
    fn from_iter<I: IntoIterator<Item = (i64, i64)>>(starts: I) -> Self {
        let mut out = Self::default();
        starts.into_iter().for_each(|(timestamp, start)| out.set(timestamp, start));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of samples at 10 and 20.
    fn began(old: i64, start: i64) -> bool {
        Starts::from_iter([(10, old), (20, start)]).began_between(10, 20)
    }

    #[test]
    fn a_start_between_two_samples_is_a_reset() {
        assert!(began(5, 15));
        assert!(began(0, 11));
        assert!(!began(5, 5), "the same counter");
        assert!(!began(5, 7), "before the sample in front");
        assert!(!began(5, 0) && !began(5, 20) && !began(5, 25), "not known");
    }

    #[test]
    fn a_start_at_the_sample_before_is_one_of_deltas() {
        assert!(began(5, 10));
        assert!(!began(0, 10) && !began(10, 10) && !began(12, 10), "nobody knows when the one before began");
    }

    #[test]
    fn counters_overlap_where_the_newer_began_too_early() {
        let overlap = |old, start| Starts::from_iter([(10, old), (20, start)]).overlap(10, 20);
        assert!(overlap(5, 7) && overlap(0, 7));
        assert!(!overlap(5, 5) && !overlap(5, 10) && !overlap(5, 0));
    }

    #[test]
    fn only_a_start_inside_of_a_window_is_a_zero_there() {
        let starts = Starts::from_iter([(20, 15)]);
        assert_eq!([14, 15, 16].map(|after| starts.within(after, 20)), [Some(15), None, None]);
        assert_eq!(Starts::from_iter([(20, 20)]).within(0, 20), None);
        assert!(Starts::from_iter([(20, 0)]).is_empty());
    }
}
