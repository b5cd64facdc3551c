//! What rollups answer in place of points.

use schemas::rollup::Moments;

use super::call::RangeFunction;
use crate::math::seconds;

/// Whether a function can be answered from moments.
///
/// Of moments whose sum is not finite though none of them is NaN, `sum_over_time` and `avg_over_time` depend on the
/// order of the samples: see [`needs_points`].
pub fn is_of_moments(function: RangeFunction) -> bool {
    use RangeFunction as F;
    matches!(
        function,
        F::AbsentOverTime
            | F::AvgOverTime
            | F::CountOverTime
            | F::Delta
            | F::FirstOverTime
            | F::Increase
            | F::LastOverTime
            | F::MaxOverTime
            | F::MinOverTime
            | F::PresentOverTime
            | F::Rate
            | F::Resets
            | F::SumOverTime
            | F::TsOfFirstOverTime
            | F::TsOfLastOverTime
    )
}

/// Whether moments do not tell what the function gives: infinite samples, or a sum that a double does not hold.
pub fn needs_points(function: RangeFunction, moments: &Moments) -> bool {
    let of_sum = matches!(function, RangeFunction::SumOverTime | RangeFunction::AvgOverTime);
    of_sum && moments.nan_count == 0 && !moments.sum.is_finite()
}

/// The value of a function over `(start, end]`, both in ms, from the moments of the samples in there: `None` where
/// there is none, or the function is not one of [`is_of_moments`].
pub fn of_moments(
    function: RangeFunction,
    moments: &Moments,
    window_start_exclusive_ms: i64,
    window_end_ms: i64,
) -> Option<f64> {
    use RangeFunction as F;
    if moments.count == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^53")]
    Some(match function {
        F::AbsentOverTime | F::PresentOverTime => 1.0,
        F::AvgOverTime => return moments.avg(),
        F::CountOverTime => moments.count as f64,
        F::Delta => return moments.extrapolated_delta(window_start_exclusive_ms, window_end_ms),
        F::FirstOverTime => moments.first,
        F::Increase => return moments.extrapolated_increase(window_start_exclusive_ms, window_end_ms, false),
        F::LastOverTime => moments.last,
        F::MaxOverTime => moments.max,
        F::MinOverTime => moments.min,
        F::Rate => return moments.extrapolated_increase(window_start_exclusive_ms, window_end_ms, true),
        F::Resets => moments.resets as f64,
        F::SumOverTime => moments.sum,
        F::TsOfFirstOverTime => seconds(moments.first_ts),
        F::TsOfLastOverTime => seconds(moments.last_ts),
        _ => return None,
    })
}
