//! What scripts run against.

use anyhow::Result;
use promql::eval::{Grid, NeverStop, Options, QueryValue, evaluate};
use promql::memory::MemoryStorage;
use promql::notes::{Level, Notes};
use promql::storage::Storage;
use promql::{Span, parse_expr};

use crate::language::PARSING;
use crate::load::Data;
use crate::shortcuts::Shortcuts;

/// Something that keeps points and answers PromQL.
pub trait Target {
    /// From now on has these data, and no others.
    fn hold(&mut self, data: &Data) -> Result<()>;

    /// Evaluates an expression. The error is the text that a user sees.
    fn ask(&self, text: &str, grid: Grid) -> Result<Answer, String>;
}

/// A value, and notes as a user sees them, with their places.
#[derive(Debug)]
pub struct Answer {
    pub value: QueryValue,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

impl Answer {
    pub fn new(value: QueryValue, notes: &Notes, text: &str) -> Self {
        let of = |level| {
            let said = notes.iter().filter(|note| note.level == level);
            said.map(|note| placed(&note.text, note.span, text)).collect()
        };
        Self { value, warnings: of(Level::Warning), infos: of(Level::Info) }
    }
}

/// `text (line:column)`.
fn placed(note: &str, span: Option<Span>, text: &str) -> String {
    let Some(span) = span else { return note.to_owned() };
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let line = before.split(|&b| b == b'\n').count();
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    format!("{note} ({line}:{column})")
}

/// The evaluator alone, over points in memory.
#[derive(Debug)]
pub struct Memory {
    storage: MemoryStorage,
    gives: Gives,
    options: Options,
}

/// How points are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// As they are.
    Points,
    /// Not at all where statistics of them do ([`Shortcuts`]); by several threads.
    Shortcuts,
}

impl Memory {
    pub fn new(gives: Gives) -> Self {
        let threads = match gives {
            Gives::Points => 1,
            Gives::Shortcuts => 3,
        };
        Self { storage: MemoryStorage::default(), gives, options: Options { threads, ..Options::default() } }
    }

    /// Heeds when counters began.
    #[must_use]
    pub fn with_start_timestamps(mut self) -> Self {
        self.options.start_timestamps = true;
        self
    }

    pub fn gives(&self) -> Gives {
        self.gives
    }
}

impl Target for Memory {
    fn hold(&mut self, data: &Data) -> Result<()> {
        self.storage = MemoryStorage::default();
        for (labels, points) in data.series() {
            self.storage.append(&labels, &points);
        }
        for (labels, starts) in data.starts() {
            *self.storage.starts_mut(labels) = starts;
        }
        Ok(())
    }

    fn ask(&self, text: &str, grid: Grid) -> Result<Answer, String> {
        let expr = parse_expr(text, PARSING).map_err(|error| error.to_string())?;
        let shortcuts = Shortcuts(&self.storage);
        let storage: &dyn Storage = match self.gives {
            Gives::Points => &self.storage,
            Gives::Shortcuts => &shortcuts,
        };
        let given = evaluate(storage, &expr, text, grid, &self.options, &NeverStop);
        let given = given.map_err(|error| error.to_string())?;
        Ok(Answer::new(given.value, &given.notes, text))
    }
}
