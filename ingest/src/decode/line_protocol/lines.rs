//! Cuts a body into lines. A newline inside a quoted string field does not end its line.

use memchr::{memchr, memchr2};

/// Lines that hold data, without their newline and with their number from 1; blank lines and comments are left out.
pub(super) struct Lines<'a> {
    body: &'a [u8],
    number: u64,
    /// A quote was opened and never closed. From then on every newline ends a line, which keeps a broken quote from
    /// swallowing good lines, and the search for its end from running once a line.
    quotes_broken: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, number: 1, quotes_broken: false }
    }

    /// The first line of the rest, and how many newlines it takes, the one that ends it included.
    fn first_line(&mut self) -> (&'a [u8], u64) {
        let end = memchr(b'\n', self.body).unwrap_or(self.body.len());
        let line = &self.body[..end];
        if self.quotes_broken || memchr(b'"', line).is_none() || line.trim_ascii_start().starts_with(b"#") {
            return (line, 1);
        }
        let Some(fields) = fields_start(line) else { return (line, 1) };
        match end_outside_quotes(self.body, fields) {
            Some((end, newlines)) => (&self.body[..end], newlines),
            None => {
                self.quotes_broken = true;
                (line, 1)
            }
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.body.is_empty() {
            let number = self.number;
            let (line, newlines) = self.first_line();
            self.body = self.body.get(line.len() + 1..).unwrap_or_default();
            self.number += newlines;
            let line = line.trim_ascii_start();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() && line[0] != b'#' {
                return Some((number, line));
            }
        }
        None
    }
}

/// Where the fields begin: behind the first space that is not escaped. Quotes before it are ordinary characters.
fn fields_start(line: &[u8]) -> Option<usize> {
    let blank = line.len() - line.trim_ascii_start().len();
    let mut at = blank;
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' => return Some(at),
            b'\\' if matches!(line.get(at + 1), Some(b',' | b'=' | b' ')) => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The first newline that is in no quoted string, or the end of the body, and the newlines up to and with it;
/// `None` when a quote is never closed.
fn end_outside_quotes(body: &[u8], fields: usize) -> Option<(usize, u64)> {
    let (mut at, mut quoted, mut newlines) = (fields, false, 1);
    while let Some(found) = memchr2(b'"', b'\n', &body[at..]).map(|offset| at + offset) {
        match (body[found], quoted) {
            (b'"', true) if escaped(&body[at..found]) => {}
            (b'"', _) => quoted = !quoted,
            (_, true) => newlines += 1,
            (_, false) => return Some((found, newlines)),
        }
        at = found + 1;
    }
    (!quoted).then_some((body.len(), newlines))
}

/// Whether what follows `before` is escaped: an odd number of backslashes ends it.
fn escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}
