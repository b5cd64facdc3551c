//! How many series may be created: pure arithmetic over the time that callers hand in.

use std::time::Duration;

use schemas::{Day, TimestampMs};

/// More new series a second than the limit: nothing of the batch was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many new series a second")]
pub(crate) struct TooManyNewSeries {
    pub(crate) retry_after: Duration,
}

/// A token bucket in thousandths of a series: it fills at the limit and holds one second of it.
///
/// A batch with more new series than a whole second allows could never pass; it is let through when the bucket is
/// full, and what it overdraws is paid back before the next one.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: i64,
    thousandths: i64,
    filled_at_ms: Option<i64>,
}

impl TokenBucket {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = i64::from(per_second);
        Self { per_second, thousandths: per_second * 1_000, filled_at_ms: None }
    }

    /// Takes `count` tokens or none.
    pub(super) fn take(&mut self, count: u64, now_ms: i64) -> Result<(), TooManyNewSeries> {
        if count == 0 {
            return Ok(());
        }
        let full = self.per_second * 1_000;
        // A clock that went back fills nothing; one that leapt fills no more than the bucket holds.
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms.unwrap_or(now_ms)).max(0);
        self.filled_at_ms = Some(now_ms);
        self.thousandths = self.thousandths.saturating_add(elapsed_ms.saturating_mul(self.per_second)).min(full);

        let cost = i64::try_from(count).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
        let needed = cost.min(full);
        if self.per_second > 0 && self.thousandths >= needed {
            self.thousandths -= cost;
            return Ok(());
        }
        let wait_ms = match self.per_second {
            0 => 1_000,
            per_second => (needed - self.thousandths).max(1).div_euclid(per_second) + 1,
        };
        Err(TooManyNewSeries { retry_after: Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1_000)) })
    }
}

/// New series of the current UTC day.
#[derive(Debug)]
pub(super) struct DayCount {
    day: Day,
    created: u64,
}

impl DayCount {
    pub(super) fn new(day: Day, created: u64) -> Self {
        Self { day, created }
    }

    /// New series of the day of `now_ms`.
    pub(super) fn on(&mut self, now_ms: i64) -> u64 {
        let today = Day::containing(TimestampMs(now_ms));
        if today != self.day {
            *self = Self { day: today, created: 0 };
        }
        self.created
    }

    pub(super) fn add(&mut self, created: u64) {
        self.created += created;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_one_second_and_fills_at_its_rate() {
        let mut bucket = TokenBucket::new(10);
        assert_eq!(bucket.take(10, 0), Ok(()));
        let refused = bucket.take(5, 100).expect_err("one token since");
        assert_eq!(refused.retry_after, Duration::from_millis(401));
        assert_eq!(bucket.take(5, 501), Ok(()));
        assert_eq!(bucket.take(10, 1_000_000), Ok(()), "holds no more than a second");
        assert!(bucket.take(1, 1_000_000).is_err());
    }

    #[test]
    fn a_batch_over_a_whole_second_passes_a_full_bucket_and_is_paid_back() {
        let mut bucket = TokenBucket::new(10);
        assert_eq!(bucket.take(30, 0), Ok(()));
        assert!(bucket.take(1, 1_900).is_err());
        assert_eq!(bucket.take(1, 2_100), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut bucket = TokenBucket::new(10);
        assert_eq!(bucket.take(10, 10_000), Ok(()));
        assert!(bucket.take(1, 5_000).is_err());
        assert_eq!(bucket.take(1, 5_100), Ok(()));
    }

    #[test]
    fn no_series_a_second_means_none() {
        assert!(TokenBucket::new(0).take(1, i64::MAX).is_err());
        assert_eq!(TokenBucket::new(0).take(0, 0), Ok(()));
    }

    #[test]
    fn a_new_day_begins_at_zero() {
        let mut count = DayCount::new(Day(1), 7);
        assert_eq!(count.on(86_400_000), 7);
        count.add(3);
        assert_eq!(count.on(86_400_001), 10);
        assert_eq!(count.on(2 * 86_400_000), 0);
    }
}
