//! Lengths of time in selectors, fixed or computed from the query's range and step.

use schemas::DurationMs;

use super::EvalError;
use super::context::Context;
use crate::ast::{DurationExpr, DurationKind, Length};
use crate::error::Span;
use crate::instant::{greater, lesser};
use crate::math::seconds;
use crate::operator::BinaryOp;

/// Seconds that still fit a length in nanoseconds, as Prometheus keeps it.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

impl Context<'_> {
    /// A length in ms; of a range or a step, positive.
    pub(super) fn length(&self, length: &Length) -> Result<i64, EvalError> {
        match length {
            Length::Fixed(fixed) => Ok(milliseconds(*fixed)),
            Length::Computed(expr) => self.computed(expr, false),
        }
    }

    /// An offset in ms: of either sign.
    pub(super) fn offset(&self, length: Option<&Length>) -> Result<i64, EvalError> {
        match length {
            None => Ok(0),
            Some(Length::Fixed(fixed)) => Ok(milliseconds(*fixed)),
            Some(Length::Computed(expr)) => self.computed(expr, true),
        }
    }

    fn computed(&self, expr: &DurationExpr, any_sign: bool) -> Result<i64, EvalError> {
        let value = self.seconds_of(expr)?;
        if !value.is_finite() {
            return Err(refused(expr.span, "duration is NaN or infinite"));
        }
        if value <= 0.0 && !any_sign {
            return Err(refused(expr.span, "duration must be greater than 0"));
        }
        if value.abs() > SECONDS_MAX {
            return Err(refused(expr.span, "duration is out of range"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above; a part of a millisecond is dropped")]
        let ms = (value * 1000.0) as i64;
        Ok(ms)
    }

    fn seconds_of(&self, expr: &DurationExpr) -> Result<f64, EvalError> {
        let (start, end, step) = self.query_range();
        Ok(match &expr.kind {
            DurationKind::Number(number) => number.value,
            DurationKind::Negative(inner) => -self.seconds_of(inner)?,
            DurationKind::Paren(inner) => self.seconds_of(inner)?,
            DurationKind::Step => seconds(step),
            DurationKind::Range => seconds(end.saturating_sub(start)),
            DurationKind::MinOf(pair) => lesser(self.seconds_of(&pair.0)?, self.seconds_of(&pair.1)?),
            DurationKind::MaxOf(pair) => greater(self.seconds_of(&pair.0)?, self.seconds_of(&pair.1)?),
            DurationKind::Binary(op, pair) => {
                let (left, right) = (self.seconds_of(&pair.0)?, self.seconds_of(&pair.1)?);
                match op {
                    BinaryOp::Divide if right == 0.0 => return Err(refused(expr.span, "division by zero")),
                    BinaryOp::Modulo if right == 0.0 => return Err(refused(expr.span, "modulo by zero")),
                    _ => super::binary::arithmetic(*op, left, right),
                }
            }
        })
    }
}

fn milliseconds(length: DurationMs) -> i64 {
    length.0
}

fn refused(span: Span, why: &str) -> EvalError {
    EvalError::Invalid(format!("{}:{}: {why}", span.start, span.end))
}
