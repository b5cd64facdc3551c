//! Sums, differences and multiples.
//!
//! Histogram ─▶ [`Sum`] ─ other: zero buckets agree ─▶ schemas agree, or custom bounds ─▶ buckets add up ─▶ Histogram

use std::cmp::Ordering;

use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM};
use thiserror::Error;

use super::bounds;
use super::layout::{self, Cells};
use crate::math::{Kahan, float_of};

/// Exponential buckets and custom ones cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
pub struct Incompatible;

/// The custom bounds of two histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// The same, or there are none.
    Agreed,
    /// Only those in common were kept.
    Differed,
}

/// What was noticed of the histograms that went into a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noticed {
    /// One says that it comes after a reset, another that it does not.
    pub resets_collide: bool,
    /// Custom bounds differed; those in common were kept.
    pub bounds_differed: bool,
}

/// A histogram made of two.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    pub histogram: Histogram,
    pub noticed: Noticed,
}

/// The sum. Empty buckets stay; see [`super::compact`].
pub fn add(left: &Histogram, right: &Histogram) -> Result<Combined, Incompatible> {
    let mut sum = Sum::new(left);
    sum.add(right)?;
    Ok(Combined { histogram: sum.histogram(), noticed: sum.noticed() })
}

/// The difference. As the result of the operator, it is to be marked as a gauge.
pub fn subtract(left: &Histogram, right: &Histogram) -> Result<Combined, Incompatible> {
    let mut sum = Sum::new(left);
    sum.subtract(right)?;
    Ok(Combined { histogram: sum.histogram(), noticed: sum.noticed() })
}

/// All counts and the sum times a factor; by a negative one it becomes a gauge.
#[must_use]
pub fn multiply(histogram: &Histogram, factor: f64) -> Histogram {
    map(histogram, |value| value * factor, factor < 0.0)
}

/// All counts and the sum divided; by zero, nothing is left of the buckets.
#[must_use]
pub fn divide(histogram: &Histogram, divisor: f64) -> Histogram {
    let mut divided = map(histogram, |value| value / divisor, divisor < 0.0);
    if divisor == 0.0 {
        (divided.positive, divided.negative) = (Buckets::default(), Buckets::default());
    }
    divided
}

fn map(histogram: &Histogram, change: impl Fn(f64) -> f64, to_gauge: bool) -> Histogram {
    let side = |buckets: &Buckets| Buckets {
        spans: buckets.spans.clone(),
        counts: buckets.counts.iter().map(|&count| change(count)).collect(),
    };
    Histogram {
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: change(histogram.zero_count),
        count: change(histogram.count),
        sum: change(histogram.sum),
        positive: side(&histogram.positive),
        negative: side(&histogram.negative),
        custom_values: histogram.custom_values.clone(),
        reset_hint: if to_gauge { ResetHint::Gauge } else { histogram.reset_hint },
        is_integer: false,
    }
}

/// A sum of histograms that grows, compensated.
#[derive(Debug, Clone)]
pub struct Sum {
    schema: i32,
    zero_threshold: f64,
    zero_count: Kahan,
    count: Kahan,
    sum: Kahan,
    positive: Cells,
    negative: Cells,
    custom_values: Vec<f64>,
    reset_hint: ResetHint,
    has_reset: bool,
    has_no_reset: bool,
    bounds_differed: bool,
}

impl Sum {
    /// Of one histogram.
    pub fn new(first: &Histogram) -> Self {
        let whole = |value| Kahan::new(value, 0.0);
        Self {
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            zero_count: if first.schema == SCHEMA_CUSTOM { Kahan::default() } else { whole(first.zero_count) },
            count: whole(first.count),
            sum: whole(first.sum),
            positive: layout::cells(&first.positive),
            negative: layout::cells(&first.negative),
            custom_values: first.custom_values.clone(),
            reset_hint: first.reset_hint,
            has_reset: first.reset_hint == ResetHint::Reset,
            has_no_reset: first.reset_hint == ResetHint::NotReset,
            bounds_differed: false,
        }
    }

    /// Adds another. Where it cannot, the sum stays as it is.
    pub fn add(&mut self, other: &Histogram) -> Result<Bounds, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Takes another away. Where it cannot, the sum stays as it is.
    pub fn subtract(&mut self, other: &Histogram) -> Result<Bounds, Incompatible> {
        self.combine(other, -1.0)
    }

