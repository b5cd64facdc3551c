//! The test language: commands that load data, and evaluations with what they must give.
//!
//! text → lines (comments dropped) → [`Script`]: `clear` | [`Load`] | [`Eval`]
//!
//! The grammar is Prometheus' (`promqltest`), read whole before anything runs. Times are milliseconds since 1970, at which
//! every script begins. Not here: series and values (`notation`), the syntax of
//! expressions (an error there is an answer, too), and running (`run`).

mod expect;

use anyhow::{Context, Result, bail, ensure};
use promql::parse_duration;
use promql::parser::ParseOptions;

pub use expect::{Expected, Match, Outcome, Row, Said};

use crate::notation::{self, Sample, Written};

/// All of the language, experimental parts included.
pub const PARSING: ParseOptions = ParseOptions::ALL;

/// A file.
#[derive(Debug)]
pub struct Script {
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub enum Command {
    /// Forgets all data.
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to add.
#[derive(Debug)]
pub struct Load {
    pub step_ms: i64,
    /// Classic histograms are to be there as native ones with custom buckets, too.
    pub with_custom_buckets: bool,
    pub series: Vec<LoadedSeries>,
}

#[derive(Debug)]
pub struct LoadedSeries {
    pub written: Written,
    /// Start of each sample relative to its own time, ms; empty where the script says nothing of starts.
    pub starts: Vec<Option<i64>>,
}

/// An expression, when to evaluate it, and what must come of it.
#[derive(Debug)]
pub struct Eval {
    /// From 1.
    pub line: usize,
    pub text: String,
    pub when: When,
    pub expected: Expected,
}

/// Times are ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

impl Script {
    pub fn parse(text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(|line| without_comment(line.trim())).collect();
        let mut lines = Lines { lines: &lines, next: 0 };
        let mut commands = Vec::new();
        while let Some(line) = lines.command() {
            let number = lines.next;
            commands.push(command(line, &mut lines).with_context(|| format!("line {number}: {line:?}"))?);
        }
        Ok(Self { commands })
    }

    pub fn evaluations(&self) -> impl Iterator<Item = &Eval> {
        self.commands.iter().filter_map(|command| match command {
            Command::Eval(eval) => Some(eval.as_ref()),
            Command::Clear | Command::Load(_) => None,
        })
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') { "" } else { line }
}

/// Lines with a cursor; an empty one ends a command.
struct Lines<'a> {
    lines: &'a [&'a str],
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line that is not empty.
    fn command(&mut self) -> Option<&'a str> {
        while self.lines.get(self.next)?.is_empty() {
            self.next += 1;
        }
        self.next += 1;
        Some(self.lines[self.next - 1])
    }

    /// The next line of the same command.
    fn detail(&mut self) -> Option<&'a str> {
        let line = *self.lines.get(self.next).filter(|line| !line.is_empty())?;
        self.next += 1;
        Some(line)
    }
}

fn command(line: &str, lines: &mut Lines<'_>) -> Result<Command> {
    let (word, rest) = word(line);
    match word.to_ascii_lowercase().as_str() {
        "clear" => Ok(Command::Clear),
        "load" => Ok(Command::Load(load(rest, false, lines)?)),
        "load_with_nhcb" => Ok(Command::Load(load(rest, true, lines)?)),
        "eval" => Ok(Command::Eval(Box::new(eval(rest, None, lines)?))),
        "eval_fail" => Ok(Command::Eval(Box::new(eval(rest, Some("fail"), lines)?))),
        "eval_warn" => Ok(Command::Eval(Box::new(eval(rest, Some("warn"), lines)?))),
        "eval_info" => Ok(Command::Eval(Box::new(eval(rest, Some("info"), lines)?))),
        "eval_ordered" => Ok(Command::Eval(Box::new(eval(rest, Some("ordered"), lines)?))),
        _ => bail!("unknown command"),
    }
}

