//! Classic histograms: a series for each bucket, whose label `le` is its upper bound and whose count is of all below.

use crate::histogram::Subject;
use crate::math::shortest;
use crate::notes::Notes;

/// A relative difference of counts that small is taken for one of rounding.
const SMALL_DELTA: f64 = 1e-12;

/// A bucket at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// Of `le`; not NaN.
    pub upper: f64,
    /// Of all observations up to there.
    pub count: f64,
}

/// Counts that went down from one bucket to the next, and were lifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forced {
    /// Upper bounds of the lowest and highest bucket that were.
    pub min_bucket: f64,
    pub max_bucket: f64,
    /// The greatest difference.
    pub max_diff: f64,
}

/// What was forced at several steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedSteps {
    forced: Forced,
    /// Steps.
    count: u64,
    /// The first and last of them, ms.
    first: i64,
    last: i64,
}

impl ForcedSteps {
    pub fn new(forced: Forced, step_ms: i64) -> Self {
        Self { forced, count: 1, first: step_ms, last: step_ms }
    }

    /// Of the same metric, at other steps.
    pub fn merge(&mut self, other: &Self) {
        self.forced.min_bucket = self.forced.min_bucket.min(other.forced.min_bucket);
        self.forced.max_bucket = self.forced.max_bucket.max(other.forced.max_bucket);
        self.forced.max_diff = self.forced.max_diff.max(other.forced.max_diff);
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    pub fn note(&self, subject: Subject<'_>, notes: &mut Notes) {
        let of = subject.named();
        let Forced { min_bucket, max_bucket, max_diff } = self.forced;
        subject.inform(
            notes,
            format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){of}, from \
                 buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                shortest(min_bucket),
                shortest(max_bucket),
                two_digits(max_diff),
                self.count,
                rfc3339(self.first),
                rfc3339(self.last),
            ),
        );
    }
}

/// As Go's `%.2g`.
fn two_digits(value: f64) -> String {
    shortest(format!("{value:.1e}").parse().unwrap_or(value))
}

fn rfc3339(ms: i64) -> String {
    use super::{DatePart as P, date_part};
    #[expect(clippy::cast_precision_loss, reason = "storable times are below 2^48")]
    let seconds = (ms / 1000) as f64;
    let part = |part| date_part(part, seconds);
    let second = (ms / 1000).rem_euclid(60);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{second:02}Z",
        part(P::Year),
        part(P::Month),
        part(P::DayOfMonth),
        part(P::Hour),
        part(P::Minute)
    )
}

/// The value below which a part of the observations lies, on a line between the bounds of its bucket: −Inf below 0,
/// +Inf above 1, NaN where there is no bucket up to +Inf, no other one, or no observation. Brings the buckets in
/// order.
pub fn quantile(quantile: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if quantile.is_nan() {
        return (f64::NAN, None);
    }
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, None);
    }
    if !settle(buckets) {
        return (f64::NAN, None);
    }
    let forced = force_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = quantile * observations;
    // By halves, as counts may be NaN, and then are in no order.
    let (mut at, mut end) = (0, last);
    while at < end {
        let middle = at.midpoint(end);
        if buckets[middle].count >= rank { end = middle } else { at = middle + 1 }
    }
    let value = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let below = at.checked_sub(1).map_or(ClassicBucket { upper: 0.0, count: 0.0 }, |before| buckets[before]);
        let inside = (rank - below.count) / (buckets[at].count - below.count);
        below.upper + (buckets[at].upper - below.upper) * inside
    };
    (value, forced)
}

/// The part of the observations between two values. Brings the buckets in order.
pub fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !settle(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below = |value: f64| rank_of(value, buckets).map_or(count, |rank| if rank > count { count } else { rank });
    (below(upper) - below(lower)) / count
}

/// How many observations lie below a value; `None` where it is above all buckets.
fn rank_of(value: f64, buckets: &[ClassicBucket]) -> Option<f64> {
    // The lowest bucket begins at zero if it ends above it.
    let mut lower = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            // How observations lie in a bucket without a bound is not known.
            let is_open = lower == f64::NEG_INFINITY;
            let inside = (bucket.count - rank) * (value - lower) / (bucket.upper - lower);
            return Some(if is_open { bucket.count } else { rank + inside });
        }
        (rank, lower) = (bucket.count, bucket.upper);
    }
    None
}

/// Brings buckets in order, those of one bound in one. False if there is none up to +Inf.
fn settle(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return false;
    }
    #[expect(clippy::float_cmp, reason = "asks for the same bound")]
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Lifts counts that went down; small differences, either way, are leveled and not spoken of.
fn force_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if is_almost(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let known = forced.get_or_insert(Forced {
                min_bucket: bucket.upper,
                max_bucket: bucket.upper,
                max_diff: before - count,
            });
            known.max_bucket = bucket.upper;
            known.max_diff = known.max_diff.max(before - count);
        } else {
            before = count;
        }
    }
    forced
}

#[expect(clippy::float_cmp, reason = "equal counts need no tolerance")]
fn is_almost(a: f64, b: f64) -> bool {
    if a == b || a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}
