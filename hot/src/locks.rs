//! Seal, archive and drop of the same hour exclude each other: an hour must not change its owner under a seal.

use std::sync::Arc;

use parking_lot::Mutex;
use schemas::Hour;
use schemas::time::HourRange;

/// The hours that somebody works on.
#[derive(Debug, Default)]
pub(crate) struct HourLocks {
    held: Mutex<Vec<HourRange>>,
}

impl HourLocks {
    /// Takes all hours of a range, or none when one of them is taken. An empty range is always free.
    pub(crate) fn try_lock(self: &Arc<Self>, hours: HourRange) -> Option<HoursGuard> {
        let mut held = self.held.lock();
        if held.iter().any(|taken| taken.start < hours.end && hours.start < taken.end) {
            return None;
        }
        held.push(hours);
        Some(HoursGuard { locks: Arc::clone(self), hours })
    }
}

/// Excludes seal, archive and drop of its hours while it lives.
#[derive(Debug)]
pub struct HoursGuard {
    locks: Arc<HourLocks>,
    hours: HourRange,
}

impl HoursGuard {
    pub fn hours(&self) -> HourRange {
        self.hours
    }

    pub(crate) fn covers(&self, hour: Hour) -> bool {
        self.hours.contains(hour)
    }
}

impl Drop for HoursGuard {
    fn drop(&mut self) {
        let mut held = self.locks.held.lock();
        if let Some(at) = held.iter().position(|taken| *taken == self.hours) {
            held.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_hours_exclude_each_other_until_released() {
        let locks = Arc::new(HourLocks::default());
        let range = |start, end| HourRange { start: Hour(start), end: Hour(end) };
        let first = locks.try_lock(range(2, 5)).expect("free");
        assert!(locks.try_lock(range(4, 6)).is_none());
        assert!(locks.try_lock(range(0, 3)).is_none());
        let beside = locks.try_lock(range(5, 6)).expect("free");
        assert!(first.covers(Hour(4)) && !first.covers(Hour(5)));
        drop(first);
        assert!(locks.try_lock(range(0, 5)).is_some());
        drop(beside);
    }
}
