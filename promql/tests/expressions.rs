//! Expressions: what they print as, and what is refused in which words. The words are those that Prometheus 3 gives.

extern crate thermocline_promql as promql;

use promql::{ParseError, ParseOptions, format, parse_expr};

const ALL: ParseOptions = ParseOptions::ALL;

/// In one line.
fn printed(text: &str) -> Result<String, ParseError> {
    parse_expr(text, ALL).map(|expr| expr.to_string())
}

fn refused(text: &str) -> String {
    parse_expr(text, ALL).expect_err(text).to_string()
}

/// Both print as the second, which is a fixpoint.
fn prints(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(printed(text).expect(text), *expected, "{text}");
        assert_eq!(printed(expected).expect(expected), *expected, "again {text}");
    }
}

#[test]
fn numbers_print_in_their_shortest_form() {
    prints(&[
        ("1", "1"),
        ("0x8f", "143"),
        ("017", "15"),
        ("1_000.5", "1000.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+5.5e-3", "0.0055"),
        ("-0755", "-493"),
        ("inF", "+Inf"),
        ("-Inf", "-Inf"),
        ("NaN", "NaN"),
        ("1h30m", "1h30m"),
        ("14d", "2w"),
        ("90s", "1m30s"),
        ("-5m", "-5m"),
        ("1e3", "1000"),
        ("Inf ^ Inf", "Inf ^ +Inf"),
    ]);
}

#[test]
fn operators_bind_and_group_as_in_prometheus() {
    let shape = |text: &str| shape(&parse_expr(text, ALL).expect(text));
    assert_eq!(shape("1 + 2 * 3"), "(1 + (2 * 3))");
    assert_eq!(shape("1 - 2 - 3"), "((1 - 2) - 3)");
    assert_eq!(shape("2 ^ 3 ^ 2"), "(2 ^ (3 ^ 2))");
    assert_eq!(shape("-1 ^ 2"), "-(1 ^ 2)");
    assert_eq!(shape("-a * 2"), "(-a * 2)");
    assert_eq!(shape("2 ^ -1 * 3"), "((2 ^ -1) * 3)");
    assert_eq!(shape("a or b and c unless d"), "(a or ((b and c) unless d))");
    assert_eq!(shape("a == b + c atan2 d"), "(a == (b + (c atan2 d)))");
    assert_eq!(shape("-a offset 5m"), "-a offset 5m");
}

/// The tree with a parenthesis around each operator.
fn shape(expr: &promql::ast::Expr) -> String {
    use promql::ast::ExprKind;
    match &expr.kind {
        ExprKind::Binary(b) => format!("({} {} {})", shape(&b.left), b.op.as_str(), shape(&b.right)),
        ExprKind::Unary(sign, inner) => format!("{}{}", sign.as_str(), shape(inner)),
        _ => expr.to_string(),
    }
}

