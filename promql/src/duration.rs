//! Durations as Prometheus writes them: `1h30m`, `15d`, `500ms`. Units in falling order, each at most once.

use schemas::DurationMs;
use thiserror::Error;

use crate::quote::quoted;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {}", quoted(.0))]
    Invalid(String),
    #[error("unknown unit {} in duration {}", quoted(unit), quoted(text))]
    UnknownUnit { unit: String, text: String },
    #[error("duration out of range")]
    OutOfRange,
}

/// Units in the order in which they may stand, with their milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration that Prometheus can hold: 2^63 − 1 nanoseconds.
const MS_MAX: i64 = i64::MAX / 1_000_000;

/// Parses a duration. `0` needs no unit; anything else does.
pub fn parse_duration(text: &str) -> Result<DurationMs, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(DurationMs(0)),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut total: i64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (unit, behind) = behind.split_at(behind.bytes().take_while(|b| !b.is_ascii_digit()).count());
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        let unknown = || DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() };
        let position = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(unknown)?;
        if position < next_unit {
            return Err(invalid());
        }
        let part = i64::try_from(count).ok().and_then(|count| count.checked_mul(UNITS[position].1));
        let sum = part.and_then(|part| total.checked_add(part)).filter(|ms| *ms <= MS_MAX);
        total = sum.ok_or(DurationError::OutOfRange)?;
        next_unit = position + 1;
        rest = behind;
    }
    Ok(DurationMs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse_duration("1h30m"), Ok(DurationMs(5_400_000)));
        assert_eq!(parse_duration("1m0s"), Ok(DurationMs(60_000)));
        assert_eq!(parse_duration("1y2w3d4h5m6s7ms"), Ok(DurationMs(33_019_506_007)));
        assert_eq!(parse_duration("0"), Ok(DurationMs(0)));
    }

    #[test]
    fn other_texts_are_refused_in_prometheus_words() {
        let text = |input| parse_duration(input).expect_err("not a duration").to_string();
        assert_eq!(text(""), "empty duration string");
        for bad in ["1", "h", "1m1h", "1h1h", "-1h", "99999999999999999999s"] {
            assert_eq!(text(bad), format!("not a valid duration string: {}", quoted(bad)));
        }
        for (bad, unit) in [("1.5h", "."), ("1 h", " h"), ("1µs", "µs"), ("1hm", "hm"), ("5y1hs", "hs")] {
            assert_eq!(text(bad), format!("unknown unit {} in duration {}", quoted(unit), quoted(bad)));
        }
        assert_eq!(text("300y"), "duration out of range");
        assert_eq!(text("9999999999999999999s"), "duration out of range");
    }
}
