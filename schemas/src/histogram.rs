//! Native histograms: buckets of exponential width, or of custom bounds, in one sample.
//!
//! Nouns: a *span* is a run of neighbouring buckets; *counts* are absolute, one a bucket of the spans. The same type holds
//! integer and float histograms: whole counts up to 2^53 are exact in a double, and `is_integer` remembers what the sender had.
//!
//! Bucket `i` of schema `s` holds `(base^(i−1), base^i]` with `base = 2^(2^−s)`; of custom buckets, `(custom[i−1], custom[i]]`.
//! Source: Prometheus, "Native Histograms". As bytes: `docs/formats/histogram.md`. Not here: arithmetic and quantiles
//! (`promql`), how senders write them (`ingest`).

pub mod codec;
mod resolution;
#[cfg(test)]
mod tests;
mod validate;

pub use validate::{BUCKETS_MAX, HistogramError};

/// Schemas of exponential buckets.
pub const SCHEMA_MIN: i32 = -4;
pub const SCHEMA_MAX: i32 = 8;
/// The schema of custom bucket bounds.
pub const SCHEMA_CUSTOM: i32 = -53;

/// One sample of a native histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    pub schema: i32,
    /// Values whose magnitude is at most this are in the zero bucket.
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Upper bounds of custom buckets, ascending, without `+Inf`; empty for exponential ones.
    pub custom_values: Vec<f64>,
    pub reset_hint: ResetHint,
    /// The sender counted in integers.
    pub is_integer: bool,
}

impl Histogram {
    /// Bytes in memory, for bounds.
    pub fn bytes(&self) -> usize {
        let buckets =
            |buckets: &Buckets| buckets.spans.len() * size_of::<Span>() + buckets.counts.len() * size_of::<f64>();
        size_of::<Self>()
            + buckets(&self.positive)
            + buckets(&self.negative)
            + self.custom_values.len() * size_of::<f64>()
    }
}

/// Buckets of one sign.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    pub spans: Vec<Span>,
    /// Absolute counts, as many as the spans have buckets.
    pub counts: Vec<f64>,
}

/// Neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Of the first span, the index of its first bucket; of later ones, the buckets left out since the span before.
    pub offset: i32,
    pub length: u32,
}

/// What the sender knows of counter resets before this sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    #[default]
    Unknown,
    /// A reset happened just before.
    Reset,
    /// None happened.
    NotReset,
    /// The histogram is a gauge, which cannot be reset.
    Gauge,
}
