//! Time: millisecond timestamps, half-open ranges, and the calendar units that storage is cut into (TIME-1).
//!
//! All calendar units are UTC and counted from the Unix epoch; a stored point lies in `[0, u32::MAX hours)`.

use std::fmt;

use thiserror::Error;

/// Milliseconds in one second.
pub const SECOND_MS: i64 = 1_000;
/// Milliseconds in one minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds in one hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in one day.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Hours in one week.
pub const WEEK_HOURS: u32 = 7 * 24;

/// A time that cannot be used.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum TimeError {
    /// A range whose end lies before its start.
    #[error("range ends at {end} before it starts at {start}")]
    Reversed { start: TimestampMs, end: TimestampMs },
    /// A timestamp outside what storage can address.
    #[error("timestamp {0} is outside 1970-01-01 to 9999-12-31")]
    OutOfRange(TimestampMs),
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// The first timestamp that can be stored.
    pub const MIN: Self = Self(0);
    /// The end of the last storable hour: 10000-01-01T00:00:00Z.
    pub const MAX: Self = Self(253_402_300_800_000);

    /// This timestamp, if storage can address it.
    pub fn storable(self) -> Result<Self, TimeError> {
        if (Self::MIN..Self::MAX).contains(&self) { Ok(self) } else { Err(TimeError::OutOfRange(self)) }
    }

    /// Saturating addition.
    #[must_use]
    pub fn plus(self, duration: DurationMs) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// Saturating subtraction.
    #[must_use]
    pub fn minus(self, duration: DurationMs) -> Self {
        Self(self.0.saturating_sub(duration.0))
    }

    /// Rounds towards the past to a multiple of `width`.
    #[must_use]
    pub fn floor_to(self, width: DurationMs) -> Self {
        Self(self.0.div_euclid(width.0) * width.0)
    }

    /// Rounds towards the future to a multiple of `width`.
    #[must_use]
    pub fn ceil_to(self, width: DurationMs) -> Self {
        let floor = self.floor_to(width);
        if floor == self { self } else { floor.plus(width) }
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DurationMs(pub i64);

impl DurationMs {
    pub const SECOND: Self = Self(SECOND_MS);
    pub const MINUTE: Self = Self(MINUTE_MS);
    pub const HOUR: Self = Self(HOUR_MS);
    pub const DAY: Self = Self(DAY_MS);

    /// `n` minutes.
    pub const fn minutes(n: i64) -> Self {
        Self(n * MINUTE_MS)
    }

    /// `n` hours.
    pub const fn hours(n: i64) -> Self {
        Self(n * HOUR_MS)
    }

    /// `n` days.
    pub const fn days(n: i64) -> Self {
        Self(n * DAY_MS)
    }

    /// As the standard library's duration; negative lengths become zero.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for DurationMs {
    /// The largest unit that divides it: `10m`, `15d`, `1500ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")];
        match units.iter().find(|(ms, _)| self.0 != 0 && self.0 % ms == 0) {
            Some((ms, unit)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// A half-open range `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: TimestampMs,
    end: TimestampMs,
}

impl TimeRange {
    /// `[start, end)`; empty when both are equal.
    pub fn new(start: TimestampMs, end: TimestampMs) -> Result<Self, TimeError> {
        if end < start { Err(TimeError::Reversed { start, end }) } else { Ok(Self { start, end }) }
    }

    pub fn start(self) -> TimestampMs {
        self.start
    }

    pub fn end(self) -> TimestampMs {
        self.end
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn contains(self, ts: TimestampMs) -> bool {
        self.start <= ts && ts < self.end
    }

    /// The length of the range.
    pub fn length(self) -> DurationMs {
        DurationMs(self.end.0.saturating_sub(self.start.0))
    }

    /// What both ranges hold; `None` when they share nothing.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Self { start, end })
    }

    /// The smallest range of whole buckets that covers this one.
    #[must_use]
    pub fn align_outward(self, width: DurationMs) -> Self {
        Self { start: self.start.floor_to(width), end: self.end.ceil_to(width) }
    }

    /// The hours that this range touches, within what storage can address.
    pub fn hours(self) -> HourRange {
        if self.is_empty() {
            return HourRange { start: Hour(0), end: Hour(0) };
        }
        let start = Hour::containing(self.start);
        let last = Hour::containing(TimestampMs(self.end.0 - 1));
        if self.end <= TimestampMs::MIN {
            return HourRange { start: Hour(0), end: Hour(0) };
        }
        HourRange { start, end: last.next() }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start.0, self.end.0)
    }
}

/// The resolutions at which data is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    Raw,
    Minute,
    Hour,
}

impl Resolution {
    /// All resolutions, finest first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Minute, Self::Hour];

    /// The width of a stored bucket; `None` for raw points.
    pub fn width(self) -> Option<DurationMs> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(DurationMs::MINUTE),
            Self::Hour => Some(DurationMs::HOUR),
        }
    }

    /// As users write it: `raw`, `1m`, `1h`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The start of a stored bucket: aligned to its width (TIME-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketStart(TimestampMs);

