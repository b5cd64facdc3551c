//! PromQL over all tiers.
//!
//! text ─▶ tree ─▶ evaluator (`promql` crate) on threads of its own ─selectors─▶ series that the tiers have ─▶ values, notes,
//! provenance
//!
//! Not here: the language itself (the `promql` crate), HTTP and JSON (`server`).

mod ahead;
mod block;
mod catalog;
mod coarse;
mod plan;
mod query;
mod raw;
mod storage;
mod texts;
mod windows;

pub use query::{PromqlAnswer, PromqlRequest, PromqlTimings};
pub use raw::{RawAnswer, RawSeries};

/// An answer that may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited<T> {
    pub value: T,
    /// Whether a limit has cut something off.
    pub truncated: bool,
}

impl<T> Limited<Vec<T>> {
    /// Keeps the first `limit`.
    pub(crate) fn new(mut value: Vec<T>, limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        let truncated = value.len() > limit;
        value.truncate(limit);
        Self { value, truncated }
    }
}
