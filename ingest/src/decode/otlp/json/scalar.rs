//! Numbers of protobuf's JSON mapping, which may be quoted, and enums, which may be named.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A whole number from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unsigned(pub(super) u64);

/// A whole number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signed(pub(super) i64);

/// A double: `"NaN"`, `"Infinity"` and `"-Infinity"` have no other form in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Real(pub(super) f64);

/// The number of an aggregation temporality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Enum(pub(super) u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number { what: "a whole number from 0", of: |scalar| scalar.unsigned() }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number { what: "a whole number", of: |scalar| scalar.signed() }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number { what: "a number", of: |scalar| scalar.real() }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Enum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Number { what: "an aggregation temporality", of: |scalar| scalar.temporality() })
            .map(Self)
    }
}

/// What stands in the text.
#[derive(Clone, Copy)]
enum Scalar<'t> {
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Text(&'t str),
}

impl Scalar<'_> {
    fn unsigned(self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => u64::try_from(number).ok(),
            Self::Real(number) => whole(number).and_then(|number| u64::try_from(number).ok()),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn signed(self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => i64::try_from(number).ok(),
            Self::Signed(number) => Some(number),
            Self::Real(number) => whole(number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "stored values are doubles")]
    fn real(self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Real(number) => Some(number),
            Self::Text("NaN") => Some(f64::NAN),
            Self::Text("Infinity") => Some(f64::INFINITY),
            Self::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Self::Text(text) => fast_float2::parse(text).ok().filter(|number: &f64| number.is_finite()),
        }
    }

    fn temporality(self) -> Option<u64> {
        match self {
            Self::Text("AGGREGATION_TEMPORALITY_UNSPECIFIED") => Some(0),
            Self::Text("AGGREGATION_TEMPORALITY_DELTA") => Some(1),
            Self::Text("AGGREGATION_TEMPORALITY_CUMULATIVE") => Some(2),
            other => other.unsigned(),
        }
    }
}

/// A double that is a whole number, as some write `1.0` for 1.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 2^53")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

struct Number<T> {
    what: &'static str,
    of: fn(Scalar<'_>) -> Option<T>,
}

impl<T> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.of)(Scalar::Unsigned(number)).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        (self.of)(Scalar::Signed(number)).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        (self.of)(Scalar::Real(number)).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.of)(Scalar::Text(text)).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            E::invalid_value(Unexpected::Str(&shown), &self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn numbers_may_be_quoted() {
        for json in ["1544712660300000000", r#""1544712660300000000""#] {
            assert_eq!(read::<Unsigned>(json), Some(Unsigned(1_544_712_660_300_000_000)));
            assert_eq!(read::<Signed>(json), Some(Signed(1_544_712_660_300_000_000)));
        }
        assert_eq!(read::<Signed>("-3.0"), Some(Signed(-3)));
        assert_eq!(read::<Unsigned>("-3"), None);
        assert_eq!(read::<Unsigned>("0.5"), None);
        assert_eq!(read::<Unsigned>("true"), None);
        assert_eq!(read::<Real>(r#""-Infinity""#), Some(Real(f64::NEG_INFINITY)));
        assert_eq!(read::<Real>(r#""0.1""#), Some(Real(0.1)));
        assert_eq!(read::<Real>(r#""1e999""#), None);
    }

    #[test]
    fn temporalities_may_be_named() {
        assert_eq!(read::<Enum>("2"), Some(Enum(2)));
        assert_eq!(read::<Enum>(r#""AGGREGATION_TEMPORALITY_DELTA""#), Some(Enum(1)));
        assert_eq!(read::<Enum>(r#""DELTA""#), None);
    }
}