#[test]
fn selectors_print_sorted_with_their_modifiers() {
    prints(&[
        ("foo", "foo"),
        ("foo{}", "foo"),
        ("foo{b='2', a=~`1|\\d`,}", r#"foo{a=~"1|\\d",b="2"}"#),
        (r#"{"http.requests", "status.code"!="200"}"#, r#"{"status.code"!="200",__name__="http.requests"}"#),
        ("foo[5m] offset 1h @ 10", "foo[5m] @ 10.000 offset 1h"),
        ("foo offset -5m", "foo offset -5m"),
        ("foo @ start() offset 0s", "foo @ start()"),
        ("foo{a='b'}[1m] @ end()", r#"foo{a="b"}[1m] @ end()"#),
        ("foo @ -1.5", "foo @ -1.500"),
        ("foo[300]", "foo[5m]"),
        ("foo[1h:]", "foo[1h:]"),
        ("sum(foo)[30m:10s] offset 3m @ 1", "sum(foo)[30m:10s] @ 1.000 offset 3m"),
        ("foo[0x5]", "foo[5s]"),
        ("a:b:c # comment\n + d", "a:b:c + d"),
    ]);
}

#[test]
fn words_of_the_language_name_metrics_and_labels() {
    for word in ["sum", "by", "without", "offset", "start", "end", "and", "or", "unless", "fill", "count_values"] {
        prints(&[(word, word)]);
    }
    prints(&[
        (
            "sum by (by, on, bool, group_left, sum, and, atan2)(x)",
            "sum by (by, on, bool, group_left, sum, and, atan2) (x)",
        ),
        ("sum{sum='sum'}", r#"sum{sum="sum"}"#),
        ("fill + fill", "fill + fill"),
    ]);
    for word in ["on", "ignoring", "bool", "group_left", "group_right"] {
        assert_eq!(refused(word), format!("1:1: parse error: unexpected <{word}>"));
    }
}

#[test]
fn aggregations_take_their_labels_before_or_behind() {
    prints(&[
        ("sum(x) by (a, b)", "sum by (a, b) (x)"),
        ("SUM BY (a,) (x)", "sum by (a) (x)"),
        ("avg without () (x)", "avg without () (x)"),
        ("count by () (x)", "count(x)"),
        ("topk(5, x)", "topk(5, x)"),
        ("count_values('v', x)", r#"count_values("v", x)"#),
        (r#"sum by ("a.b") (x)"#, r#"sum by ("a.b") (x)"#),
        ("limit_ratio(-0.5, x)", "limit_ratio(-0.5, x)"),
    ]);
}

#[test]
fn matching_prints_as_it_was_asked() {
    prints(&[
        ("a * on(x) b", "a * on (x) b"),
        ("a * on() b", "a * on () b"),
        ("a * ignoring() b", "a * b"),
        ("a / ignoring(x) group_left b", "a / ignoring (x) group_left () b"),
        ("a == bool on(x, y) group_right(z) b", "a == bool on (x, y) group_right (z) b"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + fill_left(1e-7) fill_right(1e21) b", "a + fill_left (1e-07) fill_right (1e+21) b"),
        ("a + fill(100000000000000000000) b", "a + fill (100000000000000000000) b"),
        ("a + on(x) fill_right(-1) fill_left(2) b", "a + on (x) fill_left (2) fill_right (-1) b"),
    ]);
}

#[test]
fn windows_may_take_in_their_edges() {
    prints(&[
        ("rate(foo[5m] anchored)", "rate(foo[5m] anchored)"),
        ("foo smoothed offset 1m", "foo smoothed offset 1m"),
        ("foo[5m] offset 1m smoothed @ 3", "foo[5m] smoothed @ 3.000 offset 1m"),
        ("foo @ 3 anchored", "foo @ 3.000 anchored"),
        ("foo anchored anchored", "foo anchored"),
        ("anchored + smoothed{smoothed='1'}", r#"anchored + smoothed{smoothed="1"}"#),
    ]);
}

#[test]
fn histograms_are_trimmed_by_operators_that_bind_as_comparisons_do() {
    let shape = |text: &str| shape(&parse_expr(text, ALL).expect(text));
    assert_eq!(shape("a </ 1 + 2"), "(a </ (1 + 2))");
    assert_eq!(shape("a >/ 1 >/ 2 and b"), "(((a >/ 1) >/ 2) and b)");
    assert_eq!(printed("1 </ 2").as_deref(), Ok("1 </ 2"), "no comparison: no need of bool");
    assert_eq!(refused("a </ bool 1"), "1:3: parse error: bool modifier can only be used on comparison operators");
}

#[test]
fn matching_means_nothing_beside_a_scalar() {
    prints(&[("1 + on() a", "1 + a"), ("a * ignoring() group_left(b) 2", "a * 2")]);
}

/// Texts and their forms were asked of Prometheus itself.
#[test]
fn long_expressions_are_written_in_lines() {
    let cases = include_str!("expression_lines.txt");
    for case in cases.split("\n\n") {
        let (text, expected) = case.split_once('\n').expect("a text, and its lines");
        let expected = expected.trim_end();
        let lines = format(&parse_expr(text, ALL).expect(text));
        assert_eq!(lines, expected, "{text}");
        assert_eq!(format(&parse_expr(&lines, ALL).expect(&lines)), lines, "again");
    }
}

#[test]
fn lengths_may_be_computed() {
    prints(&[
        ("foo[5m*2]", "foo[5m * 2]"),
        ("foo[(5m+1)^2]", "foo[(5m + 1) ^ 2]"),
        ("foo offset -(5m+step())", "foo offset -(5m + step())"),
        ("foo[max_of(STEP(),5m):step()]", "foo[max_of(step(), 5m):step()]"),
        ("foo[min_of(range(), -(5m)):]", "foo[min_of(range(), -(5m)):]"),
        ("foo offset 2 ^ 2", "foo offset 2s ^ 2"),
        ("foo offset -(2) ^ 2", "foo offset -(2) ^ 2"),
        ("foo offset (2) ^ 2", "foo offset (2) ^ 2"),
        ("foo[(-2)^2]", "foo[(-2) ^ 2]"),
        ("foo[step():]", "foo[step():]"),
        ("foo[-2^2 + - -1m]", "foo[-2 ^ 2 + 1m]"),
        ("foo offset (((5m)))", "foo offset (5m)"),
        ("foo offset +step()", "foo offset step()"),
        ("foo[1m + 1s:(5 - 1) * 2] offset -range()", "foo[1m + 1s:(5 - 1) * 2] offset -range()"),
    ]);
    let shape = |text: &str| shape(&parse_expr(text, ALL).expect(text));
    assert_eq!(shape("foo offset 2 ^ 2"), "(foo offset 2s ^ 2)", "a literal ends the offset");
    assert_eq!(shape("foo offset -(2) ^ 2"), "(foo offset -(2) ^ 2)", "so does a parenthesis behind a sign");
    assert_eq!(shape("foo offset (2) ^ 2"), "foo offset (2) ^ 2", "without a sign, arithmetic goes on");
    let off = parse_expr("foo[5m*2]", ParseOptions::default()).expect_err("off");
    assert_eq!(off.to_string(), "1:5: parse error: experimental duration expression is not enabled");
}

#[test]
fn strings_have_three_quotes_and_the_escapes_of_go() {
    prints(&[(r#""a\n\x41""#, r#""a\nA""#), (r"'it\'s'", r#""it's""#), (r"`\d`", r#""\\d""#)]);
}

/// The texts were asked of Prometheus itself.
#[test]
fn errors_are_in_prometheus_words() {
    let cases = include_str!("expression_errors.txt");
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let (text, expected) = line.split_once(" => ").expect("two columns");
        let found = parse_expr(text, ALL).map_or_else(|e| e.to_string(), |expr| format!("parsed as {expr}"));
        if found != expected {
            wrong.push(format!("{text}\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.lines().count() > 300);
    assert_eq!(refused(""), "unknown position: parse error: no expression found in input");
    assert_eq!(refused("# only a comment\n"), "1:1: parse error: no expression found in input");
    assert_eq!(refused("cpu +\n  # and then\n  mem mem"), "3:7: parse error: unexpected identifier \"mem\"");
}

#[test]
fn what_is_experimental_is_off_unless_asked_for() {
    let off = |text: &str| parse_expr(text, ParseOptions::default()).expect_err(text).message;
    assert_eq!(off("info(x)"), "function \"info\" is not enabled");
    assert_eq!(
        off("limitk(1, x)"),
        "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
    );
    assert_eq!(off("a + fill(1) b"), "binop fill modifiers are experimental and not enabled");
    assert_eq!(off("rate(a[5m] smoothed)"), "smoothed modifier is experimental and not enabled");
    assert_eq!(off("a anchored"), "anchored modifier is experimental and not enabled");
    assert_eq!(off("a offset -step()"), "experimental duration expression is not enabled");
}

/// In half the stack of a thread, unoptimized as tests are.
#[test]
fn deep_and_long_expressions_are_bounded() {
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(bounded).expect("a thread");
    small.join().expect("no overflow, and the facts hold");
}

fn bounded() {
    let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(format(&parse_expr(&deep(90), ALL).expect("not too deep")).matches('(').count(), 90);
    for text in [deep(100_000), "-".repeat(100_000), "1+".repeat(100_000) + "1", "1^".repeat(100_000) + "1"] {
        let error = parse_expr(&text, ALL).expect_err("too deep");
        assert_eq!(error.message, "expression is nested too deeply");
    }
    let long = "a+".repeat(450) + "a";
    assert_eq!(printed(&long).expect("long").matches('a').count(), 451);
    let lines = format(&parse_expr(&long, ALL).expect("long"));
    assert_eq!(printed(&lines), printed(&long), "in lines");
    assert!(parse_expr(&format!("foo[{}1]", "(".repeat(100_000)), ALL).is_err());
    assert!(parse_expr(&format!("foo[{}1]", "1+".repeat(100_000)), ALL).is_err());
}

#[test]
fn every_part_knows_its_place() {
    let expr = parse_expr("sum(rate(foo[5m])) by (a)  / bar", ALL).expect("parses");
    assert_eq!((expr.span.start, expr.span.end), (0, 32));
    let promql::ast::ExprKind::Binary(binary) = &expr.kind else { panic!("{expr:?}") };
    assert_eq!((binary.op_span.start, binary.op_span.end), (27, 28));
    assert_eq!((binary.right.span.start, binary.right.span.end), (29, 32));
}

#[test]
fn no_text_panics_and_what_parses_prints_as_a_fixpoint() {
    let pieces = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "a",
        "sum",
        "rate",
        "5m",
        "1",
        ":",
        "offset",
        "@",
        "-",
        "+",
        "^",
        "==",
        "and",
        "by",
        "on",
        "bool",
        "group_left",
        "fill",
        "\"",
        "'x'",
        "`",
        "\\",
        ",",
        "é",
        "=",
        "!",
        "~",
        "start",
        "step",
        "#",
        ".",
        "0x",
        "_",
        "NaN",
        "1e",
        "1_",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut parsed = 0;
    for _ in 0..60_000 {
        let mut text = String::new();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = usize::try_from(state >> 33).expect("31 bits");
            text.push_str(pieces[pick % pieces.len()]);
            if pick & 0x100 != 0 {
                text.push(' ');
            }
            if let Ok(once) = printed(&text) {
                assert_eq!(printed(&once).as_deref(), Ok(once.as_str()), "{text}");
                parsed += 1;
            }
        }
    }
    assert!(parsed > 1000, "{parsed} parsed");
}
