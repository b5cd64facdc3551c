//! Names, matchers in braces, ranges, `offset` and `@`.

use schemas::{LabelMatcher, TimestampMs};

use super::{Parser, Tree};
use crate::ast::{At, Edges, Expr, ExprKind, Length, MatrixSelector, Modifiers, VectorSelector};
use crate::check::check_selector;
use crate::error::{ParseError, Span};
use crate::lexer::TokenKind;
use crate::operator::Keyword;

const NO_SELECTOR: &str = "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// The name has been read, if there is one; braces may follow.
    pub(super) fn vector(&mut self, name: Option<String>, start: Span) -> Result<Tree, ParseError> {
        let selector = self.selector(name)?;
        let span = Span::new(start.start, self.last_end);
        self.node(ExprKind::Vector(Box::new(selector)), span, 0)
    }

    /// The whole text is one selector.
    pub(crate) fn lone_selector(mut self) -> Result<VectorSelector, ParseError> {
        let named = self.token.kind.may_name_metric();
        if !named && self.token.kind != TokenKind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        let start = self.token.span.start;
        let name = if named { Some(self.take().span) } else { None };
        let selector = self.selector(name.map(|span| self.source(span).to_owned()))?;
        if self.token.kind != TokenKind::End {
            return Err(self.unexpected("", ""));
        }
        check_selector(self.text, &selector, Span::new(start, self.last_end))?;
        Ok(selector)
    }

    fn selector(&mut self, name: Option<String>) -> Result<VectorSelector, ParseError> {
        let matchers = if self.skip(&TokenKind::LeftBrace) { self.matchers()? } else { Vec::new() };
        Ok(VectorSelector { name, matchers, edges: Edges::Plain, modifiers: Modifiers::default() })
    }

    /// `{` has been read: matchers up to `}`; a comma may follow the last.
    fn matchers(&mut self) -> Result<Vec<LabelMatcher>, ParseError> {
        let mut matchers = Vec::new();
        while !self.skip(&TokenKind::RightBrace) {
            matchers.push(self.matcher()?);
            if self.token.kind != TokenKind::RightBrace {
                self.expect(&TokenKind::Comma, "label matching", "\",\" or \"}\"")?;
            }
        }
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<LabelMatcher, ParseError> {
        let span = self.token.span;
        let (label, alone) = match &mut self.token.kind {
            TokenKind::Identifier => (self.source(span).to_owned(), false),
            TokenKind::String(text) => (std::mem::take(text), true),
            TokenKind::Bytes(_) => return Err(self.not_text()),
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.take();
        let TokenKind::Match(op) = self.token.kind else {
            if alone {
                return Ok(LabelMatcher::equal(schemas::labels::METRIC_NAME, label));
            }
            return Err(self.unexpected("label matching", "label matching operator"));
        };
        self.take();
        let place = Span::new(span.start, self.token.span.end);
        let value = match &mut self.token.kind {
            TokenKind::String(value) => std::mem::take(value),
            TokenKind::Bytes(_) => return Err(self.not_text()),
            _ => return Err(self.unexpected("label matching", "string")),
        };
        let matcher = LabelMatcher::new(label, op, value).map_err(|e| self.error(place, e.to_string()))?;
        self.take();
        Ok(matcher)
    }

    /// Labels are UTF-8, and so is what they are compared with.
    fn not_text(&self) -> ParseError {
        self.error(self.token.span, "invalid UTF-8 in quoted string")
    }

    pub(super) fn matrix(&mut self, tree: Tree, range: Length, brackets: Span) -> Result<Tree, ParseError> {
        let span = Span::new(tree.expr.span.start, self.last_end);
        let refused = match tree.expr.kind {
            ExprKind::Vector(selector) => {
                if selector.modifiers.offset.is_some() {
                    "no offset modifiers allowed before range"
                } else if selector.modifiers.at.is_some() {
                    "no @ modifiers allowed before range"
                } else {
                    return self.node(
                        ExprKind::Matrix(Box::new(MatrixSelector { selector: *selector, range })),
                        span,
                        0,
                    );
                }
            }
            _ => "ranges only allowed for vector selectors",
        };
        Err(self.error(brackets, refused))
    }

    /// `offset` and its length behind an expression.
    pub(super) fn offset(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        self.take();
        let offset = self.offset_length()?;
        let span = expr.span;
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(span, format!("offset modifier {NO_SELECTOR}")));
        };
        if modifiers.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        modifiers.offset = offset;
        expr.span.end = self.last_end;
        Ok(())
    }

    /// `anchored` or `smoothed` behind an expression.
    pub(super) fn edges(&mut self, expr: &mut Expr, wanted: Edges) -> Result<(), ParseError> {
        let word = if wanted == Edges::Anchored { "anchored" } else { "smoothed" };
        self.take();
        if !self.options.extended_range_selectors {
            return Err(self.error(expr.span, format!("{word} modifier is experimental and not enabled")));
        }
        let edges = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.edges,
            ExprKind::Matrix(matrix) => &mut matrix.selector.edges,
            ExprKind::Subquery(_) => {
                return Err(self.error(expr.span, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(expr.span, format!("{word} modifier not implemented"))),
        };
        if *edges != Edges::Plain && *edges != wanted {
            return Err(self.error(expr.span, "anchored and smoothed modifiers cannot be used together"));
        }
        *edges = wanted;
        expr.span.end = self.last_end;
        Ok(())
    }

    /// `@` and its time behind an expression.
    pub(super) fn at(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        self.take();
        let span = expr.span;
        let at = match self.token.kind {
            TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.take();
                self.expect(&TokenKind::LeftParen, "@", "timestamp")?;
                self.expect(&TokenKind::RightParen, "@", "timestamp")?;
                if keyword == Keyword::Start { At::Start } else { At::End }
            }
            _ => {
                let seconds = self.signed_number("@", "timestamp")?;
                At::Time(timestamp(seconds).ok_or_else(|| {
                    let shown = crate::printer::fixed(seconds);
                    self.error(span, format!("timestamp out of bounds for @ modifier: {shown}"))
                })?)
            }
        };
        let Some(modifiers) = modifiers(expr) else {
            return Err(self.error(span, format!("@ modifier {NO_SELECTOR}")));
        };
        if modifiers.at.replace(at).is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        expr.span.end = self.last_end;
        Ok(())
    }
}

fn modifiers(expr: &mut Expr) -> Option<&mut Modifiers> {
    match &mut expr.kind {
        ExprKind::Vector(selector) => Some(&mut selector.modifiers),
        ExprKind::Matrix(matrix) => Some(&mut matrix.selector.modifiers),
        ExprKind::Subquery(subquery) => Some(&mut subquery.modifiers),
        _ => None,
    }
}

/// The nearest millisecond; `None` where milliseconds do not fit.
#[expect(clippy::cast_possible_truncation, reason = "the bound is checked")]
fn timestamp(seconds: f64) -> Option<TimestampMs> {
    let ms = (seconds * 1000.0).round();
    (ms.abs() < 9.2e18).then_some(TimestampMs(ms as i64))
}
