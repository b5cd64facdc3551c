//! What is said beside an answer: warnings and infos, with their places in the query.

use std::collections::BTreeSet;

use crate::error::Span;

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    pub level: Level,
    /// As Prometheus words it, `PromQL warning: …`, without the place.
    pub text: String,
    /// Where in the query.
    pub span: Option<Span>,
}

/// Notes of a query, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(BTreeSet<Note>);

impl Notes {
    pub fn add(&mut self, note: Note) {
        self.0.insert(note);
    }

    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.iter()
    }
}
