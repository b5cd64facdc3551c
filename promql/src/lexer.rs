//! Cuts a text into tokens, each with its span.
//!
//! Four states, as in Prometheus: outside, words may hold colons and be keywords; inside braces only label names, quoted
//! texts, match operators and commas stand; behind an opening bracket, durations and their arithmetic; and behind the
//! first number in brackets, the same as outside, but few words. Comments run from `#` to the end of the line. Numbers
//! are in `number`, quoted texts in `strings`. Not here: what may follow what (`parser`).

mod number;
mod strings;
mod token;

use schemas::MatchOp;

use crate::error::{ParseError, Span};
use crate::operator::{Aggregator, BinaryOp, Keyword};
use crate::quote::quoted_char;
pub(crate) use number::number_value;
pub use token::{Token, TokenKind};

/// Where the lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Braces,
    /// Behind `[`, before the first number.
    Brackets,
    /// Behind the first number, or what began as one.
    BracketsBehindNumber,
}

/// The tokens of a text, one at a time.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    state: State,
    /// Braces stand in brackets where the grammar is about to refuse them.
    braces_in: State,
    open_parens: usize,
    /// A number, or a call such as `step()`, stood in any brackets before.
    length_seen: bool,
    /// In the brackets that are open.
    colon_seen: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            state: State::Outside,
            braces_in: State::Outside,
            open_parens: 0,
            length_seen: false,
            colon_seen: false,
        }
    }

    /// The next token; [`TokenKind::End`] for ever behind the last.
    pub fn next_token(&mut self) -> Result<Token, ParseError> {
        self.skip_space();
        let start = self.at;
        let kind = match (self.peek(), self.state) {
            (None, State::Braces) => return Err(self.error(start, "unexpected end of input inside braces")),
            (None, State::Brackets) => {
                return Err(self.error(start, "unexpected end of input in duration expression"));
            }
            (None, _) if self.open_parens > 0 => return Err(self.error(start, "unclosed left parenthesis")),
            (None, State::BracketsBehindNumber) => return Err(self.error(start, "unclosed left bracket")),
            (None, State::Outside) => TokenKind::End,
            (Some(c), State::Outside | State::BracketsBehindNumber) => self.outside(c)?,
            (Some(c), State::Braces) => self.in_braces(c)?,
            (Some(c), State::Brackets) => self.in_brackets(c)?,
        };
        Ok(Token { kind, span: Span::new(start, self.at) })
    }

    fn outside(&mut self, c: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        if self.number_starts(c) {
            return self.number();
        }
        if is_name_start(c) || c == ':' {
            return if self.state == State::Outside { Ok(self.word()) } else { self.word_in_brackets(c) };
        }
        match c {
            '"' | '\'' => return self.quoted_text(c),
            '`' => return self.raw_text(),
            _ => {}
        }
        self.bump();
        match c {
            '{' => {
                self.braces_in = self.state;
                Ok(self.enter(State::Braces, TokenKind::LeftBrace))
            }
            '[' if self.state == State::BracketsBehindNumber => Err(self.error(start, "unexpected left bracket '['")),
            '[' => {
                self.colon_seen = false;
                Ok(self.enter(State::Brackets, TokenKind::LeftBracket))
            }
            ']' if self.state == State::Outside => Err(self.error(start, "unexpected right bracket ']'")),
            ']' => Ok(self.enter(State::Outside, TokenKind::RightBracket)),
            ',' => Ok(TokenKind::Comma),
            '@' => Ok(TokenKind::At),
            '(' | ')' => self.paren(c),
            '=' | '!' | '<' | '>' => self.comparison(c),
            c => match BinaryOp::from_word(c.encode_utf8(&mut [0; 4])) {
                Some(op) => Ok(TokenKind::Operator(op)),
                None => Err(self.error(start, format!("unexpected character: {}", quoted_char(c)))),
            },
        }
    }

    fn in_braces(&mut self, c: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        match c {
            '"' | '\'' => return self.quoted_text(c),
            '`' => return self.raw_text(),
            '=' | '!' => return self.match_operator(c),
            c if is_name_start(c) => {
                self.skip_while(|c| is_name_start(c) || c.is_ascii_digit());
                return Ok(TokenKind::Identifier);
            }
            _ => {}
        }
        self.bump();
        match c {
            '}' => Ok(self.enter(self.braces_in, TokenKind::RightBrace)),
            ',' => Ok(TokenKind::Comma),
            '{' => Err(self.error(start, "unexpected left brace '{'")),
            _ => Err(self.error(start, format!("unexpected character inside braces: {}", quoted_char(c)))),
        }
    }

    fn in_brackets(&mut self, c: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        if self.number_starts(c) {
            self.length_seen = true;
            self.state = State::BracketsBehindNumber;
            return self.number();
        }
        if let Some(word) = self.duration_word(c) {
            return Ok(TokenKind::Keyword(word));
        }
        self.bump();
        let kind = match c {
            ']' => self.enter(State::Outside, TokenKind::RightBracket),
            ':' if !self.length_seen => {
                return Err(self.error(self.at, "unexpected colon before duration in duration expression"));
            }
            ':' if self.colon_seen => {
                return Err(self.error(self.at, "unexpected repeated colon in duration expression"));
            }
            ':' => {
                self.colon_seen = true;
                TokenKind::Colon
            }
            ',' => TokenKind::Comma,
            '(' | ')' => return self.paren(c),
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Subtract),
            '*' => TokenKind::Operator(BinaryOp::Multiply),
            '/' => TokenKind::Operator(BinaryOp::Divide),
            '%' => TokenKind::Operator(BinaryOp::Modulo),
            '^' => TokenKind::Operator(BinaryOp::Power),
            _ => {
                let found = quoted_char(c);
                return Err(self.error(start, format!("unexpected character in duration expression: {found}")));
            }
        };
        Ok(kind)
    }

    /// Behind the first number in brackets: a colon, or a word of duration arithmetic.
    fn word_in_brackets(&mut self, c: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        if let Some(word) = self.duration_word(c) {
            return Ok(TokenKind::Keyword(word));
        }
        if c != ':' {
            return Err(self.error(start, format!("unexpected character: {}, expected ':'", quoted_char(c))));
        }
        self.bump();
        if std::mem::replace(&mut self.colon_seen, true) {
            return Err(self.error(start, "unexpected colon ':'"));
        }
        Ok(TokenKind::Colon)
    }

    /// `step`, `range`, `max_of` or `min_of`; nothing is taken if it is another word.
    fn duration_word(&mut self, first: char) -> Option<Keyword> {
        if !is_name_start(first) {
            return None;
        }
        let start = self.at;
        self.skip_while(is_name_start);
        let word = Keyword::from_word(&self.text[start..self.at].to_ascii_lowercase());
        let word = word.filter(|word| word.is_duration());
        if word.is_none() {
            self.at = start;
        }
        word
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        self.skip_while(|c| is_name_start(c) || c.is_ascii_digit() || c == ':');
        let source = &self.text[start..self.at];
        let lower = source.to_ascii_lowercase();
        match lower.as_str() {
            "inf" | "nan" => return TokenKind::Number,
            // Younger than the metrics that may have these names.
            "fill" | "fill_left" | "fill_right" if !self.paren_follows() => return TokenKind::Identifier,
            _ => {}
        }
        let keyword = Keyword::from_word(&lower).map(TokenKind::Keyword);
        let operator = || BinaryOp::from_word(&lower).map(TokenKind::Operator);
        let aggregator = || Aggregator::from_word(&lower).map(TokenKind::Aggregator);
        keyword.or_else(operator).or_else(aggregator).unwrap_or(if source.contains(':') {
            TokenKind::MetricIdentifier
        } else {
            TokenKind::Identifier
        })
    }

    /// The first character of a comparison has been read.
    fn comparison(&mut self, first: char) -> Result<TokenKind, ParseError> {
        let start = self.at - 1;
        match (first, self.peek()) {
            ('=', Some('~')) => return Err(self.error(start, "unexpected character after '=': '~'")),
            ('=', next) if next != Some('=') => return Ok(TokenKind::Match(MatchOp::Equal)),
            ('!', next) if next != Some('=') => {
                return Err(self.error(start, format!("unexpected character after '!': {}", or_end(next))));
            }
            (_, Some('=')) | ('<' | '>', Some('/')) => self.at += 1,
            _ => {}
        }
        let op = BinaryOp::from_word(&self.text[start..self.at]);
        op.map(TokenKind::Operator).ok_or_else(|| self.error(start, "unexpected operator"))
    }

    fn match_operator(&mut self, first: char) -> Result<TokenKind, ParseError> {
        let start = self.at;
        self.bump();
        let op = match (first, self.peek()) {
            ('=', Some('~')) => MatchOp::Regex,
            ('=', _) => return Ok(TokenKind::Match(MatchOp::Equal)),
            (_, Some('=')) => MatchOp::NotEqual,
            (_, Some('~')) => MatchOp::NotRegex,
            (_, next) => {
                let message = format!("unexpected character after '!' inside braces: {}", or_end(next));
                return Err(self.error(start, message));
            }
        };
        self.bump();
        Ok(TokenKind::Match(op))
    }

    /// Takes a parenthesis.
    fn paren(&mut self, c: char) -> Result<TokenKind, ParseError> {
        if c == '(' {
            self.open_parens += 1;
            return Ok(TokenKind::LeftParen);
        }
        let Some(open) = self.open_parens.checked_sub(1) else {
            return Err(self.error(self.at, "unexpected right parenthesis ')'"));
        };
        self.open_parens = open;
        self.length_seen |= self.state == State::Brackets;
        Ok(TokenKind::RightParen)
    }

    fn paren_follows(&self) -> bool {
        self.text[self.at..].trim_start_matches(is_space).starts_with('(')
    }

    fn number_starts(&self, c: char) -> bool {
        c.is_ascii_digit() || (c == '.' && self.second().is_some_and(|d| d.is_ascii_digit()))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn second(&self) -> Option<char> {
        self.text[self.at..].chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
    }

    fn enter(&mut self, state: State, kind: TokenKind) -> TokenKind {
        self.state = state;
        kind
    }

    fn skip_space(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                c if is_space(c) => self.at += 1,
                '#' if self.state != State::Brackets => self.skip_while(|c| c != '\n' && c != '\r'),
                _ => return,
            }
        }
    }

    fn error(&self, start: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, Span::new(start, self.text.len()), message)
    }
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The character in quotes. Prometheus shows the end of the text as the replacement character.
fn or_end(c: Option<char>) -> String {
    quoted_char(c.unwrap_or(char::REPLACEMENT_CHARACTER))
}
