//! Labels in canonical form: sorted by name, unique, UTF-8, none empty (`docs/formats/labels.md`).
//!
//! The canonical bytes are the identity of a series: xxh3-128 of them is its hash, and two series are the same
//! exactly when the bytes are. Layout: for each label `varint name_len, name, varint value_len, value`.
//!
//! Label sets are shared, not copied. Who looks at many of them reads them as bytes ([`Labels::raw`]), since texts are checked
//! to be UTF-8 whenever they are looked at as such.

mod builder;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

pub use self::builder::LabelsBuilder;
use crate::ids::SeriesHash;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that will hold the tenant.
pub const TENANT: &str = "__tenant__";

/// What the labels of most series fit in.
const FEW_LABELS_BYTES: usize = 256;

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

/// The labels of one series in canonical form, metric name included. Clones share the bytes.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[u8]>);

/// One label of a label set, as bytes. Ordered by name, then value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawLabel<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// Both in canonical layout.
    pub canonical: &'a [u8],
}

impl Labels {
    /// Sorts, drops labels with an empty value (as Prometheus does: absent and empty are the same), and checks.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError> {
        let owned: Vec<(N, V)> = pairs.into_iter().collect();
        let mut pairs: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        let mut bytes = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        canonicalize(&mut pairs, &mut bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Takes bytes that [`canonicalize`] wrote, from a store or a batch, and checks them.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelError> {
        let mut previous: Option<&[u8]> = None;
        let mut rest = bytes;
        let mut metric = false;
        while !rest.is_empty() {
            let damaged = LabelError::Damaged(bytes.len() - rest.len());
            let (label, behind) = split_label(rest).ok_or_else(|| damaged.clone())?;
            let is_text = |text: &[u8]| !text.is_empty() && std::str::from_utf8(text).is_ok();
            if !is_text(label.name) || !is_text(label.value) || previous.is_some_and(|p| p >= label.name) {
                return Err(damaged);
            }
            metric |= label.name == METRIC_NAME.as_bytes();
            (previous, rest) = (Some(label.name), behind);
        }
        if !metric {
            return Err(LabelError::NoMetric);
        }
        Ok(Self(bytes.into()))
    }

    /// Builds from pairs that are already in canonical order: sorted by name, unique, none empty.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut builder = LabelsBuilder::with_capacity(FEW_LABELS_BYTES);
        builder.extend(pairs);
        builder.build()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn hash(&self) -> SeriesHash {
        hash_canonical(&self.0)
    }

    /// Name and value of each label, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        iter_canonical(&self.0)
    }

    /// The same as bytes: cheaper for who compares and copies.
    pub fn raw(&self) -> impl Iterator<Item = RawLabel<'_>> {
        RawIter { rest: &self.0 }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let label = self.raw().find(|label| label.name == name.as_bytes())?;
        std::str::from_utf8(label.value).ok()
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
    let text = |bytes| std::str::from_utf8(bytes).ok();
    RawIter { rest: bytes }.map_while(move |label| Some((text(label.name)?, text(label.value)?)))
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

/// The first label, and what is behind it; `None` if there is none, or only a part of it.
#[inline]
fn split_label(bytes: &[u8]) -> Option<(RawLabel<'_>, &[u8])> {
    let (name, behind) = split_text(bytes)?;
    let (value, behind) = split_text(behind)?;
    Some((RawLabel { name, value, canonical: &bytes[..bytes.len() - behind.len()] }, behind))
}

/// The text whose length stands in front.
#[inline]
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, behind) = bytes.split_first()?;
    if first < 0x80 { behind.split_at_checked(usize::from(first)) } else { split_long_text(bytes) }
}

#[cold]
fn split_long_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut len = 0_usize;
    // Five bytes of seven bits hold more than a label may be long.
    for (at, &byte) in bytes.iter().enumerate().take(5) {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes[at + 1..].split_at_checked(len);
        }
    }
    None
}

struct RawIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RawIter<'a> {
    type Item = RawLabel<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (label, behind) = split_label(self.rest)?;
        self.rest = behind;
        Some(label)
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
