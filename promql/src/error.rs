//! What is wrong with a text, and where.

use std::fmt;

use thiserror::Error;

/// A half-open range of bytes of the parsed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A text that is not what was expected. Prints as Prometheus does: `1:5: parse error: unexpected …`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ParseError {
    /// What is wrong, without the place.
    pub message: String,
    /// The bytes it is about.
    pub span: Span,
    /// Line of the place, from 1; 0 where there is no text at all.
    pub line: usize,
    /// Byte in that line, from 1.
    pub column: usize,
}

impl ParseError {
    pub(crate) fn at(text: &str, span: Span, message: impl Into<String>) -> Self {
        if text.is_empty() {
            return Self { message: message.into(), span, line: 0, column: 0 };
        }
        let before = &text.as_bytes()[..span.start.min(text.len())];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line = before[..line_start].iter().map(|&b| usize::from(b == b'\n')).sum::<usize>() + 1;
        Self { message: message.into(), span, line, column: before.len() - line_start + 1 }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "unknown position: parse error: {}", self.message),
            line => write!(f, "{line}:{}: parse error: {}", self.column, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_a_line_and_a_byte_of_it() {
        let error = ParseError::at("a\nbcd", Span::new(3, 4), "x");
        assert_eq!(error.to_string(), "2:2: parse error: x");
        assert_eq!(ParseError::at("", Span::new(0, 0), "x").to_string(), "unknown position: parse error: x");
    }
}
