//! Sums over windows that only move forward, as differences of prefixes.
//!
//! items, one a place ─ added up once, a block at a time ([`Prefixes`]) ─▶ the sum of a window: what there is before its
//! end less what there is before its start. Only those from the current window on are kept, so that they stay in cache.
//!
//! Floats are split in two for that. The high part of a float is what it has above a grid ([`Grid`]), so coarse that no
//! sum of high parts needs more than the 53 bits of a double: these are added without rounding (`ExtractVector` of Rump,
//! Ogita and Oishi, *Accurate floating-point summation*, 2008). The low part is what is below the grid.
//!
//! What left a window leaves no trace in its sum: floats that are too unlike for that have no grid, and who asks takes
//! another way ([`super::sliding`]).

use std::array::from_fn;
use std::ops::Range;

use crate::math::float_of;

/// So many items are added up at once, or as many as a window has, if that is more.
const BLOCK: usize = 512;

/// What the items up to each place add up to, from some place at or before the current window.
#[derive(Debug)]
pub(super) struct Prefixes<'a, T, F> {
    items: Pairs<'a>,
    add: F,
    /// Before item `first`, before the next, and so on up to before item `end`; and room for others.
    sums: Vec<T>,
    first: usize,
    end: usize,
}

/// What items come of: two values each.
pub(super) type Pairs<'a> = (&'a [f64], &'a [f64]);

impl<'a, T: Copy + Default, F: Fn(T, f64, f64) -> T> Prefixes<'a, T, F> {
    /// `add` adds an item to a sum.
    pub(super) fn new(items: Pairs<'a>, add: F) -> Self {
        Self { items, add, sums: vec![T::default()], first: 0, end: 0 }
    }

    /// The prefixes at the start and at the end of a window that starts and ends no earlier than the one before.
    #[inline(always)]
    pub(super) fn around(&mut self, window: Range<usize>) -> (T, T) {
        if window.end > self.end {
            self.go_on(&window);
        }
        (self.sums[window.start - self.first], self.sums[window.end - self.first])
    }

    #[inline(never)]
    fn go_on(&mut self, window: &Range<usize>) {
        if window.start <= self.end {
            self.sums.copy_within(window.start - self.first..=self.end - self.first, 0);
        } else {
            self.sums[0] = T::default();
            self.end = window.start;
        }
        self.first = window.start;
        let more = self.end..window.end.max(self.end + window.len().max(BLOCK)).min(self.items.0.len());
        let known = self.end - self.first;
        if self.sums.len() <= known + more.len() {
            self.sums.resize(known + more.len() + 1, T::default());
        }
        let mut sum = self.sums[known];
        let places = self.sums[known + 1..].iter_mut();
        for ((place, &a), &b) in places.zip(&self.items.0[more.clone()]).zip(&self.items.1[more.clone()]) {
            sum = (self.add)(sum, a, b);
            *place = sum;
        }
        self.end = more.end;
    }
}

/// Of `n` items up to `g`, a sum is wrong by no more than 2⁻³⁵ of the least, `l`, where `n³·g` is up to `2⁶⁸·l`: so
/// that no item gets lost beside others.
///
/// The grid is `2⁻⁵³·4n·g` at most. Low parts are no larger, so they add up to `n` times that, and each addition rounds
/// by `2⁻⁵³` of what they add up to: all by `2⁻¹⁰⁴·n³·g`, of which a difference has twice as much.
const LIKENESS: f64 = (1_u128 << 68) as f64;

/// See the module: a power of two of which the grid is the 2⁻⁵³rd part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid(f64);

/// A high and a low part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts([f64; 2]);

impl Grid {
    /// That of the items which come of pairs. `None` where they are not all finite, or where great ones would swallow
    /// others.
    pub(super) fn of(pairs: Pairs<'_>, item: impl Fn(f64, f64) -> f64) -> Option<Self> {
        const MANTISSA: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
        let count = float_of(pairs.0.len());
        let Sizes { least, greatest } = Sizes::of(pairs, item)?;
        let above = 2.0 * f64::from_bits((2.0 * count * greatest).to_bits() & !MANTISSA);
        (above.is_finite() && count * count * count * greatest <= least * LIKENESS).then_some(Self(above))
    }

