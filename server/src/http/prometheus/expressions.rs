//! What an expression is: written in the canonical form, and as a tree.
//!
//! `query` ─▶ `promql::parse_expr` ─▶ text in lines, or the tree that Prometheus' own page shows

use axum::body::Body;
use axum::http::Response;
use promql::ast::{
    Aggregate, At, Binary, Call, DurationExpr, DurationKind, Edges, Expr, ExprKind, Group, Grouping, Length,
    MatchLabels, Matching, MatrixSelector, Modifiers, Number, Subquery, VectorSelector,
};
use promql::functions::Arity;
use promql::parse_expr;
use schemas::LabelMatcher;
use serde_json::{Value, json};

use super::envelope::{self, ApiError};
use super::form::Asked;
use super::number::float;
use super::query::{bounded_query, language};

/// An expression in lines, as people want to read it.
#[utoipa::path(get, path = "/api/v1/format_query", tag = "prometheus",
    params(("query" = String, Query, description = "PromQL")),
    responses((status = 200, description = "A text"), (status = 400, description = "The expression is wrong")))]
pub(crate) async fn format_query(asked: Asked) -> Result<Response<Body>, ApiError> {
    let text = promql::format(&parsed(&asked)?);
    Ok(envelope::document(&json!(text)))
}

/// An expression as a tree.
#[utoipa::path(get, path = "/api/v1/parse_query", tag = "prometheus",
    params(("query" = String, Query, description = "PromQL")),
    responses((status = 200, description = "Nodes, each with its `type`"), (status = 400, description = "The expression is wrong")))]
pub(crate) async fn parse_query(asked: Asked) -> Result<Response<Body>, ApiError> {
    Ok(envelope::document(&tree(&parsed(&asked)?)))
}

fn parsed(asked: &Asked) -> Result<Expr, ApiError> {
    let query = bounded_query(asked.params.get("query").unwrap_or(""))?;
    parse_expr(query, language(&asked.app)).map_err(|error| ApiError::parameter("query", &error.to_string()))
}

/// A node with what is below it. As high as the parser lets a tree be (PARSE-1).
fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({ "type": "numberLiteral", "val": plain_float(number.value) }),
        ExprKind::String(text) => json!({ "type": "stringLiteral", "val": text }),
        ExprKind::Bytes(text) => json!({ "type": "stringLiteral", "val": String::from_utf8_lossy(text) }),
        ExprKind::Vector(selector) => vector(selector),
        ExprKind::Matrix(matrix) => matrix_selector(matrix),
        ExprKind::Subquery(of) => subquery(of),
        ExprKind::Call(of) => call(of),
        ExprKind::Aggregate(of) => aggregate(of),
        ExprKind::Binary(of) => binary(of),
        ExprKind::Unary(sign, inner) => json!({ "type": "unaryExpr", "op": sign.as_str(), "expr": tree(inner) }),
        ExprKind::Paren(inner) => json!({ "type": "parenExpr", "expr": tree(inner) }),
    }
}

fn vector(selector: &VectorSelector) -> Value {
    json!({
        "type": "vectorSelector",
        "name": selector.name.as_deref().unwrap_or(""),
        "matchers": matchers(selector),
        "offset": offset(&selector.modifiers),
        "offsetExpr": computed(selector.modifiers.offset.as_ref()),
        "timestamp": timestamp(&selector.modifiers),
        "startOrEnd": start_or_end(&selector.modifiers),
        "anchored": selector.edges == Edges::Anchored,
        "smoothed": selector.edges == Edges::Smoothed,
    })
}

fn matrix_selector(matrix: &MatrixSelector) -> Value {
    let mut node = vector(&matrix.selector);
    node["type"] = json!("matrixSelector");
    node["range"] = json!(fixed(Some(&matrix.range)));
    node["rangeExpr"] = computed(Some(&matrix.range));
    node
}

fn subquery(of: &Subquery) -> Value {
    json!({
        "type": "subquery",
        "expr": tree(&of.expr),
        "range": fixed(Some(&of.range)),
        "rangeExpr": computed(Some(&of.range)),
        "step": fixed(of.step.as_ref()),
        "stepExpr": computed(of.step.as_ref()),
        "offset": offset(&of.modifiers),
        "offsetExpr": computed(of.modifiers.offset.as_ref()),
        "timestamp": timestamp(&of.modifiers),
        "startOrEnd": start_or_end(&of.modifiers),
    })
}

