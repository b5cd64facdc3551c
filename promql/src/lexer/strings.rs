//! Quoted texts: in double or single quotes with Go's escapes, and raw in backquotes.

use super::{Lexer, TokenKind};
use crate::error::ParseError;
use crate::quote::read_quoted;

impl Lexer<'_> {
    pub(super) fn quoted_text(&mut self, quote: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        self.bump();
        let (text, length) = read_quoted(&self.text[self.at..], quote).map_err(|why| self.error(start, why))?;
        self.at += length;
        Ok(match String::from_utf8(text) {
            Ok(text) => TokenKind::String(text),
            Err(other) => TokenKind::Bytes(other.into_bytes()),
        })
    }

    pub(super) fn raw_text(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.at;
        let body = &self.text[start + 1..];
        let length = body.find(['`', char::REPLACEMENT_CHARACTER]);
        match length.map(|length| (length, body[length..].starts_with('`'))) {
            None => Err(self.error(start, "unterminated raw string")),
            // What Go reads bytes as that are not UTF-8.
            Some((_, false)) => Err(self.error(start, "invalid UTF-8 rune")),
            Some((length, true)) => {
                self.at = start + 1 + length + 1;
                Ok(TokenKind::String(body[..length].to_owned()))
            }
        }
    }
}
