//! Numbers as Go writes them, and durations: `1_000`, `0x1f`, `0o17`, `017`, `1e-3`, `.5`, `1h30m`.
//!
//! The longest run that may be a number is cut first (`number_length`); the parser has it read (`number_value`) where the
//! grammar takes a number, so that a misplaced one is told of as such, as in Prometheus.

use super::{Lexer, TokenKind};
use crate::error::ParseError;
use crate::quote::quoted;

impl Lexer<'_> {
    /// A number or a duration starts here.
    pub(super) fn number(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.at;
        let bytes = &self.text.as_bytes()[start..];
        let (length, whole) = number_length(bytes);
        if whole {
            self.at = start + length;
            return Ok(TokenKind::Number);
        }
        let (length, whole) = duration_length(bytes, length);
        self.at = start + length;
        if whole {
            return Ok(TokenKind::Duration);
        }
        // The last byte that was looked at may be the first of a wider character: none of it is shown then.
        let source = self.text.get(start..self.at).unwrap_or_default();
        Err(self.error(start, format!("bad number or duration syntax: {}", quoted(source))))
    }
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// How far a number goes, and whether it ends where a number may.
fn number_length(bytes: &[u8]) -> (usize, bool) {
    let mut at = 0;
    let is = |at: usize, set: &[u8]| bytes.get(at).is_some_and(|b| set.contains(b));
    let mut hex = false;
    if is(0, b"0") {
        at = 1;
        if is(1, b"xX") {
            at = 2 + usize::from(is(2, b"_"));
            hex = true;
        }
    }
    let digit = |at: usize| bytes.get(at).is_some_and(|b| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() });
    let (mut dot, mut exponent) = (false, false);
    at += usize::from(is(at, b"."));
    at += usize::from(digit(at));
    while digit(at) || is(at, b"._eE") {
        if is(at, b".") {
            if dot || hex || is(at + 1, b"_.") {
                return (at + 1 + usize::from(!dot && is(at + 1, b"_.")), false);
            }
            dot = true;
            at += 1;
        } else if is(at, b"eE") {
            if exponent {
                return (at + 1, false);
            }
            exponent = true;
            at += 1;
            at += usize::from(is(at, b"+-"));
            if at >= bytes.len() || is(at, b"._eE") {
                return (bytes.len().min(at + 1), false);
            }
        } else if is(at, b"_") {
            at += 1;
            if at >= bytes.len() || is(at, b"._eE") {
                return (bytes.len().min(at + 1), false);
            }
        } else {
            // A run at a time: in a run of hexadecimal digits, `e` is a digit.
            while digit(at) {
                at += 1;
            }
        }
    }
    (at, !is_word(bytes.get(at)))
}

/// Units and further numbers behind the first number, which ends at `from`.
fn duration_length(bytes: &[u8], from: usize) -> (usize, bool) {
    let is = |at: usize, set: &[u8]| bytes.get(at).is_some_and(|b| set.contains(b));
    let mut at = from;
    let mut units: &[u8] = b"smhdwy";
    loop {
        if !is(at, units) {
            return (at, false);
        }
        at += 1;
        at += usize::from(is(at, b"s"));
        if !is(at, b"0123456789") {
            let stray = is_word(bytes.get(at));
            return (at + usize::from(stray), !stray);
        }
        at += bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        units = b"smhdw";
    }
}

/// What a number means, or what is to be said of it.
pub(crate) fn number_value(source: &str) -> Result<f64, String> {
    if source.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    value(source).map_err(|why| format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quoted(source)))
}

/// An integer in any of Go's bases, else a decimal fraction.
fn value(source: &str) -> Result<f64, &'static str> {
    let digits = without_underscores(source).ok_or("invalid syntax")?;
    let lower = digits.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        let whole = i64::from_str_radix(hex, 16).map_err(|_| "invalid syntax")?;
        return Ok(float(whole));
    }
    if lower.len() > 1
        && lower.starts_with('0')
        && let Ok(octal) = i64::from_str_radix(&lower[1..], 8)
    {
        return Ok(float(octal));
    }
    let value: f64 = lower.parse().map_err(|_| "invalid syntax")?;
    if value.is_infinite() { Err("value out of range") } else { Ok(value) }
}

#[expect(clippy::cast_precision_loss, reason = "a number of the language is a float")]
fn float(whole: i64) -> f64 {
    whole as f64
}

/// Underscores may stand between digits, and behind `0x`.
fn without_underscores(source: &str) -> Option<String> {
    let bytes = source.as_bytes();
    let hex = bytes.len() > 1 && bytes[1].eq_ignore_ascii_case(&b'x');
    for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'_') {
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let left = before.is_some_and(|b| b.is_ascii_digit() || (hex && (b.is_ascii_hexdigit() || at == 2)));
        let right = bytes.get(at + 1).is_some_and(|b| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() });
        if !left || !right {
            return None;
        }
    }
    Some(source.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        let cases = [
            ("1", 1.0),
            ("10", 10.0),
            ("0x1F", 31.0),
            ("0X_ff", 255.0),
            ("017", 15.0),
            ("08", 8.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-2", 0.01),
            ("1_000", 1000.0),
            ("1_0.2_5", 10.25),
            ("0", 0.0),
        ];
        assert_eq!(number_length(b"0x1e"), (4, false), "an exponent without digits, as in Prometheus");
        assert_eq!(number_length(b"0x11e"), (5, true));
        for (text, expected) in cases {
            assert_eq!(number_length(text.as_bytes()), (text.len(), true), "{text}");
            assert_eq!(value(text).map(f64::to_bits), Ok(f64::to_bits(expected)), "{text}");
        }
        assert_eq!(value("1e999"), Err("value out of range"));
    }

    #[test]
    fn durations_end_where_no_word_goes_on() {
        for (text, expected) in [("5m", (2, true)), ("1h30m)", (5, true)), ("5mm", (3, false)), ("5m1", (3, false))] {
            assert_eq!(duration_length(text.as_bytes(), 1), expected, "{text}");
        }
    }
}
