//! Buckets as a list of indexes and sums: what arithmetic works on, and how layouts are made to agree.

use schemas::histogram::{Buckets, Histogram, SCHEMA_CUSTOM, Span};

use super::bounds;
use super::buckets::indexed;
use crate::math::Kahan;

/// Buckets of one sign by index, each index once.
pub(super) type Cells = Vec<(i32, Kahan)>;

pub(super) fn cells(buckets: &Buckets) -> Cells {
    indexed(buckets).map(|(index, count)| (index, Kahan::new(count, 0.0))).collect()
}

/// As spans, neighbours in one.
pub(super) fn spans(cells: impl IntoIterator<Item = (i32, f64)>) -> Buckets {
    let mut buckets = Buckets::default();
    let mut next: Option<i32> = None;
    for (index, count) in cells {
        match buckets.spans.last_mut() {
            Some(span) if next == Some(index) => span.length += 1,
            _ => buckets.spans.push(Span { offset: index.saturating_sub(next.unwrap_or(0)), length: 1 }),
        }
        buckets.counts.push(count);
        next = Some(index.saturating_add(1));
    }
    buckets
}

/// In a coarser schema.
pub(super) fn reduce(cells: &Cells, schema: i32, target: i32) -> Cells {
    let mut reduced = Cells::with_capacity(cells.len());
    for &(index, count) in cells {
        let index = bounds::coarser(index, schema, target);
        match reduced.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.and(count),
            _ => reduced.push((index, count)),
        }
    }
    reduced
}

/// Adds cells of the same schema.
pub(super) fn merge(cells: &Cells, others: &[(i32, Kahan)]) -> Cells {
    let mut merged = Cells::with_capacity(cells.len() + others.len());
    let (mut left, mut right) = (cells.iter().peekable(), others.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(&&(a, x)), Some(&&(b, y))) if a == b => {
                merged.push((a, x.and(y)));
                left.next();
                right.next();
            }
            (Some(&&a), Some(&&b)) if a.0 < b.0 => {
                merged.push(a);
                left.next();
            }
            (Some(&&a), None) => {
                merged.push(a);
                left.next();
            }
            (_, Some(&&b)) => {
                merged.push(b);
                right.next();
            }
            (None, None) => return merged,
        }
    }
}

/// Custom bounds that both have.
pub(super) fn intersection(bounds: &[f64], others: &[f64]) -> Vec<f64> {
    bounds.iter().copied().filter(|bound| others.binary_search_by(|other| other.total_cmp(bound)).is_ok()).collect()
}

/// In custom buckets with fewer bounds, all of them among those before.
pub(super) fn rebound(cells: &Cells, bounds: &[f64], target: &[f64]) -> Cells {
    let mut mapped = Cells::with_capacity(cells.len());
    for &(index, count) in cells {
        let upper = bounds::upper(index, SCHEMA_CUSTOM, bounds);
        let index = i32::try_from(target.partition_point(|&bound| bound < upper)).unwrap_or(i32::MAX);
        match mapped.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.and(count),
            _ => mapped.push((index, count)),
        }
    }
    mapped
}

/// Whether buckets have custom bounds.
pub fn uses_custom_buckets(histogram: &Histogram) -> bool {
    histogram.schema == SCHEMA_CUSTOM
}

/// In a coarser schema; as it is, if the schema is not coarser, or bounds are custom.
#[must_use]
pub fn reduced(histogram: &Histogram, schema: i32) -> Histogram {
    if histogram.schema <= schema || uses_custom_buckets(histogram) || schema == SCHEMA_CUSTOM {
        return histogram.clone();
    }
    let side = |buckets: &Buckets| {
        let cells = reduce(&cells(buckets), histogram.schema, schema);
        spans(cells.into_iter().map(|(index, count)| (index, count.total())))
    };
    Histogram { schema, positive: side(&histogram.positive), negative: side(&histogram.negative), ..histogram.clone() }
}
