//! Which bin a value falls into, and which value stands for a bin.

/// The finest scale: 32 bins an octave.
pub const MAX_SCALE: i8 = 5;
/// The coarsest scale that is ever needed: 32 octaves a bin.
pub const MIN_SCALE: i8 = -5;

/// The bins of the least and of the greatest positive double, at [`MAX_SCALE`].
const LEAST_INDEX: i32 = -1_074 * 32 - 1;
const GREATEST_INDEX: i32 = 1_024 * 32 - 1;

const BINS_AN_OCTAVE_LOG2: u32 = 5;
const MANTISSA_BITS: u32 = 52;
const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;
const MIN_NORMAL: f64 = f64::MIN_POSITIVE;

/// `⌊(2^(k/32) − 1) · 2^52⌋`: mantissas of the boundaries within an octave, computed with 60 decimal digits.
/// All but the first are irrational, so a double lies above a boundary exactly if its mantissa is greater.
#[rustfmt::skip]
const BOUNDARIES: [u64; 32] = [
    0x0_0000_0000_0000, 0x0_59b0_d315_8574, 0x0_b558_6cf9_890f, 0x1_1301_d012_5b50,
    0x1_72b8_3c7d_517a, 0x1_d487_3168_b9aa, 0x2_387a_6e75_6238, 0x2_9e9d_f51f_dee1,
    0x3_06fe_0a31_b715, 0x3_71a7_373a_a9ca, 0x3_dea6_4c12_3422, 0x4_4e08_6061_892d,
    0x4_bfda_d536_2a27, 0x5_342b_569d_4f81, 0x5_ab07_dd48_5429, 0x6_247e_b03a_5584,
    0x6_a09e_667f_3bcc, 0x7_1f75_e8ec_5f73, 0x7_a114_73eb_0186, 0x8_2589_994c_ce12,
    0x8_ace5_422a_a0db, 0x9_3737_b0cd_c5e4, 0x9_c491_82a3_f090, 0xa_5503_b23e_255c,
    0xa_e89f_995a_d3ad, 0xb_7f76_f2fb_5e46, 0xc_199b_dd85_529c, 0xc_b720_dcef_9069,
    0xd_5818_dcfb_a487, 0xd_fc97_337b_9b5e, 0xe_a4af_a2a4_90d9, 0xf_5076_5b6e_4540,
];

/// The mantissa's leading bits choose a cell; no cell holds more than one boundary.
const CELL_SHIFT: u32 = MANTISSA_BITS - 7;
const CELLS: [u8; 128] = cells();

/// The bin of each cell's first mantissa.
const fn cells() -> [u8; 128] {
    let mut cells = [0_u8; 128];
    let mut cell = 0;
    let mut bin = 0_u8;
    while cell < cells.len() {
        while (bin as usize) + 1 < BOUNDARIES.len() && BOUNDARIES[bin as usize + 1] < (cell as u64) << CELL_SHIFT {
            bin += 1;
        }
        cells[cell] = bin;
        cell += 1;
    }
    cells
}

/// How often the finest index is halved at `scale`.
#[inline]
pub(super) fn halvings(scale: i8) -> u32 {
    u32::from((MAX_SCALE - scale).unsigned_abs())
}

/// Whether some double falls into a bin.
pub(super) fn is_possible(index: i32, scale: i8) -> bool {
    (LEAST_INDEX >> halvings(scale)..=GREATEST_INDEX >> halvings(scale)).contains(&index)
}

/// The bin at [`MAX_SCALE`] of a positive, finite value: the greatest `i` with `2^(i/32) < magnitude`.
#[inline]
pub(super) fn index_of(magnitude: f64) -> i32 {
    debug_assert!(magnitude > 0.0 && magnitude.is_finite());
    // Scaling a subnormal by a power of two is exact.
    let (bits, exponent_shift) =
        if magnitude < MIN_NORMAL { ((magnitude * power_of_two(64)).to_bits(), 64) } else { (magnitude.to_bits(), 0) };
    let biased = i32::try_from(bits >> MANTISSA_BITS).expect("an exponent has eleven bits");
    let octave = (biased - EXPONENT_BIAS - exponent_shift) << BINS_AN_OCTAVE_LOG2;
    let mantissa = bits & MANTISSA_MASK;
    if mantissa == 0 {
        // A power of two is the inclusive end of the octave below.
        return octave - 1;
    }
    let bin = CELLS[usize::try_from(mantissa >> CELL_SHIFT).expect("seven bits are left")];
    let above = BOUNDARIES.get(usize::from(bin) + 1).is_some_and(|&boundary| mantissa > boundary);
    octave + i32::from(bin) + i32::from(above)
}

