//! What an evaluation must give: values, notes, or an error.

use anyhow::{Context, Result, bail, ensure};
use promql::ast::ExprKind;
use regex::Regex;
use schemas::Labels;

use super::When;
use crate::notation::{self, Sample, Written};

/// See the module. Notes that nothing is said of are not looked at.
#[derive(Debug, Default)]
pub struct Expected {
    pub outcome: Outcome,
    /// Rows stand in the order of the answer.
    pub ordered: bool,
    pub warnings: Said,
    pub infos: Said,
    pub rows: Vec<Row>,
    /// A number alone.
    pub scalar: Option<f64>,
    pub string: Option<String>,
    /// The points of an instant query that gives a range vector.
    pub window: Option<When>,
}

/// Whether there must be an error.
#[derive(Debug, Default)]
pub enum Outcome {
    #[default]
    Success,
    Failure(Match),
}

/// What must be said of one level of notes.
#[derive(Debug, Default)]
pub enum Said {
    #[default]
    Anything,
    Nothing,
    /// Each must be there, and nothing else.
    These(Vec<Match>),
}

/// A text that must be said.
#[derive(Debug)]
pub enum Match {
    Exactly(String),
    Pattern(Regex),
    Any,
}

impl Match {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(expected) => expected == text,
            Self::Pattern(pattern) => pattern.is_match(text),
            Self::Any => true,
        }
    }
}

/// A series of the answer.
#[derive(Debug)]
pub struct Row {
    pub labels: Labels,
    pub values: Vec<Option<Sample>>,
}

impl Expected {
    /// What older scripts say in the name of the command.
    pub(super) fn old_mode(&mut self, mode: &str) {
        match mode {
            "fail" => self.outcome = Outcome::Failure(Match::Any),
            "warn" => self.warnings = Said::These(vec![Match::Any]),
            "info" => self.infos = Said::These(vec![Match::Any]),
            _ => self.ordered = true,
        }
    }

    /// Reads the lines behind an evaluation. Gives start, end and step where the answer is a range vector.
    pub(super) fn read<'a>(&mut self, lines: &[&'a str]) -> Result<Option<(&'a str, &'a str, &'a str)>> {
        let mut times = None;
        for line in lines {
            let told = (|| {
                if let Some(rest) = line.strip_prefix("expect range vector") {
                    times = Some(window(rest)?);
                } else if let Some(rest) = line.strip_prefix("expect string") {
                    self.string = Some(string(rest.trim())?);
                } else if let Some(rest) = line.strip_prefix("expected_fail_message") {
                    self.outcome = Outcome::Failure(Match::Exactly(rest.trim().to_owned()));
                } else if let Some(rest) = line.strip_prefix("expected_fail_regexp") {
                    self.outcome = Outcome::Failure(Match::Pattern(Regex::new(rest.trim())?));
                } else if let Some(rest) = line.strip_prefix("expect ") {
                    self.directive(rest.trim())?;
                } else if let Some(value) = lone_number(line) {
                    self.scalar = Some(value);
                } else {
                    let Written { labels, values } = notation::series(line)?;
                    self.rows.retain(|row| row.labels != labels);
                    self.rows.push(Row { labels, values });
                }
                Ok::<_, anyhow::Error>(())
            })();
            told.with_context(|| format!("{line:?}"))?;
        }
        Ok(times)
    }

    /// `type`, or `type msg: text`, or `type regex: pattern`.
    fn directive(&mut self, text: &str) -> Result<()> {
        let (kind, rest) = super::word(text);
        let expected = match rest.split_once(':') {
            None => {
                ensure!(rest.is_empty(), "expected `msg:` or `regex:`");
                Match::Any
            }
            Some(("msg", text)) => Match::Exactly(text.trim().to_owned()),
            Some(("regex", pattern)) => Match::Pattern(Regex::new(pattern.trim())?),
            Some(_) => bail!("expected `msg:` or `regex:`"),
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" => {
                ensure!(matches!(self.outcome, Outcome::Success), "two errors cannot both be expected");
                self.outcome = Outcome::Failure(expected);
            }
            "warn" => self.warnings.and(expected)?,
            "info" => self.infos.and(expected)?,
            "no_warn" => self.warnings.nothing()?,
            "no_info" => self.infos.nothing()?,
            _ => bail!("unknown expectation"),
        }
        Ok(())
    }
}

impl Said {
    fn and(&mut self, text: Match) -> Result<()> {
        match self {
            Self::Anything => *self = Self::These(vec![text]),
            Self::These(texts) => texts.push(text),
            Self::Nothing => bail!("a note and none cannot both be expected"),
        }
        Ok(())
    }

    fn nothing(&mut self) -> Result<()> {
        ensure!(!matches!(self, Self::These(_)), "a note and none cannot both be expected");
        *self = Self::Nothing;
        Ok(())
    }
}

/// ` from <start> to <end> step <step>`.
fn window(text: &str) -> Result<(&str, &str, &str)> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["from", start, "to", end, "step", step] => Ok((start, end, step)),
        _ => bail!("expected `from <start> to <end> step <step>`"),
    }
}

/// A string as PromQL writes it.
fn string(text: &str) -> Result<String> {
    match promql::parse_expr(text, super::PARSING).map(|expr| expr.kind) {
        Ok(ExprKind::String(text)) => Ok(text),
        _ => bail!("expected a quoted string"),
    }
}

fn lone_number(line: &str) -> Option<f64> {
    if let Some(hex) = line.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok().map(f64::from);
    }
    notation::number(line)
        .ok()
        .filter(|(value, rest)| rest.is_empty() && !schemas::points::is_stale(*value))
        .map(|(value, _)| value)
}
