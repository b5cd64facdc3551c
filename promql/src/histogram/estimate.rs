//! What is estimated from a histogram, assuming how values lie within a bucket: evenly in custom buckets and around
//! zero, evenly on a logarithmic scale in exponential ones.

use schemas::histogram::Histogram;

use super::buckets::{Bucket, ascending, descending};
use super::layout::uses_custom_buckets;
use super::remarks::Subject;
use crate::math::Kahan;
use crate::notes::Notes;

/// Sum over count.
pub fn mean(histogram: &Histogram) -> f64 {
    histogram.sum / histogram.count
}

/// The variance, as if the values of a bucket were all in its middle.
pub fn variance(histogram: &Histogram) -> f64 {
    let (mean, is_custom) = (mean(histogram), uses_custom_buckets(histogram));
    let mut squares = Kahan::default();
    for bucket in ascending(histogram).iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if is_custom {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.has_zero() {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = middle - mean;
        squares.add(bucket.count * delta * delta);
    }
    (squares.sum() + squares.rest()) / histogram.count
}

/// The value below which a part of the observations lies: −Inf below 0, +Inf above 1, NaN of no observations. NaN
/// observations count as greater than all others, and are noted.
pub fn quantile(quantile: f64, histogram: &Histogram, subject: Subject<'_>, notes: &mut Notes) -> f64 {
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    if histogram.count == 0.0 || quantile.is_nan() {
        return f64::NAN;
    }
    let (has_nan, is_custom) = (histogram.sum.is_nan(), uses_custom_buckets(histogram));
    // From the end that is nearer; from the low one where NaN observations are in the count, but in no bucket.
    let is_from_below = has_nan || quantile < 0.5;
    let buckets = if is_from_below { ascending(histogram) } else { descending(histogram) };
    let mut rank = if is_from_below { quantile } else { 1.0 - quantile } * histogram.count;
    let mut rest = buckets.iter();
    let (mut bucket, mut count) = (Bucket::default(), 0.0);
    for next in rest.by_ref() {
        bucket = *next;
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    if let Some(value) = fit_open_bucket(&mut bucket, histogram) {
        return value;
    }
    // Rounding may make it more.
    count = count.min(histogram.count);
    if count < rank {
        if has_nan {
            subject.quantile_is_nan(notes);
            return f64::NAN;
        }
        return bucket.upper;
    }
    rank = if is_from_below { rank - (count - bucket.count) } else { count - rank };
    if has_nan && count + rest.map(|bucket| bucket.count).sum::<f64>() < histogram.count {
        subject.quantile_is_skewed(notes);
    }
    let fraction = rank / bucket.count;
    if is_custom || bucket.has_zero() {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// Where a bucket has no bound, or holds zero, and values are of one sign alone, it ends at zero; of a bucket that
/// has no bound at all, gives the one that it has.
fn fit_open_bucket(bucket: &mut Bucket, histogram: &Histogram) -> Option<f64> {
    if !uses_custom_buckets(histogram) {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            close_at_zero(bucket, histogram);
        }
    } else if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return Some(bucket.upper);
        }
        bucket.lower = 0.0;
    } else if bucket.upper == f64::INFINITY {
        return Some(bucket.lower);
    }
    None
}

/// The zero bucket of values of one sign has zero as its other bound.
fn close_at_zero(bucket: &mut Bucket, histogram: &Histogram) {
    match (histogram.negative.counts.is_empty(), histogram.positive.counts.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The part of the observations between two values. NaN observations are in no part, and are noted.
pub fn fraction(lower: f64, upper: f64, histogram: &Histogram, subject: Subject<'_>, notes: &mut Notes) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let buckets = ascending(histogram);
    let mut count = histogram.count;
    if histogram.sum.is_nan() {
        count = buckets.iter().map(|bucket| bucket.count).sum();
        if count < histogram.count {
            subject.fraction_without_nan(notes);
        }
    }
    let below =
        |value: f64| rank_of(value, &buckets, histogram).map_or(count, |rank| if rank > count { count } else { rank });
    (below(upper) - below(lower)) / histogram.count
}

/// How many observations lie below a value; `None` where it is above all buckets.
fn rank_of(value: f64, buckets: &[Bucket], histogram: &Histogram) -> Option<f64> {
    let is_custom = uses_custom_buckets(histogram);
    let mut rank = 0.0;
    for bucket in buckets {
        let mut bucket = *bucket;
        let has_zero = bucket.has_zero();
        if has_zero {
            close_at_zero(&mut bucket, histogram);
        }
        if bucket.lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            let is_linear = is_custom || has_zero;
            if is_linear && bucket.lower == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            return Some(rank + bucket.count * bucket.fraction_below(value, is_linear));
        }
        rank += bucket.count;
    }
    None
}
