//! Arithmetic that the functions share.

/// A sum and what rounding left out of it (Neumaier's variant of Kahan's summation).
///
/// The same pair, addition for addition, as Prometheus', so that both round to the same total.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Kahan {
    sum: f64,
    rest: f64,
}

impl Kahan {
    pub fn new(sum: f64, rest: f64) -> Self {
        Self { sum, rest }
    }

    /// Of values, in their order.
    #[inline]
    pub fn of(values: &[f64]) -> Self {
        values.iter().fold(Self::default(), |total, &value| total.plus(value))
    }

    #[inline(always)]
    pub fn add(&mut self, value: f64) {
        *self = self.plus(value);
        if self.sum.is_infinite() {
            self.rest = 0.0;
        }
    }

    /// This sum and one of further values. What rounding left out of a sum that is infinite has no meaning.
    #[inline(always)]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let sum = self.plus(other.sum);
        Self { rest: sum.rest + other.rest, ..sum }
    }

    #[inline(always)]
    fn plus(self, value: f64) -> Self {
        let sum = self.sum + value;
        // The exact rounding error (Knuth's TwoSum), without a branch on which is larger.
        let seen = sum - self.sum;
        let error = (self.sum - (sum - seen)) + (value - seen);
        Self { sum, rest: self.rest + error }
    }

    /// Both parts times a factor.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, rest: self.rest * factor }
    }

    /// Both parts divided.
    #[must_use]
    pub fn over(self, divisor: f64) -> Self {
        Self { sum: self.sum / divisor, rest: self.rest / divisor }
    }

    /// The sum without what rounding left out.
    pub fn sum(self) -> f64 {
        self.sum
    }

    /// What rounding left out.
    pub fn rest(self) -> f64 {
        self.rest
    }

    /// The sum, rounded once.
    #[inline]
    pub fn total(self) -> f64 {
        if self.sum.is_finite() { self.sum + self.rest } else { self.sum }
    }
}

/// Of a count of samples or steps.
#[expect(clippy::cast_precision_loss, reason = "what is counted lies in memory, so is far below 2^53")]
#[inline(always)]
pub(crate) fn float_of(count: usize) -> f64 {
    count as f64
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "storable times in ms are below 2^48")]
#[inline(always)]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A number as Go's `%g` writes it: the fewest digits that read back as the same, with an exponent if that is below
/// −4 or above 5.
pub(crate) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the exponent form has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums of few numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones_that_cancel() {
        assert_eq!(Kahan::of(&[1.0, 1e100, 1.0, -1e100]).total(), 2.0);
    }

    #[test]
    fn an_infinite_sum_stays_infinite() {
        assert_eq!(Kahan::of(&[1.0, f64::MAX, f64::MAX, -1.0]).total(), f64::INFINITY);
        assert!(Kahan::of(&[f64::INFINITY, f64::NEG_INFINITY]).total().is_nan());
    }

    #[test]
    fn numbers_print_as_in_go() {
        let texts =
            [1.0, -0.5, 100_000.0, 1e6, 1_234_567.0, 0.0001, 0.00001, 1e-300, f64::INFINITY, -0.0].map(shortest);
        assert_eq!(texts, ["1", "-0.5", "100000", "1e+06", "1.234567e+06", "0.0001", "1e-05", "1e-300", "+Inf", "-0"]);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (a, b) = (Kahan::of(&[0.1, 1e16, 0.3]), Kahan::of(&[-1e16, 0.7]));
        assert_eq!(a.and(b).total(), Kahan::of(&[0.1, 1e16, 0.3, -1e16, 0.7]).total());
    }
}
