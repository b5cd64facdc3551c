//! What the grammar cannot say: types of operands and arguments, and rules of matching, in Prometheus' words.
//!
//! Children are checked before the rules of their parent, left before right; the first error is the answer.

use schemas::LabelMatcher;
use schemas::labels::METRIC_NAME;

use crate::ast::{Aggregate, Binary, Call, Expr, ExprKind, MatchLabels, Matching, ValueType, VectorSelector};
use crate::error::{ParseError, Span};
use crate::functions::{Arity, FunctionId};
use crate::operator::Aggregator;
use crate::quote::quoted;

/// Checks a whole tree.
pub(crate) fn check(text: &str, expr: &Expr) -> Result<(), ParseError> {
    Checker { text }.expr(expr)
}

/// Checks a selector that stands at `span`.
pub(crate) fn check_selector(text: &str, selector: &VectorSelector, span: Span) -> Result<(), ParseError> {
    Checker { text }.selector(selector, span, Emptiness::Refused)
}

/// Whether a selector may select everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptiness {
    Allowed,
    Refused,
}

struct Checker<'a> {
    text: &'a str,
}

type Checked = Result<(), ParseError>;

impl Checker<'_> {
    fn expr(&self, expr: &Expr) -> Checked {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => Ok(()),
            ExprKind::Vector(selector) => self.selector(selector, expr.span, Emptiness::Refused),
            ExprKind::Matrix(matrix) => self.selector(&matrix.selector, expr.span, Emptiness::Refused),
            ExprKind::Subquery(subquery) => {
                self.expr(&subquery.expr)?;
                let found = subquery.expr.value_type();
                self.rule(found == ValueType::Vector, expr.span, || {
                    format!("subquery is only allowed on instant vector, got {} instead", found.as_str())
                })
            }
            ExprKind::Call(call) => self.call(call, expr.span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary, expr.span),
            ExprKind::Unary(_, inner) => {
                self.expr(inner)?;
                let found = inner.value_type();
                self.rule(matches!(found, ValueType::Scalar | ValueType::Vector), expr.span, || {
                    let only = "unary expression only allowed on expressions of type scalar or instant vector";
                    format!("{only}, got {}", quoted(found.documented()))
                })
            }
            ExprKind::Paren(inner) => self.expr(inner),
        }
    }

    fn selector(&self, selector: &VectorSelector, span: Span, emptiness: Emptiness) -> Checked {
        if let Some(name) = &selector.name {
            let second = selector.matchers.iter().find(|m| m.name() == METRIC_NAME).map(LabelMatcher::value);
            return self.rule(second.is_none(), span, || {
                let second = quoted(second.unwrap_or_default());
                format!("metric name must not be set twice: {} or {second}", quoted(name))
            });
        }
        let empty = selector.matchers.iter().all(LabelMatcher::matches_absent);
        self.rule(!empty || emptiness == Emptiness::Allowed, span, || {
            "vector selector must contain at least one non-empty matcher".to_owned()
        })
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Checked {
        self.expect(&aggregate.expr, ValueType::Vector, || "aggregation expression".to_owned())?;
        let Some(param) = &aggregate.param else { return Ok(()) };
        let wanted = if aggregate.op == Aggregator::CountValues { ValueType::String } else { ValueType::Scalar };
        self.expect(param, wanted, || "aggregation parameter".to_owned())
    }

    fn call(&self, call: &Call, span: Span) -> Checked {
        let function = call.function;
        let (declared, found, name) = (function.args.len(), call.args.len(), quoted(function.name));
        let (least, most) = match function.arity {
            Arity::Exact => (declared, Some(declared)),
            Arity::UpTo(more) => (declared - 1, Some(declared - 1 + usize::from(more))),
            Arity::Any => (declared - 1, None),
        };
        let quantity = match (function.arity, found < least) {
            (Arity::Exact, _) => format!("{declared}"),
            (Arity::UpTo(_) | Arity::Any, true) => format!("at least {least}"),
            (Arity::UpTo(_) | Arity::Any, false) => format!("at most {}", most.unwrap_or(found)),
        };
        self.rule(found >= least && most.is_none_or(|most| found <= most), span, || {
            format!("expected {quantity} argument(s) in call to {name}, got {found}")
        })?;
        let labels = if function.id == FunctionId::Info { call.args.get(1) } else { None };
        let labels = labels.map(|arg| self.info_labels(arg, span)).transpose()?;
        for (at, arg) in call.args.iter().enumerate() {
            if let (Some(labels), 1) = (labels, at) {
                self.selector(labels, arg.span, Emptiness::Allowed)?;
                continue;
            }
            let wanted = function.args.get(at).or(function.args.last()).copied().unwrap_or(ValueType::Scalar);
            self.expect(arg, wanted, || format!("call to function {name}"))?;
        }
        Ok(())
    }

    /// The second argument of `info`: matchers in braces, which may match anything.
    fn info_labels<'e>(&self, arg: &'e Expr, span: Span) -> Result<&'e VectorSelector, ParseError> {
        let found = arg.value_type();
        self.rule(found == ValueType::Vector, span, || {
            format!("expected type instant vector in call to function \"info\", got {}", found.documented())
        })?;
        match &arg.kind {
            ExprKind::Vector(selector) if selector.name.is_none() => Ok(selector),
            ExprKind::Vector(_) => {
                Err(self.error(arg.span, "expected label selectors only, got vector selector instead"))
            }
            _ => Err(self.error(arg.span, "expected label selectors only")),
        }
    }

    fn binary(&self, binary: &Binary, span: Span) -> Checked {
        self.expr(&binary.left)?;
        self.expr(&binary.right)?;
        self.operator(binary, span)
    }

    /// The rules of one operator, apart from its operands, so that long chains need little stack.
    fn operator(&self, binary: &Binary, span: Span) -> Checked {
        let (op, at) = (binary.op, binary.op_span);
        let types = [binary.left.value_type(), binary.right.value_type()];
        let scalar = |t: &ValueType| *t == ValueType::Scalar;
        let none = Matching::default();
        let matching = binary.matching.as_ref().unwrap_or(&none);
        let group = matching.group.as_ref();
        self.rule(!binary.returns_bool || op.is_comparison(), at, || {
            "bool modifier can only be used on comparison operators".to_owned()
        })?;
        self.rule(!op.is_comparison() || binary.returns_bool || !types.iter().all(scalar), at, || {
            "comparisons between scalars must use BOOL modifier".to_owned()
        })?;
        if let (MatchLabels::On(names), Some(group)) = (&matching.labels, group) {
            let both = names.iter().find(|name| group.include().contains(name));
            self.rule(both.is_none(), at, || {
                let label = quoted(both.map_or("", String::as_str));
                format!("label {label} must not occur in ON and GROUP clause at once")
            })?;
        }
        for operand in [&binary.left, &binary.right] {
            self.rule(matches!(operand.value_type(), ValueType::Scalar | ValueType::Vector), operand.span, || {
                "binary expression must contain only scalar and instant vector types".to_owned()
            })?;
        }
        let filled = matching.fill.is_some();
        if types.iter().any(scalar) {
            self.rule(matching.labels.names().is_empty(), span, || {
                "vector matching only allowed between instant vectors".to_owned()
            })?;
            self.rule(!filled, span, || "filling in missing series only allowed between instant vectors".to_owned())?;
            return self.rule(!op.is_set(), span, || {
                format!("set operator {} not allowed in binary scalar expression", quoted(op.as_str()))
            });
        }
        self.rule(!op.is_set() || group.is_none(), span, || {
            format!("no grouping allowed for {} operation", quoted(op.as_str()))
        })?;
        self.rule(!op.is_set() || !filled, span, || {
            "filling in missing series not allowed for set operators".to_owned()
        })
    }

    fn expect(&self, expr: &Expr, wanted: ValueType, context: impl Fn() -> String) -> Checked {
        self.expr(expr)?;
        let found = expr.value_type();
        self.rule(found == wanted, expr.span, || {
            format!("expected type {} in {}, got {}", wanted.documented(), context(), found.documented())
        })
    }

    fn rule(&self, holds: bool, span: Span, message: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { Err(self.error(span, message())) }
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, span, message)
    }
}