impl BucketStart {
    /// The bucket of width `width` that holds `ts`.
    pub fn containing(ts: TimestampMs, width: DurationMs) -> Self {
        Self(ts.floor_to(width))
    }

    pub fn timestamp(self) -> TimestampMs {
        self.0
    }
}

/// An hour since the Unix epoch: the unit that is sealed, archived and owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hour(pub u32);

impl Hour {
    /// The last hour that storage addresses, exclusive.
    pub const MAX: Self = Self(70_389_528);

    /// The hour that holds `ts`, clamped to what storage can address.
    pub fn containing(ts: TimestampMs) -> Self {
        let clamped = ts.0.clamp(0, TimestampMs::MAX.0 - 1);
        Self(u32::try_from(clamped.div_euclid(HOUR_MS)).expect("clamped to the year 9999"))
    }

    pub fn start(self) -> TimestampMs {
        TimestampMs(i64::from(self.0) * HOUR_MS)
    }

    pub fn end(self) -> TimestampMs {
        self.next().start()
    }

    pub fn range(self) -> TimeRange {
        TimeRange { start: self.start(), end: self.end() }
    }

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub fn day(self) -> Day {
        Day(self.0 / 24)
    }

    pub fn week(self) -> Week {
        Week(self.0 / WEEK_HOURS)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.day().civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}", self.0 % 24)
    }
}

/// A half-open range of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HourRange {
    pub start: Hour,
    pub end: Hour,
}

impl HourRange {
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Hour> + ExactSizeIterator {
        (self.start.0..self.end.0).map(Hour)
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    pub fn contains(self, hour: Hour) -> bool {
        self.start <= hour && hour < self.end
    }

    /// The time that these hours span.
    pub fn time(self) -> TimeRange {
        TimeRange { start: self.start.start(), end: self.end.max(self.start).start() }
    }
}

/// A day since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

/// The hours of the `nth` span of so many. Numbers of days and weeks come from disk too, so it saturates.
fn hours(nth: u32, length: u32) -> HourRange {
    let start = nth.saturating_mul(length);
    HourRange { start: Hour(start), end: Hour(start.saturating_add(length)) }
}

impl Day {
    pub fn containing(ts: TimestampMs) -> Self {
        Hour::containing(ts).day()
    }

    pub fn hours(self) -> HourRange {
        hours(self.0, 24)
    }

    /// Year, month (1–12) and day of month (1–31), by Howard Hinnant's `civil_from_days`.
    pub fn civil(self) -> (i32, u32, u32) {
        let days = i64::from(self.0) + 719_468;
        let era = days.div_euclid(146_097);
        let doe = days.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let small = |n: i64| u32::try_from(n).expect("calendar fields are small and positive");
        (i32::try_from(year).expect("years of a u32 of days are small"), small(month), small(day))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A week of seven days, counted from the Unix epoch (so it begins on a Thursday).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week(pub u32);

impl Week {
    pub fn hours(self) -> HourRange {
        hours(self.0, WEEK_HOURS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_a_range_are_those_it_touches() {
        let range = TimeRange::new(TimestampMs(HOUR_MS - 1), TimestampMs(2 * HOUR_MS)).expect("ordered");
        assert_eq!(range.hours(), HourRange { start: Hour(0), end: Hour(2) });
        let empty = TimeRange::new(TimestampMs(5), TimestampMs(5)).expect("ordered");
        assert!(empty.hours().is_empty());
        let before = TimeRange::new(TimestampMs(-10), TimestampMs(0)).expect("ordered");
        assert!(before.hours().is_empty());
    }

    #[test]
    fn reversed_range_is_refused() {
        assert!(TimeRange::new(TimestampMs(2), TimestampMs(1)).is_err());
    }

    #[test]
    fn calendar_days_are_named_as_in_utc() {
        assert_eq!(Day(0).to_string(), "1970-01-01");
        assert_eq!(Day(11_016).to_string(), "2000-02-29");
        assert_eq!(Day(20_778).to_string(), "2026-11-21");
        assert_eq!(Hour(20_778 * 24 + 7).to_string(), "2026-11-21T07");
    }

    #[test]
    fn the_last_storable_millisecond_has_an_hour() {
        assert_eq!(Hour::containing(TimestampMs(TimestampMs::MAX.0 - 1)).next(), Hour::MAX);
        assert_eq!(Hour::MAX.start(), TimestampMs::MAX);
    }

    #[test]
    fn durations_print_their_largest_unit() {
        assert_eq!(DurationMs::days(7).to_string(), "7d");
        assert_eq!(DurationMs(90_000).to_string(), "90s");
        assert_eq!(DurationMs(1_500).to_string(), "1500ms");
        assert_eq!(DurationMs(0).to_string(), "0ms");
    }

    #[test]
    fn outward_alignment_covers_the_range() {
        let range = TimeRange::new(TimestampMs(61_000), TimestampMs(119_999)).expect("ordered");
        let aligned = range.align_outward(DurationMs::MINUTE);
        assert_eq!((aligned.start().0, aligned.end().0), (60_000, 120_000));
    }
}
