//! Which part of a WHERE clause the tables answer themselves: time, metric, labels, series id.
//!
//! conjunct → [`Condition`] or nothing · conditions → [`Narrowing`]: range, matchers, ids
//!
//! What is understood is answered exactly, SQL's NULL included: `labels['k']` of a series without the label is NULL, which
//! no comparison holds for. What is not understood stays with DataFusion.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator, TableProviderFilterPushDown};
use schemas::labels::METRIC_NAME;
use schemas::{LabelMatcher, MatchOp, SeriesId, TimeRange, TimestampMs};

use crate::router::addressable;

#[cfg(test)]
mod tests;

/// A conjunct that the tables can answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// Times in `[from, to)`, ms; open ends are `i64::MIN` and `i64::MAX`.
    Time {
        from: i64,
        to: i64,
    },
    Labels(Vec<LabelMatcher>),
    Ids(BTreeSet<SeriesId>),
    /// Nothing at all.
    Never,
}

/// What is left to read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Narrowing {
    /// `None`: no time at all.
    pub(super) range: Option<TimeRange>,
    pub(super) matchers: Vec<LabelMatcher>,
    pub(super) ids: Option<BTreeSet<SeriesId>>,
}

impl Narrowing {
    /// Of all conjuncts that are understood.
    pub(super) fn of(filters: &[Expr]) -> Self {
        let mut all = Self { range: Some(addressable()), matchers: Vec::new(), ids: None };
        for condition in filters.iter().filter_map(understand) {
            all.apply(condition);
        }
        all
    }

    fn apply(&mut self, condition: Condition) {
        match condition {
            Condition::Time { from, to } => {
                let wanted = TimeRange::new(TimestampMs(from), TimestampMs(to)).ok();
                self.range = self.range.zip(wanted).and_then(|(range, wanted)| range.intersect(wanted));
            }
            Condition::Labels(matchers) => self.matchers.extend(matchers),
            Condition::Ids(ids) => {
                self.ids = Some(match self.ids.take() {
                    Some(known) => known.intersection(&ids).copied().collect(),
                    None => ids,
                });
            }
            Condition::Never => self.range = None,
        }
    }
}

/// Which filters a table answers exactly, of those whose conditions it takes.
pub(super) fn answered(filters: &[&Expr], takes: fn(&Condition) -> bool) -> Vec<TableProviderFilterPushDown> {
    let answer = |filter: &&Expr| match understand(filter) {
        Some(condition) if takes(&condition) => TableProviderFilterPushDown::Exact,
        Some(_) | None => TableProviderFilterPushDown::Unsupported,
    };
    filters.iter().map(answer).collect()
}

/// What a conjunct asks, if the tables can answer it.
pub(super) fn understand(expr: &Expr) -> Option<Condition> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut both = Narrowing { range: Some(everything()), matchers: Vec::new(), ids: None };
            both.apply(understand(left)?);
            both.apply(understand(right)?);
            both.into_condition()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => either(understand(left)?, understand(right)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (subject(left), literal(right)) {
            (Some(subject), Some(value)) => compare(&subject, *op, value),
            _ => compare(&subject(right)?, op.swap()?, literal(left)?),
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let subject = subject(expr)?;
            let low = compare(&subject, Operator::GtEq, literal(low)?)?;
            let high = compare(&subject, Operator::LtEq, literal(high)?)?;
            let mut both = Narrowing { range: Some(everything()), matchers: Vec::new(), ids: None };
            both.apply(low);
            both.apply(high);
            both.into_condition()
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let subject = subject(expr)?;
            let mut conditions = list.iter().map(|item| compare(&subject, Operator::Eq, literal(item)?));
            let first = conditions.next()??;
            conditions.try_fold(first, |all, next| either(all, next?))
        }
        Expr::Like(Like { negated: false, expr, pattern, escape_char: None, case_insensitive: false }) => {
            like(&subject(expr)?, &text(literal(pattern)?)?)
        }
        Expr::IsNotNull(expr) => match subject(expr)? {
            Subject::Label(name) => Some(Condition::Labels(vec![matcher(&name, MatchOp::NotEqual, "")?])),
            Subject::Time | Subject::Metric | Subject::Id => None,
        },
        Expr::IsNull(expr) => match subject(expr)? {
            Subject::Label(name) => Some(Condition::Labels(vec![matcher(&name, MatchOp::Equal, "")?])),
            Subject::Time | Subject::Metric | Subject::Id => None,
        },
        _ => None,
    }
}

impl Narrowing {
    /// Back into one condition, if it narrows only one thing.
    fn into_condition(self) -> Option<Condition> {
        match (self.range, self.matchers.is_empty(), self.ids) {
            (None, ..) => Some(Condition::Never),
            (Some(range), true, None) => Some(Condition::Time { from: range.start().0, to: range.end().0 }),
            (Some(range), false, None) if range == everything() => Some(Condition::Labels(self.matchers)),
            (Some(range), true, Some(ids)) if range == everything() => Some(Condition::Ids(ids)),
            _ => None,
        }
    }
}

fn everything() -> TimeRange {
    TimeRange::new(TimestampMs(i64::MIN), TimestampMs(i64::MAX)).expect("the ends are in order")
}

/// Either of two conditions, where that is one condition again.
fn either(a: Condition, b: Condition) -> Option<Condition> {
    match (a, b) {
        (Condition::Never, other) | (other, Condition::Never) => Some(other),
        (Condition::Ids(mut a), Condition::Ids(b)) => {
            a.extend(b);
            Some(Condition::Ids(a))
        }
        (Condition::Labels(a), Condition::Labels(b)) => {
            let ([a], [b]) = (a.as_slice(), b.as_slice()) else { return None };
            let (a_values, b_values) = (a.literals()?, b.literals()?);
            if a.name() != b.name() {
                return None;
            }
            let all: Vec<&str> = a_values.into_iter().chain(b_values).collect();
            // A bar inside a value, or an empty value, would change the meaning of the alternation.
            let plain = all.iter().all(|value| !value.is_empty() && is_plain(value));
            let both = plain.then(|| matcher(a.name(), MatchOp::Regex, &all.join("|")))??;
            Some(Condition::Labels(vec![both]))
        }
        _ => None,
    }
}

