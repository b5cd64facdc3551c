//! Writes an expression as text as Prometheus does: in one line here, in several in `lines`.
//!
//! PRINT-1: the text parses, and its tree prints as the same text. Matchers are sorted; durations are in the units
//! that Prometheus takes.

mod lines;

use schemas::{DurationMs, LabelMatcher, TimestampMs};

use crate::ast::{
    Aggregate, At, Binary, DurationExpr, DurationKind, Edges, Expr, ExprKind, Fill, Group, Grouping, Length,
    MatchLabels, Matching, Modifiers, Number, VectorSelector,
};
use crate::operator::BinaryOp;
use crate::quote::{quoted, quoted_bytes};
pub use lines::format;

pub(crate) fn print_expr(out: &mut String, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(number) => print_number(out, *number),
        ExprKind::String(text) => out.push_str(&quoted(text)),
        ExprKind::Bytes(text) => out.push_str(&quoted_bytes(text)),
        ExprKind::Vector(selector) => {
            print_selector(out, selector);
            print_modifiers(out, &selector.modifiers, |out, at| {
                print_at(out, at);
                print_edges(out, selector.edges);
            });
        }
        ExprKind::Matrix(matrix) => {
            print_selector(out, &matrix.selector);
            out.push('[');
            print_length(out, &matrix.range);
            out.push(']');
            print_modifiers(out, &matrix.selector.modifiers, |out, at| {
                print_edges(out, matrix.selector.edges);
                print_at(out, at);
            });
        }
        ExprKind::Subquery(subquery) => {
            print_expr(out, &subquery.expr);
            lines::print_brackets(out, subquery);
        }
        ExprKind::Call(call) => {
            out.push_str(call.function.name);
            print_args(out, call.args.iter());
        }
        ExprKind::Aggregate(aggregate) => print_aggregate(out, aggregate),
        ExprKind::Binary(binary) => print_binary(out, binary),
        ExprKind::Unary(sign, inner) => {
            out.push_str(sign.as_str());
            print_expr(out, inner);
        }
        ExprKind::Paren(inner) => {
            out.push('(');
            print_expr(out, inner);
            out.push(')');
        }
    }
}

fn print_args<'a>(out: &mut String, args: impl Iterator<Item = &'a Expr>) {
    out.push('(');
    for (at, arg) in args.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        print_expr(out, arg);
    }
    out.push(')');
}

fn print_aggregate(out: &mut String, aggregate: &Aggregate) {
    print_aggregate_op(out, aggregate);
    print_args(out, aggregate.param.iter().chain(std::iter::once(&aggregate.expr)));
}

/// The word and its labels.
fn print_aggregate_op(out: &mut String, aggregate: &Aggregate) {
    out.push_str(aggregate.op.as_str());
    match &aggregate.grouping {
        Grouping::Without(labels) => print_labels(out, " without", labels, " "),
        Grouping::By(labels) if labels.is_empty() => {}
        Grouping::By(labels) => print_labels(out, " by", labels, " "),
    }
}

fn print_binary(out: &mut String, binary: &Binary) {
    match infinite_base(binary) {
        Some(text) => out.push_str(text),
        None => print_expr(out, &binary.left),
    }
    out.push(' ');
    out.push_str(binary.op.as_str());
    if binary.returns_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        print_matching(out, matching);
    }
    out.push(' ');
    print_expr(out, &binary.right);
}

/// In front of a power, the sign of `+Inf` would be read as the sign of the power.
fn infinite_base(binary: &Binary) -> Option<&'static str> {
    match binary.left.kind {
        ExprKind::Number(number) if binary.op == BinaryOp::Power && number.value == f64::INFINITY => Some("Inf"),
        _ => None,
    }
}

fn print_matching(out: &mut String, matching: &Matching) {
    match (&matching.labels, &matching.group) {
        (MatchLabels::On(labels), _) => print_labels(out, " on", labels, ""),
        (MatchLabels::Ignoring(labels), None) if labels.is_empty() => {}
        (MatchLabels::Ignoring(labels), _) => print_labels(out, " ignoring", labels, ""),
    }
    match &matching.group {
        Some(Group::Left(labels)) => print_labels(out, " group_left", labels, ""),
        Some(Group::Right(labels)) => print_labels(out, " group_right", labels, ""),
        None => {}
    }
    let Fill { left, right } = matching.fill;
    if let (Some(left), Some(right)) = (left, right)
        && left.to_bits() == right.to_bits()
    {
        out.push_str(&format!(" fill ({})", general(left)));
        return;
    }
    for (word, value) in [("fill_left", left), ("fill_right", right)] {
        out.extend(value.map(|value| format!(" {word} ({})", general(value))));
    }
}

fn print_labels(out: &mut String, word: &str, labels: &[String], after: &str) {
    let names: Vec<String> = labels.iter().map(|label| label_name(label)).collect();
    out.push_str(&format!("{word} ({}){after}", names.join(", ")));
}

