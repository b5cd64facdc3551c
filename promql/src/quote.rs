//! Quoted text in both directions, by Go's rules, which are Prometheus' rules.

use std::fmt::Write as _;

/// Text in double quotes, as Go's `%q` prints it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| push_escaped(&mut out, c, '"'));
    out.push('"');
    out
}

/// A character in single quotes, as Go's `%q` prints a rune.
pub(crate) fn quoted_char(c: char) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if c.is_control() && u32::from(c) < 0x80 => {
            write!(out, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
        }
        c => out.push(c),
    }
}

/// Why a quoted text cannot be read; `at` is the byte behind the opening quote where it fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadEscape {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Resolves the escapes of a text between double or single quotes (the quotes not included).
pub(crate) fn unescape(body: &str, quote: char) -> Result<String, BadEscape> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            push_escape(&mut bytes, at, quote, &mut chars)?;
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(bytes).map_err(|_| BadEscape { at: 0, message: "invalid UTF-8 in quoted string".to_owned() })
}

fn push_escape(
    out: &mut Vec<u8>,
    at: usize,
    quote: char,
    chars: &mut std::str::CharIndices<'_>,
) -> Result<(), BadEscape> {
    let bad = |message: &str| BadEscape { at, message: message.to_owned() };
    let Some((_, kind)) = chars.next() else { return Err(bad("escape sequence not terminated")) };
    let (digits, radix) = match kind {
        'a' => return push_byte(out, 7),
        'b' => return push_byte(out, 8),
        'f' => return push_byte(out, 12),
        'n' => return push_byte(out, b'\n'),
        'r' => return push_byte(out, b'\r'),
        't' => return push_byte(out, b'\t'),
        'v' => return push_byte(out, 11),
        '\\' => return push_byte(out, b'\\'),
        c if c == quote => return push_byte(out, if quote == '"' { b'"' } else { b'\'' }),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (2, 8),
        c => return Err(bad(&format!("unknown escape sequence U+{:04X} {}", u32::from(c), quoted_char(c)))),
    };
    let mut code = if radix == 8 { kind.to_digit(8).unwrap_or(0) } else { 0 };
    for _ in 0..digits {
        let Some((_, c)) = chars.next() else { return Err(bad("escape sequence not terminated")) };
        let digit = c.to_digit(radix).ok_or_else(|| {
            bad(&format!("illegal character U+{:04X} {} in escape sequence", u32::from(c), quoted_char(c)))
        })?;
        code = code.wrapping_mul(radix) | digit;
    }
    if matches!(kind, 'x' | '0'..='7') {
        let byte = u8::try_from(code).map_err(|_| bad("escape sequence is an invalid Unicode code point"))?;
        return push_byte(out, byte);
    }
    let c = char::from_u32(code).ok_or_else(|| bad("escape sequence is an invalid Unicode code point"))?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

fn push_byte(out: &mut Vec<u8>, byte: u8) -> Result<(), BadEscape> {
    out.push(byte);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(unescape(r#"a\n\t\"\\\x41\101é\U0001F600"#, '"').as_deref(), Ok("a\n\t\"\\AAé😀"));
        assert_eq!(unescape(r"it\'s", '\'').as_deref(), Ok("it's"));
        assert_eq!(unescape(r"\xc3\xa9", '"').as_deref(), Ok("é"));
    }

    #[test]
    fn bad_escapes_say_what_is_wrong() {
        let message = |body| unescape(body, '"').expect_err("bad").message;
        assert_eq!(message(r"\d"), "unknown escape sequence U+0064 'd'");
        assert_eq!(message(r"\x4"), "escape sequence not terminated");
        assert_eq!(message(r"\x4z"), "illegal character U+007A 'z' in escape sequence");
        assert_eq!(message(r"\ud800"), "escape sequence is an invalid Unicode code point");
        assert_eq!(message(r"\xff"), "invalid UTF-8 in quoted string");
    }

    #[test]
    fn quoting_is_that_of_go() {
        assert_eq!(quoted("a\"b\n\u{1}é"), r#""a\"b\n\x01é""#);
        assert_eq!(quoted_char('\''), r"'\''");
    }
}
