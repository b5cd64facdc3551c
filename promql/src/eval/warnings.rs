//! What the evaluator says beside an answer, in Prometheus' words.

use crate::error::Span;
use crate::math::shortest;
use crate::notes::{Level, Note, Notes};
use crate::quote::quoted;

fn warn(span: Span, notes: &mut Notes, text: &str) {
    notes.add(Note { level: Level::Warning, text: format!("PromQL warning: {text}"), span: Some(span) });
}

fn inform(span: Span, notes: &mut Notes, text: &str) {
    notes.add(Note { level: Level::Info, text: format!("PromQL info: {text}"), span: Some(span) });
}

/// Whether a name ends as those of counters do.
pub(super) fn sounds_like_counter(metric: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|end| metric.ends_with(end))
}

/// A function of counters over a metric that does not look like one: by its label of the type, or by its name.
pub(super) fn possible_non_counter(by_type: bool, metric: &str, metric_type: &str, span: Span, notes: &mut Notes) {
    let metric = quoted(metric);
    if !by_type {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        inform(span, notes, &format!("{text} {metric}"));
    } else if !matches!(metric_type, "counter" | "histogram") {
        let text = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
        inform(span, notes, &format!("{text}, got {}: {metric}", quoted(metric_type)));
    }
}

pub(super) fn sort_in_range(span: Span, notes: &mut Notes) {
    warn(span, notes, "sort is ineffective for range queries since results are always ordered by labels");
}

pub(super) fn histogram_ignored(aggregation: &str, span: Span, notes: &mut Notes) {
    inform(span, notes, &format!("ignored histogram in {aggregation} aggregation"));
}

pub(super) fn mixed_in_aggregation(span: Span, notes: &mut Notes) {
    warn(span, notes, "encountered a mix of histograms and floats for aggregation");
}

pub(super) fn invalid_ratio(ratio: f64, cap: f64, span: Span, notes: &mut Notes) {
    let (ratio, cap) = (shortest(ratio), shortest(cap));
    warn(span, notes, &format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}"));
}

/// Kinds of values that an operator does not take together.
pub(super) fn incompatible_types(left: &str, operator: &str, right: &str, span: Span, notes: &mut Notes) {
    let text = "incompatible sample types encountered for binary operator";
    inform(span, notes, &format!("{text} {}: {left} {operator} {right}", quoted(operator)));
}

pub(super) fn incompatible_layout(operator: &str, span: Span, notes: &mut Notes) {
    warn(span, notes, &format!("incompatible bucket layout encountered for binary operator {operator}"));
}

/// `le` is not a number.
pub(super) fn bad_bucket(metric: &str, bound: &str, span: Span, notes: &mut Notes) {
    let of = for_metric(metric);
    warn(span, notes, &format!("bucket label \"le\" is missing or has a malformed value of {}{of}", quoted(bound)));
}

/// Buckets of a classic histogram, and a native one, of the same labels.
pub(super) fn classic_and_native(metric: &str, span: Span, notes: &mut Notes) {
    let of = for_metric(metric);
    warn(span, notes, &format!("vector contains a mix of classic and native histograms{of}"));
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(metric)) }
}