/// A name without quotes where that reads as the same name.
fn label_name(name: &str) -> String {
    let plain = |at: usize, b: u8| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
    // These words read as numbers or end the list.
    let word = ["inf", "nan", "without"].iter().any(|word| name.eq_ignore_ascii_case(word));
    if !name.is_empty() && !word && name.bytes().enumerate().all(|(at, b)| plain(at, b)) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// The name and the braces.
fn print_selector(out: &mut String, selector: &VectorSelector) {
    out.push_str(selector.name.as_deref().unwrap_or_default());
    if selector.name.is_some() && selector.matchers.is_empty() {
        return;
    }
    let mut matchers: Vec<String> = selector.matchers.iter().map(matcher).collect();
    matchers.sort_unstable();
    out.push('{');
    out.push_str(&matchers.join(","));
    out.push('}');
}

fn matcher(matcher: &LabelMatcher) -> String {
    let name = matcher.name();
    let plain = |at: usize, b: u8| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
    let name = if !name.is_empty() && name.bytes().enumerate().all(|(at, b)| plain(at, b)) {
        name.to_owned()
    } else {
        quoted(name)
    };
    format!("{name}{}{}", matcher.op().as_str(), quoted(matcher.value()))
}

fn print_edges(out: &mut String, edges: Edges) {
    out.push_str(match edges {
        Edges::Plain => "",
        Edges::Anchored => " anchored",
        Edges::Smoothed => " smoothed",
    });
}

fn print_at(out: &mut String, at: Option<At>) {
    match at {
        Some(At::Start) => out.push_str(" @ start()"),
        Some(At::End) => out.push_str(" @ end()"),
        Some(At::Time(TimestampMs(ms))) => {
            let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
            out.push_str(&format!(" @ {sign}{}.{:03}", ms / 1000, ms % 1000));
        }
        None => {}
    }
}

/// The offset stands last, as in Prometheus, unless what follows the selector would go on with its arithmetic.
fn print_modifiers(out: &mut String, modifiers: &Modifiers, others: impl Fn(&mut String, Option<At>)) {
    let goes_on = match &modifiers.offset {
        Some(Length::Computed(expr)) => match &expr.kind {
            DurationKind::Paren(_) | DurationKind::Binary(..) => true,
            DurationKind::Negative(inner) => matches!(inner.kind, DurationKind::Negative(_)),
            _ => false,
        },
        _ => false,
    };
    if goes_on {
        print_offset(out, modifiers);
        others(out, modifiers.at);
    } else {
        others(out, modifiers.at);
        print_offset(out, modifiers);
    }
}

fn print_offset(out: &mut String, modifiers: &Modifiers) {
    let Some(offset) = &modifiers.offset else { return };
    out.push_str(" offset ");
    match offset {
        Length::Computed(expr) if ends_early(expr) => {
            out.push('(');
            print_duration_expr(out, expr);
            out.push(')');
        }
        offset => print_length(out, offset),
    }
}

/// Whether an offset would end with the first number of its arithmetic: it does, unless two signs stand before it.
fn ends_early(expr: &DurationExpr) -> bool {
    let (mut first, mut signs, mut is_arithmetic) = (expr, 0, false);
    loop {
        first = match &first.kind {
            DurationKind::Binary(_, both) => {
                is_arithmetic = true;
                &both.0
            }
            DurationKind::Negative(inner) => {
                signs += 1;
                inner
            }
            DurationKind::Number(_) => return is_arithmetic && signs < 2,
            _ => return false,
        }
    }
}

fn print_length(out: &mut String, length: &Length) {
    match length {
        Length::Fixed(DurationMs(ms)) => out.push_str(&duration(*ms)),
        Length::Computed(expr) => print_duration_expr(out, expr),
    }
}

fn print_duration_expr(out: &mut String, expr: &DurationExpr) {
    let mut pair = |before: &str, both: &(DurationExpr, DurationExpr), between: &str, after: &str| {
        out.push_str(before);
        print_duration_expr(out, &both.0);
        out.push_str(between);
        print_duration_expr(out, &both.1);
        out.push_str(after);
    };
    match &expr.kind {
        DurationKind::Binary(op, both) => pair("", both, &format!(" {} ", op.as_str()), ""),
        DurationKind::MinOf(both) => pair("min_of(", both, ", ", ")"),
        DurationKind::MaxOf(both) => pair("max_of(", both, ", ", ")"),
        DurationKind::Number(number) => print_number(out, *number),
        DurationKind::Negative(inner) => {
            out.push('-');
            print_duration_expr(out, inner);
        }
        DurationKind::Paren(inner) => {
            out.push('(');
            print_duration_expr(out, inner);
            out.push(')');
        }
        DurationKind::Step => out.push_str("step()"),
        DurationKind::Range => out.push_str("range()"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a duration was read from whole milliseconds in range")]
fn print_number(out: &mut String, number: Number) {
    if number.is_duration {
        out.push_str(&duration((number.value * 1000.0).round() as i64));
    } else {
        out.push_str(&float(number.value));
    }
}

/// A float as Go's `%f` with the fewest digits that read as the same float.
fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    value.to_string()
}

/// A float as Go's `%v`: very small and very large ones with an exponent.
fn general(value: f64) -> String {
    let scientific = format!("{value:e}");
    match scientific.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => float(value),
    }
}

/// A float as Go's `%f`: six digits behind the point.
pub(crate) fn fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { float(value) }
}

/// A duration as Prometheus prints it: years and weeks only where nothing remains.
fn duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let units: [(u64, &str, bool); 7] = [
        (31_536_000_000, "y", true),
        (604_800_000, "w", true),
        (86_400_000, "d", false),
        (3_600_000, "h", false),
        (60_000, "m", false),
        (1_000, "s", false),
        (1, "ms", false),
    ];
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    let mut rest = ms.unsigned_abs();
    for (length, unit, exact) in units {
        let count = rest / length;
        if count > 0 && (!exact || rest.is_multiple_of(length)) {
            out.push_str(&format!("{count}{unit}"));
            rest %= length;
        }
    }
    out
}