/// The ratio of a bin's bounds at `scale`.
fn base(scale: i8) -> f64 {
    if scale > 0 { root(1 << halvings(scale)) } else { power_of_two(1 << u32::from(scale.unsigned_abs())) }
}

/// `2^(k/32)` for `0 ≤ k < 32`.
fn root(k: usize) -> f64 {
    f64::from_bits(1.0_f64.to_bits() | BOUNDARIES[k])
}

/// `2^exponent` for normal results.
fn power_of_two(exponent: i32) -> f64 {
    let biased = u64::try_from(exponent + EXPONENT_BIAS).expect("the exponent is that of a normal double");
    f64::from_bits(biased << MANTISSA_BITS)
}

pub(super) fn relative_error(scale: i8) -> f64 {
    let base = base(scale);
    (base - 1.0) / (base + 1.0)
}

/// The value whose relative distance to both bounds of a bin is the same: `2 · low · high / (low + high)`.
pub(super) fn estimate(index: i32, scale: i8) -> f64 {
    let finest = i64::from(index) << halvings(scale);
    let octave = i32::try_from(finest >> BINS_AN_OCTAVE_LOG2).unwrap_or(i32::MAX).clamp(-1_100, 1_023);
    let within = usize::try_from(finest & 31).expect("five bits");
    let base = base(scale);
    let significand = root(within) * (2.0 * base / (base + 1.0));
    // In two steps, so that only the last can leave the normal range and round.
    let half = octave / 2;
    (significand * power_of_two(half) * power_of_two(octave - half)).min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_includes_its_upper_bound_and_not_its_lower() {
        assert_eq!(index_of(1.0), -1);
        assert_eq!(index_of(1.0_f64.next_up()), 0);
        assert_eq!(index_of(2.0), 31);
        assert_eq!(index_of(2.0_f64.next_up()), 32);
        for (k, &boundary) in BOUNDARIES.iter().enumerate().skip(1) {
            let below = f64::from_bits(1.0_f64.to_bits() | boundary);
            let k = i32::try_from(k).expect("small");
            assert_eq!(index_of(below), k - 1, "the double just below an irrational bound");
            assert_eq!(index_of(below.next_up()), k);
        }
    }

    #[test]
    fn subnormals_and_the_greatest_double_have_bins() {
        assert_eq!(index_of(f64::from_bits(1)), LEAST_INDEX);
        assert_eq!(index_of(f64::MIN_POSITIVE), -1_022 * 32 - 1);
        assert_eq!(index_of(f64::MAX), GREATEST_INDEX);
        assert!(is_possible(LEAST_INDEX, MAX_SCALE) && is_possible(GREATEST_INDEX, MAX_SCALE));
        assert!(!is_possible(LEAST_INDEX - 1, MAX_SCALE) && !is_possible(GREATEST_INDEX + 1, MAX_SCALE));
    }

    #[test]
    fn an_estimate_lies_within_the_stated_error_of_its_bin() {
        for scale in MIN_SCALE..=MAX_SCALE {
            for value in [1e-300, 3.7e-5, 0.01, 0.999, 1.0, 1.5, 42.0, 1e9, 7.7e200] {
                let estimate = estimate(index_of(value) >> halvings(scale), scale);
                let error = (estimate - value).abs() / value;
                assert!(error <= relative_error(scale) * (1.0 + 1e-12), "{value} at scale {scale} is off by {error}");
            }
        }
        assert!((relative_error(MAX_SCALE) - 0.010_830).abs() < 1e-6);
    }
}
