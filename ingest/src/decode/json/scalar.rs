//! Values and times of points, from the JSON text itself: a number is rounded once, by a parser that is exact.

use std::borrow::Cow;

use schemas::RejectReason;
use serde_json::value::RawValue;

use crate::timestamp;

/// A number, or a string that is one (`"NaN"`, `"+Inf"`, `"-Inf"` have no other form in JSON).
pub(super) fn value(raw: Option<&RawValue>) -> Result<f64, RejectReason> {
    let Some(raw) = raw else { return Err(RejectReason::InvalidValue("the value is missing".to_owned())) };
    let (text, quoted) = match Scalar::of(raw) {
        Scalar::Number(text) => (Cow::Borrowed(text), false),
        Scalar::String(text) => (text, true),
        Scalar::Null => return Err(RejectReason::InvalidValue("null".to_owned())),
        Scalar::Other(what) => return Err(RejectReason::InvalidValue(what.to_owned())),
    };
    match fast_float2::parse::<f64, _>(text.as_bytes()) {
        Ok(value) if value.is_finite() => Ok(value),
        // Told apart from a number so large that it overflows.
        Ok(special) if quoted && !text.bytes().any(|byte| byte.is_ascii_digit()) => Ok(special),
        Ok(_) => Err(RejectReason::InvalidValue(format!("{:?} does not fit into a double", excerpt(&text)))),
        Err(_) => Err(RejectReason::InvalidValue(format!("{:?} is not a number", excerpt(&text)))),
    }
}

/// The value of a Telegraf field: booleans are 0 and 1, and a string (`None`) is no value.
pub(super) fn field(raw: &RawValue) -> Option<Result<f64, RejectReason>> {
    match raw.get() {
        "true" => Some(Ok(1.0)),
        "false" => Some(Ok(0.0)),
        text if text.starts_with('"') => None,
        _ => Some(value(Some(raw))),
    }
}

/// Like [`timestamp`], but a number may be micro- or nanoseconds as well (`json_timestamp_units` of Telegraf): each
/// unit holds from 1973 to the year 5138, so that none can be taken for another.
pub(super) fn timestamp_of_any_unit(raw: &RawValue) -> Result<Option<i64>, RejectReason> {
    const MICROSECONDS_FROM: i64 = 100_000_000_000_000;
    const NANOSECONDS_FROM: i64 = 1_000 * MICROSECONDS_FROM;
    match raw.get().parse::<i64>() {
        Ok(number) if number >= NANOSECONDS_FROM => Ok(Some(number.div_euclid(1_000_000))),
        Ok(number) if number >= MICROSECONDS_FROM => Ok(Some(number.div_euclid(1_000))),
        Ok(_) | Err(_) => timestamp(raw),
    }
}

/// Milliseconds since the epoch; `None` for null, which is as good as no timestamp.
pub(super) fn timestamp(raw: &RawValue) -> Result<Option<i64>, RejectReason> {
    let parsed = match Scalar::of(raw) {
        Scalar::Number(text) => timestamp::from_text(text),
        Scalar::String(text) => timestamp::from_text(&text),
        Scalar::Null => return Ok(None),
        Scalar::Other(what) => return Err(RejectReason::InvalidTimestamp(what.to_owned())),
    };
    parsed.map(Some).map_err(|error| RejectReason::InvalidTimestamp(error.to_string()))
}

enum Scalar<'a> {
    Number(&'a str),
    String(Cow<'a, str>),
    Null,
    Other(&'static str),
}

impl<'a> Scalar<'a> {
    fn of(raw: &'a RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') if !text.as_bytes().contains(&b'\\') => Self::String(Cow::Borrowed(text.trim_matches('"'))),
            Some(b'"') => match serde_json::from_str::<String>(text) {
                Ok(text) => Self::String(Cow::Owned(text)),
                // A raw value is checked when it is read, except for escapes that name no character.
                Err(_) => Self::Other("a string with a broken escape"),
            },
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Other("a boolean"),
            Some(b'[') => Self::Other("an array"),
            Some(b'{') => Self::Other("an object"),
            Some(_) | None => Self::Number(text),
        }
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}
