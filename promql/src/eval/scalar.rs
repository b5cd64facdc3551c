//! Scalars: one number a step, or one for all.

use schemas::Labels;

use super::EvalError;
use super::binary;
use super::context::Context;
use super::grid::Steps;
use super::stream::Fold;
use crate::ast::{Call, Expr, ExprKind};
use crate::column::Column;
use crate::functions::FunctionId;
use crate::instant::{greater, lesser};
use crate::math::seconds;
use crate::notes::Notes;
use crate::operator::Sign;
use crate::range::Arg;

/// The values of a scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalars {
    Constant(f64),
    /// One a step.
    Each(Vec<f64>),
}

impl Scalars {
    pub(super) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Each(values) => values[step],
        }
    }

    pub(super) fn column(&self, steps: usize) -> Column {
        match self {
            Self::Constant(value) => Column::constant(steps, *value),
            Self::Each(values) => {
                let mut column = Column::empty(steps);
                values.iter().enumerate().for_each(|(step, value)| column.set_float(step, *value));
                column
            }
        }
    }

    pub(super) fn into_arg(self) -> Arg {
        match self {
            Self::Constant(value) => Arg::Constant(value),
            Self::Each(values) => Arg::Steps(values),
        }
    }

    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(f(value)),
            Self::Each(values) => Self::Each(values.into_iter().map(f).collect()),
        }
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(f(*a, *b)),
            (Self::Constant(a), Self::Each(b)) => Self::Each(b.iter().map(|b| f(*a, *b)).collect()),
            (Self::Each(a), Self::Constant(b)) => Self::Each(a.iter().map(|a| f(*a, *b)).collect()),
            (Self::Each(a), Self::Each(b)) => Self::Each(a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()),
        }
    }

    /// All values; of a constant, one.
    pub(super) fn values(&self) -> &[f64] {
        match self {
            Self::Constant(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }
}

impl<'q> Context<'q> {
    /// Evaluates an expression that gives a scalar.
    pub(super) fn scalar(&'q self, expr: &'q Expr, steps: Steps) -> Result<Scalars, EvalError> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Scalars::Constant(number.value)),
            ExprKind::Paren(inner) | ExprKind::Unary(Sign::Plus, inner) => self.scalar(inner, steps),
            ExprKind::Unary(Sign::Minus, inner) => Ok(self.scalar(inner, steps)?.map(|value| -value)),
            ExprKind::Binary(both) => {
                let (left, right) = (self.scalar(&both.left, steps)?, self.scalar(&both.right, steps)?);
                Ok(left.zip(&right, |a, b| binary::of_scalars(both.op, a, b)))
            }
            ExprKind::Call(call) => self.scalar_call(call, steps),
            ExprKind::String(_)
            | ExprKind::Bytes(_)
            | ExprKind::Vector(_)
            | ExprKind::Matrix(_)
            | ExprKind::Subquery(_)
            | ExprKind::Aggregate(_) => Err(EvalError::Invalid("expected a scalar".to_owned())),
        }
    }

    fn scalar_call(&'q self, call: &'q Call, steps: Steps) -> Result<Scalars, EvalError> {
        let (start, end, step) = self.query_range();
        let fixed = |value: f64| Ok(Scalars::Constant(value));
        match call.function.id {
            FunctionId::Time if steps.count == 1 => fixed(seconds(steps.start)),
            FunctionId::Time => Ok(Scalars::Each(steps.times().map(seconds).collect())),
            FunctionId::Pi => fixed(std::f64::consts::PI),
            FunctionId::Start => fixed(seconds(start)),
            FunctionId::End => fixed(seconds(end)),
            FunctionId::Range => fixed(seconds(end.saturating_sub(start))),
            FunctionId::Step => fixed(if start == end { 0.0 } else { seconds(step) }),
            FunctionId::MaxOf | FunctionId::MinOf => {
                let (a, b) = (self.scalar(&call.args[0], steps)?, self.scalar(&call.args[1], steps)?);
                Ok(a.zip(&b, if call.function.id == FunctionId::MaxOf { greater } else { lesser }))
            }
            FunctionId::Scalar => self.single_of(&call.args[0], steps),
            _ => Err(EvalError::Invalid(format!("{} does not give a scalar", call.function.name))),
        }
    }

    /// `scalar()`: the float of the only series that has one, else NaN.
    fn single_of(&'q self, expr: &'q Expr, steps: Steps) -> Result<Scalars, EvalError> {
        let one = steps.count > 1 && self.is_invariant(expr);
        let steps = if one { steps.first() } else { steps };
        let singles = self.vector(expr, steps)?.fold(&Single { steps: steps.count })?;
        let value = |single: Option<f64>| single.unwrap_or(f64::NAN);
        match singles[..] {
            [single] => Ok(Scalars::Constant(value(single.1))),
            _ => Ok(Scalars::Each(singles.into_iter().map(|single| value(single.1)).collect())),
        }
    }
}

/// At each step, whether there was a float, and the float if there was only one.
struct Single {
    steps: usize,
}

impl Fold for Single {
    type Part = Vec<(bool, Option<f64>)>;
    type Whole = Self::Part;

    fn part(&self) -> Self::Part {
        vec![(false, None); self.steps]
    }

    fn whole(&self) -> Self::Whole {
        self.part()
    }

    fn take(
        &self,
        part: &mut Self::Part,
        _: usize,
        _: &Labels,
        column: &mut Column,
        _: &mut Notes,
    ) -> Result<(), EvalError> {
        for (step, single) in part.iter_mut().enumerate() {
            if let Some(value) = column.float(step) {
                *single = (true, (!single.0).then_some(value));
            }
        }
        Ok(())
    }

    fn merge(&self, whole: &mut Self::Whole, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        for (single, other) in whole.iter_mut().zip(later) {
            *single = match (*single, other) {
                (one, (false, _)) | ((false, _), one) => one,
                ((true, _), (true, _)) => (true, None),
            };
        }
        Ok(())
    }
}
