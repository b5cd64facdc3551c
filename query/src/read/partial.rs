//! What one bucket of one series becomes on its way through a query.

use std::cmp::Ordering;

use hot::{HotError, ScanStats, View};
use schemas::points::is_sample;
use schemas::rollup::{Aggregate, Bucket, Moments, Rollup, Totals, aggregate_by_bucket, bucketize};
use schemas::sketch::nearest_rank;
use schemas::{DurationMs, Hour, Points, Resolution, SeriesAddress};

use crate::request::Agg;

/// Rows of one hour as RocksDB has them.
pub(crate) struct StoredRows<'a> {
    pub(crate) view: &'a View,
    pub(crate) hour: Hour,
    pub(crate) resolution: Resolution,
    /// Sorted.
    pub(crate) addresses: &'a [SeriesAddress],
}

/// What is told of a row: the index into the addresses, the start of the bucket, and its partial.
pub(crate) type EachRow<'a, P> = &'a mut dyn FnMut(usize, i64, P);

/// A monoid over time-ordered parts that every tier can give.
pub(crate) trait Partial: Clone + Send + Sync + 'static {
    /// Cuts settled points into buckets, in order.
    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self));

    /// Reads stored rows, in the order of their addresses.
    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError>;

    /// Whether rows must come with their sketches.
    const SKETCHES: bool;

    /// From a row of Delta.
    fn of_bucket(bucket: &Bucket) -> Self;

    /// Appends a later part.
    fn append(&mut self, later: &Self);

    /// Memory beside the value itself.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A partial that answers for a bucket with one number.
pub(crate) trait Summary: Partial {
    /// Joins another series' part of the same bucket.
    fn join(&mut self, other: &Self);

    /// The value of the bucket `[start, start + width)`, and the bound of its relative error (0: exact).
    fn value(&self, agg: Agg, start: i64, width: i64) -> Option<(f64, f64)>;
}

/// A summary that has everything a stored row has.
pub(crate) trait RowSummary: Summary {
    fn moments(&self) -> &Moments;

    /// The `q`-quantile with the bound of its relative error (0: exact).
    fn quantile(&self, q: f64) -> Option<(f64, f64)>;
}

/// The value of a bucket that has moments.
fn value_of(row: &impl RowSummary, agg: Agg, start: i64, width: i64) -> Option<(f64, f64)> {
    let moments = row.moments();
    let exact = match agg {
        Agg::Avg | Agg::Min | Agg::Max | Agg::Sum | Agg::Count => {
            return Totals::of_moments(moments).value(agg, start, width);
        }
        _ if moments.count == 0 => None,
        Agg::First => Some(moments.first),
        Agg::Last => Some(moments.last),
        Agg::Quantile(q) => return row.quantile(q),
        // (b − 1 ms, b + w − 1 ms] holds the same points as [b, b + w).
        Agg::Rate => moments.extrapolated_increase(start - 1, start + width - 1, true),
        Agg::Increase => moments.extrapolated_increase(start - 1, start + width - 1, false),
    };
    exact.map(|value| (value, 0.0))
}

impl Partial for Totals {
    const SKETCHES: bool = false;

    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        aggregate_by_bucket(&points.timestamps, &points.values, width, emit);
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        scan_aggregates(rows, each)
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        Self::of_moments(&bucket.moments().closed())
    }

    fn append(&mut self, later: &Self) {
        *self = self.combine(later);
    }
}

/// Answers what [`Agg::is_of_totals`] says; has no value for the others.
impl Summary for Totals {
    fn join(&mut self, other: &Self) {
        let (min, max) = (lesser(self.min, other.min), greater(self.max, other.max));
        *self = Self { min, max, ..self.combine(other) };
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of samples is far below 2^53")]
    fn value(&self, agg: Agg, _start: i64, _width: i64) -> Option<(f64, f64)> {
        let value = match agg {
            _ if self.count == 0 => return None,
            Agg::Avg => self.avg()?,
            Agg::Min => self.min,
            Agg::Max => self.max,
            Agg::Sum => self.sum,
            Agg::Count => self.count as f64,
            Agg::First | Agg::Last | Agg::Quantile(_) | Agg::Rate | Agg::Increase => return None,
        };
        Some((value, 0.0))
    }
}

/// Rows of RocksDB, or chunks cut into buckets.
fn scan_aggregates<A: Aggregate>(rows: &StoredRows<'_>, each: EachRow<'_, A>) -> Result<ScanStats, HotError> {
    let width = rows.resolution.width().unwrap_or(DurationMs::MINUTE);
    rows.view.scan_aggregates(rows.hour, width, rows.addresses, &mut |at, buckets| {
        for &(start, part) in buckets {
            each(at, start, part);
        }
    })
}

impl Partial for Moments {
    const SKETCHES: bool = false;

    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        aggregate_by_bucket(&points.timestamps, &points.values, width, emit);
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        scan_aggregates(rows, each)
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        bucket.moments().closed()
    }

