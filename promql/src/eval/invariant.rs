//! Which parts of an expression are the same at all steps (EVAL-2).

use super::context::{Context, unwrapped};
use crate::ast::{Expr, ExprKind, Modifiers};
use crate::functions::FunctionId;

impl Context<'_> {
    /// Whether a vector or scalar expression has the same value at all steps of any evaluation.
    pub(super) fn is_invariant(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => true,
            ExprKind::Vector(selector) => is_fixed(&selector.modifiers),
            ExprKind::Matrix(matrix) => is_fixed(&matrix.selector.modifiers),
            ExprKind::Subquery(subquery) => is_fixed(&subquery.modifiers),
            ExprKind::Aggregate(aggregate) => self.is_invariant(&aggregate.expr),
            ExprKind::Binary(binary) => self.is_invariant(&binary.left) && self.is_invariant(&binary.right),
            ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => self.is_invariant(inner),
            ExprKind::Call(call) => match call.function.id {
                FunctionId::Timestamp => call
                    .args
                    .iter()
                    .all(|arg| matches!(unwrapped(arg).kind, ExprKind::Vector(_)) && self.is_invariant(arg)),
                FunctionId::Info => self.is_invariant(&call.args[0]) && self.info_reference(&call.args[0]).is_some(),
                // Of the query as a whole.
                FunctionId::Start | FunctionId::End | FunctionId::Range | FunctionId::Step => true,
                id if looks_at_time(id) => false,
                _ => call.args.iter().all(|arg| self.is_invariant(arg)),
            },
        }
    }
}

fn is_fixed(modifiers: &Modifiers) -> bool {
    modifiers.at.is_some()
}

/// Functions that may give another value for the same arguments at another time.
fn looks_at_time(id: FunctionId) -> bool {
    matches!(
        id,
        FunctionId::DaysInMonth
            | FunctionId::DayOfMonth
            | FunctionId::DayOfWeek
            | FunctionId::DayOfYear
            | FunctionId::Hour
            | FunctionId::Minute
            | FunctionId::Month
            | FunctionId::Year
            | FunctionId::PredictLinear
            | FunctionId::Time
    )
}
