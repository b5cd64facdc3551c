//! Sizes (`64MiB`) and durations (`1h30m`, `15d`) as people write them in a configuration.

use std::fmt;

use schemas::DurationMs;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// The other end of counts.
const COUNT_MAX: usize = 1 << 28;

const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    pub(crate) const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    pub(crate) const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As the length of something in memory.
    pub(crate) fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// `64MiB`, `1.5GiB`, or a plain number of bytes. Binary and decimal units; what is meant must be written.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid size {text:?}: write it as 512KiB, 64MiB or 2GiB");
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim());
        let factor = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?,
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(wrong);
        }
        let fraction: f64 = number.parse().map_err(|_| wrong())?;
        #[expect(clippy::cast_precision_loss, reason = "the factor is a power far below 2^53")]
        let bytes = fraction * factor as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in 0..2^53")]
        if (0.0..9e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(size, _)| self.0 != 0 && self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 64MiB")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

/// A length of time: Prometheus' durations, `15d` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) DurationMs);

impl Span {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        promql::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("invalid duration {text:?}: write it as 30s, 10m, 1h30m or 15d"))
    }

    pub(crate) fn as_std(self) -> std::time::Duration {
        self.0.as_std()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// A count of something that there must be at least one of; the bound is what a semaphore can count to.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    let fits = (1..=COUNT_MAX).contains(&count);
    if fits { Ok(count) } else { Err(D::Error::custom(format!("{count} does not lie between 1 and {COUNT_MAX}"))) }
}

/// A number of things of which nothing could be done without one.
pub(super) fn at_least_one<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq + From<u8>,
{
    let number = T::deserialize(deserializer)?;
    if number == T::from(0) { Err(D::Error::custom("must be at least 1")) } else { Ok(number) }
}

/// A size larger than nothing.
pub(super) fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let bytes = Bytes::deserialize(deserializer)?;
    if bytes.0 == 0 { Err(D::Error::custom("must be larger than 0B")) } else { Ok(bytes) }
}

/// What the log can be filtered by.
pub(super) fn log_filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let filter = String::deserialize(deserializer)?;
    runtime::logging::check(&filter).map_err(D::Error::custom)?;
    Ok(filter)
}

/// A duration longer than nothing.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0 > DurationMs(0) { Ok(span) } else { Err(D::Error::custom("must be longer than 0s")) }
}

/// A node's name, which becomes part of object paths.
pub(super) fn node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    if let Some(name) = &name {
        check_node(name).map_err(D::Error::custom)?;
    }
    Ok(name)
}

/// A list that names at least one thing.
pub(super) fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("must name at least one")) } else { Ok(list) }
}

/// Whether a text can be the name of a node.
pub(crate) fn check_node(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=63).contains(&name.len()) && name.chars().all(fits) {
        Ok(())
    } else {
        Err(format!("node {name:?} must be 1 to 63 lower-case letters, digits and dashes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        assert_eq!(Bytes::parse("64MiB"), Ok(Bytes(64 << 20)));
        assert_eq!(Bytes::parse("64 MB"), Ok(Bytes(64_000_000)));
        assert_eq!(Bytes::parse("1.5GiB"), Ok(Bytes(3 << 29)));
        assert_eq!(Bytes::parse("4096"), Ok(Bytes(4_096)));
        for wrong in ["", "MiB", "64Mi", "-1MiB", "64 parsecs", "99999999999TiB"] {
            assert!(Bytes::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_print_their_largest_unit() {
        assert_eq!(Bytes::mib(512).to_string(), "512MiB");
        assert_eq!(Bytes(1_025).to_string(), "1025B");
    }

    #[test]
    fn durations_are_read_as_prometheus_writes_them() {
        assert_eq!(Span::parse("15d"), Ok(Span(DurationMs::days(15))));
        assert_eq!(Span::parse("1h30m"), Ok(Span(DurationMs::minutes(90))));
        assert!(Span::parse("15").is_err());
        assert!(Span::parse("soon").is_err());
    }
}