    fn append(&mut self, later: &Self) {
        Self::append(self, later);
    }
}

impl Summary for Moments {
    fn join(&mut self, other: &Self) {
        *self = joined(self, other);
    }

    fn value(&self, agg: Agg, start: i64, width: i64) -> Option<(f64, f64)> {
        value_of(self, agg, start, width)
    }
}

impl RowSummary for Moments {
    fn moments(&self) -> &Moments {
        self
    }

    fn quantile(&self, _q: f64) -> Option<(f64, f64)> {
        None
    }
}

/// The moments of two series together. Count, sum, min and max are those of all points; first and last are by time,
/// and where two series have the same time, the lesser is first and the greater last, so that order plays no part; nor
/// does it for the extremes, as −0 is less than 0. Resets are a series' own and have no meaning here.
fn joined(a: &Moments, b: &Moments) -> Moments {
    match (a.count, b.count) {
        (_, 0) => return *a,
        (0, _) => return *b,
        _ => {}
    }
    let mut both = a.combine(b);
    let first = if (a.first_ts, OrderedFloat(a.first)) <= (b.first_ts, OrderedFloat(b.first)) { a } else { b };
    let last = if (a.last_ts, OrderedFloat(a.last)) >= (b.last_ts, OrderedFloat(b.last)) { a } else { b };
    (both.first_ts, both.first) = (first.first_ts, first.first);
    (both.last_ts, both.last) = (last.last_ts, last.last);
    (both.min, both.max) = (lesser(a.min, b.min), greater(a.max, b.max));
    both
}

/// The lesser of two series' minima; NaN only if both are.
fn lesser(a: f64, b: f64) -> f64 {
    let first = match a.partial_cmp(&b) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => a.is_sign_negative(),
        Some(Ordering::Greater) => false,
        None => b.is_nan(),
    };
    if first { a } else { b }
}

/// The greater of two series' maxima; NaN only if both are.
fn greater(a: f64, b: f64) -> f64 {
    -lesser(-a, -b)
}

/// Floats in IEEE 754 total order.
struct OrderedFloat(f64);

impl PartialEq for OrderedFloat {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq()
    }
}

impl PartialOrd for OrderedFloat {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.total_cmp(&other.0))
    }
}

impl Partial for Rollup {
    const SKETCHES: bool = true;

    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        bucketize(&points.timestamps, &points.values, width, |bucket| {
            emit(bucket.start.timestamp().0, bucket.closed());
        });
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        rows.view.scan_buckets(rows.hour, rows.resolution, rows.addresses, &mut |at, buckets| {
            for bucket in buckets {
                each(at, bucket.start.timestamp().0, bucket.closed());
            }
        })
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        bucket.closed()
    }

    fn append(&mut self, later: &Self) {
        Rollup::append(self, later);
    }

    fn heap_bytes(&self) -> usize {
        // An index and a count for each bin in use.
        (self.sketch.positive().count() + self.sketch.negative().count()) * 12
    }
}

impl Summary for Rollup {
    fn join(&mut self, other: &Self) {
        self.moments = joined(&self.moments, &other.moments);
        self.sketch.merge(&other.sketch);
    }

    fn value(&self, agg: Agg, start: i64, width: i64) -> Option<(f64, f64)> {
        value_of(self, agg, start, width)
    }
}

impl RowSummary for Rollup {
    fn moments(&self) -> &Moments {
        &self.moments
    }

    fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        let value = Rollup::quantile(self, q)?;
        // By rank, not by value: an estimate in between may be held to an end.
        let Moments { count, nan_count, .. } = self.moments;
        let rank = nearest_rank(q, count);
        let at_an_end = rank == count || rank <= nan_count + 1;
        Some((value, if at_an_end { 0.0 } else { self.sketch.relative_error() }))
    }
}

