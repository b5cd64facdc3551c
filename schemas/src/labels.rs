//! Labels in canonical form: sorted by name, unique, UTF-8, none empty (`docs/formats/labels.md`).
//!
//! The canonical bytes are the identity of a series: xxh3-128 of them is its hash, and two series are the same
//! exactly when the bytes are. Layout: for each label `varint name_len, name, varint value_len, value`.

use std::fmt;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use crate::ids::SeriesHash;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that will hold the tenant.
pub const TENANT: &str = "__tenant__";

/// Why labels cannot name a series.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LabelError {
    #[error("label {0:?} stands twice")]
    Duplicate(String),
    #[error("a label has an empty name")]
    EmptyName,
    #[error("the metric name is missing")]
    NoMetric,
    #[error("canonical label bytes are damaged at byte {0}")]
    Damaged(usize),
}

/// The labels of one series in canonical form, metric name included.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Box<[u8]>);

impl Labels {
    /// Sorts, drops labels with an empty value (as Prometheus does: absent and empty are the same), and checks.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError> {
        let owned: Vec<(N, V)> = pairs.into_iter().collect();
        let mut pairs: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        let mut bytes = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        canonicalize(&mut pairs, &mut bytes)?;
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// Takes bytes that [`canonicalize`] wrote, from a store or a batch, and checks them.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelError> {
        let mut previous: Option<&str> = None;
        let mut at = 0;
        let mut metric = false;
        while at < bytes.len() {
            let name = read_text(bytes, &mut at)?;
            let value = read_text(bytes, &mut at)?;
            if name.is_empty() || value.is_empty() || previous.is_some_and(|p| p >= name) {
                return Err(LabelError::Damaged(at));
            }
            metric |= name == METRIC_NAME;
            previous = Some(name);
        }
        if !metric {
            return Err(LabelError::NoMetric);
        }
        Ok(Self(bytes.into()))
    }

    /// Builds from pairs that are already in canonical order: sorted by name, unique, none empty.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        debug_assert!(pairs.clone().map(|(name, _)| name).is_sorted_by(|a, b| a < b), "labels are sorted and unique");
        let mut bytes = Vec::with_capacity(pairs.clone().map(|(name, value)| name.len() + value.len() + 4).sum());
        for (name, value) in pairs {
            write_text(&mut bytes, name.as_bytes());
            write_text(&mut bytes, value.as_bytes());
        }
        Self(bytes.into_boxed_slice())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn hash(&self) -> SeriesHash {
        hash_canonical(&self.0)
    }

    /// Name and value of each label, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        CanonicalIter { bytes: &self.0, at: 0 }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The metric name.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// All labels but the metric name.
    pub fn without_metric(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(name, _)| *name != METRIC_NAME)
    }
}

impl fmt::Display for Labels {
    /// As Prometheus writes a series: `up{instance="a",job="b"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{", self.metric())?;
        for (i, (name, value)) in self.without_metric().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of canonical label bytes.
pub fn hash_canonical(bytes: &[u8]) -> SeriesHash {
    SeriesHash(xxh3_128(bytes))
}

/// Iterates over canonical bytes that are known to be whole; stops at the first damage.
pub fn iter_canonical(bytes: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    CanonicalIter { bytes, at: 0 }
}

/// Sorts `pairs` and appends their canonical bytes to `out`. On an error `out` is as it was.
pub fn canonicalize(pairs: &mut Vec<(&str, &str)>, out: &mut Vec<u8>) -> Result<(), LabelError> {
    pairs.retain(|(_, value)| !value.is_empty());
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_unstable();
    }
    if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelError::Duplicate(pair[0].0.to_owned()));
    }
    if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(LabelError::EmptyName);
    }
    if !pairs.iter().any(|(name, _)| *name == METRIC_NAME) {
        return Err(LabelError::NoMetric);
    }
    for (name, value) in pairs.iter() {
        write_label(out, name.as_bytes(), value.as_bytes());
    }
    Ok(())
}

/// Appends one label in canonical layout. For decoders that build canonical bytes themselves: the caller sees to
/// order, uniqueness, UTF-8, and that neither part is empty.
pub fn write_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    write_text(out, name);
    write_text(out, value);
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut len = text.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).expect("seven bits") | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).expect("below 0x80"));
    out.extend_from_slice(text);
}

fn read_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a str, LabelError> {
    let damaged = LabelError::Damaged(*at);
    let (mut len, mut shift) = (0_usize, 0_u32);
    loop {
        let byte = *bytes.get(*at).ok_or_else(|| damaged.clone())?;
        *at += 1;
        if shift > 28 {
            return Err(damaged);
        }
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(|| damaged.clone())?;
    let text = std::str::from_utf8(&bytes[*at..end]).map_err(|_| damaged)?;
    *at = end;
    Ok(text)
}

struct CanonicalIter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for CanonicalIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let name = read_text(self.bytes, &mut self.at).ok()?;
        let value = read_text(self.bytes, &mut self.at).ok()?;
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_labels_does_not_matter() {
        let a = Labels::new([("__name__", "up"), ("b", "2"), ("a", "1")]).expect("valid");
        let b = Labels::new([("a", "1"), ("b", "2"), ("__name__", "up")]).expect("valid");
        assert_eq!(a, b);
        assert_eq!(a.hash(), b.hash());
        assert_eq!(a.to_string(), r#"up{a="1",b="2"}"#);
    }

    #[test]
    fn empty_values_are_absent_labels() {
        let a = Labels::new([("__name__", "up"), ("a", "")]).expect("valid");
        assert_eq!(a, Labels::new([("__name__", "up")]).expect("valid"));
    }

    #[test]
    fn labels_that_cannot_name_a_series_are_refused() {
        assert_eq!(Labels::new([("a", "1")]), Err(LabelError::NoMetric));
        assert_eq!(Labels::new([("__name__", "x"), ("", "1")]), Err(LabelError::EmptyName));
        let twice = Labels::new([("__name__", "x"), ("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(LabelError::Duplicate("a".to_owned())));
    }

    #[test]
    fn canonical_bytes_round_trip_and_damage_is_an_error() {
        let long = "v".repeat(300);
        let labels = Labels::new([("__name__", "m"), ("k", long.as_str())]).expect("valid");
        assert_eq!(Labels::from_canonical(labels.as_bytes()), Ok(labels.clone()));
        for cut in 1..labels.as_bytes().len() {
            let piece = &labels.as_bytes()[..cut];
            if let Ok(whole) = Labels::from_canonical(piece) {
                assert_eq!(whole.as_bytes(), piece, "only whole labels decode");
            }
        }
        assert!(Labels::from_canonical(&[0xff; 12]).is_err());
    }

    #[test]
    fn canonical_bytes_are_golden() {
        let labels = Labels::new([("__name__", "up"), ("a", "1")]).expect("valid");
        assert_eq!(labels.as_bytes(), b"\x08__name__\x02up\x01a\x011");
        assert_eq!(labels.hash().0, xxh3_128(b"\x08__name__\x02up\x01a\x011"));
    }
}
