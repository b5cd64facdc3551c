//! Times, durations and counts as the parameters of Prometheus' API are written, with Prometheus' words for wrong ones.
//!
//! Float seconds or RFC 3339 ─▶ [`TimestampMs`];  float seconds or `1h30m` ─▶ nanoseconds;  a limit ─▶ a count

use std::num::IntErrorKind;

use schemas::TimestampMs;

use super::envelope::ApiError;
use crate::http::params::Params;

/// Further away nothing can be asked for: what lies beyond is taken for this. A double counts milliseconds as far.
const FAR_MS: i64 = 1 << 53;
const NANOSECOND: f64 = 1e9;
/// The ends of time in Prometheus' own writing, which its clients send for "everything".
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

/// A time, to the millisecond.
pub(super) fn parse_time(text: &str) -> Result<TimestampMs, String> {
    let wrong = || format!("cannot parse {text:?} to a valid timestamp");
    if let Ok(seconds) = text.parse::<f64>() {
        if !seconds.is_finite() {
            return Err(wrong());
        }
        let (whole, fraction) = (seconds.trunc(), (seconds.fract() * 1_000.0).round());
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and is bounded below")]
        let ms = (whole as i64).saturating_mul(1_000).saturating_add(fraction as i64);
        return Ok(TimestampMs(ms.clamp(-FAR_MS, FAR_MS)));
    }
    match text {
        MIN_TIME => Ok(TimestampMs(-FAR_MS)),
        MAX_TIME => Ok(TimestampMs(FAR_MS)),
        _ => chrono::DateTime::parse_from_rfc3339(text).map(|t| TimestampMs(t.timestamp_millis())).map_err(|_| wrong()),
    }
}

/// A duration in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * NANOSECOND;
        // 2^63, the first that does not fit.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
        return if ns.abs() < 9_223_372_036_854_775_808.0 {
            Ok(ns as i64)
        } else {
            Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"))
        };
    }
    let parsed = promql::parse_duration(text).ok().and_then(|duration| duration.0.checked_mul(1_000_000));
    parsed.ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

/// A time that may be left out.
pub(super) fn optional_time(params: &Params, name: &str) -> Result<Option<TimestampMs>, ApiError> {
    let parsed = params.get(name).map(parse_time).transpose();
    parsed.map_err(|why| ApiError::parameter(name, &format!("invalid time value for '{name}': {why}")))
}

/// A duration that may be left out.
pub(super) fn optional_duration(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    params.get(name).map(parse_duration).transpose().map_err(|why| ApiError::parameter(name, &why))
}

/// `limit`: the most results wanted; 0 and nothing are no limit.
pub(super) fn limit(params: &Params) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.get("limit") else { return Ok(None) };
    let limit: i64 = text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        ApiError::parameter("limit", &format!("strconv.Atoi: parsing {text:?}: {why}"))
    })?;
    match usize::try_from(limit) {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(ApiError::parameter("limit", "limit must be non-negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_float_seconds_or_rfc_3339() {
        for (text, ms) in [
            ("0", 0),
            ("4", 4_000),
            ("1435781451.781", 1_435_781_451_781),
            ("1.4357814517814e9", 1_435_781_451_781),
            ("-1.5", -1_500),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.7819+02:00", 1_435_781_451_781),
            (MIN_TIME, -FAR_MS),
            (MAX_TIME, FAR_MS),
            ("-9223309901257974", -FAR_MS),
            // Milliseconds, as Grafana sends them when it asks for exemplars.
            ("1742221800000", 1_742_221_800_000_000),
        ] {
            assert_eq!(parse_time(text), Ok(TimestampMs(ms)), "{text}");
        }
        for text in ["", "now", "NaN", "Inf", "-Inf", "30s", "2015-13-01T00:00:00Z"] {
            assert_eq!(parse_time(text), Err(format!("cannot parse {text:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_float_seconds_or_words() {
        for (text, ns) in
            [("15", 15_000_000_000), ("0.5", 500_000_000), ("1h30m", 5_400_000_000_000), ("-3", -3_000_000_000)]
        {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
        for text in ["", "soon", "1h1h", "300y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["1e300", "Inf", "NaN", "9223372037"] {
            assert!(parse_duration(text).is_err_and(|why| why.contains("overflows")), "{text}");
        }
    }

    #[test]
    fn a_limit_is_a_whole_number() {
        let ask = |text: &str| limit(&Params::parse_any(Some(&format!("limit={text}"))));
        assert_eq!(ask("40000").expect("a limit"), Some(40_000));
        assert_eq!(ask("0").expect("none"), None);
        assert_eq!(ask("").expect("none"), None);
        for wrong in ["-1", "1.5", "many", "99999999999999999999"] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
    }
}