fn call(of: &Call) -> Value {
    let variadic = match of.function.arity {
        Arity::Exact => json!(0),
        Arity::UpTo(more) => json!(more),
        Arity::Any => json!(-1),
    };
    json!({
        "type": "call",
        "func": {
            "name": of.function.name,
            "argTypes": of.function.args.iter().map(|arg| arg.as_str()).collect::<Vec<_>>(),
            "variadic": variadic,
            "returnType": of.function.returns.as_str(),
        },
        "args": of.args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn aggregate(of: &Aggregate) -> Value {
    let (grouping, without) = match &of.grouping {
        Grouping::By(labels) => (labels, false),
        Grouping::Without(labels) => (labels, true),
    };
    json!({
        "type": "aggregation",
        "op": of.op.as_str(),
        "expr": tree(&of.expr),
        "param": of.param.as_ref().map(tree),
        "grouping": grouping,
        "without": without,
    })
}

fn binary(of: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": of.op.as_str(),
        "lhs": tree(&of.left),
        "rhs": tree(&of.right),
        "matching": of.matching.as_ref().map(|how| matching(how, of.op.is_set())),
        "bool": of.returns_bool,
    })
}

fn matching(of: &Matching, set: bool) -> Value {
    let card = match &of.group {
        None if set => "many-to-many",
        None => "one-to-one",
        Some(Group::Left(_)) => "many-to-one",
        Some(Group::Right(_)) => "one-to-many",
    };
    json!({
        "card": card,
        "labels": of.labels.names(),
        "on": matches!(of.labels, MatchLabels::On(_)),
        "include": of.group.as_ref().map_or(&[][..], Group::include),
        "fillValues": { "lhs": of.fill.left, "rhs": of.fill.right },
    })
}

fn matchers(selector: &VectorSelector) -> Vec<Value> {
    let shape = |m: &LabelMatcher| json!({ "name": m.name(), "value": m.value(), "type": m.op().as_str() });
    selector.all_matchers().iter().map(shape).collect()
}

/// Milliseconds; of a computed length, and of none, 0.
fn fixed(length: Option<&Length>) -> i64 {
    match length {
        Some(Length::Fixed(duration)) => duration.0,
        Some(Length::Computed(_)) | None => 0,
    }
}

fn computed(length: Option<&Length>) -> Value {
    match length {
        Some(Length::Computed(expr)) => duration(expr, false),
        Some(Length::Fixed(_)) | None => Value::Null,
    }
}

fn offset(modifiers: &Modifiers) -> i64 {
    fixed(modifiers.offset.as_ref())
}

fn timestamp(modifiers: &Modifiers) -> Option<i64> {
    match modifiers.at {
        Some(At::Time(at)) => Some(at.0),
        Some(At::Start | At::End) | None => None,
    }
}

fn start_or_end(modifiers: &Modifiers) -> Option<&'static str> {
    match modifiers.at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        Some(At::Time(_)) | None => None,
    }
}

fn duration(expr: &DurationExpr, wrapped: bool) -> Value {
    let node = |op: &str, left: Option<&DurationExpr>, right: Option<&DurationExpr>| {
        let side = |side: Option<&DurationExpr>| side.map(|expr| duration(expr, false));
        json!({ "type": "durationExpr", "op": op, "lhs": side(left), "rhs": side(right), "wrapped": wrapped })
    };
    match &expr.kind {
        DurationKind::Number(Number { value, is_duration }) => {
            json!({ "type": "numberLiteral", "val": plain_float(*value), "duration": is_duration })
        }
        DurationKind::Negative(inner) => node("-", None, Some(inner)),
        DurationKind::Binary(op, sides) => node(op.as_str(), Some(&sides.0), Some(&sides.1)),
        DurationKind::MinOf(sides) => node("min", Some(&sides.0), Some(&sides.1)),
        DurationKind::MaxOf(sides) => node("max", Some(&sides.0), Some(&sides.1)),
        DurationKind::Step => node("step", None, None),
        DurationKind::Range => node("range", None, None),
        DurationKind::Paren(inner) => duration(inner, true),
    }
}

/// A float without an exponent, however long that is.
fn plain_float(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { float(value) }
}

#[cfg(test)]
mod tests {
    use promql::ParseOptions;

    use super::*;

    fn of(text: &str) -> Value {
        tree(&parse_expr(text, ParseOptions::default()).expect(text))
    }

    #[test]
    fn a_selector_names_its_matchers_the_metric_last() {
        let expected = json!({
            "type": "matrixSelector", "name": "up", "range": 300_000, "rangeExpr": null,
            "offset": 60_000, "offsetExpr": null, "timestamp": null, "startOrEnd": "end",
            "anchored": false, "smoothed": false,
            "matchers": [
                { "name": "job", "value": "a.*", "type": "=~" }, { "name": "__name__", "value": "up", "type": "=" },
            ],
        });
        assert_eq!(of("up{job=~\"a.*\"}[5m] @ end() offset 1m"), expected);
        assert_eq!(of("up @ 1.5")["timestamp"], 1_500);
    }

    #[test]
    fn operators_tell_how_their_sides_match() {
        let node = of("a * on (job) group_left (env) b");
        let expected = json!({
            "card": "many-to-one", "labels": ["job"], "on": true, "include": ["env"],
            "fillValues": { "lhs": null, "rhs": null },
        });
        assert_eq!((&node["op"], &node["matching"]), (&json!("*"), &expected));
        assert_eq!(of("a and b")["matching"]["card"], "many-to-many");
        assert_eq!(of("a > bool 1")["matching"], json!(null));
        assert_eq!(of("a > bool 1")["bool"], true);
        assert_eq!(of("-a"), json!({ "type": "unaryExpr", "op": "-", "expr": of("a") }));
    }

    #[test]
    fn calls_and_aggregations_tell_their_types() {
        let node = of("topk by (job) (3, round(x))");
        assert_eq!((&node["type"], &node["op"]), (&json!("aggregation"), &json!("topk")));
        assert_eq!(node["param"], json!({ "type": "numberLiteral", "val": "3" }));
        assert_eq!((&node["grouping"], &node["without"]), (&json!(["job"]), &json!(false)));
        let func = json!({ "name": "round", "argTypes": ["vector", "scalar"], "variadic": 1, "returnType": "vector" });
        assert_eq!(node["expr"]["func"], func);
        assert_eq!(of("max_over_time(x[5m:1m])")["args"][0]["step"], 60_000);
        assert_eq!(of("1e21")["val"], "1000000000000000000000");
    }
}
