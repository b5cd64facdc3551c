//! Cuts a selector into tokens, each with its span.
//!
//! Two states, as in Prometheus: outside braces an identifier may hold colons; inside, only label names, quoted
//! texts, match operators and commas stand. Comments run from `#` to the end of the line.

use schemas::MatchOp;

use crate::error::{ParseError, Span};
use crate::quote::{quoted, quoted_char, unescape};

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// A label name, or a metric name without colons.
    Identifier,
    /// A metric name with colons.
    MetricIdentifier,
    /// A quoted text, its escapes resolved.
    String(String),
    Match(MatchOp),
    LeftBrace,
    RightBrace,
    Comma,
    /// Something of the wider language that no selector holds.
    Other,
    End,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

impl Token {
    /// As Prometheus names it in `unexpected …`.
    pub(crate) fn describe(&self, text: &str) -> String {
        let source = &text[self.span.start..self.span.end];
        match &self.kind {
            TokenKind::Identifier => format!("identifier {}", quoted(source)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quoted(source)),
            TokenKind::String(_) => format!("string {}", shortened(source)),
            TokenKind::Match(_) => format!("<op:{source}>"),
            TokenKind::LeftBrace | TokenKind::RightBrace | TokenKind::Comma | TokenKind::Other => shortened(source),
            TokenKind::End => "end of input".to_owned(),
        }
    }
}

/// Quoted, and cut behind ten characters.
fn shortened(source: &str) -> String {
    if source.len() <= 10 {
        return quoted(source);
    }
    format!("{}...", quoted(&source.chars().take(10).collect::<String>()))
}

/// The tokens of a text, one at a time.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    in_braces: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, in_braces: false }
    }

    /// The next token; [`TokenKind::End`] for ever behind the last.
    pub fn next_token(&mut self) -> Result<Token, ParseError> {
        self.skip_space();
        let start = self.at;
        let Some(c) = self.peek() else {
            return if self.in_braces {
                Err(self.error(start, "unexpected end of input inside braces"))
            } else {
                Ok(Token { kind: TokenKind::End, span: Span::new(start, start) })
            };
        };
        let kind = match c {
            '{' if !self.in_braces => self.one(TokenKind::LeftBrace, true),
            '}' if self.in_braces => self.one(TokenKind::RightBrace, false),
            '}' => return Err(self.error(start, "unexpected right brace '}'")),
            ',' => self.one(TokenKind::Comma, self.in_braces),
            '"' | '\'' => self.quoted_text(c)?,
            '`' => self.raw_text()?,
            c if is_name_start(c) || (c == ':' && !self.in_braces) => self.name(),
            '=' | '!' if self.in_braces => self.operator(c)?,
            c if self.in_braces => {
                return Err(self.error(start, format!("unexpected character inside braces: {}", quoted_char(c))));
            }
            _ => self.other(),
        };
        Ok(Token { kind, span: Span::new(start, self.at) })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn one(&mut self, kind: TokenKind, in_braces: bool) -> TokenKind {
        self.bump();
        self.in_braces = in_braces;
        kind
    }

    fn skip_space(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | '\r' => self.at += 1,
                '#' => self.at += self.text[self.at..].find('\n').unwrap_or(self.text.len() - self.at),
                _ => return,
            }
        }
    }

    fn name(&mut self) -> TokenKind {
        let start = self.at;
        let colons = !self.in_braces;
        while self.peek().is_some_and(|c| is_name_start(c) || c.is_ascii_digit() || (c == ':' && colons)) {
            self.at += 1;
        }
        let source = &self.text[start..self.at];
        if source.contains(':') { TokenKind::MetricIdentifier } else { TokenKind::Identifier }
    }

    fn operator(&mut self, first: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        self.bump();
        let op = match (first, self.peek()) {
            ('=', Some('~')) => MatchOp::Regex,
            ('=', _) => return Ok(TokenKind::Match(MatchOp::Equal)),
            (_, Some('=')) => MatchOp::NotEqual,
            (_, Some('~')) => MatchOp::NotRegex,
            (_, other) => {
                let found = other.map_or_else(|| "end of input".to_owned(), quoted_char);
                return Err(self.error(start, format!("unexpected character after '!' inside braces: {found}")));
            }
        };
        self.bump();
        Ok(TokenKind::Match(op))
    }

    fn quoted_text(&mut self, quote: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        self.bump();
        let body = self.at;
        loop {
            match self.bump() {
                None | Some('\n') => return Err(self.error(start, "unterminated quoted string")),
                Some('\\') => drop(self.bump()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        let text =
            unescape(&self.text[body..self.at - 1], quote).map_err(|bad| self.error(body + bad.at, bad.message))?;
        Ok(TokenKind::String(text))
    }

    fn raw_text(&mut self) -> Result<TokenKind, ParseError> {
        let start = self.at;
        let body = start + 1;
        let Some(length) = self.text[body..].find('`') else {
            return Err(self.error(start, "unterminated raw string"));
        };
        self.at = body + length + 1;
        Ok(TokenKind::String(self.text[body..body + length].to_owned()))
    }

    /// A word, a number or one character of the wider language.
    fn other(&mut self) -> TokenKind {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '.') {
            self.at += 1;
        }
        if self.at == start {
            self.bump();
        }
        TokenKind::Other
    }

    fn error(&self, start: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, Span::new(start, self.text.len()), message)
    }
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}
