//! From OTLP's histograms to native ones, and the sum of two.
//!
//! exponential buckets ─▶ [`exponential`] ─▶ [`Histogram`] with a schema of at most 8
//! explicit bounds ─▶ [`custom`] ─▶ [`Histogram`] with custom buckets
//!
//! Both give integer histograms. OTLP's bucket `i` holds `(base^i, base^(i+1)]` and so has index `i + 1` here. The zero
//! threshold is Prometheus' constant, whatever the sender says.

use std::collections::BTreeMap;

use schemas::RejectReason;
use schemas::histogram::{Buckets, Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN};

use super::points::{self, Explicit, Exponential, rounded};

/// The zero threshold of histograms that came by OTLP.
const ZERO_THRESHOLD: f64 = 1e-128;

/// A data point with exponential buckets as a native histogram.
pub(super) fn exponential(point: &Exponential<'_>) -> Result<Histogram, RejectReason> {
    let schema = i32::try_from(point.scale).ok().filter(|scale| *scale >= SCHEMA_MIN);
    let Some(schema) = schema else {
        return Err(invalid(format!("scale {} is below {SCHEMA_MIN} or out of range", point.scale)));
    };
    let down = u32::try_from(schema.saturating_sub(SCHEMA_MAX)).unwrap_or(0);
    checked(Histogram {
        schema: schema.min(SCHEMA_MAX),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: rounded(point.zero_count),
        count: rounded(point.count),
        sum: point.sum.unwrap_or(0.0),
        positive: buckets(&point.positive, down)?,
        negative: buckets(&point.negative, down)?,
        is_integer: true,
        ..Histogram::default()
    })
}

/// Buckets with `down` steps of resolution taken from them.
fn buckets(given: &points::Buckets, down: u32) -> Result<Buckets, RejectReason> {
    within_size(given.counts.len())?;
    // So that no index leaves its range on the way; one that is out of range in the end is found by the check.
    let Ok(offset) = i32::try_from(given.offset) else {
        return Err(invalid(format!("a bucket has the index {}", given.offset)));
    };
    let filled = (i64::from(offset)..).zip(&given.counts).filter(|(_, count)| **count > 0);
    // More than 63 steps leave of an index what 63 do: its sign.
    Ok(Buckets::from_indexed(filled.map(|(index, count)| ((index >> down.min(63)) + 1, rounded(*count)))))
}

/// A data point with explicit bounds as a native histogram.
pub(super) fn custom(point: &Explicit<'_>) -> Result<Histogram, RejectReason> {
    within_size(point.counts.len())?;
    let counts = (0_i64..).zip(&point.counts).filter(|(_, count)| **count > 0);
    checked(Histogram {
        schema: SCHEMA_CUSTOM,
        count: rounded(point.count),
        sum: point.sum.unwrap_or(0.0),
        positive: Buckets::from_indexed(counts.map(|(index, count)| (index, rounded(*count)))),
        custom_values: point.bounds.clone(),
        is_integer: true,
        ..Histogram::default()
    })
}

/// The observations of both; those of the newer alone where their custom bounds differ.
pub(super) fn merged(older: &Histogram, newer: &Histogram) -> Histogram {
    let comparable = (older.schema == SCHEMA_CUSTOM) == (newer.schema == SCHEMA_CUSTOM);
    if !comparable || older.custom_values != newer.custom_values {
        return newer.clone();
    }
    let (mut older, mut newer) = (older.clone(), newer.clone());
    if newer.schema != SCHEMA_CUSTOM {
        let schema = older.schema.min(newer.schema);
        older.reduce_resolution_to(schema);
        newer.reduce_resolution_to(schema);
    }
    Histogram {
        zero_count: older.zero_count + newer.zero_count,
        count: older.count + newer.count,
        sum: older.sum + newer.sum,
        positive: both(&older.positive, &newer.positive),
        negative: both(&older.negative, &newer.negative),
        ..newer
    }
}

fn both(a: &Buckets, b: &Buckets) -> Buckets {
    let mut counts = BTreeMap::new();
    for (index, count) in a.iter().chain(b.iter()).filter(|(_, count)| *count > 0.0) {
        *counts.entry(index).or_insert(0.0) += count;
    }
    Buckets::from_indexed(counts.into_iter())
}

