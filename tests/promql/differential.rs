//! Random questions on random data, to the evaluator in memory and to Prometheus' own engine.
//!
//! `TEST_SEED=n` asks other questions. Values, labels and notes are compared. Errors agree when both have one, whatever the text.
//! Numbers may differ by a part in a thousand millions. What else differs is explained in `docs/promql.md`
//! ("Evaluation"), and not asked for. In half of the data, samples say when their counters began, and both engines heed it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use promql::column::Value;
use promql::eval::QueryValue;
use promql_tests::compare::{almost_equal, same_histogram, shown};
use promql_tests::generate::data::data;
use promql_tests::generate::{Generator, Question};
use promql_tests::load::Data;
use promql_tests::module;
use promql_tests::target::{Answer, Gives, Memory, Target};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::Labels;

use crate::engine::Engine;

/// Relative to the sum of both.
const TOLERANCE: f64 = 1e-9;
/// What is left where numbers around one cancel each other out.
const CANCELED: f64 = 1e-12;
const SEED: u64 = 20_260;
const DATA_SETS: u64 = 20;
const QUESTIONS: usize = 300;

/// Points of an answer: of a scalar, a series without labels.
type Points = BTreeMap<Labels, BTreeMap<i64, Value>>;

/// What an engine says.
struct Given {
    kind: &'static str,
    text: String,
    points: Points,
    /// Labels of a vector, in its order.
    order: Vec<Labels>,
    warnings: Vec<String>,
    infos: Vec<String>,
}

fn seed() -> u64 {
    std::env::var("TEST_SEED").map_or(SEED, |text| text.parse().expect("TEST_SEED is a number"))
}

#[test]
fn random_questions_have_the_answers_of_prometheus() {
    if !module::has_go().expect("go, or no CI") {
        eprintln!("SKIPPED: go is not installed, so that Prometheus' engine cannot be asked");
        return;
    }
    let seed = seed();
    eprintln!("seed {seed} (repeat with TEST_SEED={seed})");
    let mut engines = [&[][..], &["-start-timestamps"]].map(|args| Engine::start(args).expect("promdiff starts"));
    let (mut wrong, mut asked, mut errors, mut empty) = (Vec::new(), 0, 0, 0);
    for set in 0..DATA_SETS {
        let (seed, histograms, many) = (seed.wrapping_mul(1_000) + set, set % 2 == 1, set % 5 == 4);
        let with_starts = set % 4 >= 2;
        let engine = &mut engines[usize::from(with_starts)];
        let points = Data::of(data(seed, histograms, if many { 200 } else { 0 }));
        let points = if with_starts { began(points, seed) } else { points };
        engine.hold(&points).expect("promdiff takes the data");
        let mut targets = [Gives::Points, Gives::Shortcuts]
            .map(Memory::new)
            .map(|memory| if with_starts { memory.with_start_timestamps() } else { memory });
        targets.iter_mut().for_each(|target| target.hold(&points).expect("data in memory"));
        let mut generator = Generator::new(seed, histograms);
        for _ in 0..if many { QUESTIONS / 10 } else { QUESTIONS } {
            let question = generator.question();
            let theirs = engine.ask(&question.text, question.grid).map(given);
            asked += 1;
            empty += usize::from(theirs.as_ref().is_ok_and(|given| given.points.is_empty()));
            errors += usize::from(theirs.is_err());
            let ordered = question.text.starts_with("sort_by_label");
            let differs = targets.iter().find_map(|target| {
                let ours = target.ask(&question.text, question.grid).map(given);
                difference(&ours, &theirs, ordered).map(|difference| format!("{:?}: {difference}", target.gives()))
            });
            wrong.extend(differs.map(|difference| (seed, question, difference)));
        }
    }
    eprintln!("{asked} questions, {errors} errors, {empty} empty, {} different answers", wrong.len());
    assert!((errors + empty) * 2 < asked, "too many questions have no answer: {errors} errors, {empty} empty");
    assert!(wrong.is_empty(), "{}", list(wrong));
}

/// The same, with counters that begin at any time around their samples, as senders may say: between two samples, at one of
/// them, before them, later than they can, or at no known time.
fn began(points: Data, seed: u64) -> Data {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut start, mut before) = (0, 0);
    points.with_starts(|at| {
        start = match rng.random_range(0..8) {
            0 => before,
            1 => *[at, at + 1, at - 1, at - 15_000, 0].choose(&mut rng).expect("choices"),
            2 => at - rng.random_range(0..40_000),
            _ => start,
        };
        before = at;
        (start != 0).then_some(start)
    })
}

/// The shortest questions first.
fn list(mut wrong: Vec<(u64, Question, String)>) -> String {
    wrong.sort_by_key(|(_, question, _)| question.text.len());
    let mut out = format!("{} answers differ\n", wrong.len());
    for (seed, Question { text, grid }, difference) in wrong.iter().take(40) {
        writeln!(out, "* `{text}` {grid:?}, data {seed}\n  {difference}").expect("writing to a string");
    }
    out
}

