//! Histograms as text.

use std::fmt::Write as _;

use schemas::histogram::Histogram;

use super::buckets::{negative, positive, zero};
use crate::math::shortest;

/// `{count:7, sum:20, [-2,-1):1, [-0.001,0.001]:2, (1,2]:4}`: populated buckets, lowest first.
pub fn describe(histogram: &Histogram) -> String {
    let mut text = format!("{{count:{}, sum:{}", shortest(histogram.count), shortest(histogram.sum));
    let mut buckets: Vec<_> = negative(histogram).collect();
    buckets.reverse();
    buckets.push(zero(histogram));
    buckets.extend(positive(histogram));
    for bucket in buckets.iter().filter(|bucket| bucket.count != 0.0) {
        write!(text, ", {bucket}").expect("writing to a string cannot fail");
    }
    text.push('}');
    text
}