    /// The histogram that they add up to.
    pub fn histogram(&self) -> Histogram {
        let side = |cells: &Cells| layout::spans(cells.iter().map(|&(index, count)| (index, count.total())));
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.total(),
            count: self.count.total(),
            sum: self.sum.total(),
            positive: side(&self.positive),
            negative: side(&self.negative),
            custom_values: self.custom_values.clone(),
            reset_hint: self.reset_hint,
            is_integer: false,
        }
    }

    pub fn noticed(&self) -> Noticed {
        Noticed { resets_collide: self.has_reset && self.has_no_reset, bounds_differed: self.bounds_differed }
    }

    fn combine(&mut self, other: &Histogram, sign: f64) -> Result<Bounds, Incompatible> {
        let is_custom = self.schema == SCHEMA_CUSTOM;
        if is_custom != (other.schema == SCHEMA_CUSTOM) {
            return Err(Incompatible);
        }
        self.meet_hint(other.reset_hint);
        let mut other = Self::new(other);
        let mut bounds = Bounds::Agreed;
        if is_custom {
            bounds = self.agree_on_bounds(&mut other);
        } else {
            self.agree_on_zero_bucket(&mut other);
            let schema = self.schema.min(other.schema);
            self.reduce(schema);
            other.reduce(schema);
        }
        self.zero_count = self.zero_count.and(other.zero_count.times(sign));
        self.count = self.count.and(other.count.times(sign));
        self.sum = self.sum.and(other.sum.times(sign));
        for (cells, others) in [(&mut self.positive, &mut other.positive), (&mut self.negative, &mut other.negative)] {
            others.iter_mut().for_each(|(_, count)| *count = count.times(sign));
            // What the zero bucket covers was added to it.
            let covered = |index: i32| !is_custom && bounds::exponential(index, self.schema) <= self.zero_threshold;
            let start = others.iter().take_while(|(index, _)| covered(*index)).count();
            *cells = layout::merge(cells, &others[start..]);
        }
        Ok(bounds)
    }

    fn meet_hint(&mut self, other: ResetHint) {
        self.has_reset |= other == ResetHint::Reset;
        self.has_no_reset |= other == ResetHint::NotReset;
        self.reset_hint = match (self.reset_hint, other) {
            (mine, theirs) if mine == theirs => mine,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
    }

    /// Keeps the bounds in common.
    fn agree_on_bounds(&mut self, other: &mut Self) -> Bounds {
        if self.custom_values == other.custom_values {
            return Bounds::Agreed;
        }
        let bounds = layout::intersection(&self.custom_values, &other.custom_values);
        for part in [&mut *self, other] {
            part.positive = layout::rebound(&part.positive, &part.custom_values, &bounds);
            part.positive.retain(|(_, count)| !is_zero(*count));
            part.custom_values.clone_from(&bounds);
        }
        self.bounds_differed = true;
        Bounds::Differed
    }

    /// Widens zero buckets until both have the same, with no populated bucket half in it.
    fn agree_on_zero_bucket(&mut self, other: &mut Self) {
        // Ends where they are equal, or one is NaN.
        while let Some(order) = self.zero_threshold.partial_cmp(&other.zero_threshold) {
            match order {
                Ordering::Greater => other.widen_zero_bucket(self.zero_threshold),
                Ordering::Less => self.widen_zero_bucket(other.zero_threshold),
                Ordering::Equal => break,
            }
        }
    }

    fn widen_zero_bucket(&mut self, threshold: f64) {
        let (count, threshold) = self.zero_bucket_of(threshold);
        (self.zero_count, self.zero_threshold) = (count, threshold);
        let schema = self.schema;
        for cells in [&mut self.positive, &mut self.negative] {
            let covered = |index: i32| bounds::exponential(index.saturating_sub(1), schema) < threshold;
            cells.retain(|(index, count)| !covered(*index) && !is_zero(*count));
        }
    }

    /// The count of a zero bucket of at least that width; wider, where it would cut a populated bucket.
    pub(super) fn zero_bucket_of(&self, mut threshold: f64) -> (Kahan, f64) {
        if threshold <= self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'wider: loop {
            let mut count = self.zero_count;
            for (cells, redo) in [(&self.positive, false), (&self.negative, true)] {
                for &(index, inside) in cells {
                    let lower = bounds::exponential(index.saturating_sub(1), self.schema);
                    let upper = bounds::exponential(index, self.schema);
                    if lower >= threshold {
                        break;
                    }
                    count = count.and(inside);
                    if upper > threshold {
                        if !is_zero(inside) {
                            threshold = upper;
                            if redo {
                                continue 'wider;
                            }
                        }
                        break;
                    }
                }
            }
            return (count, threshold);
        }
    }

    fn reduce(&mut self, schema: i32) {
        if schema < self.schema {
            self.positive = layout::reduce(&self.positive, self.schema, schema);
            self.negative = layout::reduce(&self.negative, self.schema, schema);
            self.schema = schema;
        }
    }

    fn scale(&mut self, change: impl Fn(Kahan) -> Kahan) {
        for part in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *part = change(*part);
        }
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = change(*count);
        }
    }

    fn overflows(&self) -> bool {
        let counts = self.positive.iter().chain(&self.negative).map(|(_, count)| count);
        [&self.zero_count, &self.count, &self.sum].into_iter().chain(counts).any(|part| part.sum().is_infinite())
    }
}

fn is_zero(count: Kahan) -> bool {
    count.sum() == 0.0 && count.rest() == 0.0
}

/// The mean of histograms: of their sum while a double holds it, else mended with each.
#[derive(Debug, Clone)]
pub struct Mean {
    /// The sum, or the mean itself.
    value: Sum,
    count: usize,
    is_mean: bool,
}

impl Mean {
    /// Of one histogram.
    pub fn new(first: &Histogram) -> Self {
        Self { value: Sum::new(first), count: 1, is_mean: false }
    }

    /// Takes in another. Where it cannot, the mean stays as it is.
    pub fn add(&mut self, other: &Histogram) -> Result<Bounds, Incompatible> {
        if !self.is_mean {
            let mut sum = self.value.clone();
            let bounds = sum.add(other)?;
            if !sum.overflows() {
                (self.value, self.count) = (sum, self.count + 1);
                return Ok(bounds);
            }
            let before = float_of(self.count);
            self.value.scale(|part| part.over(before));
            self.is_mean = true;
        }
        let count = float_of(self.count + 1);
        let mut mean = self.value.clone();
        mean.scale(|part| part.times((count - 1.0) / count));
        let bounds = mean.add(&divide(other, count))?;
        (self.value, self.count) = (mean, self.count + 1);
        Ok(bounds)
    }

    pub fn histogram(&self) -> Histogram {
        let mut mean = self.value.clone();
        if !self.is_mean {
            let count = float_of(self.count);
            mean.scale(|part| part.over(count));
        }
        mean.histogram()
    }

    pub fn noticed(&self) -> Noticed {
        self.value.noticed()
    }
}
