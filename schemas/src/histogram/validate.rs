//! Which histograms are taken: those that Prometheus takes, within bounds of our own on size and bucket indexes.

use thiserror::Error;

use super::{Buckets, Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span};

/// The most buckets of a histogram, both signs and bounds of custom buckets counted: far more than any sender makes, and
/// what a decoder may be led to allocate.
pub const BUCKETS_MAX: usize = 16_384;

/// Whole doubles from here on may stand for a neighbour.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What is wrong with a histogram.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum HistogramError {
    #[error("schema {0} is none of {SCHEMA_MIN} to {SCHEMA_MAX} and {SCHEMA_CUSTOM}")]
    Schema(i32),
    #[error("{0} buckets, but at most {BUCKETS_MAX} are taken")]
    TooManyBuckets(u64),
    #[error("the {side} spans have {spans} buckets, but there are {counts} counts")]
    SpansMismatch { side: &'static str, spans: u64, counts: usize },
    #[error("{side} span {nth} has the offset {offset}")]
    SpanOffset { side: &'static str, nth: usize, offset: i32 },
    #[error("a {side} bucket has an index out of range")]
    BucketIndex { side: &'static str },
    #[error("the {what} is {count}")]
    NegativeCount { what: &'static str, count: f64 },
    #[error("the buckets hold {buckets} observations, but the count is {count}")]
    CountMismatch { buckets: f64, count: f64 },
    #[error("custom buckets come with {0}")]
    NotForCustomBuckets(&'static str),
    #[error("exponential buckets come with custom bounds")]
    CustomBounds,
    #[error("custom bounds are not rising and finite at their end")]
    CustomBoundsOrder,
    #[error("{bounds} custom bounds are too few for {buckets} buckets")]
    CustomBoundsFew { bounds: usize, buckets: u64 },
}

impl Histogram {
    /// Whether this can be kept. Integer histograms must count as many observations as their buckets hold; where the sum is
    /// NaN (an observation was), at least as many.
    pub fn validate(&self) -> Result<(), HistogramError> {
        self.validate_size()?;
        match self.schema {
            SCHEMA_CUSTOM => self.validate_custom()?,
            SCHEMA_MIN..=SCHEMA_MAX if !self.custom_values.is_empty() => return Err(HistogramError::CustomBounds),
            SCHEMA_MIN..=SCHEMA_MAX => {}
            schema => return Err(HistogramError::Schema(schema)),
        }
        self.positive.validate("positive")?;
        self.negative.validate("negative")?;
        for (what, count) in [("count", self.count), ("count of the zero bucket", self.zero_count)] {
            if count < 0.0 {
                return Err(HistogramError::NegativeCount { what, count });
            }
        }
        if self.is_integer { self.validate_count() } else { Ok(()) }
    }

    fn validate_size(&self) -> Result<(), HistogramError> {
        let buckets = self.positive.counts.len() + self.negative.counts.len() + self.custom_values.len();
        let spans = self.positive.spans.len() + self.negative.spans.len();
        if buckets.max(spans) > BUCKETS_MAX {
            return Err(HistogramError::TooManyBuckets(u64::try_from(buckets.max(spans)).unwrap_or(u64::MAX)));
        }
        Ok(())
    }

    fn validate_count(&self) -> Result<(), HistogramError> {
        let of = |buckets: &Buckets| buckets.counts.iter().sum::<f64>();
        let (buckets, count) = (of(&self.positive) + of(&self.negative) + self.zero_count, self.count);
        let fits = if self.sum.is_nan() { buckets <= count } else { buckets.to_bits() == count.to_bits() };
        // Beyond 2^53 both are rounded, each in its own way.
        if fits || buckets >= EXACT_MAX { Ok(()) } else { Err(HistogramError::CountMismatch { buckets, count }) }
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        let rising = self.custom_values.windows(2).all(|pair| pair[0] < pair[1]);
        let ends = !self.custom_values.iter().any(|bound| bound.is_nan())
            && self.custom_values.last().is_none_or(|&bound| bound < f64::INFINITY);
        if !rising || !ends {
            return Err(HistogramError::CustomBoundsOrder);
        }
        if self.zero_count != 0.0 {
            return Err(HistogramError::NotForCustomBuckets("a zero bucket"));
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::NotForCustomBuckets("a zero threshold"));
        }
        if !self.negative.spans.is_empty() || !self.negative.counts.is_empty() {
            return Err(HistogramError::NotForCustomBuckets("negative buckets"));
        }
        let mut buckets = 0;
        for (nth, &Span { offset, length }) in self.positive.spans.iter().enumerate() {
            let skipped = u64::try_from(offset);
            buckets += skipped.map_err(|_| HistogramError::SpanOffset { side: "positive", nth, offset })?;
            buckets += u64::from(length);
        }
        let bounds = self.custom_values.len();
        let room = u64::try_from(bounds).unwrap_or(u64::MAX).saturating_add(1);
        if buckets > room { Err(HistogramError::CustomBoundsFew { bounds, buckets }) } else { Ok(()) }
    }
}

impl Buckets {
    fn validate(&self, side: &'static str) -> Result<(), HistogramError> {
        let (mut buckets, mut next) = (0_u64, 0_i64);
        for (nth, &Span { offset, length }) in self.spans.iter().enumerate() {
            if nth > 0 && offset < 0 {
                return Err(HistogramError::SpanOffset { side, nth, offset });
            }
            buckets += u64::from(length);
            next += i64::from(offset) + i64::from(length);
            if i32::try_from(next).is_err() {
                return Err(HistogramError::BucketIndex { side });
            }
        }
        let counts = self.counts.len();
        if u64::try_from(counts).ok() != Some(buckets) {
            return Err(HistogramError::SpansMismatch { side, spans: buckets, counts });
        }
        match self.counts.iter().find(|&&count| count < 0.0) {
            Some(&count) => Err(HistogramError::NegativeCount { what: "count of a bucket", count }),
            None => Ok(()),
        }
    }
}
