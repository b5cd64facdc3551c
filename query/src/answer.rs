//! The answer to a range question, as plain values; the server renders them.

use crate::provenance::Provenance;

/// Series with their points, and where they came from.
#[derive(Debug, Clone)]
pub struct RangeAnswer {
    /// Sorted by metric, then labels. Series without points are left out.
    pub series: Vec<AnswerSeries>,
    /// Output series that `limit` has cut off.
    pub truncated: usize,
    pub provenance: Provenance,
}

/// One output series.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSeries {
    pub metric: String,
    /// Sorted by name; of a group only those it is grouped by.
    pub labels: Vec<(String, String)>,
    /// Bucket start (or, raw, timestamp) in ms and value, oldest first; `None` only where `fill` put it.
    pub points: Vec<(i64, Option<f64>)>,
}
