//! Runs a script against a target.
//!
//! `load` and `clear` → [`Data`] → target; each evaluation → as asked, then again: in a range around its time, and pinned with `@`
//! at five times, each in a range too. All must give what is expected; an evaluation counts once.

use anyhow::{Context, Result, bail, ensure};
use promql::column::Value;
use promql::eval::{Grid, QueryValue};
use promql::parse_expr;
use schemas::Labels;

use crate::again::{Question, asks_for_the_query, pinned, selectors};
use crate::compare::{check_failure, check_notes, check_sorted, check_value};
use crate::language::{Command, Eval, Outcome, PARSING, Script, When};
use crate::load::Data;
use crate::target::{Answer, Target};

/// How far the range around an instant goes to both sides, and its step, ms.
const AROUND_MS: i64 = 60_000;

/// What came of an evaluation.
#[derive(Debug)]
pub struct Verdict {
    /// From 1.
    pub line: usize,
    pub text: String,
    pub kind: Kind,
    /// Why it is wrong.
    pub failure: Option<String>,
}

/// What an evaluation is about, by the data that its selectors find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Floats,
    Histograms,
    /// Samples that say when their counter began.
    Starts,
}

/// Runs all commands; a load that fails ends the script.
pub fn run(script: &Script, target: &mut dyn Target) -> Result<Vec<Verdict>> {
    let mut data = Data::default();
    let (mut held, mut verdicts) = (false, Vec::new());
    for command in &script.commands {
        match command {
            Command::Clear => {
                data.clear();
                held = false;
            }
            Command::Load(load) => {
                data.add(load)?;
                held = false;
            }
            Command::Eval(eval) => {
                if !held {
                    target.hold(&data).context("loading")?;
                    held = true;
                }
                let failure = evaluate(eval, target).err().map(|error| format!("{error:#}"));
                verdicts.push(Verdict { line: eval.line, text: eval.text.clone(), kind: kind(eval, &data), failure });
            }
        }
    }
    Ok(verdicts)
}

fn kind(eval: &Eval, data: &Data) -> Kind {
    let Ok(expr) = parse_expr(&eval.text, PARSING) else { return Kind::Floats };
    let mut found = Vec::new();
    selectors(&expr, &mut found);
    let matches = |labels: &Labels| {
        found.iter().any(|selector| {
            let name = selector.name.as_deref();
            name.is_none_or(|name| labels.metric() == name)
                && selector
                    .matchers
                    .iter()
                    .all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
        })
    };
    let mut kind = Kind::Floats;
    for (_, points) in data.written().filter(|(labels, _)| matches(labels)) {
        if points.values().any(|point| point.start_ms.is_some()) {
            return Kind::Starts;
        }
        if points.values().any(|point| matches!(point.value, Value::Histogram(_))) {
            kind = Kind::Histograms;
        }
    }
    kind
}

fn evaluate(eval: &Eval, target: &dyn Target) -> Result<()> {
    match eval.when {
        When::Range { start, end, step } => {
            if let Some(answer) = ask(eval, target, &eval.text, Grid::Range { start, end, step })? {
                check_value(eval, &answer.value)?;
            }
            Ok(())
        }
        When::Instant(at) => {
            let first = Question { text: eval.text.clone(), at };
            let again = pinned(&first);
            instant(eval, target, &first)?;
            for question in again {
                let Question { text, at } = &question;
                instant(eval, target, &question).with_context(|| format!("asked again at {at} ms: {text}"))?;
            }
            Ok(())
        }
    }
}

/// Asks, and checks errors and notes. `None` where the expected error came.
fn ask(eval: &Eval, target: &dyn Target, text: &str, grid: Grid) -> Result<Option<Answer>> {
    let answer = match target.ask(text, grid) {
        Ok(answer) => answer,
        Err(error) => return check_failure(&eval.expected, &error).map(|()| None),
    };
    match &eval.expected.outcome {
        Outcome::Failure(text) => bail!("expected the error {text:?}, got an answer"),
        Outcome::Success => check_notes(&eval.expected, &answer)?,
    }
    Ok(Some(answer))
}

fn instant(eval: &Eval, target: &dyn Target, question: &Question) -> Result<()> {
    let Some(answer) = ask(eval, target, &question.text, Grid::Instant(question.at))? else { return Ok(()) };
    check_value(eval, &answer.value)?;
    let in_ranges = eval.expected.window.is_none() && eval.expected.string.is_none();
    if in_ranges && !asks_for_the_query(&question.text) {
        let is_scalar = matches!(answer.value, QueryValue::Scalar(..));
        around(eval, target, question, is_scalar).context("in a range")?;
    }
    Ok(())
}

/// The same in a range: the middle step must give the same.
fn around(eval: &Eval, target: &dyn Target, question: &Question, is_scalar: bool) -> Result<()> {
    let at = question.at;
    let grid = Grid::Range { start: at - AROUND_MS, end: at + AROUND_MS, step: AROUND_MS };
    let answer = target.ask(&question.text, grid).map_err(|error| anyhow::anyhow!("failed: {error}"))?;
    let QueryValue::Matrix(series) = answer.value else { bail!("a range query gives a matrix") };
    if eval.expected.ordered {
        return Ok(());
    }
    check_sorted(&series)?;
    let mut vector: Vec<(Labels, i64, Value)> = Vec::with_capacity(series.len());
    for row in series {
        let middle = row.iter().find(|(timestamp, _)| *timestamp == at).map(|(_, value)| value);
        vector.extend(middle.map(|value| (row.labels.clone(), at, value)));
    }
    if !is_scalar {
        return check_value(eval, &QueryValue::Vector(vector));
    }
    ensure!(vector.len() == 1, "a scalar in {} series", vector.len());
    match vector[0].2 {
        Value::Float(value) => check_value(eval, &QueryValue::Scalar(value, at)),
        Value::Histogram(_) => bail!("a histogram for a scalar"),
    }
}
