//! A second opinion on the language: the crate `promql-parser`, which was made after Prometheus' grammar by others.
//!
//! What one parses, the other parses, but for the reasons named here. Where they differ, Prometheus itself was asked: its
//! answers are `promql/tests/expression_errors.txt`, and ours are the same.

use promql::{ParseOptions, parse_expr};
use promql_tests::generate::Generator;

/// What the other parser reads although Prometheus refuses it: a reason, and the text of our refusal.
const MORE_THERE: [(&str, &str); 7] = [
    ("lengths and numbers beyond what Prometheus can hold", "out of range"),
    ("times beyond what Prometheus can hold", "out of bounds"),
    ("a number without a unit as a range of zero", "must be greater than 0"),
    ("an empty label name", "invalid label name"),
    ("parameters of limitk and limit_ratio of any type", "aggregation parameter"),
    ("anything as the labels of info", "expected label selectors only"),
    ("fill with set operators and scalars", "filling in missing series"),
];

/// What is read here as in Prometheus, and not there: a reason, and a part of the question.
const MORE_HERE: [(&str, &str); 6] = [
    ("windows with their edges", "anchored"),
    ("windows with their edges", "smoothed"),
    ("arithmetic in lengths", "step()"),
    ("arithmetic in lengths", "range()"),
    ("arithmetic in lengths", "max_of("),
    ("arithmetic in lengths", "min_of("),
];

fn theirs(text: &str) -> Result<(), String> {
    promql_parser::parser::parse(text).map(drop)
}

#[test]
fn what_is_refused_here_is_refused_there() {
    let cases = include_str!("../../promql/tests/expression_errors.txt");
    let mut used = [false; MORE_THERE.len()];
    for line in cases.lines() {
        let (text, refusal) = line.split_once(" => ").expect("two columns");
        if theirs(text).is_err() {
            continue;
        }
        let reason = MORE_THERE.iter().position(|(_, part)| refusal.contains(part));
        used[reason.unwrap_or_else(|| panic!("{text:?} is read there, and here: {refusal}"))] = true;
    }
    assert_eq!(used, [true; MORE_THERE.len()], "a reason that is none any more");
}

#[test]
fn what_is_asked_at_random_is_read_by_both_or_by_none() {
    let mut generator = Generator::new(21, true);
    let mut read = 0;
    for _ in 0..3_000 {
        let text = generator.question().text;
        let (here, there) = (parse_expr(&text, ParseOptions::ALL), theirs(&text));
        let more_there = here.as_ref().is_err_and(|e| MORE_THERE.iter().any(|(_, part)| e.message.contains(part)));
        let more_here = there.is_err() && MORE_HERE.iter().any(|(_, part)| text.contains(part));
        let here = here.map(|expr| expr.to_string());
        assert!(here.is_ok() == there.is_ok() || more_there || more_here, "{text}\nhere: {here:?}\nthere: {there:?}");
        read += usize::from(here.is_ok());
    }
    assert!(read > 2_000, "{read} of 3,000 are read");
}
