use arrow::datatypes::{DataType, TimeUnit};
use datafusion::functions::core::expr_ext::FieldAccessor as _;
use datafusion::prelude::{cast, col, lit};

use super::*;

fn ts(ms: i64) -> Expr {
    lit(ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into())))
}

fn ns(ns: i64) -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())))
}

fn time(from: i64, to: i64) -> Option<Condition> {
    Some(Condition::Time { from, to })
}

fn labels(list: &[(&str, MatchOp, &str)]) -> Option<Condition> {
    let matcher = |&(name, op, value): &(&str, MatchOp, &str)| LabelMatcher::new(name, op, value).expect("compiles");
    Some(Condition::Labels(list.iter().map(matcher).collect()))
}

#[test]
fn times_become_half_open_ranges_of_milliseconds() {
    assert_eq!(understand(&col("ts").gt_eq(ts(5))), time(5, i64::MAX));
    assert_eq!(understand(&col("ts").gt(ts(5))), time(6, i64::MAX));
    assert_eq!(understand(&col("ts").lt(ts(5))), time(i64::MIN, 5));
    assert_eq!(understand(&col("ts").lt_eq(ts(5))), time(i64::MIN, 6));
    assert_eq!(understand(&col("ts").eq(ts(5))), time(5, 6));
    assert_eq!(understand(&ts(5).lt_eq(col("ts"))), time(5, i64::MAX), "either side");
    assert_eq!(understand(&col("ts").between(ts(5), ts(9))), time(5, 10));
    assert_eq!(understand(&col("ts").gt_eq(ts(5)).and(col("ts").lt(ts(3)))), Some(Condition::Never));
}

#[test]
fn finer_literals_round_to_the_right_side() {
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let column = cast(col("ts"), nanos);
    assert_eq!(understand(&column.clone().gt_eq(ns(5_000_001))), time(6, i64::MAX));
    assert_eq!(understand(&column.clone().gt(ns(5_000_001))), time(6, i64::MAX));
    assert_eq!(understand(&column.clone().lt(ns(5_000_001))), time(i64::MIN, 6));
    assert_eq!(understand(&column.clone().lt_eq(ns(5_000_001))), time(i64::MIN, 6));
    assert_eq!(understand(&column.clone().lt(ns(5_000_000))), time(i64::MIN, 5));
    assert_eq!(understand(&column.eq(ns(5_000_001))), Some(Condition::Never));
}

#[test]
fn texts_become_matchers_with_the_meaning_of_null() {
    let host = || col("labels").field("host");
    assert_eq!(understand(&col("metric").eq(lit("up"))), labels(&[("__name__", MatchOp::Equal, "up")]));
    assert_eq!(understand(&host().eq(lit("a"))), labels(&[("host", MatchOp::Equal, "a")]));
    assert_eq!(understand(&host().eq(lit(""))), Some(Condition::Never));
    assert_eq!(
        understand(&host().not_eq(lit("a"))),
        labels(&[("host", MatchOp::NotEqual, "a"), ("host", MatchOp::NotEqual, "")]),
        "a series without the label is NULL, which is not unequal either"
    );
    assert_eq!(understand(&host().is_null()), labels(&[("host", MatchOp::Equal, "")]));
    assert_eq!(understand(&host().is_not_null()), labels(&[("host", MatchOp::NotEqual, "")]));
    assert_eq!(understand(&host().eq(lit(ScalarValue::Utf8(None)))), Some(Condition::Never));
}

#[test]
fn lists_and_alternatives_of_one_label_are_one_matcher() {
    let listed = col("metric").in_list(vec![lit("a"), lit("b")], false);
    assert_eq!(understand(&listed), labels(&[("__name__", MatchOp::Regex, "a|b")]));
    let either = col("metric").eq(lit("a")).or(col("metric").eq(lit("b")));
    assert_eq!(understand(&either), labels(&[("__name__", MatchOp::Regex, "a|b")]));
    let odd = col("metric").eq(lit("a|b")).or(col("metric").eq(lit("c")));
    assert_eq!(understand(&odd), None, "a bar in a value would change the alternation");
    let ids = col("series_id").in_list(vec![lit(3_i64), lit(4_i64)], false);
    assert_eq!(understand(&ids), Some(Condition::Ids(BTreeSet::from([SeriesId(3), SeriesId(4)]))));
}

#[test]
fn like_is_anchored_and_its_other_characters_are_literal() {
    let Some(Condition::Labels(matchers)) = understand(&col("metric").like(lit("cpu_%.<1>"))) else {
        panic!("understood")
    };
    let holds = |value: &str| matchers.iter().all(|matcher| matcher.matches(value));
    assert!(holds("cpu-x.<1>") && holds("cpu_.<1>"));
    assert!(!holds("cpux.<1>y") && !holds("cpu-x_<1>"));
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for expr in [
        col("value").gt(lit(1.0)),
        col("ts").not_eq(ts(5)),
        col("metric").eq(lit("a")).or(col("ts").gt(ts(1))),
        col("metric").gt(lit("a")),
        col("metric").not_in_list_(),
        col("series_id").gt(lit(5_i64)),
    ] {
        assert_eq!(understand(&expr), None, "{expr}");
    }
}

trait NotInList {
    fn not_in_list_(self) -> Expr;
}

impl NotInList for Expr {
    fn not_in_list_(self) -> Expr {
        self.in_list(vec![lit("a"), lit("b")], true)
    }
}

#[test]
fn conditions_narrow_together() {
    let filters = [col("ts").gt_eq(ts(5)), col("ts").lt(ts(9)), col("metric").eq(lit("a"))];
    let narrowing = Narrowing::of(&filters);
    assert_eq!(narrowing.range.map(|range| (range.start().0, range.end().0)), Some((5, 9)));
    assert_eq!(narrowing.matchers.len(), 1);
    assert_eq!(Narrowing::of(&[col("ts").lt(ts(0))]).range, None);
}
