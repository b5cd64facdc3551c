//! Breaks long expressions into lines, as Prometheus' `format_query` does.
//!
//! A node whose text is longer than [`LINE_MAX`] bytes puts its operands on lines of their own, one level further in; a
//! shorter one stays as it is. Selectors are never broken.

use super::{infinite_base, print_aggregate_op, print_at, print_expr, print_length, print_matching, print_modifiers};
use crate::ast::{Binary, Expr, ExprKind, Subquery};

/// The longest text that is not broken, bytes.
const LINE_MAX: usize = 100;

/// An expression in lines of bearable length.
pub fn format(expr: &Expr) -> String {
    let mut out = String::new();
    print_lines(&mut out, expr, 0);
    out
}

fn print_lines(out: &mut String, expr: &Expr, level: usize) {
    // A sign stands before its operand whether that is broken or not.
    if let ExprKind::Unary(sign, inner) = &expr.kind {
        let mut child = String::new();
        print_lines(&mut child, inner, level);
        indent(out, level);
        out.push_str(sign.as_str());
        out.push_str(child.trim());
        return;
    }
    let mut text = String::new();
    print_expr(&mut text, expr);
    if text.len() <= LINE_MAX || is_leaf(expr) {
        // Prometheus does not indent subqueries that fit.
        if !matches!(expr.kind, ExprKind::Subquery(_)) {
            indent(out, level);
        }
        out.push_str(&text);
        return;
    }
    drop(text);
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            indent(out, level);
            print_aggregate_op(out, aggregate);
            print_args(out, aggregate.param.iter().chain([&aggregate.expr]), level);
        }
        ExprKind::Call(call) => {
            indent(out, level);
            out.push_str(call.function.name);
            print_args(out, call.args.iter(), level);
        }
        ExprKind::Paren(inner) => {
            indent(out, level);
            print_args(out, [&**inner].into_iter(), level);
        }
        ExprKind::Binary(binary) => print_binary(out, binary, level),
        ExprKind::Subquery(subquery) => {
            print_lines(out, &subquery.expr, level);
            print_brackets(out, subquery);
        }
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
        ExprKind::Vector(_) | ExprKind::Matrix(_) | ExprKind::Unary(..) => {}
    }
}

fn is_leaf(expr: &Expr) -> bool {
    let kind = &expr.kind;
    matches!(kind, ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_))
        || matches!(kind, ExprKind::Vector(_) | ExprKind::Matrix(_))
}

fn print_args<'a>(out: &mut String, args: impl Iterator<Item = &'a Expr>, level: usize) {
    out.push_str("(\n");
    for (at, arg) in args.enumerate() {
        if at > 0 {
            out.push_str(",\n");
        }
        print_lines(out, arg, level + 1);
    }
    out.push('\n');
    indent(out, level);
    out.push(')');
}

fn print_binary(out: &mut String, binary: &Binary, level: usize) {
    match infinite_base(binary) {
        Some(text) => {
            indent(out, level + 1);
            out.push_str(text);
        }
        None => print_lines(out, &binary.left, level + 1),
    }
    out.push('\n');
    indent(out, level);
    out.push_str(binary.op.as_str());
    if binary.returns_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        print_matching(out, matching);
    }
    out.push('\n');
    print_lines(out, &binary.right, level + 1);
}

/// What stands behind the expression of a subquery.
pub(super) fn print_brackets(out: &mut String, subquery: &Subquery) {
    out.push('[');
    print_length(out, &subquery.range);
    out.push(':');
    if let Some(step) = &subquery.step {
        print_length(out, step);
    }
    out.push(']');
    print_modifiers(out, &subquery.modifiers, print_at);
}

fn indent(out: &mut String, level: usize) {
    (0..level).for_each(|_| out.push_str("  "));
}
