//! What is said of histograms beside an answer, in Prometheus' words.

use std::fmt;

use super::arithmetic::Noticed;
use crate::error::Span;
use crate::math::shortest;
use crate::notes::{Level, Note, Notes};
use crate::quote::quoted;

/// What a note is about: a metric, and the part of the query that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Its name; empty where it has none any more.
    pub metric: &'a str,
    pub span: Span,
}

/// What histograms went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

impl Subject<'_> {
    /// A window has floats and histograms.
    pub fn mixed_with_floats(&self, notes: &mut Notes) {
        self.warn(notes, format!("encountered a mix of histograms and floats for metric name {}", quoted(self.metric)));
    }

    /// A function of counters saw a gauge.
    pub fn not_a_counter(&self, notes: &mut Notes) {
        self.warn(notes, format!("this native histogram metric is not a counter: {}", quoted(self.metric)));
    }

    /// A function of gauges saw a counter.
    pub fn not_a_gauge(&self, notes: &mut Notes) {
        self.warn(notes, format!("this native histogram metric is not a gauge: {}", quoted(self.metric)));
    }

    /// Exponential and custom buckets met.
    pub fn mixed_schemas(&self, notes: &mut Notes) {
        let of = quoted(self.metric);
        let text = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        self.warn(notes, format!("{text} {of}"));
    }

    /// A counter began before the sample in front of it, which was of another one.
    pub fn starts_overlap(&self, notes: &mut Notes) {
        let text = "sample has start time that overlaps with previous sample timestamp for metric";
        self.warn(notes, format!("{text} {}", quoted(self.metric)));
    }

    /// A function of floats left out the histograms of a window.
    pub fn histograms_ignored(&self, notes: &mut Notes) {
        let of = quoted(self.metric);
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        self.inform(notes, format!("{text} {of}"));
    }

    /// One histogram says that a reset happened, another that none did.
    pub fn reset_collision(&self, operation: Operation, notes: &mut Notes) {
        self.warn(notes, format!("conflicting counter resets during histogram {operation}"));
    }

    /// Custom bounds differed, and only those in common were kept.
    pub fn bounds_reconciled(&self, operation: Operation, notes: &mut Notes) {
        self.inform(notes, format!("mismatched custom buckets were reconciled during {operation}"));
    }

    /// What was noticed of the histograms that an operation took in.
    pub fn noticed(&self, noticed: Noticed, operation: Operation, notes: &mut Notes) {
        if noticed.resets_collide {
            self.reset_collision(operation, notes);
        }
        if noticed.bounds_differed {
            self.bounds_reconciled(operation, notes);
        }
    }

    /// A quantile that NaN observations made NaN.
    pub fn quantile_is_nan(&self, notes: &mut Notes) {
        self.inform_named(notes, "input to histogram_quantile has NaN observations, result is NaN");
    }

    /// A quantile that NaN observations moved up.
    pub fn quantile_is_skewed(&self, notes: &mut Notes) {
        self.inform_named(notes, "input to histogram_quantile has NaN observations, result is skewed higher");
    }

    /// NaN observations are in no fraction.
    pub fn fraction_without_nan(&self, notes: &mut Notes) {
        self.inform_named(
            notes,
            "input to histogram_fraction has NaN observations, which are excluded from all fractions",
        );
    }

    /// A quantile should lie in `[0, 1]`.
    pub fn check_quantile(&self, quantile: f64, notes: &mut Notes) {
        if !(0.0..=1.0).contains(&quantile) {
            let got = shortest(quantile);
            self.warn(notes, format!("quantile value should be between 0 and 1, got {got}"));
        }
    }

    fn inform_named(&self, notes: &mut Notes, text: &str) {
        self.inform(notes, format!("{text}{}", self.named()));
    }

    /// `for metric name …`, if it has one.
    pub(crate) fn named(&self) -> String {
        if self.metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(self.metric)) }
    }

    fn warn(&self, notes: &mut Notes, text: String) {
        notes.add(Note { level: Level::Warning, text: format!("PromQL warning: {text}"), span: Some(self.span) });
    }

    pub(crate) fn inform(&self, notes: &mut Notes, text: String) {
        notes.add(Note { level: Level::Info, text: format!("PromQL info: {text}"), span: Some(self.span) });
    }
}
