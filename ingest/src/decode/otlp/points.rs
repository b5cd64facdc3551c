//! Data points as OTLP has them, whichever encoding they came in. Fields are those of `metrics.proto`.

use std::borrow::Cow;

use crate::canonical::LABELS_READ_MAX;

/// An attribute, its value as a label has it.
pub(super) type Attribute<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The attributes of something, of which no more are read than any series may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attributes<'a>(Vec<Attribute<'a>>);

impl<'a> Attributes<'a> {
    /// Adds one, unless there are too many already.
    pub(super) fn push(&mut self, attribute: Attribute<'a>) {
        if self.0.len() <= LABELS_READ_MAX {
            self.0.push(attribute);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attribute<'a>> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_ref())
    }
}

/// What data points of all kinds have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Head<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) time_ns: u64,
    pub(super) flags: u64,
    pub(super) exemplars: u64,
}

impl Head<'_> {
    /// The series has ended, or there was nothing to measure (`FLAG_NO_RECORDED_VALUE`).
    pub(super) fn is_stale(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Milliseconds since 1970.
    pub(super) fn time_ms(&self) -> i64 {
        i64::try_from(self.time_ns / 1_000_000).expect("2^64 / 10^6 is below 2^63")
    }
}

/// A point of a gauge or a sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Number<'a> {
    pub(super) head: Head<'a>,
    pub(super) value: Option<f64>,
}

/// A point of a histogram with bounds of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Explicit<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
}

/// A point of a histogram with exponential buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exponential<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) scale: i64,
    pub(super) zero_count: u64,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
}

/// Neighbouring buckets; the first has index `offset`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    pub(super) offset: i64,
    pub(super) counts: Vec<u64>,
}

/// A point of a summary.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Summary<'a> {
    pub(super) head: Head<'a>,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
}

/// How the points of a metric relate to those before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    /// Each says what happened since the one before.
    Delta,
    /// Each says what happened since a start that stays the same.
    Cumulative,
}

impl Temporality {
    pub(super) fn of(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Gauge,
    Sum { monotonic: bool, temporality: Temporality },
    Explicit(Temporality),
    Exponential(Temporality),
    Summary,
}

/// A count as a double: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "stored values are doubles; counts beyond 2^53 are rounded")]
pub(super) fn rounded(number: u64) -> f64 {
    number as f64
}
