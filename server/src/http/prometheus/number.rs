//! Numbers as Prometheus writes them: timestamps in seconds, values as Go's shortest text.
//!
//! Written straight into the body: an answer may hold millions of them. Not here: quotes around values (`render`).

/// From here on an integer may have no double of its own.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Magnitudes below the first and from the second on are written with an exponent.
const PLAIN: std::ops::Range<f64> = 1e-6..1e21;
/// Fractions that are written as Go writes them.
const FRACTIONS: std::ops::Range<f64> = 1e-5..WHOLE_MAX;

/// A timestamp in milliseconds as seconds: no fraction when whole, else three digits.
pub(super) fn push_timestamp(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(ms / 1_000).as_bytes());
    let fraction = ms % 1_000;
    if fraction != 0 {
        // 1000 to 1999: the first digit is cut off, so that zeros are kept.
        out.push(b'.');
        out.extend_from_slice(&digits.format(1_000 + fraction).as_bytes()[1..]);
    }
}

/// A value as Go's shortest `f`, or `e` with at least two digits of exponent; `NaN`, `+Inf`, `-Inf`.
pub(super) fn push_float(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        let word: &[u8] = match value {
            _ if value.is_nan() => b"NaN",
            f64::INFINITY => b"+Inf",
            _ => b"-Inf",
        };
        out.extend_from_slice(word);
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 2^53")]
    if magnitude < WHOLE_MAX && magnitude.fract().total_cmp(&0.0).is_eq() {
        out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
        return;
    }
    let mut shortest = zmij::Buffer::new();
    let text = shortest.format_finite(magnitude);
    if FRACTIONS.contains(&magnitude) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    match text.split_once('e') {
        None => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().expect("a number is behind the e");
            push_scientific(out, mantissa, exponent, magnitude);
        }
    }
}

/// A text of [`push_float`].
pub(super) fn float(value: f64) -> String {
    let mut out = Vec::new();
    push_float(&mut out, value);
    String::from_utf8(out).expect("digits are UTF-8")
}

/// `mantissa` is one digit, and perhaps a point and more digits.
fn push_scientific(out: &mut Vec<u8>, mantissa: &str, exponent: i32, magnitude: f64) {
    if !PLAIN.contains(&magnitude) {
        out.extend_from_slice(mantissa.as_bytes());
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        let exponent = exponent.unsigned_abs();
        if exponent < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        return;
    }
    let digits = mantissa.bytes().filter(|byte| *byte != b'.');
    let zeros = |count: usize| std::iter::repeat_n(b'0', count);
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(zeros(usize::try_from(-exponent - 1).unwrap_or(0)));
        out.extend(digits);
        return;
    }
    // From 10^16 on, where a double has no fraction, and at most 17 digits.
    let written = mantissa.len() - usize::from(mantissa.contains('.'));
    out.extend(digits);
    out.extend(zeros((usize::try_from(exponent).unwrap_or(0) + 1).saturating_sub(written)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(ms: i64) -> String {
        let mut out = Vec::new();
        push_timestamp(&mut out, ms);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn timestamps_have_three_digits_of_fraction_or_none() {
        for (ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (10, "0.010"),
            (1_435_781_451_500, "1435781451.500"),
            (1_435_781_451_000, "1435781451"),
            (-1, "-0.001"),
            (-1_500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(timestamp(ms), text);
        }
    }

    /// What Go 1.26's `strconv.FormatFloat(v, 'f' or 'e', -1, 64)` printed, by the rule of Prometheus' JSON.
    #[test]
    fn values_are_written_as_go_writes_them() {
        let cases: [(f64, &str); 31] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (72.5, "72.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (1e-5, "0.00001"),
            (9.999e-7, "9.999e-07"),
            (1e-7, "1e-07"),
            (1.234_5e-10, "1.2345e-10"),
            (1e-100, "1e-100"),
            (5e-324, "5e-324"),
            (123_456_789.125, "123456789.125"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (9_007_199_254_740_994.0, "9007199254740994"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1.234e17, "123400000000000000"),
            (1.234_567_890_123_456_7e18, "1234567890123456800"),
            (1e20, "100000000000000000000"),
            (9.999_999_999_999_999e20, "999999999999999900000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (-2.5e300, "-2.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn every_text_reads_as_the_same_double() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let value = f64::from_bits(bits ^ (bits >> 29));
            if value.is_finite() {
                let read: f64 = float(value).parse().expect("a number");
                assert_eq!(read.to_bits(), value.to_bits(), "{}", float(value));
            }
        }
    }
}
