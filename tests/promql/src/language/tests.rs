use super::*;

fn script(text: &str) -> Script {
    Script::parse(text).expect(text)
}

fn only(text: &str) -> Eval {
    match script(text).commands.pop() {
        Some(Command::Eval(eval)) => *eval,
        other => panic!("an evaluation, not {other:?}"),
    }
}

#[test]
fn commands_are_read_in_their_order_and_comments_are_not() {
    let script = script(
        "# hello\nclear\n\nload 5m\n  a 1 2\n  # gone\n\nload_with_nhcb 1m\n b 1\n\neval instant at 5m a\n  a 1\n",
    );
    let kinds: Vec<&str> = script
        .commands
        .iter()
        .map(|command| match command {
            Command::Clear => "clear",
            Command::Load(load) if load.with_custom_buckets => "load both",
            Command::Load(_) => "load",
            Command::Eval(_) => "eval",
        })
        .collect();
    assert_eq!(kinds, ["clear", "load", "load both", "eval"]);
    assert_eq!(script.evaluations().next().map(|eval| (eval.line, eval.when)), Some((11, When::Instant(300_000))));
}

#[test]
fn a_range_has_start_end_and_step() {
    let eval = only("eval range from 0 to 10m step 30s sum (a)\n {} 1 2\n");
    assert_eq!(eval.when, When::Range { start: 0, end: 600_000, step: 30_000 });
    assert_eq!((eval.text.as_str(), eval.expected.rows[0].values.len()), ("sum (a)", 2));
}

#[test]
fn what_is_expected_is_values_notes_or_an_error() {
    let eval = only("eval instant at 1m a\n expect ordered\n expect warn msg: one (1:1)\n expect no_info\n a 1\n");
    assert!(eval.expected.ordered && matches!(eval.expected.infos, Said::Nothing));
    assert!(matches!(&eval.expected.warnings, Said::These(list) if list[0].matches("one (1:1)")));
    let eval = only("eval instant at 1m a\n expect fail regex: no.* here\n");
    assert!(
        matches!(&eval.expected.outcome, Outcome::Failure(text) if text.matches("nobody here") && !text.matches("here"))
    );
    let eval = only("eval_fail instant at 1m a\n expected_fail_message it broke\n");
    assert!(matches!(&eval.expected.outcome, Outcome::Failure(text) if text.matches("it broke")));
    assert_eq!(only("eval instant at 1m 12\n 0x0c\n").expected.scalar, Some(12.0));
    assert_eq!(only("eval instant at 1m \"a\"\n expect string `b\\n`\n").expected.string.as_deref(), Some("b\\n"));
}

#[test]
fn a_range_vector_is_evaluated_at_its_end() {
    let eval = only("eval instant at 9m a[1m]\n expect range vector from 10s to 1m step 10s\n a 1 2 3\n");
    assert_eq!(eval.when, When::Instant(60_000));
    assert_eq!(eval.expected.window, Some(When::Range { start: 10_000, end: 60_000, step: 10_000 }));
}

#[test]
fn starts_stand_in_front_of_their_series() {
    let Some(Command::Load(load)) =
        script("load 1m\n a{b=\"c\"}@st _ -1m -1s+100msx2\n a{b=\"c\"} 1x4\n").commands.pop()
    else {
        panic!("a load")
    };
    let expected = [None, Some(-60_000), Some(-1_000), Some(-900), Some(-800)];
    assert_eq!(load.series[0].starts, expected);
    assert!(Script::parse("load 1m\n a@st 1m\n b 1\n").is_err(), "of another series");
    assert!(Script::parse("load 1m\n a@st 1m\n").is_err(), "of none");
}

#[test]
fn what_is_not_of_the_language_is_refused_with_its_line() {
    for text in [
        "run",
        "load x",
        "eval instant 5m a",
        "eval range from 0 to 5m a",
        "eval range from 6m to 5m step 1m a",
        "eval instant at 5m",
        "eval instant at 5m a\n expect nothing",
        "eval instant at 5m a\n a 1 2",
        "eval instant at 5m a\n expect warn\n expect no_warn",
        "eval instant at 5m a\n expect string b",
    ] {
        let error = Script::parse(&format!("\n{text}\n")).expect_err(text);
        assert!(error.to_string().starts_with("line 2: "), "{error:#}");
    }
}
