//! Quoted text in both directions, by Go's rules, which are Prometheus' rules.

use std::fmt::Write as _;

/// Text in double quotes, as Go's `%q` prints it.
pub(crate) fn quoted(text: &str) -> String {
    quoted_bytes(text.as_bytes())
}

/// The same of a text that need not be UTF-8.
pub(crate) fn quoted_bytes(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c, '"'));
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut out, byte));
    }
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
        c if is_printable(c) => out.push(c),
        c => {
            let code = u32::from(c);
            let written = match code {
                ..0x80 => write!(out, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            written.expect("writing to a string cannot fail");
        }
    }
}

fn push_byte(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").expect("writing to a string cannot fail");
}

/// Letters, marks, numbers, punctuation, symbols, and the space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library knows, and says so where it escapes; behind another character it spares marks.
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().count() == 2
}

/// A character as Go's `%#U` prints a rune.
fn code_point(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    if is_printable(c) { format!("{code} '{c}'") } else { code }
}

/// Reads a text behind its opening quote: what it says with the escapes resolved, and its length with the closing quote.
/// Or why it cannot be read. Escapes may say bytes that are not UTF-8.
pub(crate) fn read_quoted(rest: &str, quote: char) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    let mut chars = rest.char_indices();
    loop {
        match chars.next() {
            None | Some((_, '\n')) => return Err("unterminated quoted string".to_owned()),
            // What Go reads bytes as that are not UTF-8.
            Some((_, char::REPLACEMENT_CHARACTER)) => return Err("invalid UTF-8 rune".to_owned()),
            Some((_, '\\')) => push_escape(&mut bytes, quote, &mut chars)?,
            Some((at, c)) if c == quote => return Ok((bytes, at + 1)),
            Some((_, c)) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// A backslash has been read.
fn push_escape(out: &mut Vec<u8>, quote: char, chars: &mut std::str::CharIndices<'_>) -> Result<(), String> {
    let mut next = || chars.next().map(|(_, c)| c).ok_or("escape sequence not terminated");
    let kind = next()?;
    let byte = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' if quote == '"' => b'"',
        '\'' if quote == '\'' => b'\'',
        'x' | 'u' | 'U' | '0'..='7' => {
            let (digits, radix, first) = match kind {
                'x' => (2, 16, 0),
                'u' => (4, 16, 0),
                'U' => (8, 16, 0),
                _ => (2, 8, kind.to_digit(8).unwrap_or(0)),
            };
            let mut code = first;
            for _ in 0..digits {
                let c = next()?;
                let digit = c.to_digit(radix);
                let digit = digit.ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
                code = code.wrapping_mul(radix) | digit;
            }
            return push_code(out, code, matches!(kind, 'u' | 'U'));
        }
        c => return Err(format!("unknown escape sequence {}", code_point(c))),
    };
    out.push(byte);
    Ok(())
}

/// A character, or a byte, of this number.
fn push_code(out: &mut Vec<u8>, code: u32, is_char: bool) -> Result<(), String> {
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    if is_char {
        let c = char::from_u32(code).ok_or_else(invalid)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(code).map_err(|_| invalid())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        let read = |rest: &str, quote| read_quoted(rest, quote).map(|(text, length)| (text, rest.len() - length));
        let resolved = "a\n\t\"\\AAé😀".as_bytes().to_vec();
        assert_eq!(read(r#"a\n\t\"\\\x41\101\u00e9\U0001F600""#, '"'), Ok((resolved, 0)));
        assert_eq!(read(r"it\'s' rest", '\''), Ok((b"it's".to_vec(), 5)));
        assert_eq!(read(r#"\xc3\xa9""#, '"'), Ok(("é".as_bytes().to_vec(), 0)));
        assert_eq!(read(r#"a\xc5z""#, '"'), Ok((b"a\xc5z".to_vec(), 0)));
    }

    #[test]
    fn bad_escapes_say_what_is_wrong() {
        let message = |body: &str| read_quoted(body, '"').expect_err("bad");
        assert_eq!(message(r#"\d""#), "unknown escape sequence U+0064 'd'");
        assert_eq!(message(r#"\'""#), "unknown escape sequence U+0027 '''");
        assert_eq!(message("\\\n\""), "unknown escape sequence U+000A");
        assert_eq!(message(r"\x4"), "escape sequence not terminated");
        assert_eq!(message(r"\"), "escape sequence not terminated");
        assert_eq!(message(r#"\x4z""#), "illegal character U+007A 'z' in escape sequence");
        assert_eq!(message(r#"\ud800""#), "escape sequence is an invalid Unicode code point");
        assert_eq!(message(r#"\777""#), "escape sequence is an invalid Unicode code point");
        assert_eq!(message("abc"), "unterminated quoted string");
        assert_eq!(message("a\u{fffd}\""), "invalid UTF-8 rune");
    }

    #[test]
    fn quoting_is_that_of_go() {
        assert_eq!(quoted("a\"b\n\u{1}é\u{7f}"), r#""a\"b\n\x01é\x7f""#);
        assert_eq!(quoted("\u{a0}\u{200b}\u{e000}\u{301}\u{10ffff}"), "\"\\u00a0\\u200b\\ue000\u{301}\\U0010ffff\"");
        assert_eq!(quoted_bytes(b"a\xc5z\xf0\x9f\""), r#""a\xc5z\xf0\x9f\"""#);
        assert_eq!(quoted_char('\''), r"'\''");
    }
}
