//! One line: measurement, tags, fields, time, from left to right.
//!
//! A backslash escapes a comma, an equals sign or a space, and is an ordinary character before anything else (so
//! Windows paths in tags survive); inside a quoted string it escapes a quote or a backslash.

use std::borrow::Cow;

use schemas::RejectReason;

use crate::canonical::{Pair, room_for_label};

/// Fields of one line. Bounds the memory that a line takes before its points are counted.
const FIELDS_MAX: usize = 100_000;

const COMMA: u8 = 1;
const EQUALS: u8 = 2;
const SPACE: u8 = 4;
const BACKSLASH: u8 = 8;

/// What a byte may mean between fields and tags.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b',' as usize] = COMMA;
    class[b'=' as usize] = EQUALS;
    class[b' ' as usize] = SPACE;
    class[b'\\' as usize] = BACKSLASH;
    class
};

/// A position in a line.
pub(super) struct Line<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A slice of the line up to a delimiter, and whether a backslash in it escapes something.
struct Piece<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl<'a> Piece<'a> {
    fn unescaped(&self) -> Cow<'a, [u8]> {
        if self.escaped { unescape(self.bytes) } else { Cow::Borrowed(self.bytes) }
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn measurement(&mut self) -> Result<Cow<'a, [u8]>, RejectReason> {
        let piece = self.piece(COMMA | SPACE);
        if piece.bytes.is_empty() { Err(malformed("missing measurement")) } else { Ok(piece.unescaped()) }
    }

    /// Reads the tags as they stand; says whether any of them needs [`unescape`].
    pub(super) fn tags(&mut self, pairs: &mut Vec<Pair<'a>>) -> Result<bool, RejectReason> {
        let mut escaped = false;
        while self.eat(b',') {
            let name = self.piece(COMMA | EQUALS | SPACE);
            if name.bytes.is_empty() {
                return Err(malformed("missing tag key"));
            }
            if !self.eat(b'=') {
                return Err(malformed("missing tag value"));
            }
            let value = self.piece(COMMA | EQUALS | SPACE);
            if value.bytes.is_empty() {
                return Err(malformed("missing tag value"));
            }
            if self.peek() == Some(b'=') {
                return Err(malformed("an equals sign in a tag value must be escaped"));
            }
            room_for_label(pairs.len())?;
            escaped |= name.escaped | value.escaped;
            pairs.push((name.bytes, value.bytes));
        }
        Ok(escaped)
    }

    /// Reads the fields; returns how many of them are strings, which are left out.
    pub(super) fn fields(&mut self, fields: &mut Vec<(Cow<'a, [u8]>, f64)>) -> Result<u64, RejectReason> {
        self.spaces();
        if self.peek().is_none() {
            return Err(malformed("missing fields"));
        }
        let mut strings = 0;
        loop {
            let name = self.piece(COMMA | EQUALS | SPACE);
            if name.bytes.is_empty() {
                return Err(malformed("missing field key"));
            }
            if !self.eat(b'=') {
                return Err(malformed("missing field value"));
            }
            if self.eat(b'"') {
                self.string()?;
                strings += 1;
            } else if fields.len() == FIELDS_MAX {
                return Err(RejectReason::Malformed(format!("more than {FIELDS_MAX} fields")));
            } else {
                let value = number(self.piece(COMMA | SPACE).bytes)?;
                fields.push((name.unescaped(), value));
            }
            if !self.eat(b',') {
                return Ok(strings);
            }
        }
    }

    /// The number behind the fields, in whatever unit; `None` when the line ends before it.
    pub(super) fn timestamp(&mut self) -> Result<Option<i64>, RejectReason> {
        if !matches!(self.peek(), None | Some(b' ')) {
            return Err(malformed("a field must be followed by a comma, a space or the end of the line"));
        }
        self.spaces();
        let text = self.bytes[self.at..].trim_ascii_end();
        if text.is_empty() {
            return Ok(None);
        }
        match integer(text) {
            Some(number) => Ok(Some(number)),
            None => Err(RejectReason::InvalidTimestamp(format!("{:?}", excerpt(text)))),
        }
    }

    /// Reads up to a byte of the classes in `stops`, or to the end.
    #[inline]
    fn piece(&mut self, stops: u8) -> Piece<'a> {
        let start = self.at;
        let mut escaped = false;
        while let Some(&byte) = self.bytes.get(self.at) {
            let class = CLASS[usize::from(byte)];
            if class & (stops | BACKSLASH) == 0 {
                self.at += 1;
            } else if class == BACKSLASH {
                let next = self.bytes.get(self.at + 1).map_or(0, |next| CLASS[usize::from(*next)]);
                let escapes = next & (COMMA | EQUALS | SPACE) != 0;
                escaped |= escapes;
                self.at += if escapes { 2 } else { 1 };
            } else {
                break;
            }
        }
        Piece { bytes: &self.bytes[start..self.at], escaped }
    }

    /// Skips a quoted string; the opening quote is read already.
    fn string(&mut self) -> Result<(), RejectReason> {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        Err(malformed("a string field is not closed"))
    }

    fn spaces(&mut self) {
        while self.eat(b' ') {}
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }
}

/// Removes the backslashes that escape something.
pub(super) fn unescape(piece: &[u8]) -> Cow<'_, [u8]> {
    if !piece.contains(&b'\\') {
        return Cow::Borrowed(piece);
    }
    let mut out = Vec::with_capacity(piece.len());
    let mut bytes = piece.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(b',' | b'=' | b' ') if byte == b'\\' => out.extend(bytes.next()),
            Some(_) | None => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// The value of a field that is no string.
fn number(text: &[u8]) -> Result<f64, RejectReason> {
    let parsed = match text {
        [digits @ .., b'i'] => integer(digits).map(to_f64),
        [digits @ .., b'u'] => std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).map(unsigned_to_f64),
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(1.0),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(0.0),
        // The protocol has no infinities; the test also keeps out their names, which the float parser knows.
        text => fast_float2::parse::<f64, _>(text).ok().filter(|value| value.is_finite()),
    };
    parsed.ok_or_else(|| match text {
        b"" => malformed("missing field value"),
        text => RejectReason::InvalidValue(format!("{:?} is not a number", excerpt(text))),
    })
}

/// A signed decimal; `None` if it is none or does not fit.
fn integer(text: &[u8]) -> Option<i64> {
    // Eighteen digits cannot overflow; longer or signed ones are rare enough for the library.
    if (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The nearest double: exact below 2^53.
fn to_f64(number: i64) -> f64 {
    number as f64
}

/// The nearest double: exact below 2^53.
fn unsigned_to_f64(number: u64) -> f64 {
    number as f64
}

fn malformed(what: &str) -> RejectReason {
    RejectReason::Malformed(what.to_owned())
}

fn excerpt(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(64)])
}
