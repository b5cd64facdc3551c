//! Arithmetic where Go's and Rust's libraries differ, or where a function of the language has a form of its own.

use std::f64::consts::{LN_2, PI};

/// The greater of two, NaN if one is; but +Inf if one is that.
pub fn greater(a: f64, b: f64) -> f64 {
    let infinite = a == f64::INFINITY || b == f64::INFINITY;
    if infinite {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The lesser of two, NaN if one is; but −Inf if one is that.
pub fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

/// `None` if there is nothing between the bounds.
pub(super) fn clamp(value: f64, low: f64, high: f64) -> Option<f64> {
    (high >= low || high.is_nan() || low.is_nan()).then(|| greater(low, lesser(high, value)))
}

/// To the nearest multiple, of two equally near ones to the greater.
pub(super) fn round(value: f64, nearest: f64) -> f64 {
    // By the inverse, which loses less of decimal fractions.
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// Precise near 1, unlike the textbook's formula.
pub(super) fn acosh(value: f64) -> f64 {
    if value > 1e150 {
        return value.ln() + LN_2;
    }
    let above = value - 1.0;
    if above < 0.0 { f64::NAN } else { (above + (2.0 * above + above * above).sqrt()).ln_1p() }
}

pub(super) fn degrees(radians: f64) -> f64 {
    radians * 180.0 / PI
}

pub(super) fn radians(degrees: f64) -> f64 {
    degrees * PI / 180.0
}

/// Zeros and NaN as they are.
pub(super) fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}
