//! Doubles that are decimal fractions, as integers: `x` is written as `m` if `m / 10^e` is `x`, bit for bit.
//!
//! Both directions use the same trick for integers below 2^51: added to `1.5 · 2^52`, a double's low mantissa bits *are*
//! the integer, so conversion is an addition and a subtraction that vectorise on every machine. Division by the
//! power of ten is correctly rounded, so it is the one operation that gives back what a decimal parser made; a
//! multiplication by its reciprocal would not.

use super::ints::LIMIT;

/// Powers of ten that are exact doubles and leave digits below 2^51.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// 1.5 · 2^52: its neighbours within 2^51 are the integers.
const MAGIC: f64 = 6_755_399_441_055_744.0;
const MAGIC_BITS: i64 = 0x4338_0000_0000_0000;

/// A number of decimal places, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Places(u8);

impl Places {
    pub(super) const MAX: Self = Self(15);

    pub(super) fn new(places: u8) -> Option<Self> {
        (places <= Self::MAX.0).then_some(Self(places))
    }

    pub(super) fn get(self) -> u8 {
        self.0
    }

    #[inline]
    fn power(self) -> f64 {
        POWERS[usize::from(self.0)]
    }

    /// The integer that stands for `value`, if one does.
    #[inline]
    pub(super) fn to_int(self, value: f64) -> Option<i64> {
        let (int, bad) = convert(value, self.power());
        (bad == 0).then_some(int)
    }

    /// The double that `int` stands for.
    #[inline]
    pub(super) fn to_f64(self, int: i64) -> f64 {
        to_double(int) / self.power()
    }

    /// Converts all of `values`; true if every integer stands for its value. Where one does not, it is arbitrary.
    pub(super) fn to_ints(self, values: &[f64], out: &mut Vec<i64>) -> bool {
        let power = self.power();
        let mut bad = 0;
        out.clear();
        out.extend(values.iter().map(|&value| {
            let (int, wrong) = convert(value, power);
            bad |= wrong;
            int
        }));
        bad == 0
    }

    /// Appends the doubles that `ints` stand for.
    #[inline]
    pub(super) fn extend_f64(self, ints: &[i64], out: &mut Vec<f64>) {
        if self.0 == 0 {
            out.extend(ints.iter().map(|&int| to_double(int)));
        } else {
            let power = self.power();
            out.extend(ints.iter().map(|&int| to_double(int) / power));
        }
    }

    /// The fewest places, from these on, with which an integer stands for `value`.
    pub(super) fn enough_for(self, value: f64) -> Option<Self> {
        (self.0..=Self::MAX.0).map(Self).find(|places| places.to_int(value).is_some())
    }
}

/// The nearest integer to `value · power`, and zero if it stands for `value`.
#[inline(always)]
fn convert(value: f64, power: f64) -> (i64, u64) {
    let shifted = value * power + MAGIC;
    let int = shifted.to_bits().cast_signed().wrapping_sub(MAGIC_BITS);
    let back = (shifted - MAGIC) / power;
    // Beyond 2^51 the low bits are no integer any more; NaN and −0 differ in their bits.
    let out_of_range = int.wrapping_add(LIMIT).cast_unsigned() >> 52;
    (int, (back.to_bits() ^ value.to_bits()) | out_of_range)
}

/// The double equal to an integer within the limit; some double for any other.
#[inline(always)]
fn to_double(int: i64) -> f64 {
    f64::from_bits(int.wrapping_add(MAGIC_BITS).cast_unsigned()) - MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_integers_of_their_fewest_places() {
        let least = |value: f64| Places::default().enough_for(value).map(Places::get);
        assert_eq!(least(7.0), Some(0));
        assert_eq!(least(0.1), Some(1));
        assert_eq!(least(-99.25), Some(2));
        assert_eq!(least(1e-15), Some(15));
        assert_eq!(least(0.1 + 0.2), None, "seventeen digits");
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for value in [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e308, 4e15, -4e15, f64::MAX] {
            assert_eq!(Places::default().enough_for(value), None, "{value}");
        }
    }

    #[test]
    fn both_ends_of_the_domain_convert() {
        for int in [LIMIT - 1, -LIMIT, 0, 1, -1] {
            for places in (0..16).filter_map(Places::new) {
                let value = places.to_f64(int);
                assert_eq!(places.to_int(value), Some(int));
            }
        }
    }
}
