//! One sample line, from left to right: `name{label="value",…} value [time] [# exemplar]`.

use std::borrow::Cow;

use schemas::RejectReason;

use crate::canonical::room_for_label;

/// What a sample line says, besides its labels.
pub(super) struct Sample<'a> {
    /// `None` when the name is one of the labels, or missing.
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) value: f64,
    /// As written; its unit depends on the format.
    pub(super) timestamp: Option<&'a str>,
    pub(super) exemplar: bool,
}

impl<'a> Sample<'a> {
    /// Reads a line without white space around it. Labels are added to `labels`.
    pub(super) fn parse(line: &'a str, labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, RejectReason> {
        let mut cursor = Cursor { rest: line };
        let bare = cursor.until(|byte| matches!(byte, b'{' | b' ' | b'\t'));
        let mut name = (!bare.is_empty()).then_some(Cow::Borrowed(bare));
        cursor.blanks();
        if cursor.eat('{')
            && let Some(quoted) = cursor.labels(labels)?
            && name.replace(quoted).is_some()
        {
            return Err(malformed("the metric name stands twice"));
        }
        cursor.blanks();
        let text = cursor.word();
        let value = value(text)?;
        cursor.blanks();
        let timestamp = if cursor.rest.starts_with('#') { "" } else { cursor.word() };
        cursor.blanks();
        let exemplar = cursor.eat('#');
        if !exemplar && !cursor.rest.is_empty() {
            return Err(malformed("more than a value and a timestamp"));
        }
        Ok(Self { name, value, timestamp: (!timestamp.is_empty()).then_some(timestamp), exemplar })
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// Reads labels up to the closing brace; returns the metric name if it stands among them in quotes.
    fn labels(&mut self, labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Result<Option<Cow<'a, str>>, RejectReason> {
        let mut metric = None;
        loop {
            self.blanks();
            if self.eat('}') {
                return Ok(metric);
            }
            let quoted = self.eat('"');
            let name = if quoted {
                self.quoted()?
            } else {
                Cow::Borrowed(self.until(|byte| matches!(byte, b'=' | b',' | b'}' | b'"' | b' ' | b'\t')))
            };
            self.blanks();
            room_for_label(labels.len())?;
            if self.eat('=') {
                self.blanks();
                if !self.eat('"') {
                    return Err(malformed("a label value must be quoted"));
                }
                labels.push((name, self.quoted()?));
            } else if quoted && metric.is_none() {
                metric = Some(name);
            } else {
                return Err(malformed("a label has no value"));
            }
            self.blanks();
            if !self.eat(',') && !self.rest.starts_with('}') {
                return Err(malformed("labels must be followed by a comma or a closing brace"));
            }
        }
    }

    /// Reads to the closing quote; the opening one is read already.
    fn quoted(&mut self) -> Result<Cow<'a, str>, RejectReason> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while let Some(offset) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            at += offset;
            if bytes[at] == b'"' {
                let (text, rest) = self.rest.split_at(at);
                self.rest = &rest[1..];
                return Ok(unescape(text));
            }
            at = (at + 2).min(bytes.len());
        }
        Err(malformed("a quote is not closed"))
    }

    fn word(&mut self) -> &'a str {
        self.until(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// Reads up to a byte that stops; those are ASCII, so the cut is between characters.
    fn until(&mut self, stops: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(stops).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Undoes `\\`, `\"` and `\n`; a backslash before anything else stays, as in Prometheus.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(escaped @ ('\\' | '"' | 'n'))) => {
                out.push(if escaped == 'n' { '\n' } else { escaped });
                chars.next();
            }
            (c, _) => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn value(text: &str) -> Result<f64, RejectReason> {
    if text.is_empty() {
        return Err(malformed("a sample has no value"));
    }
    match fast_float2::parse::<f64, _>(text) {
        // Infinity must be said in letters: a number that overflows is an error, as in Prometheus.
        Ok(value) if !value.is_infinite() || !text.bytes().any(|byte| byte.is_ascii_digit()) => Ok(value),
        Ok(_) | Err(_) => Err(RejectReason::InvalidValue(format!("{:?} is not a number", excerpt(text)))),
    }
}

pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

fn malformed(what: &str) -> RejectReason {
    RejectReason::Malformed(what.to_owned())
}
