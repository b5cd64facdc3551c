//! Series selectors: `cpu_usage{env="production",host=~"a.*"}`, `{"http.requests", code!="200"}`.
//!
//! tokens → optional metric name → matchers in braces → checks → `Vec<LabelMatcher>`, the name first
//!
//! The grammar is `vector_selector` of Prometheus' `generated_parser.y`, with its error texts.

use schemas::labels::METRIC_NAME;
use schemas::{LabelMatcher, MatchOp};

use crate::error::{ParseError, Span};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::quote::quoted;

/// Words that name no metric, since they mean something else in an expression.
const RESERVED: [&str; 8] = ["atan2", "bool", "group_left", "group_right", "ignoring", "inf", "nan", "on"];

/// Parses a series selector. At least one matcher must refuse the empty string, as in Prometheus.
pub fn parse_selector(text: &str) -> Result<Vec<LabelMatcher>, ParseError> {
    Parser { text, lexer: Lexer::new(text), matchers: Vec::new(), name: None }.selector()
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    matchers: Vec<LabelMatcher>,
    /// The metric name, once one was given outside a matcher.
    name: Option<String>,
}

impl Parser<'_> {
    fn selector(mut self) -> Result<Vec<LabelMatcher>, ParseError> {
        let mut token = self.lexer.next_token()?;
        if matches!(token.kind, TokenKind::Identifier | TokenKind::MetricIdentifier) {
            let name = &self.text[token.span.start..token.span.end];
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(self.error(token.span, format!("unexpected <{name}>")));
            }
            self.name = Some(name.to_owned());
            token = self.lexer.next_token()?;
        } else if token.kind != TokenKind::LeftBrace {
            return Err(self.unexpected(&token, "", ""));
        }
        if token.kind == TokenKind::LeftBrace {
            self.braces()?;
            token = self.lexer.next_token()?;
        }
        if token.kind != TokenKind::End {
            return Err(self.unexpected(&token, "", ""));
        }
        self.checked()
    }

    /// `{` has been read: matchers up to `}`; a comma may follow the last.
    fn braces(&mut self) -> Result<(), ParseError> {
        loop {
            let token = self.lexer.next_token()?;
            match token.kind {
                TokenKind::RightBrace => return Ok(()),
                TokenKind::Identifier => {
                    let label = self.text[token.span.start..token.span.end].to_owned();
                    let after = self.lexer.next_token()?;
                    self.comparison(label, &after)?;
                }
                TokenKind::String(text) => {
                    let after = self.lexer.next_token()?;
                    match after.kind {
                        TokenKind::Match(_) => self.comparison(text, &after)?,
                        _ => {
                            self.metric_in_braces(text, token.span)?;
                            if self.list_ends(&after)? {
                                return Ok(());
                            }
                            continue;
                        }
                    }
                }
                _ => return Err(self.unexpected(&token, "label matching", "identifier or \"}\"")),
            }
            let after = self.lexer.next_token()?;
            if self.list_ends(&after)? {
                return Ok(());
            }
        }
    }

    /// Behind a matcher: a comma goes on, a brace ends.
    fn list_ends(&self, token: &Token) -> Result<bool, ParseError> {
        match token.kind {
            TokenKind::Comma => Ok(false),
            TokenKind::RightBrace => Ok(true),
            _ => Err(self.unexpected(token, "label matching", "\",\" or \"}\"")),
        }
    }

    fn comparison(&mut self, label: String, operator: &Token) -> Result<(), ParseError> {
        let TokenKind::Match(op) = operator.kind else {
            return Err(self.unexpected(operator, "label matching", "label matching operator"));
        };
        let value = self.lexer.next_token()?;
        let TokenKind::String(text) = value.kind else {
            return Err(self.unexpected(&value, "label matching", "string"));
        };
        let matcher = LabelMatcher::new(label, op, text).map_err(|e| self.error(value.span, e.to_string()))?;
        self.matchers.push(matcher);
        Ok(())
    }

    fn metric_in_braces(&mut self, name: String, span: Span) -> Result<(), ParseError> {
        match self.name.replace(name) {
            Some(first) => {
                let second = self.name.as_deref().unwrap_or_default();
                let message = format!("metric name must not be set twice: {} or {}", quoted(&first), quoted(second));
                Err(self.error(span, message))
            }
            None => Ok(()),
        }
    }

    fn checked(self) -> Result<Vec<LabelMatcher>, ParseError> {
        let whole = Span::new(0, self.text.len());
        if let Some(name) = &self.name {
            let twice = self.matchers.iter().find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal);
            if let Some(second) = twice {
                let message =
                    format!("metric name must not be set twice: {} or {}", quoted(name), quoted(second.value()));
                return Err(self.error(whole, message));
            }
        }
        let mut out = Vec::with_capacity(self.matchers.len() + 1);
        out.extend(self.name.as_ref().map(|name| LabelMatcher::equal(METRIC_NAME, name.as_str())));
        // A name in braces may be the empty string, which is what series without one have.
        if out.iter().chain(&self.matchers).all(LabelMatcher::matches_absent) {
            return Err(self.error(whole, "vector selector must contain at least one non-empty matcher"));
        }
        out.extend(self.matchers);
        Ok(out)
    }

    fn unexpected(&self, token: &Token, context: &str, expected: &str) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.text));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(token.span, message)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, span, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Vec<String> {
        parse_selector(text).expect(text).iter().map(ToString::to_string).collect()
    }

    fn refused(text: &str) -> String {
        parse_selector(text).expect_err(text).to_string()
    }

    #[test]
    fn a_selector_is_a_name_and_matchers() {
        assert_eq!(printed("up"), [r#"__name__="up""#]);
        assert_eq!(printed("job:rate:5m"), [r#"__name__="job:rate:5m""#]);
        assert_eq!(
            printed(r#"cpu_usage{env="production",host=~"a.*"}"#),
            [r#"__name__="cpu_usage""#, r#"env="production""#, r#"host=~"a.*""#]
        );
        assert_eq!(
            printed("{ a != 'x' , b =~ `y|z\\d`, }"),
            [r#"a!="x""#, r#"b=~"y|z\\d""#],
            "spaces, both other quotes and a last comma"
        );
    }

    #[test]
    fn names_may_be_quoted_and_words_of_the_language_may_name_metrics() {
        assert_eq!(
            printed(r#"{"http.requests", "status.code"="200"}"#),
            [r#"__name__="http.requests""#, r#"status.code="200""#]
        );
        assert_eq!(printed(r#"{"up"}"#), [r#"__name__="up""#]);
        assert_eq!(printed("sum"), [r#"__name__="sum""#]);
        assert_eq!(printed("up # comment\n{a='1'}"), [r#"__name__="up""#, r#"a="1""#]);
    }

    #[test]
    fn errors_are_in_prometheus_words_with_their_place() {
        let cases = [
            ("", "1:1: parse error: unexpected end of input"),
            ("up{", "1:4: parse error: unexpected end of input inside braces"),
            ("{a}", "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator"),
            ("{a=}", "1:4: parse error: unexpected \"}\" in label matching, expected string"),
            ("{a=b}", "1:4: parse error: unexpected identifier \"b\" in label matching, expected string"),
            ("{,}", "1:2: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
            (
                "{a='b' c='d'}",
                "1:8: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
            ),
            ("{a>='b'}", "1:3: parse error: unexpected character inside braces: '>'"),
            ("{a!b}", "1:3: parse error: unexpected character after '!' inside braces: 'b'"),
            ("{a='b}", "1:4: parse error: unterminated quoted string"),
            ("{a=`b}", "1:4: parse error: unterminated raw string"),
            ("up[5m]", "1:3: parse error: unexpected \"[\""),
            ("up}", "1:3: parse error: unexpected right brace '}'"),
            ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("{\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("{a=~'.*'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("up{__name__='x'}", "1:1: parse error: metric name must not be set twice: \"up\" or \"x\""),
            ("up{'x'}", "1:4: parse error: metric name must not be set twice: \"up\" or \"x\""),
            ("bool", "1:1: parse error: unexpected <bool>"),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text}");
        }
        assert!(refused("{a=~'('}").contains("unclosed group"));
    }

    #[test]
    fn no_text_panics() {
        let pieces = ["{", "}", "a", "=", "!", "~", "\"", "'", "`", "\\", ",", "é", "\n", "#", ":", "0", " ", "😀"];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        drop(parse_selector(&[a, b, c, d, a].concat()));
                    }
                }
            }
        }
    }
}
