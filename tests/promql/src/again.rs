//! The same question at other times: with `@` at every selector, an instant query gives the same whenever it is asked.

use std::sync::LazyLock;

use promql::ast::{At, Expr, ExprKind, Modifiers, VectorSelector};
use promql::parse_expr;
use regex::Regex;
use schemas::TimestampMs;

use crate::language::PARSING;

/// Functions whose value depends on the time of evaluation, or on the times of what they are given.
const OF_TIME: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// An instant query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    /// ms.
    pub at: i64,
}

/// Whether an expression asks for the bounds or the step of the query, so that it differs in a range.
pub fn asks_for_the_query(text: &str) -> bool {
    static WORDS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(start|end|range|step)\(\)").expect("a fixed pattern"));
    WORDS.is_match(text)
}

/// The question pinned to its time, at five other times. None where it is about time itself.
pub fn pinned(question: &Question) -> Vec<Question> {
    let Ok(mut expr) = parse_expr(&question.text, PARSING) else { return Vec::new() };
    let mut about_time = false;
    pin(&mut expr, At::Time(TimestampMs(question.at)), &mut about_time);
    if about_time {
        return Vec::new();
    }
    let (text, at) = (expr.to_string(), question.at);
    let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
    times.into_iter().map(|at| Question { text: text.clone(), at }).collect()
}

/// Pins selectors and subqueries that are not; what is inside of a pinned subquery stays as it is.
fn pin(expr: &mut Expr, at: At, about_time: &mut bool) {
    let set = |modifiers: &mut Modifiers| match modifiers.at {
        Some(At::Time(_)) => {}
        Some(At::Start | At::End) | None => modifiers.at = Some(at),
    };
    match &mut expr.kind {
        ExprKind::Vector(selector) => set(&mut selector.modifiers),
        ExprKind::Matrix(matrix) => set(&mut matrix.selector.modifiers),
        ExprKind::Subquery(subquery) => set(&mut subquery.modifiers),
        ExprKind::Call(call) => {
            *about_time |= OF_TIME.contains(&call.function.name);
            call.args.iter_mut().for_each(|arg| pin(arg, at, about_time));
        }
        ExprKind::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, at, about_time);
            aggregate.param.iter_mut().for_each(|param| pin(param, at, about_time));
        }
        ExprKind::Binary(binary) => {
            pin(&mut binary.left, at, about_time);
            pin(&mut binary.right, at, about_time);
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => pin(inner, at, about_time),
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
    }
}

/// Every selector of an expression.
pub fn selectors<'a>(expr: &'a Expr, out: &mut Vec<&'a VectorSelector>) {
    match &expr.kind {
        ExprKind::Vector(selector) => out.push(selector),
        ExprKind::Matrix(matrix) => out.push(&matrix.selector),
        ExprKind::Subquery(subquery) => selectors(&subquery.expr, out),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| selectors(arg, out)),
        ExprKind::Aggregate(aggregate) => {
            selectors(&aggregate.expr, out);
            aggregate.param.iter().for_each(|param| selectors(param, out));
        }
        ExprKind::Binary(binary) => {
            selectors(&binary.left, out);
            selectors(&binary.right, out);
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => selectors(inner, out),
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, at: i64) -> Vec<(String, i64)> {
        let question = Question { text: text.to_owned(), at };
        pinned(&question).into_iter().map(|question| (question.text, question.at)).collect()
    }

    #[test]
    fn selectors_are_pinned_and_asked_at_other_times() {
        let asked = texts("rate(a[5m]) + b @ 7", 5_000);
        assert_eq!(asked[0], ("rate(a[5m] @ 5.000) + b @ 7.000".to_owned(), -50_000));
        assert_eq!(asked.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [-50_000, 0, 1_000, 5_000, 50_000]);
        assert_eq!(texts("max_over_time(sum(a)[5m:1m])", 0)[1].0, "max_over_time(sum(a)[5m:1m] @ 0.000)");
    }

    #[test]
    fn what_is_about_time_is_not_asked_again() {
        assert!(texts("timestamp(a)", 1).is_empty() && texts("sum(a) + time()", 1).is_empty());
        assert_eq!(texts("last_over_time(timestamp(a)[5m:])", 1).len(), 5, "pinned as a whole");
        assert!(asks_for_the_query("a[step()]") && !asks_for_the_query("a[5m]"));
    }
}
