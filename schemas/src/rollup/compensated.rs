//! Sums as an unevaluated pair of doubles: the rounded sum, and what the rounding left out.
//!
//! While the exact sum fits the about 106 bits of the pair, every order of adding gives the same pair, bit for bit.

/// `a + b` and its exact rounding error (Knuth's `TwoSum`); the error is meaningless once the sum is not finite.
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_seen = sum - a;
    let a_seen = sum - b_seen;
    (sum, (a - a_seen) + (b - b_seen))
}

/// The sum of two pairs, normalised: the first part is the whole rounded once. A sum that is not finite has no
/// second part, and NaN is always the same NaN.
#[inline]
pub(super) fn add_pairs(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (sum, error) = two_sum(a.0, b.0);
    normalise(sum, (a.1 + b.1) + error)
}

/// A pair as [`add_pairs`] leaves it.
#[inline]
pub(super) fn normalise(sum: f64, low: f64) -> (f64, f64) {
    if sum.is_nan() {
        return (f64::NAN, 0.0);
    }
    let (rounded, rest) = two_sum(sum, low);
    if rounded.is_finite() && rest.is_finite() { (rounded, rest) } else { (sum, 0.0) }
}
