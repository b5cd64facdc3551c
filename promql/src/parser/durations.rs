//! Lengths in brackets and behind `offset`: fixed, or arithmetic that is known when the query's range and step are.

use schemas::DurationMs;

use super::Parser;
use crate::ast::{DurationExpr, DurationKind, Length, Number};
use crate::duration::parse_duration;
use crate::error::{ParseError, Span};
use crate::lexer::{TokenKind, number_value};
use crate::operator::{BinaryOp, Keyword, PRODUCT};

/// The longest length: 2^63 nanoseconds, in seconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// Where a length stands, and what may stand there: for error texts.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) context: &'static str,
    pub(super) expected: &'static str,
}

const OFFSET: Place = Place { context: "offset", expected: "number, duration, step(), or range()" };

impl Parser<'_> {
    /// The number that comes next. It is not taken.
    pub(super) fn number(&self) -> Result<Number, ParseError> {
        let span = self.token.span;
        let value = number_value(self.source(span)).map_err(|why| self.error(span, why))?;
        Ok(Number { value, is_duration: false })
    }

    /// The duration that comes next, in seconds. It is not taken.
    pub(super) fn duration_number(&self) -> Result<Number, ParseError> {
        let span = self.token.span;
        let DurationMs(ms) = parse_duration(self.source(span)).map_err(|e| self.error(span, e.to_string()))?;
        Ok(Number { value: seconds(ms), is_duration: true })
    }

    /// A number or duration with an optional sign, in seconds.
    pub(super) fn signed_number(&mut self, context: &str, expected: &str) -> Result<f64, ParseError> {
        let sign = self.sign();
        let Some(number) = self.literal()? else { return Err(self.unexpected(context, expected)) };
        Ok(if sign == Some(BinaryOp::Subtract) { -number.value } else { number.value })
    }

    fn literal(&mut self) -> Result<Option<Number>, ParseError> {
        let number = match self.token.kind {
            TokenKind::Number => self.number()?,
            TokenKind::Duration => self.duration_number()?,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(number))
    }

    fn sign(&mut self) -> Option<BinaryOp> {
        match self.token.kind {
            TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Subtract)) => {
                self.take();
                Some(sign)
            }
            _ => None,
        }
    }

    /// A range or a step; a literal must be greater than zero.
    pub(super) fn bracket_length(&mut self, place: Place) -> Result<Length, ParseError> {
        let expr = self.duration_expr(0, place)?;
        self.no_fault()?;
        match (literal_of(&expr), length(expr)) {
            (Some((number, span)), _) if number.value <= 0.0 => {
                Err(self.error(span, "duration must be greater than 0"))
            }
            (_, length) => Ok(length),
        }
    }

    /// What follows `offset`; `None` is zero. A literal, a function, or a parenthesis with a sign ends by itself, so that
    /// `a offset 5m * 2` doubles the vector; behind a parenthesis without a sign, arithmetic goes on.
    pub(super) fn offset_length(&mut self) -> Result<Option<Length>, ParseError> {
        let expr = match self.token.kind {
            TokenKind::LeftParen => self.duration_expr(0, OFFSET)?,
            TokenKind::Operator(BinaryOp::Add | BinaryOp::Subtract) => {
                let second = self.lexer.clone().next_token().map(|token| token.kind);
                match second {
                    Ok(TokenKind::Operator(BinaryOp::Add | BinaryOp::Subtract)) => self.duration_expr(0, OFFSET)?,
                    _ => self.signed_operand(OFFSET)?,
                }
            }
            _ => self.unsigned_operand(OFFSET)?,
        };
        Ok(match length(expr) {
            Length::Fixed(DurationMs(0)) => None,
            length => Some(length),
        })
    }

    /// A sign, and an operand that takes in nothing behind itself.
    fn signed_operand(&mut self, place: Place) -> Result<DurationExpr, ParseError> {
        let op_span = self.token.span;
        let sign = self.sign();
        let span = self.token.span;
        let inner = match self.token.kind {
            TokenKind::Keyword(word) if word.is_duration() => {
                let call = self.duration_function(word, place)?;
                self.needs_arithmetic(op_span)?;
                call
            }
            _ => match self.literal()? {
                Some(number) => DurationExpr { kind: DurationKind::Number(number), span },
                None => self.unsigned_operand(place)?,
            },
        };
        self.signed(sign, inner, op_span)
    }

    fn duration_expr(&mut self, least: u8, place: Place) -> Result<DurationExpr, ParseError> {
        self.enter(self.token.span)?;
        let mut left = self.duration_operand(place)?;
        let mut operators = 0;
        while let TokenKind::Operator(op) = self.token.kind {
            if op.precedence() < least.max(BinaryOp::Add.precedence()) || op == BinaryOp::Atan2 {
                break;
            }
            operators += 1;
            if operators > super::NESTING_MAX {
                return Err(self.error(self.token.span, "expression is nested too deeply"));
            }
            let op_span = self.take().span;
            let right = self.duration_expr(op.right_side(), place)?;
            self.no_fault()?;
            self.needs_arithmetic(left.span)?;
            let zero = literal_of(&right).is_some_and(|(number, _)| number.value.abs() < f64::MIN_POSITIVE);
            match op {
                BinaryOp::Divide if zero => return Err(self.error(op_span, "division by zero")),
                BinaryOp::Modulo if zero => return Err(self.error(op_span, "modulo by zero")),
                _ => {}
            }
            let span = Span::new(left.span.start, right.span.end);
            left = DurationExpr { kind: DurationKind::Binary(op, Box::new((left, right))), span };
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// A literal, a parenthesis or a function; a sign takes in powers.
    fn duration_operand(&mut self, place: Place) -> Result<DurationExpr, ParseError> {
        let op_span = self.token.span;
        let Some(sign) = self.sign() else { return self.unsigned_operand(place) };
        let inner = self.duration_expr(PRODUCT + 1, place)?;
        self.signed(Some(sign), inner, op_span)
    }

    fn signed(&self, sign: Option<BinaryOp>, inner: DurationExpr, op_span: Span) -> Result<DurationExpr, ParseError> {
        let span = Span::new(op_span.start, inner.span.end);
        let kind = match (sign, inner.kind) {
            (Some(sign), DurationKind::Number(number)) => {
                let value = if sign == BinaryOp::Subtract { -number.value } else { number.value };
                self.in_range(value, op_span)?;
                DurationKind::Number(Number { value, ..number })
            }
            (Some(BinaryOp::Subtract), kind) => {
                self.needs_arithmetic(span)?;
                DurationKind::Negative(Box::new(DurationExpr { kind, span: inner.span }))
            }
            (_, kind) => return Ok(DurationExpr { kind, span: inner.span }),
        };
        Ok(DurationExpr { kind, span })
    }

    fn unsigned_operand(&mut self, place: Place) -> Result<DurationExpr, ParseError> {
        let span = self.token.span;
        if let Some(number) = self.literal()? {
            self.in_range(number.value, span)?;
            return Ok(DurationExpr { kind: DurationKind::Number(number), span });
        }
        match self.token.kind {
            TokenKind::LeftParen => self.duration_paren(place),
            TokenKind::Keyword(word) if word.is_duration() => {
                let call = self.duration_function(word, place)?;
                self.needs_arithmetic(call.span)?;
                Ok(call)
            }
            _ => Err(self.unexpected(place.context, place.expected)),
        }
    }

    fn duration_paren(&mut self, place: Place) -> Result<DurationExpr, ParseError> {
        let start = self.take().span.start;
        let inner = self.duration_expr(0, place)?;
        self.expect(&TokenKind::RightParen, place.context, place.expected)?;
        self.needs_arithmetic(inner.span)?;
        Ok(match &inner.kind {
            DurationKind::Paren(_) => inner,
            DurationKind::Number(_) => {
                let span = Span::new(start, self.last_end);
                DurationExpr { kind: DurationKind::Paren(Box::new(inner)), span }
            }
            _ => DurationExpr { span: inner.span, kind: DurationKind::Paren(Box::new(inner)) },
        })
    }

    fn duration_function(&mut self, word: Keyword, place: Place) -> Result<DurationExpr, ParseError> {
        let start = self.take().span.start;
        self.expect(&TokenKind::LeftParen, place.context, place.expected)?;
        let mut both = || {
            let left = self.duration_expr(0, place)?;
            self.expect(&TokenKind::Comma, place.context, place.expected)?;
            Ok(Box::new((left, self.duration_expr(0, place)?)))
        };
        let kind = match word {
            Keyword::MaxOf => DurationKind::MaxOf(both()?),
            Keyword::MinOf => DurationKind::MinOf(both()?),
            Keyword::Range => DurationKind::Range,
            _ => DurationKind::Step,
        };
        self.expect(&TokenKind::RightParen, place.context, place.expected)?;
        let span = match &kind {
            DurationKind::MaxOf(both) | DurationKind::MinOf(both) => Span::new(both.0.span.start, both.1.span.end),
            _ => Span::new(start, self.last_end),
        };
        Ok(DurationExpr { kind, span })
    }

    fn in_range(&self, value: f64, span: Span) -> Result<(), ParseError> {
        if value.abs() <= SECONDS_MAX { Ok(()) } else { Err(self.error(span, "duration out of range")) }
    }

    fn needs_arithmetic(&self, span: Span) -> Result<(), ParseError> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(span, "experimental duration expression is not enabled"))
    }
}

/// A literal's number, which was checked to be in range, becomes whole milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "in range, or at its edge, where it saturates")]
fn length(expr: DurationExpr) -> Length {
    match expr.kind {
        DurationKind::Number(number) => Length::Fixed(DurationMs((number.value * 1000.0).round() as i64)),
        _ => Length::Computed(Box::new(expr)),
    }
}

fn literal_of(expr: &DurationExpr) -> Option<(Number, Span)> {
    match expr.kind {
        DurationKind::Number(number) => Some((number, expr.span)),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of 292 years are exact")]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