/// What a comparison is about.
#[derive(Debug, Clone, PartialEq)]
enum Subject {
    Time,
    Metric,
    Id,
    Label(String),
}

/// A column of ours, or `labels['…']`; casts that keep order and equality are looked through.
fn subject(expr: &Expr) -> Option<Subject> {
    match expr {
        Expr::Column(column) => match column.name.as_str() {
            "ts" => Some(Subject::Time),
            "metric" => Some(Subject::Metric),
            "series_id" => Some(Subject::Id),
            _ => None,
        },
        Expr::Cast(cast) => {
            let inner = subject(&cast.expr)?;
            let target = cast.field.data_type();
            let keeps = match inner {
                Subject::Time => matches!(target, arrow::datatypes::DataType::Timestamp(unit, _)
                    if *unit != arrow::datatypes::TimeUnit::Second),
                Subject::Metric | Subject::Label(_) => target.is_string(),
                Subject::Id => false,
            };
            keeps.then_some(inner)
        }
        Expr::ScalarFunction(call) if call.name() == "get_field" => match call.args.as_slice() {
            [Expr::Column(column), key] if column.name == "labels" => {
                let name = text(literal(key)?)?;
                (!name.is_empty()).then_some(Subject::Label(name))
            }
            _ => None,
        },
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) if cast.field.data_type().is_string() => {
            literal(&cast.expr).filter(|value| value.data_type().is_string())
        }
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

fn compare(subject: &Subject, op: Operator, value: &ScalarValue) -> Option<Condition> {
    if value.is_null() {
        return Some(Condition::Never);
    }
    match subject {
        Subject::Time => compare_time(op, value),
        Subject::Id => {
            let ScalarValue::Int64(Some(id)) = value else { return None };
            (op == Operator::Eq).then(|| Condition::Ids(BTreeSet::from([SeriesId(*id)])))
        }
        Subject::Metric => compare_text(METRIC_NAME, op, &text(value)?),
        Subject::Label(name) => compare_text(name, op, &text(value)?),
    }
}

fn compare_text(name: &str, op: Operator, value: &str) -> Option<Condition> {
    match op {
        // No label is empty: absent is NULL, and NULL equals nothing.
        Operator::Eq if value.is_empty() => Some(Condition::Never),
        Operator::Eq => Some(Condition::Labels(vec![matcher(name, MatchOp::Equal, value)?])),
        Operator::NotEq => {
            let present = matcher(name, MatchOp::NotEqual, "")?;
            Some(Condition::Labels(vec![matcher(name, MatchOp::NotEqual, value)?, present]))
        }
        _ => None,
    }
}

fn compare_time(op: Operator, value: &ScalarValue) -> Option<Condition> {
    // In units of the literal, `per_ms` to a millisecond: the first ms at or after it, and the first ms after it.
    let (at_or_after, after, whole) = match *value {
        ScalarValue::TimestampSecond(Some(s), _) => {
            let ms = s.checked_mul(1_000)?;
            (ms, ms.saturating_add(1), true)
        }
        ScalarValue::TimestampMillisecond(Some(ms), _) => (ms, ms.saturating_add(1), true),
        ScalarValue::TimestampMicrosecond(Some(us), _) => bounds(us, 1_000),
        ScalarValue::TimestampNanosecond(Some(ns), _) => bounds(ns, 1_000_000),
        _ => return None,
    };
    let (from, to) = match op {
        Operator::GtEq => (at_or_after, i64::MAX),
        Operator::Gt => (after, i64::MAX),
        Operator::Lt => (i64::MIN, at_or_after),
        Operator::LtEq => (i64::MIN, after),
        Operator::Eq if whole => (at_or_after, after),
        Operator::Eq => return Some(Condition::Never),
        _ => return None,
    };
    Some(Condition::Time { from, to })
}

/// The first ms at or after a time, the first after it, and whether it is a whole ms.
fn bounds(value: i64, per_ms: i64) -> (i64, i64, bool) {
    let floor = value.div_euclid(per_ms);
    let whole = value.rem_euclid(per_ms) == 0;
    (if whole { floor } else { floor + 1 }, floor + 1, whole)
}

/// `LIKE` as an anchored regular expression.
fn like(subject: &Subject, pattern: &str) -> Option<Condition> {
    let name = match subject {
        Subject::Metric => METRIC_NAME,
        Subject::Label(name) => name.as_str(),
        Subject::Time | Subject::Id => return None,
    };
    // A backslash escapes in LIKE; rare enough to leave to DataFusion.
    if pattern.contains('\\') {
        return None;
    }
    let mut regex = String::with_capacity(pattern.len() + 8);
    for c in pattern.chars() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            c if r".+*?()|[]{}^$#&-~".contains(c) => {
                regex.push('\\');
                regex.push(c);
            }
            c => regex.push(c),
        }
    }
    let present = matcher(name, MatchOp::NotEqual, "")?;
    Some(Condition::Labels(vec![matcher(name, MatchOp::Regex, &regex)?, present]))
}

fn is_plain(value: &str) -> bool {
    value.chars().all(|c| c == '_' || c == '-' || c == ':' || c == '/' || c == ' ' || c.is_ascii_alphanumeric())
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Option<LabelMatcher> {
    LabelMatcher::new(name, op, value).ok()
}
