//! Parts of dates in UTC, from seconds since 1970.

use crate::math::float_of;

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatePart {
    /// From 1.
    DayOfMonth,
    /// From 0, a Sunday.
    DayOfWeek,
    /// From 1.
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
    /// From 1.
    Month,
    Year,
}

const DAY_SECONDS: i128 = 86_400;
/// 2⁶³.
const FAR: f64 = 9_223_372_036_854_775_808.0;
/// Days before each month of a year that is no leap year, and the days of the year.
const DAYS_BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// A part of the date of a time in seconds. What does not fit 64 bits, as NaN, counts as second 2⁶³, which is what
/// Prometheus makes of it on most machines.
pub fn date_part(part: DatePart, seconds: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "fits, or is far beyond and then replaced")]
    let whole_seconds = if seconds.abs() < FAR { seconds as i128 } else { 1 << 63 };
    let in_day = i64::try_from(whole_seconds.rem_euclid(DAY_SECONDS)).expect("less than a day");
    let days = i64::try_from(whole_seconds.div_euclid(DAY_SECONDS)).expect("2^64 seconds are fewer days");
    match part {
        DatePart::Hour => whole(in_day / 3600),
        DatePart::Minute => whole(in_day / 60 % 60),
        // 1970-01-01 was a Thursday.
        DatePart::DayOfWeek => whole((days + 4).rem_euclid(7)),
        DatePart::DayOfMonth | DatePart::DayOfYear | DatePart::DaysInMonth | DatePart::Month | DatePart::Year => {
            of_day(part, days)
        }
    }
}

fn of_day(part: DatePart, days: i64) -> f64 {
    let (year, day_of_year) = year_of(days);
    let before = |month: usize| DAYS_BEFORE[month] + i64::from(month > 1 && is_leap(year));
    let month = (0..12).rfind(|&month| before(month) <= day_of_year).unwrap_or(0);
    match part {
        DatePart::DayOfMonth => whole(day_of_year - before(month) + 1),
        DatePart::DaysInMonth => whole(before(month + 1) - before(month)),
        DatePart::Month => float_of(month + 1),
        DatePart::Year => whole(year),
        _ => whole(day_of_year + 1),
    }
}

/// The year of a day since 1970-01-01, and the day in it, from 0.
fn year_of(days: i64) -> (i64, i64) {
    let first_day = |year: i64| {
        let past = year - 1;
        past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 719_162
    };
    // Too late by a year at most, since 400 years have 146,097 days.
    let mut year = (days + 719_162).saturating_mul(400).div_euclid(146_097) + 2;
    while first_day(year) > days {
        year -= 1;
    }
    (year, days - first_day(year))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[expect(clippy::cast_precision_loss, reason = "parts of dates are small, and years below 2^40")]
fn whole(value: i64) -> f64 {
    value as f64
}
