//! Label sets made from others.

use schemas::Labels;
use schemas::labels::METRIC_NAME;

use crate::quote::quoted;

/// The labels beside the name that say what a metric is, not which series.
const TYPE: &str = "__type__";
const UNIT: &str = "__unit__";

/// Whether a label says what the metric is: name, type, unit.
pub(super) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | TYPE | UNIT)
}

/// The label set of pairs in canonical order.
pub(super) fn of_sorted(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_sorted(pairs.iter().copied())
}

pub(super) fn none() -> Labels {
    of_sorted(&[])
}

/// The labels whose names pass.
pub(super) fn filtered(labels: &Labels, keep: impl Fn(&str) -> bool) -> Labels {
    let pairs: Vec<(&str, &str)> = labels.iter().filter(|(name, _)| keep(name)).collect();
    of_sorted(&pairs)
}

/// Without name, type and unit.
pub(super) fn without_metadata(labels: &Labels) -> Labels {
    filtered(labels, |name| !is_metadata(name))
}

/// With one label more, or another value of it; an empty value takes it away.
pub(super) fn with(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut pairs: Vec<(&str, &str)> = labels.iter().filter(|(n, _)| *n != name).collect();
    if !value.is_empty() {
        let at = pairs.partition_point(|(n, _)| *n < name);
        pairs.insert(at, (name, value));
    }
    of_sorted(&pairs)
}

/// Whether Prometheus takes it as the name of a label: UTF-8, not empty.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
}

/// As Prometheus prints labels in errors: `{__name__="up", job="x"}`.
pub(super) fn printed(labels: &Labels) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        if is_plain(name) {
            out.push_str(name);
        } else {
            out.push_str(&quoted(name));
        }
        out.push('=');
        out.push_str(&quoted(value));
    }
    out.push('}');
    out
}

/// A name that needs no quotes.
fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
