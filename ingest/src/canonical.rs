//! Canonical label bytes, built straight from slices of a body.
//!
//! pairs ─▶ [`settle`]: limits, order, uniqueness ─▶ [`write_series`], or [`TagSet`]: the tags once, each metric spliced in
//!
//! Works on bytes and not on `str` because the decoders know of a whole region at once that it is UTF-8 (remote
//! write: it is ASCII); whoever does not know calls [`require_utf8`] first. The layout is `schemas::labels`'.

use std::cmp::Ordering;

use schemas::RejectReason;
use schemas::labels::{METRIC_NAME, TENANT, write_label};

use crate::limits::Limits;

mod blocks;

pub(crate) use blocks::{Blocks, PIECE_BYTES_MAX};

/// Name and value of a label.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Labels that are read of one series before it is refused unread. Bounds memory: the limit that users meet
/// (`limits.labels_per_series`) is lower, but is told with the true number.
pub(crate) const LABELS_READ_MAX: usize = 1_000;

/// Whether another label may be read of a series that has `labels` already.
pub(crate) fn room_for_label(labels: usize) -> Result<(), RejectReason> {
    if labels < LABELS_READ_MAX { Ok(()) } else { Err(invalid(format!("more than {LABELS_READ_MAX} labels"))) }
}

/// Checks labels against the limits and leaves them sorted, unique, without empty values. The metric name, where it
/// is among them, does not count as a label.
pub(crate) fn settle(pairs: &mut Vec<Pair<'_>>, limits: &Limits) -> Result<(), RejectReason> {
    let (mut sorted, mut empty, mut bytes) = (true, false, 0);
    let mut previous: &[u8] = b"";
    for &(name, value) in pairs.iter() {
        empty |= value.is_empty();
        sorted &= is_before(previous, name);
        if name.len() > limits.label_name_bytes {
            return Err(too_long(name, name.len(), limits.label_name_bytes));
        }
        if value.len() > limits.label_value_bytes {
            return Err(too_long(name, value.len(), limits.label_value_bytes));
        }
        bytes += name.len() + value.len();
        previous = name;
    }
    if empty {
        pairs.retain(|(_, value)| !value.is_empty());
    }
    if !sorted {
        sort_unique(pairs)?;
    }
    if pairs.iter().any(|(name, _)| *name == TENANT.as_bytes()) {
        return Err(invalid(format!("label {TENANT:?} is reserved")));
    }
    // Exact only past the limit: the metric name may be among the pairs.
    if pairs.len() > limits.labels_per_series {
        let labels = pairs.iter().filter(|(name, _)| *name != METRIC_NAME.as_bytes()).count();
        if labels > limits.labels_per_series {
            return Err(RejectReason::TooManyLabels { labels, limit: limits.labels_per_series });
        }
    }
    if bytes > limits.labels_bytes {
        let limit = limits.labels_bytes;
        return Err(invalid(format!("the labels have {bytes} bytes together, but at most {limit} are allowed")));
    }
    Ok(())
}