fn within_size(buckets: usize) -> Result<(), RejectReason> {
    let limit = schemas::histogram::BUCKETS_MAX;
    if buckets <= limit { Ok(()) } else { Err(invalid(format!("more than {limit} buckets"))) }
}

fn checked(histogram: Histogram) -> Result<Histogram, RejectReason> {
    match histogram.validate() {
        Ok(()) => Ok(histogram),
        Err(error) => Err(invalid(error.to_string())),
    }
}

fn invalid(what: String) -> RejectReason {
    RejectReason::InvalidValue(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i64, offset: i64, counts: &[u64]) -> Exponential<'static> {
        let positive = points::Buckets { offset, counts: counts.to_vec() };
        Exponential { count: counts.iter().sum(), sum: Some(1.5), scale, positive, ..Exponential::default() }
    }

    fn indexed(buckets: &Buckets) -> Vec<(i64, f64)> {
        buckets.iter().filter(|(_, count)| *count > 0.0).collect()
    }

    #[test]
    fn buckets_keep_their_bounds() {
        let histogram = exponential(&point(0, -2, &[1, 0, 0, 0, 0, 2, 3])).expect("valid");
        assert_eq!((histogram.schema, histogram.count, histogram.sum), (0, 6.0, 1.5));
        // (0.25, 0.5], (8, 16], (16, 32].
        assert_eq!(indexed(&histogram.positive), [(-1, 1.0), (4, 2.0), (5, 3.0)]);
    }

    #[test]
    fn finer_scales_than_there_are_lose_resolution() {
        let histogram = exponential(&point(10, -3, &[1, 2, 3, 4, 5, 6])).expect("valid");
        assert_eq!(histogram.schema, SCHEMA_MAX);
        // Indexes -3 to 2 by four: -1 (-3, -2, -1), 0 (0, 1, 2); one more each.
        assert_eq!(indexed(&histogram.positive), [(0, 6.0), (1, 15.0)]);
        let histogram = exponential(&point(200, 5, &[1, 2])).expect("valid");
        assert_eq!(indexed(&histogram.positive), [(1, 3.0)]);
    }

    #[test]
    fn what_no_native_histogram_can_say_is_refused() {
        for point in [
            point(-5, 0, &[1]),
            point(i64::MAX, 0, &[1]),
            point(0, i64::from(i32::MAX), &[1]),
            Exponential { count: 7, ..point(0, 0, &[1]) },
        ] {
            assert_eq!(exponential(&point).map_err(|reason| reason.code()), Err("invalid_value"));
        }
        let falling = Explicit { count: 1, counts: vec![1, 0, 0], bounds: vec![2.0, 1.0], ..Explicit::default() };
        assert!(custom(&falling).is_err());
    }

    #[test]
    fn sums_of_histograms_have_the_coarser_resolution() {
        let fine = exponential(&point(1, 0, &[1, 2, 3])).expect("valid");
        let coarse = exponential(&point(0, 0, &[10])).expect("valid");
        let sum = merged(&fine, &coarse);
        assert_eq!((sum.schema, sum.count, sum.sum), (0, 16.0, 3.0));
        assert_eq!(indexed(&sum.positive), [(1, 13.0), (2, 3.0)]);
        assert_eq!(merged(&coarse, &fine).positive, sum.positive);
        assert_eq!(sum.validate(), Ok(()));
    }

    #[test]
    fn histograms_of_other_bounds_start_anew() {
        let of = |bounds: &[f64]| {
            let counts = vec![1; bounds.len() + 1];
            let count = counts.iter().sum();
            custom(&Explicit { count, counts, bounds: bounds.to_vec(), ..Explicit::default() }).expect("valid")
        };
        let (a, b) = (of(&[1.0, 2.0]), of(&[1.0, 3.0]));
        assert_eq!(merged(&a, &b), b);
        assert_eq!(indexed(&merged(&a, &a).positive), [(0, 2.0), (1, 2.0), (2, 2.0)]);
    }
}
