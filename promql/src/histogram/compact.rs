//! The same histogram with as few buckets as possible, and whether two are the same.

use schemas::histogram::{Buckets, Histogram};

use super::buckets::indexed;
use super::layout::{spans, uses_custom_buckets};

/// Without empty buckets, and with neighbours in one span.
#[must_use]
pub fn compact(mut histogram: Histogram) -> Histogram {
    for side in [&mut histogram.positive, &mut histogram.negative] {
        *side = spans(indexed(side).filter(|&(_, count)| count != 0.0));
    }
    histogram
}

/// Whether both have the same counts in the same buckets, bit for bit. Empty buckets count, hints of resets do not.
pub fn equal(left: &Histogram, right: &Histogram) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    #[expect(clippy::float_cmp, reason = "the same histogram has the same thresholds and bounds")]
    let same_layout = left.schema == right.schema
        && left.zero_threshold == right.zero_threshold
        && (!uses_custom_buckets(left) || left.custom_values == right.custom_values);
    same_layout
        && same(left.count, right.count)
        && same(left.sum, right.sum)
        && same(left.zero_count, right.zero_count)
        && same_buckets(&left.positive, &right.positive)
        && same_buckets(&left.negative, &right.negative)
}

fn same_buckets(left: &Buckets, right: &Buckets) -> bool {
    indexed(left)
        .map(|(index, count)| (index, count.to_bits()))
        .eq(indexed(right).map(|(i, count)| (i, count.to_bits())))
}