fn sort_unique(pairs: &mut [Pair<'_>]) -> Result<(), RejectReason> {
    pairs.sort_unstable_by(|a, b| match is_before(a.0, b.0) {
        true => Ordering::Less,
        false if a.0 == b.0 => Ordering::Equal,
        false => Ordering::Greater,
    });
    if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(invalid(format!("label {:?} stands twice", String::from_utf8_lossy(pair[0].0))));
    }
    match pairs.first() {
        Some(([], _)) => Err(invalid("a label has an empty name".to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// `a < b`. Label names differ within a few bytes, where a loop is faster than a call to `memcmp`.
#[inline]
pub(crate) fn is_before(a: &[u8], b: &[u8]) -> bool {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => a < b,
        None => a.len() < b.len(),
    }
}

/// Refuses names and values that are not UTF-8.
pub(crate) fn require_utf8(pairs: &[Pair<'_>]) -> Result<(), RejectReason> {
    for (name, value) in pairs {
        if std::str::from_utf8(name).is_err() {
            return Err(invalid(format!("label name {:?} is not UTF-8", String::from_utf8_lossy(name))));
        }
        if std::str::from_utf8(value).is_err() {
            return Err(invalid(format!("the value of label {:?} is not UTF-8", String::from_utf8_lossy(name))));
        }
    }
    Ok(())
}

/// Canonical bytes of settled pairs that must hold the metric name; `out` is emptied first.
pub(crate) fn write_series(pairs: &[Pair<'_>], out: &mut Vec<u8>) -> Result<(), RejectReason> {
    if !pairs.iter().any(|(name, _)| *name == METRIC_NAME.as_bytes()) {
        return Err(invalid("the metric name is missing".to_owned()));
    }
    out.clear();
    for (name, value) in pairs {
        write_label(out, name, value);
    }
    Ok(())
}

/// The labels that several metrics share (the tags of a line, of a host), canonical but for the metric name.
#[derive(Debug, Default)]
pub(crate) struct TagSet {
    bytes: Vec<u8>,
    /// Where in `bytes` the metric name belongs.
    name_at: usize,
    series: Vec<u8>,
    metric: Vec<u8>,
}

impl TagSet {
    /// Replaces the tags. `pairs` is left settled; a tag may not be called `__name__`.
    pub(crate) fn set(&mut self, pairs: &mut Vec<Pair<'_>>, limits: &Limits) -> Result<(), RejectReason> {
        settle(pairs, limits)?;
        self.bytes.clear();
        let before = pairs.partition_point(|(name, _)| is_before(name, METRIC_NAME.as_bytes()));
        if pairs.get(before).is_some_and(|(name, _)| *name == METRIC_NAME.as_bytes()) {
            return Err(invalid(format!("label {METRIC_NAME:?} is reserved for the metric name")));
        }
        for (name, value) in &pairs[..before] {
            write_label(&mut self.bytes, name, value);
        }
        self.name_at = self.bytes.len();
        for (name, value) in &pairs[before..] {
            write_label(&mut self.bytes, name, value);
        }
        Ok(())
    }

    /// Canonical bytes of these tags with a metric name, which is given in pieces.
    pub(crate) fn with_metric(&mut self, pieces: &[&[u8]], limits: &Limits) -> Result<&[u8], RejectReason> {
        self.metric.clear();
        for piece in pieces {
            self.metric.extend_from_slice(piece);
        }
        if self.metric.is_empty() {
            return Err(invalid("the metric name is empty".to_owned()));
        }
        if self.metric.len() > limits.label_value_bytes {
            return Err(too_long(METRIC_NAME.as_bytes(), self.metric.len(), limits.label_value_bytes));
        }
        self.series.clear();
        self.series.extend_from_slice(&self.bytes[..self.name_at]);
        write_label(&mut self.series, METRIC_NAME.as_bytes(), &self.metric);
        self.series.extend_from_slice(&self.bytes[self.name_at..]);
        Ok(&self.series)
    }
}

fn invalid(what: String) -> RejectReason {
    RejectReason::InvalidLabels(what)
}

fn too_long(name: &[u8], bytes: usize, limit: usize) -> RejectReason {
    let label = String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
    RejectReason::LabelTooLong { label, bytes, limit }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::Labels;

    use super::*;

    fn pairs<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Pair<'a>> {
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    fn settled(given: &[(&str, &str)], limits: &Limits) -> Result<Vec<u8>, RejectReason> {
        let (mut pairs, mut out) = (pairs(given), Vec::new());
        settle(&mut pairs, limits)?;
        write_series(&pairs, &mut out)?;
        Ok(out)
    }

    fn code(given: &[(&str, &str)], limits: &Limits) -> &'static str {
        settled(given, limits).expect_err("refused").code()
    }

    #[test]
    fn labels_over_a_limit_are_refused_each_with_its_reason() {
        let limits = Limits {
            labels_per_series: 2,
            label_name_bytes: 9,
            label_value_bytes: 8,
            labels_bytes: 34,
            ..Limits::default()
        };
        assert!(settled(&[("__name__", "m"), ("a", "1"), ("b", "2")], &limits).is_ok(), "the name does not count");
        assert_eq!(code(&[("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "3")], &limits), "too_many_labels");
        assert_eq!(code(&[("__name__", "m"), ("abcdefghij", "1")], &limits), "label_too_long");
        assert_eq!(code(&[("__name__", "m"), ("a", "123456789")], &limits), "label_too_long");
        assert_eq!(code(&[("__name__", "12345678"), ("abcdefghi", "1"), ("b", "12345678")], &limits), "invalid_labels");
    }

    #[test]
    fn reserved_missing_repeated_and_empty_names_are_refused() {
        let limits = Limits::default();
        for given in [
            &[("__name__", "m"), ("__tenant__", "t")][..],
            &[("a", "1")],
            &[("__name__", "m"), ("a", "1"), ("a", "2")],
            &[("__name__", "m"), ("", "2")],
            &[("__name__", "")],
        ] {
            assert_eq!(code(given, &limits), "invalid_labels", "{given:?}");
        }
        let mut named = pairs(&[("__name__", "m")]);
        assert!(TagSet::default().set(&mut named, &limits).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert!(require_utf8(&[(b"a", b"\xff")]).is_err());
        assert!(require_utf8(&[(b"\xc3", b"x")]).is_err());
        assert!(require_utf8(&[("ä".as_bytes(), "ö".as_bytes())]).is_ok());
    }

    proptest! {
        /// The two ways to canonical bytes agree with `schemas::Labels`, the definition.
        #[test]
        fn canonical_bytes_are_those_of_the_labels(
            tags in proptest::collection::btree_map("[A-Za-z_]{1,8}", "[a-z]{0,5}", 0..8),
            metric in "[a-z]{1,8}",
        ) {
            let limits = Limits::default();
            let given: Vec<(&str, &str)> = tags.iter().rev().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let mut all = given.clone();
            all.push(("__name__", &metric));
            let expected = Labels::new(all.iter().copied()).expect("valid");

            prop_assert_eq!(settled(&all, &limits).expect("valid"), expected.as_bytes());

            let mut set = TagSet::default();
            set.set(&mut pairs(&given), &limits).expect("valid");
            let (a, b) = metric.as_bytes().split_at(metric.len() / 2);
            prop_assert_eq!(set.with_metric(&[a, b], &limits).expect("valid"), expected.as_bytes());
        }
    }
}