/// The first word, and the rest without spaces around it.
fn word(text: &str) -> (&str, &str) {
    text.split_once([' ', '\t']).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

fn time(text: &str) -> Result<i64> {
    Ok(parse_duration(text).with_context(|| format!("time {text:?}"))?.0)
}

fn load(step: &str, with_custom_buckets: bool, lines: &mut Lines<'_>) -> Result<Load> {
    let mut out = Load { step_ms: time(step)?, with_custom_buckets, series: Vec::new() };
    let mut pending: Option<Written> = None;
    while let Some(line) = lines.detail() {
        let (head, rest) = word(line);
        if let Some(labels) = head.strip_suffix("@st") {
            ensure!(pending.is_none(), "starts without a series before {line:?}");
            pending = Some(starts(labels, rest).with_context(|| format!("{line:?}"))?);
            continue;
        }
        let written = notation::series(line)?;
        let starts = match pending.take() {
            None => Vec::new(),
            Some(starts) => {
                ensure!(starts.labels == written.labels, "starts of another series before {line:?}");
                ensure!(starts.values.len() == written.values.len(), "not as many starts as values in {line:?}");
                starts.values.iter().map(|start| start.as_ref().map(start_ms)).collect()
            }
        };
        out.series.push(LoadedSeries { written, starts });
    }
    ensure!(pending.is_none(), "starts without a series");
    Ok(out)
}

/// Reads starts: as values are written, with durations for numbers.
fn starts(labels: &str, items: &str) -> Result<Written> {
    let durations = regex::Regex::new("[0-9]+[a-wyz]+")?;
    let mut failed = None;
    let numbers = durations.replace_all(items, |found: &regex::Captures<'_>| match time(&found[0]) {
        Ok(ms) => ms.to_string(),
        Err(error) => {
            failed = Some(error);
            String::new()
        }
    });
    match failed {
        Some(error) => Err(error),
        None => notation::series(&format!("{labels} {numbers}")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "written in whole milliseconds")]
fn start_ms(start: &Sample) -> i64 {
    match start.value {
        promql::column::Value::Float(ms) => ms as i64,
        promql::column::Value::Histogram(_) => 0,
    }
}

fn eval(text: &str, mode: Option<&str>, lines: &mut Lines<'_>) -> Result<Eval> {
    let line = lines.next;
    let (kind, rest) = word(text);
    let (mut when, text) = match kind {
        "instant" => {
            let rest = expect_word("at", rest)?;
            let (at, text) = word(rest);
            (When::Instant(time(at)?), text)
        }
        "range" => {
            let (start, rest) = word(expect_word("from", rest)?);
            let (end, rest) = word(expect_word("to", rest)?);
            let (step, text) = word(expect_word("step", rest)?);
            (range(start, end, step)?, text)
        }
        _ => bail!("expected `instant` or `range`"),
    };
    ensure!(!text.is_empty(), "expected an expression");
    let is_instant = matches!(when, When::Instant(_));
    let mut expected = Expected::default();
    if let Some(mode) = mode {
        expected.old_mode(mode);
    }
    let mut details = Vec::new();
    while let Some(line) = lines.detail() {
        details.push(line);
        // These were the last line of a command, and what follows is read as the next one.
        if line.starts_with("expected_fail_") {
            break;
        }
    }
    let times = expected.read(&details)?;
    if let Some((start, end, step)) = times {
        ensure!(is_instant, "`expect range vector` is for instant queries");
        expected.window = Some(range(start, end, step)?);
        when = When::Instant(time(end)?);
    } else if is_instant {
        ensure!(expected.rows.iter().all(|row| row.values.len() <= 1), "several values at one instant");
    }
    Ok(Eval { line, text: text.to_owned(), when, expected })
}

fn range(start: &str, end: &str, step: &str) -> Result<When> {
    let (start, end, step) = (time(start)?, time(end)?, time(step)?);
    ensure!(start <= end, "the range ends before it starts");
    Ok(When::Range { start, end, step })
}

fn expect_word<'a>(expected: &str, text: &'a str) -> Result<&'a str> {
    let (found, rest) = word(text);
    ensure!(found == expected, "expected `{expected}`, not {found:?}");
    Ok(rest)
}

#[cfg(test)]
mod tests;
