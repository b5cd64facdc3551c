//! Points in time as users write them in `from` and `to`: RFC 3339, a number, or relative to now.

use ingest::timestamp::from_text;
use schemas::{DurationMs, TimestampMs};

use super::problem::Problem;

/// Reads `2025-03-17T14:30:00Z`, `1742221800`, `1742221800.5`, `1742221800000`, `now`, `-6h`, `now-6h` or `now+5m`.
pub(crate) fn parse(text: &str, now: TimestampMs) -> Option<TimestampMs> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        return if rest.is_empty() { Some(now) } else { offset(rest, now) };
    }
    if text.starts_with('-') {
        return offset(text, now);
    }
    // A `+` of a time zone arrives as a blank where a client did not escape it.
    let ms = from_text(text).or_else(|_| from_text(&text.replace(' ', "+"))).ok()?;
    Some(TimestampMs(ms))
}

/// Reads parameter `name`, or says how a time is written.
pub(crate) fn param(name: &str, text: &str, now: TimestampMs) -> Result<TimestampMs, Problem> {
    parse(text, now).ok_or_else(|| {
        let forms = "an RFC 3339 time, a Unix time in seconds or milliseconds, `now`, or relative such as -6h";
        Problem::bad_request(format!("{name}={text:?} is not {forms}"))
    })
}

fn offset(text: &str, now: TimestampMs) -> Option<TimestampMs> {
    let (sign, length) = match text.split_at_checked(1)? {
        ("-", length) => (-1, length),
        ("+" | " ", length) => (1, length),
        _ => return None,
    };
    let DurationMs(ms) = promql::parse_duration(length).ok()?;
    now.0.checked_add(sign * ms).map(TimestampMs)
}

/// As answers write times for people: RFC 3339 in UTC with milliseconds only where there are some.
pub(crate) fn rfc3339(ts: TimestampMs) -> String {
    match chrono::DateTime::from_timestamp_millis(ts.0) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        None => ts.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_742_221_800_000);

    #[test]
    fn all_forms_name_the_same_instant() {
        for text in
            ["2025-03-17T14:30:00Z", "1742221800", "1742221800.0", "1742221800000", "now", "2025-03-17T15:30:00+01:00"]
        {
            assert_eq!(parse(text, NOW), Some(NOW), "{text}");
        }
        assert_eq!(parse("2025-03-17T15:30:00 01:00", NOW), Some(NOW), "an unescaped plus");
    }

    #[test]
    fn fractions_of_a_second_are_kept() {
        assert_eq!(parse("1742221800.25", NOW), Some(TimestampMs(NOW.0 + 250)));
    }

    #[test]
    fn relative_times_count_from_now() {
        assert_eq!(parse("-6h", NOW), Some(NOW.minus(DurationMs::hours(6))));
        assert_eq!(parse("now-1h30m", NOW), Some(NOW.minus(DurationMs::minutes(90))));
        assert_eq!(parse("now+5m", NOW), Some(NOW.plus(DurationMs::minutes(5))));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ".",
            "-",
            "yesterday",
            "now-",
            "now*2",
            "1e300",
            "-6",
            "NaN",
            "99999999999999999999",
            "2025-13-01T00:00:00Z",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(NOW), "2025-03-17T14:30:00Z");
        assert_eq!(rfc3339(TimestampMs(NOW.0 + 250)), "2025-03-17T14:30:00.250Z");
    }
}