/// Points themselves: a part holds those of one hour. Coarser rows stand in with their averages.
impl Partial for Points {
    const SKETCHES: bool = false;

    fn cut(points: &Points, _width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        if let Some(&first) = points.timestamps.first() {
            emit(first, points.clone());
        }
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        Moments::scan(rows, &mut |at, start, moments| each(at, start, average(start, &moments)))
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        average(bucket.start.timestamp().0, &bucket.moments().closed())
    }

    fn append(&mut self, later: &Self) {
        self.extend_from(later);
    }

    fn heap_bytes(&self) -> usize {
        self.len() * 16 + self.histograms.bytes()
    }
}

/// The average of a bucket as a point at its start; nothing of a bucket without samples.
fn average(start: i64, moments: &Moments) -> Points {
    let mut points = Points::default();
    if let Some(avg) = moments.avg() {
        points.push(start, avg);
    }
    points
}

/// The points of a series that are floats: staleness markers say that there is none, and native histograms are for PromQL.
pub(crate) fn values_of(points: &Points) -> impl Iterator<Item = (i64, f64)> + '_ {
    points.iter().filter(|(_, value)| is_sample(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_series_does_not_depend_on_their_order() {
        let a = Moments::from_points(&[1, 5], &[3.0, 7.0]);
        let b = Moments::from_points(&[1, 4], &[2.0, 9.0]);
        for both in [joined(&a, &b), joined(&b, &a)] {
            assert_eq!((both.count, both.sum, both.min, both.max), (4, 21.0, 2.0, 9.0));
            assert_eq!((both.first_ts, both.first, both.last_ts, both.last), (1, 2.0, 5, 7.0));
        }
        let signed = |value: f64| Moments::from_points(&[1], &[value]);
        for (a, b) in [(0.0, -0.0), (-0.0, 0.0)] {
            let both = joined(&signed(a), &signed(b));
            let mut totals = Totals::of_value(a);
            totals.join(&Totals::of_value(b));
            for (min, max) in [(both.min, both.max), (totals.min, totals.max)] {
                assert!(min.is_sign_negative() && max.is_sign_positive(), "−0 is the least, 0 the greatest");
            }
        }
        assert_eq!(lesser(f64::NAN, 1.0).to_bits(), greater(1.0, f64::NAN).to_bits());
        assert_eq!(joined(&Moments::EMPTY, &a), a);
        assert_eq!(joined(&a, &Moments::EMPTY), a);
    }

    #[test]
    fn a_bucket_without_samples_has_no_value() {
        let stale = Moments::from_points(&[1], &[schemas::points::stale()]);
        assert_eq!(stale.value(Agg::Count, 0, 60_000), None);
    }

    #[test]
    fn an_estimate_that_is_held_to_an_end_is_no_exact_value() {
        // The 99th of 100 lies in the bin of the greatest, and its estimate above it.
        let values: Vec<f64> = (0..100).map(|i| if i < 98 { 1.0 } else { 100.0 + f64::from(i - 98) / 10.0 }).collect();
        let rollup = Rollup::from_points(&(0..100).collect::<Vec<_>>(), &values);
        let (value, error) = RowSummary::quantile(&rollup, 0.99).expect("counted");
        assert!(error > 0.0 && (value - 100.0).abs() <= 100.0 * error, "{value} within {error}");
        assert_eq!(RowSummary::quantile(&rollup, 1.0), Some((100.1, 0.0)));
    }

    #[test]
    fn rate_is_prometheus_rate_of_the_same_points() {
        // 0, 10, …, 50 s in a minute: the window (−1 ms, 59.999 s]; sampled 50 s, extrapolated to both ends.
        let ts: Vec<i64> = (0..6).map(|i| i * 10_000).collect();
        let counter: Vec<f64> = (0..6).map(|i| f64::from(i) * 5.0 + 100.0).collect();
        let moments = Moments::from_points(&ts, &counter);
        let (increase, _) = moments.value(Agg::Increase, 0, 60_000).expect("two samples");
        let (rate, _) = moments.value(Agg::Rate, 0, 60_000).expect("two samples");
        assert!((increase - 30.0).abs() < 1e-9, "{increase}");
        assert!((rate - 0.5).abs() < 1e-9, "{rate}");
    }
}
