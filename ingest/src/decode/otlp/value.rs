//! Values of attributes: of any type in OTLP, text in labels.
//!
//! `AnyValue`, from protobuf or JSON ─▶ [`Value`] ─▶ [`Value::into_text`]: as OpenTelemetry's own libraries print it
//!
//! Source: `AsString` of the collector's `pcommon.Value`, so that labels are those that Prometheus would have.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

/// A value of any type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    Array(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value as a label has it.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Empty => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(number) => Cow::Owned(number.to_string()),
            Self::Double(number) => Cow::Owned(double(number)),
            Self::Bytes(bytes) => Cow::Owned(BASE64.encode(bytes)),
            array_or_map @ (Self::Array(_) | Self::Map(_)) => Cow::Owned(array_or_map.into_json().to_string()),
        }
    }

    fn into_json(self) -> Json {
        match self {
            Self::Empty => Json::Null,
            Self::Text(text) => Json::String(text.into_owned()),
            Self::Bool(is) => Json::Bool(is),
            Self::Int(number) => Json::from(number),
            // What JSON has no number for is said in words, as it is outside of arrays.
            Self::Double(number) if !number.is_finite() => Json::String(double(number)),
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 1e15 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number below 10^15")]
                Json::from(number as i64)
            }
            Self::Double(number) => Json::from(number),
            Self::Bytes(bytes) => Json::String(BASE64.encode(bytes)),
            Self::Array(values) => Json::Array(values.into_iter().map(Value::into_json).collect()),
            Self::Map(mut members) => {
                members.sort_by(|a, b| a.0.cmp(&b.0));
                members.into_iter().map(|(key, value)| (key.into_owned(), value.into_json())).collect()
            }
        }
    }
}

/// A double as ECMAScript prints it.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // `1e21` here, `1e+21` there; below one both have a minus.
        let text = format!("{number:e}");
        return if magnitude >= 1.0 { text.replace('e', "e+") } else { text };
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_the_collector_prints_them() {
        let map = Value::Map(vec![
            (Cow::Borrowed("b"), Value::Array(vec![Value::Int(1), Value::Double(2.0), Value::Double(0.5)])),
            (Cow::Borrowed("a"), Value::Bytes(Cow::Borrowed(b"\x00\xff"))),
            (Cow::Borrowed("<"), Value::Empty),
        ]);
        let cases = [
            (Value::Bool(true), "true"),
            (Value::Int(-7), "-7"),
            (Value::Double(1.0), "1"),
            (Value::Double(1e21), "1e+21"),
            (Value::Double(-1.5e-7), "-1.5e-7"),
            (Value::Double(123_456_789.25), "123456789.25"),
            (Value::Double(f64::NEG_INFINITY), "-Infinity"),
            (Value::Bytes(Cow::Borrowed(b"hi")), "aGk="),
            (map, r#"{"<":null,"a":"AP8=","b":[1,2,0.5]}"#),
        ];
        for (value, text) in cases {
            assert_eq!(value.into_text(), text);
        }
    }
}
