//! Aggregates of plain lists.

use super::{Agg, Expected, GroupAgg};

/// What additions in another order may change, relative to the sum of what is added.
const ADDITIONS: f64 = 1e-9;

/// The aggregate of the points of a bucket `[start, start + width)`, sorted by time; `None` where it has no value.
pub(super) fn of_points(points: &[(i64, f64)], agg: Agg, start: i64, width: i64) -> Option<Expected> {
    let (first, last) = (points.first()?, points.last()?);
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    match agg {
        Agg::Avg => Some(averaged(added(&values), values.len())),
        Agg::Min => Some(Expected::exact(least(&values))),
        Agg::Max => Some(Expected::exact(greatest(&values))),
        Agg::Sum => Some(added(&values)),
        Agg::Count => Some(Expected::exact(float(values.len()))),
        Agg::First => Some(Expected::exact(first.1)),
        Agg::Last => Some(Expected::exact(last.1)),
        Agg::Quantile(q) => Some(quantile(values, q)),
        // The window (b − 1 ms, b + w − 1 ms] holds the points of [b, b + w).
        Agg::Rate => extrapolated(points, start - 1, start + width - 1, true),
        Agg::Increase => extrapolated(points, start - 1, start + width - 1, false),
    }
}

/// The values of a group's series as one; `None` if there are none.
pub(super) fn combine(group_agg: GroupAgg, values: &[Expected]) -> Option<Expected> {
    if values.is_empty() {
        return None;
    }
    let plain: Vec<f64> = values.iter().map(|expected| expected.value).collect();
    let slack: f64 = values.iter().map(|expected| expected.slack).sum();
    let sketched: f64 = values.iter().map(|expected| expected.sketched).sum();
    let loosened = |of: Expected, share: f64| Expected {
        value: of.value,
        slack: of.slack + slack / share,
        sketched: sketched / share,
    };
    let count = float(values.len());
    Some(match group_agg {
        GroupAgg::Sum => loosened(added(&plain), 1.0),
        GroupAgg::Avg => loosened(averaged(added(&plain), values.len()), count),
        GroupAgg::Min => loosened(Expected::exact(least(&ascending(plain))), 1.0),
        GroupAgg::Max => loosened(Expected::exact(greatest(&descending(plain))), 1.0),
        GroupAgg::Count => Expected::exact(count),
    })
}

/// So that the first of equals is −0, not 0.
fn ascending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// So that the first of equals is 0, not −0.
fn descending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[expect(clippy::cast_precision_loss, reason = "tests hold far fewer than 2^53 points")]
fn float(count: usize) -> f64 {
    count as f64
}

fn added(values: &[f64]) -> Expected {
    let value = values.iter().sum::<f64>();
    let slack = slack(values, 1.0);
    // A sum starts at zero, so −0 alone gives 0.
    Expected { value: value + 0.0, slack, sketched: 0.0 }
}

/// What the order of additions may make of a sum of terms, times a factor. An infinity or NaN among them decides the
/// sum, whatever the order, unless the finite ones overflow among themselves: then anything may come out.
fn slack(terms: &[f64], factor: f64) -> f64 {
    let magnitude: f64 = terms.iter().filter(|term| term.is_finite()).map(|term| term.abs()).sum();
    let decided = terms.iter().any(|term| !term.is_finite());
    if decided && magnitude.is_finite() { 0.0 } else { magnitude * factor * ADDITIONS }
}

fn averaged(sum: Expected, count: usize) -> Expected {
    Expected { value: sum.value / float(count), slack: sum.slack / float(count), sketched: 0.0 }
}

/// The least value, the earlier of equals; NaN only if all are.
fn least(values: &[f64]) -> f64 {
    let ordered = values.iter().copied().filter(|value| !value.is_nan());
    ordered.reduce(|least, value| if value < least { value } else { least }).unwrap_or(f64::NAN)
}

/// The greatest value, the earlier of equals; NaN only if all are.
fn greatest(values: &[f64]) -> f64 {
    let ordered = values.iter().copied().filter(|value| !value.is_nan());
    ordered.reduce(|greatest, value| if value > greatest { value } else { greatest }).unwrap_or(f64::NAN)
}

/// The value at the nearest rank, NaN being the lowest.
fn quantile(mut values: Vec<f64>, q: f64) -> Expected {
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.total_cmp(b),
    });
    // A product that is whole but for rounding is whole: 0.95 of 20 is 19.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let rank = (q * float(values.len()) - 1e-9).ceil() as usize;
    let value = values[rank.clamp(1, values.len()) - 1];
    let sketched = if value.is_finite() { value.abs() } else { 0.0 };
    // Below the smallest normal number a relative bound means nothing.
    Expected { value, slack: f64::MIN_POSITIVE, sketched }
}

/// Prometheus' `extrapolatedRate` of a counter over the window `(from, to]`, in ms.
fn extrapolated(points: &[(i64, f64)], from: i64, to: i64, per_second: bool) -> Option<Expected> {
    if points.len() < 2 {
        return None;
    }
    let ((first_ts, first), (last_ts, last)) = (points[0], points[points.len() - 1]);
    let mut increase = last - first;
    let mut terms = vec![last, first];
    for pair in points.windows(2) {
        if pair[1].1 < pair[0].1 {
            increase += pair[0].1;
            terms.push(pair[0].1);
        }
    }
    let seconds = |from_ms: i64, to_ms: i64| float(usize::try_from(to_ms - from_ms).unwrap_or(0)) / 1_000.0;
    let sampled = seconds(first_ts, last_ts);
    let between = sampled / float(points.len() - 1);
    let threshold = between * 1.1;
    let mut to_start = seconds(from, first_ts);
    let mut to_end = seconds(last_ts, to);
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if increase > 0.0 && first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor /= seconds(from, to);
    }
    Some(Expected { value: increase * factor, slack: slack(&terms, factor), sketched: 0.0 })
}
