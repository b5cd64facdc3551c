//! Why a point was not taken. Counted by reason, and told to the sender by index.

use std::fmt;

use crate::time::TimestampMs;

/// Why a single point, or all points of one series of a batch, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectReason {
    /// The line, message or object cannot be read; the text says what is wrong with it.
    Malformed(String),
    /// The labels cannot name a series; the text says what is wrong with which label.
    InvalidLabels(String),
    /// More labels than the limit.
    TooManyLabels { labels: usize, limit: usize },
    /// A label name or value longer than the limit, in bytes.
    LabelTooLong { label: String, bytes: usize, limit: usize },
    /// Before the intake floor: raw points of that hour are kept in no tier any more.
    TooOld { timestamp: TimestampMs, floor: TimestampMs },
    /// Further in the future than clocks may differ.
    TooFarInFuture { timestamp: TimestampMs, ceiling: TimestampMs },
    /// Not a time that can be stored.
    InvalidTimestamp(String),
    /// Not a number.
    InvalidValue(String),
    /// A difference (delta temporality) that cannot be added to a total; the text says why.
    Delta(String),
    /// The metric has as many series as the limit allows.
    SeriesPerMetric { metric: String, limit: u64 },
    /// As many new series today as the limit allows.
    NewSeriesPerDay { limit: u64 },
    /// The node has given out every series number or symbol number that there is: they are never reused.
    NumbersExhausted,
    /// Another series has the same series id. Practically impossible; refusing beats mixing two series.
    HashCollision { series: String },
}

impl RejectReason {
    /// The label value of the counter `thermocline_rejected_samples_total{reason=…}`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::InvalidLabels(_) => "invalid_labels",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::LabelTooLong { .. } => "label_too_long",
            Self::TooOld { .. } => "too_old",
            Self::TooFarInFuture { .. } => "too_far_in_future",
            Self::InvalidTimestamp(_) => "invalid_timestamp",
            Self::InvalidValue(_) => "invalid_value",
            Self::Delta(_) => "delta",
            Self::SeriesPerMetric { .. } => "series_per_metric",
            Self::NewSeriesPerDay { .. } => "new_series_per_day",
            Self::NumbersExhausted => "numbers_exhausted",
            Self::HashCollision { .. } => "hash_collision",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) | Self::InvalidLabels(what) | Self::Delta(what) => f.write_str(what),
            Self::TooManyLabels { labels, limit } => write!(f, "{labels} labels, but at most {limit} are allowed"),
            Self::LabelTooLong { label, bytes, limit } => {
                write!(f, "label {label:?} has {bytes} bytes, but at most {limit} are allowed")
            }
            Self::TooOld { timestamp, floor } => {
                write!(f, "timestamp {timestamp} is before {floor}, from when on raw points are kept")
            }
            Self::TooFarInFuture { timestamp, ceiling } => {
                write!(f, "timestamp {timestamp} lies in the future: at most {ceiling} is taken now")
            }
            Self::InvalidTimestamp(what) => write!(f, "invalid timestamp: {what}"),
            Self::InvalidValue(what) => write!(f, "invalid value: {what}"),
            Self::SeriesPerMetric { metric, limit } => {
                write!(f, "metric {metric:?} has {limit} series, the limit (limits.series_per_metric)")
            }
            Self::NewSeriesPerDay { limit } => {
                write!(f, "{limit} new series today, the limit (limits.new_series_per_day)")
            }
            Self::NumbersExhausted => f.write_str("this node has no series numbers left: move to a new node"),
            Self::HashCollision { series } => write!(f, "series id is taken by {series}"),
        }
    }
}

/// What a store did with a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Points that are durable and visible.
    pub accepted: u64,
    /// Series of the batch (by index) whose points were refused.
    pub rejected_series: Vec<(u32, RejectReason)>,
    /// Points of the batch (by index) that were refused for a reason of their own.
    pub rejected_points: Vec<(u32, RejectReason)>,
}
