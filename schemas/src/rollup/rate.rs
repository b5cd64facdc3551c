//! Prometheus' extrapolation, from moments instead of samples: `rate`, `increase` and `delta` over `(t−r, t]`.
//!
//! Follows `extrapolatedRate` of Prometheus' `promql/functions.go` step by step, in the same order of operations. It
//! needs only the number of samples, the first and the last one, and the resets between them, so it gives the same
//! answer from a rollup as from raw points.

use super::Moments;

/// A first or last sample nearer to the end of the range than this many average intervals is extrapolated to it.
const EXTRAPOLATION_INTERVALS: f64 = 1.1;

/// What is known of the samples in a range: enough to tell by how much their change is stretched to stand for the
/// whole range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// How many there are.
    pub count: usize,
    /// Time of the first, ms.
    pub first_ts: i64,
    /// Time of the last, ms.
    pub last_ts: i64,
}

/// How samples lie in the range that their change is to stand for: all in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// From the first sample to the last.
    sampled: f64,
    /// How far the line through them is drawn out before the first.
    to_start: f64,
    /// And behind the last.
    to_end: f64,
}

impl Sampled {
    /// Of samples in `(start, end]`, both in ms. `None` below two.
    #[inline]
    pub fn spread(&self, range_start_ms_exclusive: i64, range_end_ms: i64) -> Option<Spread> {
        if self.count < 2 {
            return None;
        }
        let mut to_start = seconds(range_start_ms_exclusive, self.first_ts);
        let mut to_end = seconds(self.last_ts, range_end_ms);
        let sampled = seconds(self.first_ts, self.last_ts);
        #[expect(clippy::cast_precision_loss, reason = "a count of samples is far below 2^53")]
        let average = sampled / (self.count - 1) as f64;
        let threshold = average * EXTRAPOLATION_INTERVALS;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Some(Spread { sampled, to_start, to_end })
    }
}

impl Spread {
    /// By how much the observed change is multiplied.
    #[inline]
    pub fn extrapolation(&self) -> f64 {
        (self.sampled + self.to_start + self.to_end) / self.sampled
    }

    /// The same of samples of a counter, of its first value and its increase: it cannot have been below zero, so the
    /// line is not drawn past where it meets that.
    #[inline]
    pub fn extrapolation_of_counter(&self, first: f64, increase: f64) -> f64 {
        self.from_zero(first, increase).unwrap_or(*self).extrapolation()
    }

    /// Where the line through samples of a counter meets zero sooner than it would end.
    #[inline]
    pub fn from_zero(&self, first: f64, increase: f64) -> Option<Self> {
        let to_zero = self.sampled * (first / increase);
        (increase > 0.0 && first >= 0.0 && to_zero < self.to_start).then_some(Self { to_start: to_zero, ..*self })
    }
}

impl Moments {
    /// `increase` (or, with `is_rate`, `rate` per second) of a counter over `(start, end]`, both in ms, as
    /// Prometheus gives it. These moments must be those of the samples in that range. `None` below two samples.
    pub fn extrapolated_increase(
        &self,
        range_start_ms_exclusive: i64,
        range_end_ms: i64,
        is_rate: bool,
    ) -> Option<f64> {
        let increase = self.increase()?;
        let spread = self.sampled().spread(range_start_ms_exclusive, range_end_ms)?;
        let factor = spread.extrapolation_of_counter(self.first, increase);
        let factor = if is_rate { factor / seconds(range_start_ms_exclusive, range_end_ms) } else { factor };
        Some(increase * factor)
    }

    /// `delta` of a gauge over `(start, end]`, both in ms, as Prometheus gives it. `None` below two samples.
    pub fn extrapolated_delta(&self, range_start_ms_exclusive: i64, range_end_ms: i64) -> Option<f64> {
        let spread = self.sampled().spread(range_start_ms_exclusive, range_end_ms)?;
        self.delta().map(|delta| delta * spread.extrapolation())
    }

    fn sampled(&self) -> Sampled {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        Sampled { count, first_ts: self.first_ts, last_ts: self.last_ts }
    }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "storable times in ms are below 2^48")]
    let ms = to_ms.wrapping_sub(from_ms) as f64;
    ms / 1000.0
}
