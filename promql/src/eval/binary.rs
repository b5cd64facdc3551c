//! Operators on single values, and on a column and scalars.

use std::sync::Arc;

use schemas::histogram::ResetHint;
use schemas::points::STALE_BITS;

use super::scalar::Scalars;
use super::warnings;
use crate::column::{Column, Value};
use crate::error::Span;
use crate::histogram::{Operation, Side, Subject, add, compact, divide, equal, multiply, subtract, trim};
use crate::notes::Notes;
use crate::operator::BinaryOp;

/// An arithmetic operator; of others, NaN.
pub(super) fn arithmetic(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => power(left, right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::NAN,
    }
}

/// As IEEE 754 has it, which Go's and Rust's are.
fn power(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

/// Whether a comparison holds; of other operators, false.
#[expect(clippy::float_cmp, reason = "the language compares floats exactly")]
pub(super) fn holds(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        _ => false,
    }
}

/// An operator on two scalars: a comparison gives one or zero.
pub(super) fn of_scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    if op.is_comparison() { one_if(holds(op, left, right)) } else { arithmetic(op, left, right) }
}

pub(super) fn one_if(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Whether the result is another quantity than the operands, and so has not their name.
pub(super) fn changes_meaning(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Modulo
            | BinaryOp::Power
            | BinaryOp::Atan2
    )
}

/// What an operator makes of two values: of a comparison, the left one and whether it holds.
pub(super) struct Outcome {
    pub(super) value: Value,
    pub(super) keep: bool,
}

/// An operator that stands between two vectors, or a vector and a scalar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    pub(super) op: BinaryOp,
    pub(super) returns_bool: bool,
    /// Of the whole expression.
    pub(super) span: Span,
}

impl Operator {
    /// `None` where the operator has no value for such operands; the notes say why.
    pub(super) fn apply(&self, left: &Value, right: &Value, notes: &mut Notes) -> Option<Outcome> {
        match (left, right) {
            (Value::Float(left), Value::Float(right)) => self.floats(*left, *right, notes),
            (Value::Float(left), Value::Histogram(right)) if self.op == BinaryOp::Multiply => {
                Some(histogram(compact(multiply(right, *left))))
            }
            (Value::Histogram(left), Value::Float(right)) => match self.op {
                BinaryOp::Multiply => Some(histogram(compact(multiply(left, *right)))),
                BinaryOp::Divide => Some(histogram(compact(divide(left, *right)))),
                BinaryOp::TrimUpper => Some(histogram(trim(left, *right, Side::Below))),
                BinaryOp::TrimLower => Some(histogram(trim(left, *right, Side::Above))),
                _ => self.refuse("histogram", "float", notes),
            },
            (Value::Histogram(left), Value::Histogram(right)) => match self.op {
                BinaryOp::Add | BinaryOp::Subtract => self.combined(left, right, notes),
                BinaryOp::Equal | BinaryOp::NotEqual => Some(Outcome {
                    value: Value::Histogram(Arc::clone(left)),
                    keep: equal(left, right) == (self.op == BinaryOp::Equal),
                }),
                _ => self.refuse("histogram", "histogram", notes),
            },
            (Value::Float(_), Value::Histogram(_)) => self.refuse("float", "histogram", notes),
        }
    }

    fn floats(&self, left: f64, right: f64, notes: &mut Notes) -> Option<Outcome> {
        match self.op {
            BinaryOp::TrimUpper | BinaryOp::TrimLower => self.refuse("float", "float", notes),
            op if op.is_comparison() => Some(Outcome { value: Value::Float(left), keep: holds(op, left, right) }),
            op => Some(Outcome { value: Value::Float(arithmetic(op, left, right)), keep: true }),
        }
    }

    fn combined(
        &self,
        left: &schemas::histogram::Histogram,
        right: &schemas::histogram::Histogram,
        notes: &mut Notes,
    ) -> Option<Outcome> {
        let is_sum = self.op == BinaryOp::Add;
        let Ok(mut combined) = (if is_sum { add(left, right) } else { subtract(left, right) }) else {
            warnings::incompatible_layout(self.op.as_str(), self.span, notes);
            return None;
        };
        let operation = if is_sum { Operation::Addition } else { Operation::Subtraction };
        let subject = Subject { metric: "", span: self.span };
        if combined.noticed.resets_collide {
            subject.reset_collision(operation, notes);
            return None;
        }
        if combined.noticed.bounds_differed {
            subject.bounds_reconciled(operation, notes);
        }
        if !is_sum {
            combined.histogram.reset_hint = ResetHint::Gauge;
        }
        Some(histogram(compact(combined.histogram)))
    }

