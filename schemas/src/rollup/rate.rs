//! Prometheus' extrapolation, from moments instead of samples: `rate`, `increase` and `delta` over `(t−r, t]`.
//!
//! Follows `extrapolatedRate` of Prometheus' `promql/functions.go` step by step, in the same order of operations. It
//! needs only the number of samples, the first and the last one, and the resets between them, so it gives the same
//! answer from a rollup as from raw points.

use super::Moments;

/// A first or last sample nearer to the end of the range than this many average intervals is extrapolated to it.
const EXTRAPOLATION_INTERVALS: f64 = 1.1;

/// What a range function makes of the difference between last and first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extrapolation {
    /// A counter: resets are added back and the line is not drawn below zero.
    Counter,
    /// A gauge.
    Gauge,
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
        let factor = self.extrapolation(Extrapolation::Counter, range_start_ms_exclusive, range_end_ms)?;
        let factor = if is_rate { factor / seconds(range_start_ms_exclusive, range_end_ms) } else { factor };
        self.increase().map(|increase| increase * factor)
    }

    /// `delta` of a gauge over `(start, end]`, both in ms, as Prometheus gives it. `None` below two samples.
    pub fn extrapolated_delta(&self, range_start_ms_exclusive: i64, range_end_ms: i64) -> Option<f64> {
        let factor = self.extrapolation(Extrapolation::Gauge, range_start_ms_exclusive, range_end_ms)?;
        self.delta().map(|delta| delta * factor)
    }

    /// By how much the observed change is stretched to stand for the whole range.
    fn extrapolation(&self, kind: Extrapolation, start_ms: i64, end_ms: i64) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let mut to_start = seconds(start_ms, self.first_ts);
        let mut to_end = seconds(self.last_ts, end_ms);
        let sampled = seconds(self.first_ts, self.last_ts);
        #[expect(clippy::cast_precision_loss, reason = "a count of samples is far below 2^53")]
        let average = sampled / (self.count - 1) as f64;
        let threshold = average * EXTRAPOLATION_INTERVALS;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if kind == Extrapolation::Counter {
            let increase = self.increase()?;
            if increase > 0.0 && self.first >= 0.0 {
                // A counter cannot have been below zero: do not extrapolate past where the line meets it.
                let to_zero = sampled * (self.first / increase);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Some((sampled + to_start + to_end) / sampled)
    }
}

fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "storable times in ms are below 2^48")]
    let ms = to_ms.wrapping_sub(from_ms) as f64;
    ms / 1000.0
}
