//! Where buckets begin and end.

use std::sync::LazyLock;

use schemas::histogram::{SCHEMA_CUSTOM, SCHEMA_MAX};

/// 2^(2^−s) of schemas 1 to 8. The first is a last bit below √2, as Prometheus has it: bounds are printed and compared.
#[expect(clippy::approx_constant, reason = "exactly these doubles")]
const FACTORS: [f64; 8] = [
    1.414213562373095,
    1.189207115002721,
    1.0905077326652577,
    1.0442737824274138,
    1.0218971486541166,
    1.0108892860517005,
    1.0054299011128027,
    1.0027112750502025,
];

/// The bounds of the finest schema from 0.5 to below 1. Those of coarser ones are among them.
static FINEST: LazyLock<Vec<f64>> = LazyLock::new(|| {
    FACTORS
        .iter()
        .fold(vec![0.5], |coarser, factor| coarser.iter().flat_map(|&bound| [bound, bound * factor]).collect())
});

/// The upper bound of a bucket of positive values, which is the lower bound of the next.
///
/// The last bucket before the one of ±Inf ends at the largest double. Of custom buckets, those behind the last bound
/// end at +Inf.
pub(super) fn upper(index: i32, schema: i32, custom_values: &[f64]) -> f64 {
    if schema != SCHEMA_CUSTOM {
        return exponential(index, schema);
    }
    match usize::try_from(index) {
        Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// The same of exponential buckets.
pub(super) fn exponential(index: i32, schema: i32) -> f64 {
    let index = i64::from(index);
    if schema < 0 {
        return power(1.0, index.saturating_mul(1 << schema.unsigned_abs().min(31)));
    }
    let schema = schema.min(SCHEMA_MAX);
    let step = index.rem_euclid(1 << schema) << (SCHEMA_MAX - schema);
    let fraction = FINEST[usize::try_from(step).expect("a remainder is not negative")];
    power(fraction * 2.0, index.div_euclid(1 << schema))
}

/// `fraction · 2^exponent`, and the largest double for 2^1024.
fn power(fraction: f64, exponent: i64) -> f64 {
    if exponent == 1024 && fraction <= 1.0 {
        return f64::MAX;
    }
    // In two steps, since neither 2^1024 nor 2^−1074 is an ordinary double.
    let exponent = i32::try_from(exponent.clamp(-2000, 2000)).expect("clamped");
    let half = exponent / 2;
    let mut value = fraction;
    for part in [half, exponent - half] {
        value *= 2.0_f64.powi(part);
    }
    value
}

/// The bucket of a coarser schema that a bucket lies in.
pub(super) fn coarser(index: i32, schema: i32, target: i32) -> i32 {
    let shift = schema.saturating_sub(target).clamp(0, 31);
    (index.saturating_sub(1) >> shift).saturating_add(1)
}
