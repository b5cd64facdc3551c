//! Texts that are nearly queries: read or refused as Prometheus does, in its words, and printed as it prints them.

use anyhow::Result;
use promql::{ParseOptions, format, parse_expr};
use promql_tests::generate::Generator;
use promql_tests::module;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use regex::Regex;

use crate::engine::Engine;

const TEXTS: usize = 20_000;

/// What is put into texts.
const PIECES: [&str; 85] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "foo",
    "sum",
    "rate",
    "topk",
    "5m",
    "1",
    "0",
    "-1",
    "1.5",
    "'x'",
    "\"y\"",
    "`z`",
    "'\\xc5'",
    ":",
    "a:b",
    " offset ",
    " @ ",
    "-",
    "+",
    "*",
    "/",
    "%",
    "^",
    "==",
    "!=",
    "<",
    ">=",
    "</",
    ">/",
    "=",
    "=~",
    "!~",
    "!",
    " and ",
    " or ",
    " unless ",
    " by ",
    " without ",
    " on ",
    " ignoring ",
    " bool ",
    " group_left ",
    " group_right ",
    " fill(1) ",
    " fill_left",
    " anchored ",
    " smoothed ",
    "start()",
    "end()",
    "step()",
    "range()",
    "max_of(",
    "min_of",
    ",",
    "é",
    "#",
    "\n",
    "\\",
    ".",
    "0x",
    "_",
    "NaN",
    "Inf",
    "1e",
    "1_",
    "~",
    "info(",
    "limitk",
    "atan2",
    "[5m]",
    "[5m:]",
    "{a='b'}",
    "by (a)",
    "$",
    "\u{a0}",
    "5mm",
    "1h30m",
    "0755",
    "'(['",
];

/// Texts that differ by a few tokens from queries and from what is refused.
struct Texts {
    rng: StdRng,
    questions: Generator,
    refused: Vec<&'static str>,
    token: Regex,
}

impl Texts {
    fn new(seed: u64) -> Result<Self> {
        let refused = include_str!("../../promql/tests/expression_errors.txt");
        let refused = refused.lines().filter_map(|line| Some(line.split_once(" => ")?.0)).collect();
        let token = Regex::new(r"(?s)\w+|\s+|.")?;
        Ok(Self { rng: StdRng::seed_from_u64(seed), questions: Generator::new(seed, true), refused, token })
    }

    fn whole(&mut self) -> String {
        if self.rng.random_ratio(1, 2) {
            return self.questions.question().text;
        }
        (*self.refused.choose(&mut self.rng).expect("a fixture that is not empty")).to_owned()
    }

    fn next(&mut self) -> String {
        let text = self.whole();
        let mut tokens: Vec<&str> = self.token.find_iter(&text).map(|found| found.as_str()).collect();
        for _ in 0..self.rng.random_range(0..4) {
            let at = self.rng.random_range(0..=tokens.len());
            let piece = *PIECES.choose(&mut self.rng).expect("pieces");
            match self.rng.random_range(0..4) {
                0 => tokens.insert(at, piece),
                1 => tokens.truncate(at.max(1)),
                2 if at < tokens.len() => drop(tokens.remove(at)),
                _ if at < tokens.len() => tokens[at] = piece,
                _ => {}
            }
        }
        tokens.concat()
    }
}

/// Why our answer may be another one; the list in `docs/promql.md`.
fn may_differ(here: &Result<(String, String), String>, there: &Result<(String, String), String>) -> bool {
    let says = |answer: &Result<(String, String), String>, part: &str| answer.as_ref().is_err_and(|e| e.contains(part));
    // `offset NaN`; matchers that are not UTF-8; `x[step():]`.
    says(here, "duration out of range")
        || says(here, "invalid UTF-8 in quoted string")
        || says(there, "unexpected colon before duration")
}

#[expect(clippy::print_stderr, reason = "a test that is skipped must be loud")]
fn engine() -> Result<Option<Engine>> {
    if module::has_go()? {
        return Engine::start(&[]).map(Some);
    }
    eprintln!("SKIPPED: go is not installed, so that Prometheus' parser cannot be asked");
    Ok(None)
}

#[test]
fn wrong_texts_are_refused_in_prometheus_words() -> Result<()> {
    let Some(engine) = engine()? else { return Ok(()) };
    let mut texts = Texts::new(4)?;
    let (mut read, mut wrong) = (0, Vec::new());
    for _ in 0..TEXTS {
        let text = texts.next();
        let there = engine.parse(&text)?;
        let here = parse_expr(&text, ParseOptions::ALL);
        let here = here.map(|expr| (expr.to_string(), format(&expr))).map_err(|error| error.to_string());
        read += usize::from(here.is_ok());
        if here == there || may_differ(&here, &there) {
            continue;
        }
        // Where Prometheus' text would not be read again, ours is another, which Prometheus prints as its own.
        if let (Ok((here, _)), Ok((there, _))) = (&here, &there)
            && engine.parse(here)?.is_ok_and(|(again, _)| again == *there)
        {
            continue;
        }
        wrong.push(format!("{text:?}\n  here  {here:?}\n  there {there:?}"));
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(read > TEXTS / 10 && read < TEXTS * 9 / 10, "{read} of {TEXTS} are read");
    Ok(())
}

#[test]
fn the_fixture_of_wrong_texts_is_what_prometheus_says() -> Result<()> {
    let Some(engine) = engine()? else { return Ok(()) };
    for line in include_str!("../../promql/tests/expression_errors.txt").lines() {
        let (text, expected) = line.split_once(" => ").expect("two columns");
        assert_eq!(engine.parse(text)?.err().as_deref(), Some(expected), "{text}");
    }
    for case in include_str!("../../promql/tests/expression_lines.txt").split("\n\n") {
        let (text, expected) = case.split_once('\n').expect("a text, and its lines");
        assert_eq!(engine.parse(text)?.map(|(_, lines)| lines).as_deref(), Ok(expected.trim_end()), "{text}");
    }
    Ok(())
}
