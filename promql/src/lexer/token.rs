//! Tokens, and how error texts name them.

use schemas::MatchOp;

use crate::error::{ParseError, Span};
use crate::operator::{Aggregator, BinaryOp, Keyword};
use crate::quote::quoted;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind {
    /// A label name, or a metric name without colons.
    Identifier,
    /// A metric name with colons.
    MetricIdentifier,
    Keyword(Keyword),
    Aggregator(Aggregator),
    Operator(BinaryOp),
    /// A quoted text, its escapes resolved.
    String(String),
    /// The same of a text that is not UTF-8.
    Bytes(Vec<u8>),
    /// What looks like a number; whether it is one, `number_value` knows.
    Number,
    /// A number with units.
    Duration,
    /// In braces; outside them `=` alone.
    Match(MatchOp),
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    End,
    /// No token at all; the lexer gives an error instead.
    Fault(Box<ParseError>),
}

impl TokenKind {
    /// Whether an expression may begin with it.
    pub(crate) fn begins_expression(&self) -> bool {
        match self {
            Self::Number | Self::Duration | Self::String(_) | Self::Bytes(_) | Self::LeftParen | Self::LeftBrace => {
                true
            }
            Self::Operator(BinaryOp::Add | BinaryOp::Subtract) => true,
            kind => kind.may_name_metric(),
        }
    }

    /// Whether it may stand for a metric without quotes.
    pub(crate) fn may_name_metric(&self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregator(_) => true,
            Self::Keyword(keyword) => keyword.may_name_metric(),
            Self::Operator(op) => op.is_set(),
            _ => false,
        }
    }
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
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
            TokenKind::String(_) | TokenKind::Bytes(_) => format!("string {}", shortened(source)),
            TokenKind::Number => format!("number {}", shortened(source)),
            TokenKind::Duration => format!("duration {}", shortened(source)),
            TokenKind::Keyword(word) if word.may_name_function() => quoted(source),
            TokenKind::Keyword(_) => format!("<{source}>"),
            TokenKind::Aggregator(_) => format!("<aggr:{source}>"),
            TokenKind::Match(MatchOp::Equal) => quoted(source),
            TokenKind::Match(_) | TokenKind::Operator(_) | TokenKind::At => format!("<op:{source}>"),
            TokenKind::Fault(fault) => fault.message.clone(),
            TokenKind::End => "end of input".to_owned(),
            TokenKind::LeftBrace | TokenKind::RightBrace | TokenKind::LeftParen | TokenKind::RightParen => {
                quoted(source)
            }
            TokenKind::LeftBracket | TokenKind::RightBracket | TokenKind::Comma | TokenKind::Colon => quoted(source),
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