    /// A sum and an item.
    #[inline(always)]
    pub(super) fn add(self, Parts([highs, lows]): Parts, item: f64) -> Parts {
        let high = (item + self.0) - self.0;
        Parts([highs + high, lows + (item - high)])
    }
}

impl Parts {
    /// What was added to the first of two sums, to get the second.
    #[inline(always)]
    pub(super) fn between((Self(before), Self(after)): (Self, Self)) -> f64 {
        (after[0] - before[0]) + (after[1] - before[1])
    }
}

/// The least and the greatest absolute value, of the least zeros apart.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    least: f64,
    greatest: f64,
}

impl Sizes {
    /// `None` where there are NaN. Four at once, which one after the other would each wait for.
    #[inline(never)]
    fn of((a, b): Pairs<'_>, item: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
        let (mut least, mut greatest, mut sum) = ([f64::INFINITY; 4], [0.0; 4], [0.0; 4]);
        let mut add = |sizes: [f64; 4]| {
            let nonzero = sizes.map(|size| if size == 0.0 { f64::INFINITY } else { size });
            least = from_fn(|lane| if nonzero[lane] < least[lane] { nonzero[lane] } else { least[lane] });
            greatest = from_fn(|lane| if sizes[lane] > greatest[lane] { sizes[lane] } else { greatest[lane] });
            sum = from_fn(|lane| sum[lane] + sizes[lane]);
        };
        for (a, b) in a.iter().zip(b) {
            add(from_fn(|lane| item(a[lane], b[lane]).abs()));
        }
        rest_a.iter().zip(rest_b).for_each(|(&a, &b)| add([item(a, b).abs(); 4]));
        let (least, greatest) =
            (least.into_iter().fold(f64::INFINITY, f64::min), greatest.into_iter().fold(0.0, f64::max));
        sum.iter().all(|sum| !sum.is_nan()).then_some(Self { least, greatest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid(items: &[f64]) -> Option<Grid> {
        Grid::of((items, items), |item, _| item)
    }

    /// Sums of windows of `range` items, each `step` after the one before.
    fn sums(items: &[f64], range: usize, step: usize) -> Vec<f64> {
        let grid = grid(items).expect("numbers that are alike");
        let mut prefixes = Prefixes::new((items, items), |sum, item, _| grid.add(sum, item));
        let starts = (0..=items.len() - range).step_by(step);
        starts.map(|start| Parts::between(prefixes.around(start..start + range))).collect()
    }

    proptest! {
        #[test]
        fn sums_are_those_of_unlimited_numbers_rounded_once(
            wholes in prop::collection::vec(-1_000_000_000_000_000..1_000_000_000_000_000_i64, 1000..3000),
            range in 0_usize..1000,
            step in 1_usize..700,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "the numbers have less than 53 bits, and sums are rounded once")]
            let floats = |wholes: &[i64]| (wholes.iter().map(|&whole| i128::from(whole)).sum::<i128>() as f64, wholes.len());
            let items: Vec<f64> = wholes.iter().map(|&whole| floats(&[whole]).0).collect();
            for (at, sum) in sums(&items, range, step).into_iter().enumerate() {
                let expected = floats(&wholes[at * step..at * step + range]).0;
                prop_assert_eq!(sum.to_bits(), (expected + 0.0).to_bits(), "{} items from {}", range, at * step);
            }
        }
    }

    #[test]
    fn only_numbers_that_are_alike_have_a_grid() {
        assert!(grid(&[1.0, 0.0, -1e12, 3.0, 5.0]).is_some());
        assert!(grid(&[0.0; 5]).is_some() && grid(&[]).is_some() && grid(&[5e-324; 9]).is_some());
        assert!(grid(&[1.0, 1e30, 1.0, 1.0, 1.0]).is_none(), "1 gets lost");
        for other in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            for at in 0..9 {
                let mut items = [1e300; 9];
                items[at] = other;
                assert!(grid(&items).is_none(), "{other} at {at}");
            }
        }
    }
}
