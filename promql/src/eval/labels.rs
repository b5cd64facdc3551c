//! Label sets made from others.

use schemas::Labels;
use schemas::labels::{LabelsBuilder, METRIC_NAME};

use crate::quote::quoted;

/// The labels beside the name that say what a metric is, not which series.
const TYPE: &str = "__type__";
const UNIT: &str = "__unit__";

/// Whether a label says what the metric is: name, type, unit.
pub(super) fn is_metadata(name: &[u8]) -> bool {
    [METRIC_NAME, TYPE, UNIT].iter().any(|metadata| metadata.as_bytes() == name)
}

/// Without name, type and unit.
pub(super) fn without_metadata(labels: &Labels, builder: &mut LabelsBuilder) -> Labels {
    builder.filtered(labels, |name| !is_metadata(name))
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