    fn refuse(&self, left: &str, right: &str, notes: &mut Notes) -> Option<Outcome> {
        warnings::incompatible_types(left, self.op.as_str(), right, self.span, notes);
        None
    }

    /// The same between each value of a column and a scalar, `swapped` where the scalar stands on the left. Comparisons
    /// keep the column's values.
    pub(super) fn with_scalars(&self, column: &mut Column, scalars: &Scalars, swapped: bool, notes: &mut Notes) {
        if column.has_histograms() || !self.takes_floats() {
            return self.values_with_scalars(column, scalars, swapped, notes);
        }
        macro_rules! run {
            ($f:expr) => {{
                let f = $f;
                if swapped { each(column, scalars, |value, scalar| f(scalar, value)) } else { each(column, scalars, f) }
            }};
        }
        let empty = f64::from_bits(STALE_BITS);
        match self.op {
            BinaryOp::Add => run!(|a: f64, b: f64| a + b),
            BinaryOp::Subtract => run!(|a: f64, b: f64| a - b),
            BinaryOp::Multiply => run!(|a: f64, b: f64| a * b),
            BinaryOp::Divide => run!(|a: f64, b: f64| a / b),
            op if op.is_comparison() => {
                let holds = |value, scalar| if swapped { holds(op, scalar, value) } else { holds(op, value, scalar) };
                if self.returns_bool {
                    each(column, scalars, |value, scalar| one_if(holds(value, scalar)));
                } else {
                    each(column, scalars, |value, scalar| if holds(value, scalar) { value } else { empty });
                }
            }
            op => run!(|a: f64, b: f64| arithmetic(op, a, b)),
        }
    }

    /// Whether columns without histograms need no look at single values: there is nothing to say of floats.
    pub(super) fn takes_floats(&self) -> bool {
        !matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    /// The same between two columns without histograms, into one without values.
    pub(super) fn of_columns(&self, left: &Column, right: &Column, out: &mut Column) {
        match self.op {
            BinaryOp::Add => both(left, right, out, |a, b| Some(a + b)),
            BinaryOp::Subtract => both(left, right, out, |a, b| Some(a - b)),
            BinaryOp::Multiply => both(left, right, out, |a, b| Some(a * b)),
            BinaryOp::Divide => both(left, right, out, |a, b| Some(a / b)),
            op if op.is_comparison() && self.returns_bool => {
                both(left, right, out, |a, b| Some(one_if(holds(op, a, b))));
            }
            op if op.is_comparison() => both(left, right, out, |a, b| holds(op, a, b).then_some(a)),
            op => both(left, right, out, |a, b| Some(arithmetic(op, a, b))),
        }
    }

    fn values_with_scalars(&self, column: &mut Column, scalars: &Scalars, swapped: bool, notes: &mut Notes) {
        for step in 0..column.len() {
            let Some(value) = column.get(step) else { continue };
            let scalar = Value::Float(scalars.at(step));
            let outcome = if swapped { self.apply(&scalar, &value, notes) } else { self.apply(&value, &scalar, notes) };
            match outcome {
                None => column.clear(step),
                Some(outcome) if self.returns_bool => column.set_float(step, one_if(outcome.keep)),
                Some(outcome) if !outcome.keep => column.clear(step),
                Some(_) if self.op.is_comparison() => {}
                Some(outcome) => column.set(step, outcome.value),
            }
        }
    }
}

fn histogram(histogram: schemas::histogram::Histogram) -> Outcome {
    Outcome { value: Value::Histogram(Arc::new(histogram)), keep: true }
}

/// Places that both columns have, neither with histograms.
#[inline(always)]
fn both(left: &Column, right: &Column, out: &mut Column, f: impl Fn(f64, f64) -> Option<f64>) {
    for ((left, right), out) in left.raw().iter().zip(right.raw()).zip(out.raw_mut()) {
        if left.to_bits() != STALE_BITS
            && right.to_bits() != STALE_BITS
            && let Some(value) = f(*left, *right)
        {
            *out = value;
        }
    }
}

/// A column without histograms, place by place.
#[inline(always)]
fn each(column: &mut Column, scalars: &Scalars, f: impl Fn(f64, f64) -> f64) {
    match scalars {
        Scalars::Constant(scalar) => {
            for value in column.raw_mut() {
                if value.to_bits() != STALE_BITS {
                    *value = f(*value, *scalar);
                }
            }
        }
        Scalars::Each(scalars) => {
            for (value, scalar) in column.raw_mut().iter_mut().zip(scalars) {
                if value.to_bits() != STALE_BITS {
                    *value = f(*value, *scalar);
                }
            }
        }
    }
}
