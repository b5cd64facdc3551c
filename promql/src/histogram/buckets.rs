//! Buckets with their bounds, in order.

use std::fmt;

use schemas::histogram::{Buckets, Histogram, SCHEMA_CUSTOM};

use super::bounds;
use crate::math::shortest;

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
}

impl Bucket {
    /// Whether zero lies in it.
    pub(super) fn has_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }

    /// The part of its width below a value inside of it; both bounds must be finite. On a logarithmic scale unless
    /// `linear`.
    pub(super) fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let [lower, upper, at] = [self.lower, self.upper, value].map(|bound| bound.abs().log2());
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

impl fmt::Display for Bucket {
    /// `(1,2]:3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.lower_inclusive { '[' } else { '(' }, if self.upper_inclusive { ']' } else { ')' });
        write!(f, "{open}{},{}{close}:{}", shortest(self.lower), shortest(self.upper), shortest(self.count))
    }
}

/// Indexes and counts of buckets of one sign.
pub(super) fn indexed(buckets: &Buckets) -> impl Iterator<Item = (i32, f64)> + '_ {
    let mut next = 0_i32;
    let indexes = buckets.spans.iter().flat_map(move |span| {
        let start = next.saturating_add(span.offset);
        next = start.saturating_add_unsigned(span.length);
        start..next
    });
    indexes.zip(buckets.counts.iter().copied())
}

/// Buckets of positive values (of custom bounds: all), from zero up.
pub fn positive(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    let (schema, custom) = (histogram.schema, &*histogram.custom_values);
    indexed(&histogram.positive).map(move |(index, count)| {
        let (lower, upper) =
            (bounds::upper(index.saturating_sub(1), schema, custom), bounds::upper(index, schema, custom));
        let is_custom = schema == SCHEMA_CUSTOM;
        Bucket {
            lower,
            upper,
            lower_inclusive: if is_custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: is_custom || upper > 0.0,
            count,
        }
    })
}

/// Buckets of negative values, from zero down.
pub fn negative(histogram: &Histogram) -> impl Iterator<Item = Bucket> + '_ {
    indexed(&histogram.negative).map(move |(index, count)| Bucket {
        lower: -bounds::exponential(index, histogram.schema),
        upper: -bounds::exponential(index.saturating_sub(1), histogram.schema),
        lower_inclusive: true,
        upper_inclusive: false,
        count,
    })
}

/// The zero bucket.
pub(super) fn zero(histogram: &Histogram) -> Bucket {
    Bucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count: histogram.zero_count,
    }
}

/// All buckets, lowest first; the zero bucket if it holds something, and what it covers cut off from its neighbours.
pub fn ascending(histogram: &Histogram) -> Vec<Bucket> {
    let width = histogram.zero_threshold;
    let mut buckets: Vec<Bucket> = negative(histogram)
        .map(|bucket| Bucket {
            upper: if bucket.upper < 0.0 { bucket.upper.min(-width) } else { bucket.upper },
            ..bucket
        })
        .collect();
    buckets.reverse();
    if histogram.zero_count > 0.0 {
        buckets.push(zero(histogram));
    }
    buckets.extend(positive(histogram).map(|bucket| {
        if bucket.lower > 0.0 && bucket.lower < width {
            Bucket { lower: width, ..bucket }
        } else if bucket.upper < 0.0 && bucket.upper > -width {
            Bucket { upper: -width, ..bucket }
        } else {
            bucket
        }
    }));
    buckets
}

/// The same, highest first.
pub fn descending(histogram: &Histogram) -> Vec<Bucket> {
    let mut buckets = ascending(histogram);
    buckets.reverse();
    buckets
}
