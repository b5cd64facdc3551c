//! When rounds began and hours failed: what may begin again.

use std::collections::BTreeMap;

use schemas::{DurationMs, Hour, TimestampMs};

/// How often retention is applied.
const RETENTION_EVERY: DurationMs = DurationMs::minutes(5);
/// When an hour that failed is tried again; to archive it, in a round of its own.
const RETRY: DurationMs = DurationMs::minutes(5);

/// What has been done so far by this process.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    archive: Option<TimestampMs>,
    retention: Option<TimestampMs>,
    /// When the last archive round ended, if an hour failed in it.
    archive_failed: Option<TimestampMs>,
    failed: BTreeMap<Hour, TimestampMs>,
    /// Orphans of an earlier life have been deleted from every table.
    pub(crate) swept: bool,
}

/// The rounds that begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) archive: bool,
    pub(crate) retention: bool,
}

impl Rounds {
    /// The rounds that are due; they count as begun.
    pub(crate) fn begin_due(&mut self, archive_every: DurationMs, now: TimestampMs) -> Due {
        let retry = self.archive_failed.is_some_and(|at| is_over(at, RETRY, now));
        let archive = begin(&mut self.archive, archive_every, now) || retry;
        Due { archive, retention: begin(&mut self.retention, RETENTION_EVERY, now) }
    }

    /// When retention is applied next.
    pub(crate) fn next_retention(&self, now: TimestampMs) -> TimestampMs {
        self.retention.map_or(now, |last| last.plus(RETENTION_EVERY).max(now))
    }

    pub(crate) fn archive_ended(&mut self, with_failures: bool, now: TimestampMs) {
        self.archive_failed = with_failures.then_some(now);
    }

    pub(crate) fn failed(&mut self, hour: Hour, now: TimestampMs) {
        self.failed.insert(hour, now);
    }

    pub(crate) fn succeeded(&mut self, hour: Hour) {
        self.failed.remove(&hour);
    }

    /// Whether the hour has not failed a short while ago.
    pub(crate) fn may_be_tried(&self, hour: Hour, now: TimestampMs) -> bool {
        self.failed.get(&hour).is_none_or(|&at| is_over(at, RETRY, now))
    }
}

fn begin(last: &mut Option<TimestampMs>, every: DurationMs, now: TimestampMs) -> bool {
    let due = last.is_none_or(|at| is_over(at, every, now));
    if due {
        *last = Some(now);
    }
    due
}

/// Whether so much time has passed; a clock that jumped back must not stop the rounds.
fn is_over(since: TimestampMs, time: DurationMs, now: TimestampMs) -> bool {
    now >= since.plus(time) || now < since
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: DurationMs = DurationMs::HOUR;

    fn at(minutes: i64) -> TimestampMs {
        TimestampMs(1_000_000_000).plus(DurationMs::minutes(minutes))
    }

    #[test]
    fn rounds_begin_at_once_and_then_by_their_distance() {
        let mut rounds = Rounds::default();
        let mut due = |minutes| {
            let Due { archive, retention } = rounds.begin_due(HOUR, at(minutes));
            (archive, retention)
        };
        assert_eq!(due(0), (true, true));
        assert_eq!(due(4), (false, false));
        assert_eq!(due(5), (false, true));
        assert_eq!(due(60), (true, true));
        assert_eq!(due(-600), (true, true), "the clock jumped back");
    }

    #[test]
    fn an_archive_round_that_failed_is_tried_again_before_its_time() {
        let mut rounds = Rounds::default();
        rounds.begin_due(HOUR, at(0));
        rounds.archive_ended(true, at(1));
        assert!(!rounds.begin_due(HOUR, at(5)).archive);
        assert!(rounds.begin_due(HOUR, at(6)).archive);
        rounds.archive_ended(false, at(7));
        assert!(!rounds.begin_due(HOUR, at(59)).archive);
        assert!(rounds.begin_due(HOUR, at(60)).archive);
    }

    #[test]
    fn an_hour_that_failed_rests() {
        let mut rounds = Rounds::default();
        rounds.failed(Hour(7), at(0));
        assert!(!rounds.may_be_tried(Hour(7), at(4)) && rounds.may_be_tried(Hour(8), at(4)));
        assert!(rounds.may_be_tried(Hour(7), at(5)));
        rounds.succeeded(Hour(7));
        assert!(rounds.may_be_tried(Hour(7), at(1)));
    }
}
