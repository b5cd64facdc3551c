//! Times as users write them: RFC 3339, or a number that is seconds below 10^11 and milliseconds from there on.
//!
//! One rule for points that come in and for `from` and `to` of questions, so that both mean the same instant.

use thiserror::Error;

/// Numbers below this are seconds, others milliseconds. As seconds it is the year 5138, as milliseconds March 1973.
const SECONDS_BELOW: f64 = 1e11;

/// A text or number that names no time.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TimestampError {
    #[error("{0:?} is neither RFC 3339 nor a number")]
    NotATime(String),
    #[error("{0} is too large to be a time")]
    TooLarge(String),
}

/// Milliseconds since the epoch of a number: seconds below 10^11 (fractions allowed, rounded to the millisecond),
/// else milliseconds (fractions cut towards the past).
pub fn from_number(number: f64) -> Result<i64, TimestampError> {
    let ms = if number.abs() < SECONDS_BELOW { (number * 1_000.0).round() } else { number.floor() };
    // Whole numbers of this size are exact in a double; NaN fails the comparison as well.
    if ms.abs() <= 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "checked against ±9e15 in the line above")]
        return Ok(ms as i64);
    }
    Err(TimestampError::TooLarge(number.to_string()))
}

/// Milliseconds since the epoch of a text: RFC 3339, or a number as [`from_number`] reads it.
pub fn from_text(text: &str) -> Result<i64, TimestampError> {
    let text = text.trim();
    // Digits alone are the most common form of all, and need not go through a double.
    if text.len() <= 15 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let number: i64 = text.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        return Ok(if number < 100_000_000_000 { number * 1_000 } else { number });
    }
    if let Some(ms) = rfc3339_utc(text.as_bytes()) {
        return Ok(ms);
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    match fast_float2::parse::<f64, _>(text) {
        Ok(number) if number.is_finite() => from_number(number),
        Ok(_) | Err(_) => Err(TimestampError::NotATime(text.chars().take(64).collect())),
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fff…]Z`, the form that machines write, without the generality of a date library: it is
/// parsed once a point. `None` sends anything else to the library, errors included.
fn rfc3339_utc(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let two = |at: usize| -> Option<i64> {
        let (tens, ones) = (date[at].wrapping_sub(b'0'), date[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    if [date[4], date[7], date[10], date[13], date[16]] != *b"--T::" {
        return None;
    }
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    // Day 29 and later depend on the month, and second 60 is a leap second: the library decides.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let ms = match rest {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => milliseconds(fraction)?,
        _ => return None,
    };
    let seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000 + ms)
}

/// The first three digits of a fraction of a second; `None` if anything in it is not a digit.
fn milliseconds(fraction: &[u8]) -> Option<i64> {
    let digit = |at: usize| i64::from(fraction.get(at).map_or(0, |b| b - b'0'));
    fraction.iter().all(u8::is_ascii_digit).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// Days since 1970-01-01, by Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_below_ten_to_the_eleventh_are_seconds() {
        assert_eq!(from_number(1_742_221_800.0), Ok(1_742_221_800_000));
        assert_eq!(from_number(1_742_221_800.25), Ok(1_742_221_800_250));
        assert_eq!(from_number(1_742_221_800_123.0), Ok(1_742_221_800_123));
        assert_eq!(from_number(99_999_999_999.0), Ok(99_999_999_999_000));
        assert_eq!(from_number(100_000_000_000.0), Ok(100_000_000_000));
        assert_eq!(from_number(-1.5), Ok(-1_500));
    }

    #[test]
    fn texts_and_numbers_name_the_same_instant() {
        for text in ["2025-03-17T14:30:00Z", "2025-03-17T15:30:00+01:00", "1742221800", "1742221800000", "1742221800.0"]
        {
            assert_eq!(from_text(text), Ok(1_742_221_800_000), "{text}");
        }
        assert_eq!(from_text("2025-03-17T14:30:00.123456Z"), Ok(1_742_221_800_123));
        assert_eq!(from_text("2024-02-29T00:00:00Z"), Ok(1_709_164_800_000));
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        for text in ["", "now-ish", "NaN", "inf", "2025-02-30T00:00:00Z", "2025-13-01T00:00:00Z", "2025-03-17"] {
            assert!(matches!(from_text(text), Err(TimestampError::NotATime(_))), "{text}");
        }
        assert!(matches!(from_text("1e300"), Err(TimestampError::TooLarge(_))));
        assert!(matches!(from_number(f64::NAN), Err(TimestampError::TooLarge(_))));
        assert!(matches!(from_text("99999999999999999999"), Err(TimestampError::TooLarge(_))));
    }

    #[test]
    fn years_one_and_9999_are_times_though_not_storable_ones() {
        assert_eq!(from_text("0001-01-01T00:00:00Z"), Ok(-62_135_596_800_000));
        assert_eq!(from_text("9999-12-31T23:59:59Z"), Ok(253_402_300_799_000));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_time_or_an_error(text in ".{0,40}") {
            let _ = from_text(&text);
        }

        #[test]
        fn the_short_way_agrees_with_the_library(ms in -62_135_596_800_000_i64..253_402_300_800_000) {
            let time = chrono::DateTime::from_timestamp_millis(ms).expect("within the years 1 to 9999");
            let text = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            prop_assert_eq!(from_text(&text), Ok(ms));
        }
    }
}