fn given(answer: Answer) -> Given {
    let order = match &answer.value {
        QueryValue::Vector(samples) => samples.iter().map(|(labels, ..)| labels.clone()).collect(),
        QueryValue::Scalar(..) | QueryValue::String(..) | QueryValue::Matrix(_) => Vec::new(),
    };
    let (kind, text, points) = match answer.value {
        QueryValue::Scalar(value, at) => {
            let labels = Labels::from_sorted(std::iter::empty());
            ("scalar", String::new(), Points::from([(labels, BTreeMap::from([(at, Value::Float(value))]))]))
        }
        QueryValue::String(text, _) => ("string", text, Points::new()),
        QueryValue::Vector(samples) => {
            let points = samples.into_iter().map(|(labels, at, value)| (labels, BTreeMap::from([(at, value)])));
            ("vector", String::new(), points.collect())
        }
        QueryValue::Matrix(series) => {
            let points = series.into_iter().map(|series| (series.labels.clone(), series.iter().collect()));
            ("matrix", String::new(), points.collect())
        }
    };
    Given { kind, text, points, order, warnings: answer.warnings, infos: answer.infos }
}

/// What differs first.
fn difference(ours: &Result<Given, String>, theirs: &Result<Given, String>, ordered: bool) -> Option<String> {
    let (ours, theirs) = match (ours, theirs) {
        (Err(_), Err(_)) => return None,
        (Err(error), Ok(theirs)) => return Some(format!("we: error {error:?}; they: {} series", theirs.points.len())),
        (Ok(ours), Err(error)) => return Some(format!("we: {} series; they: error {error:?}", ours.points.len())),
        (Ok(ours), Ok(theirs)) => (ours, theirs),
    };
    if (ours.kind, &ours.text) != (theirs.kind, &theirs.text) {
        return Some(format!("we: {} {:?}; they: {} {:?}", ours.kind, ours.text, theirs.kind, theirs.text));
    }
    let labels: BTreeSet<&Labels> = ours.points.keys().chain(theirs.points.keys()).collect();
    for labels in labels {
        let (ours, theirs) = match (ours.points.get(labels), theirs.points.get(labels)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (Some(ours), None) => return Some(format!("{labels} is ours alone, {} points", ours.len())),
            (None, theirs) => return Some(format!("{labels} is theirs alone, {:?} points", theirs.map(BTreeMap::len))),
        };
        let times: BTreeSet<&i64> = ours.keys().chain(theirs.keys()).collect();
        for time in times {
            let equal = match (ours.get(time), theirs.get(time)) {
                (Some(Value::Float(ours)), Some(Value::Float(theirs))) => same_float(*ours, *theirs),
                (Some(Value::Histogram(ours)), Some(Value::Histogram(theirs))) => {
                    same_histogram(ours, theirs, true, TOLERANCE)
                }
                _ => false,
            };
            if !equal {
                let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), shown);
                return Some(format!(
                    "{labels} at {time}: we {}, they {}",
                    text(ours.get(time)),
                    text(theirs.get(time))
                ));
            }
        }
    }
    if ordered && ours.order != theirs.order {
        return Some(format!("order: we {:?}, they {:?}", ours.order, theirs.order));
    }
    let (ours, theirs) = (said(ours), said(theirs));
    // Of one text at several places, they keep one.
    let texts =
        |notes: &BTreeSet<String>| notes.iter().map(|note| without_place(note).to_owned()).collect::<BTreeSet<_>>();
    let same = theirs.is_subset(&ours) && texts(&ours) == texts(&theirs);
    (!same).then(|| format!("notes: we {ours:?}, they {theirs:?}"))
}

fn without_place(note: &str) -> &str {
    note.rsplit_once(" (").map_or(note, |(text, _)| text)
}

/// Go's `sinh` and `cosh` overflow a little early.
fn same_float(ours: f64, theirs: f64) -> bool {
    almost_equal(ours, theirs, TOLERANCE)
        || (ours - theirs).abs() < CANCELED
        || theirs.is_infinite() && ours.abs() > f64::MAX / 2.0 && ours.is_sign_positive() == theirs.is_sign_positive()
}

/// Notes without the counts of samples or windows in them: Prometheus counts some many times.
fn said(given: &Given) -> BTreeSet<String> {
    let notes = given.warnings.iter().chain(&given.infos);
    let plain = |note: &String| match note.split_once(" occurrences)") {
        Some((before, place)) => format!("{}{place}", without_place(before)),
        None => note.split(", over ").next().unwrap_or_default().to_owned(),
    };
    notes.map(plain).collect()
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} series", self.kind, self.points.len())
    }
}

#[test]
fn a_difference_is_seen() {
    let answer = |value: f64| {
        let labels = Labels::from_sorted([("a", "b")]);
        Ok::<_, String>(given(Answer {
            value: QueryValue::Vector(vec![(labels, 1, Value::Float(value))]),
            warnings: Vec::new(),
            infos: Vec::new(),
        }))
    };
    assert_eq!(difference(&answer(1.0), &answer(1.0 + 1e-12), true), None);
    assert!(difference(&answer(1.0), &answer(1.0 + 1e-8), true).is_some());
    assert!(difference(&answer(1.0), &Err("no".to_owned()), true).is_some());
}
