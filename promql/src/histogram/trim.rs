//! The part of a histogram below or above a value.

use schemas::histogram::Histogram;

use super::buckets::{Bucket, indexed, negative, positive, zero};
use super::compact::compact;
use super::layout::{spans, uses_custom_buckets};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those below the value: `</`.
    Below,
    /// Those above it: `>/`.
    Above,
}

/// What stays of a bucket: how many observations, and the value that stands for them in the sum.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    count: f64,
    middle: f64,
}

/// How values lie in buckets of one sign.
#[derive(Debug, Clone, Copy)]
struct Shape {
    is_positive: bool,
    is_custom: bool,
}

/// The observations on one side of a value. Count and sum are estimated anew if that takes anything away.
#[must_use]
pub fn trim(histogram: &Histogram, value: f64, side: Side) -> Histogram {
    let is_custom = uses_custom_buckets(histogram);
    let cut = |bucket: Bucket, is_positive: bool| {
        if bucket.count == 0.0 { Kept::default() } else { keep(&bucket, value, side, Shape { is_positive, is_custom }) }
    };
    let above: Vec<Kept> = positive(histogram).map(|bucket| cut(bucket, true)).collect();
    let below: Vec<Kept> = negative(histogram).map(|bucket| cut(bucket, false)).collect();
    let is_populated = |counts: &[f64]| counts.iter().any(|&count| count != 0.0);
    let middle = if histogram.zero_count > 0.0 {
        let signs = (is_populated(&histogram.negative.counts), is_populated(&histogram.positive.counts));
        keep_of_zero_bucket(&zero(histogram), value, side, signs)
    } else {
        Kept { count: histogram.zero_count, middle: 0.0 }
    };
    let counts = |kept: &[Kept]| kept.iter().map(|kept| kept.count).collect::<Vec<f64>>();
    let (positive_counts, negative_counts) = (counts(&above), counts(&below));
    #[expect(clippy::float_cmp, reason = "asks whether anything was taken away")]
    let is_whole = middle.count == histogram.zero_count
        && positive_counts == histogram.positive.counts
        && negative_counts == histogram.negative.counts;
    if is_whole {
        return histogram.clone();
    }
    let mut trimmed = histogram.clone();
    trimmed.is_integer = false;
    trimmed.zero_count = middle.count;
    let parts = || above.iter().chain(&below).chain((histogram.zero_count > 0.0).then_some(&middle));
    trimmed.count = parts().fold(0.0, |count, kept| count + kept.count);
    trimmed.sum = parts().fold(0.0, |sum, kept| sum + kept.middle * kept.count);
    for (buckets, counts) in [(&mut trimmed.positive, positive_counts), (&mut trimmed.negative, negative_counts)] {
        *buckets = spans(indexed(buckets).map(|(index, _)| index).zip(counts));
    }
    compact(trimmed)
}

fn keep(bucket: &Bucket, value: f64, side: Side, shape: Shape) -> Kept {
    let (all, some) = match side {
        Side::Below => (bucket.upper <= value, bucket.lower < value),
        Side::Above => (bucket.lower >= value, bucket.upper > value),
    };
    if all {
        Kept { count: bucket.count, middle: middle_of(bucket.lower, bucket.upper, shape) }
    } else if !some {
        Kept::default()
    } else if bucket.lower.is_infinite() || bucket.upper.is_infinite() {
        keep_of_open_bucket(bucket, value, side)
    } else {
        let below = bucket.count * bucket.fraction_below(value, shape.is_custom);
        match side {
            Side::Below => Kept { count: below, middle: middle_of(bucket.lower, value, shape) },
            Side::Above => Kept { count: bucket.count - below, middle: middle_of(value, bucket.upper, shape) },
        }
    }
}

/// Of a bucket without a bound on one side, how values lie is not known: it is kept or dropped as a whole, except
/// that one which ends above zero is taken to begin there.
fn keep_of_open_bucket(bucket: &Bucket, value: f64, side: Side) -> Kept {
    let begins_at_zero = bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 && bucket.upper.is_finite();
    if bucket.lower != f64::NEG_INFINITY {
        return match side {
            Side::Above if value >= bucket.lower => Kept { count: bucket.count, middle: value },
            _ => Kept::default(),
        };
    }
    match side {
        Side::Below if begins_at_zero && value > 0.0 => {
            Kept { count: bucket.count * value / bucket.upper, middle: value / 2.0 }
        }
        Side::Below if bucket.upper <= 0.0 => Kept { count: bucket.count, middle: value },
        Side::Above if begins_at_zero && value >= 0.0 && bucket.upper > value => {
            Kept { count: bucket.count * (1.0 - value / bucket.upper), middle: f64::midpoint(value, bucket.upper) }
        }
        _ => Kept::default(),
    }
}

fn keep_of_zero_bucket(bucket: &Bucket, value: f64, side: Side, (has_negative, has_positive): (bool, bool)) -> Kept {
    let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
    let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
    let (is_below, is_above) = (value <= lower, value >= upper);
    match side {
        Side::Below if is_below => Kept::default(),
        Side::Above if is_above && !is_below => Kept::default(),
        Side::Below if !is_above => part_of(bucket.count, (lower, value), upper - lower),
        Side::Above if !is_below => part_of(bucket.count, (value, upper), upper - lower),
        _ => Kept { count: bucket.count, middle: f64::midpoint(lower, upper) },
    }
}

fn part_of(count: f64, (from, to): (f64, f64), width: f64) -> Kept {
    Kept { count: count * ((to - from) / width), middle: f64::midpoint(from, to) }
}

/// The value that stands for those between two bounds.
fn middle_of(lower: f64, upper: f64, shape: Shape) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) => {
            if upper > 0.0 {
                upper / 2.0
            } else {
                upper
            }
        }
        (false, true) => lower,
        (false, false) if shape.is_custom => f64::midpoint(lower, upper),
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if shape.is_positive { mean } else { -mean }
        }
    }
}
