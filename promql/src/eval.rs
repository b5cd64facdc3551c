//! Evaluation: an expression over a storage, at one time or at steps of a range.
//!
//! `Expr` + [`Grid`] ─▶ streams of series (labels first, values a block at a time) ─▶ folds (aggregations, set and matching
//! operators, the answer) ─▶ [`Evaluated`]
//!
//! Nouns: *steps* are the times of an evaluation: the query's, or a subquery's own; a *stream* is the series of a vector
//! expression, not yet read, with the functions that each goes through; a *fold* takes the columns of a stream, block by block.
//!
//! EVAL-1: an answer does not depend on the number of threads: blocks are fixed, and their results are put together in order.
//! EVAL-2: a part that is the same at all steps is evaluated once. EVAL-3: what is held is counted before it is kept; past
//! [`Options::max_samples`] or [`Options::memory_bytes`] there is an error instead of an answer.
//!
//! An instant query is a range query of one step. Numbers, errors and notes are Prometheus' (3.x).
//! Not here: windows of points (`range`), values of single samples (`instant`), native histograms (`histogram`).

mod absent;
mod aggregate;
mod binary;
mod budget;
mod call;
mod classic;
mod context;
mod duration;
mod grid;
mod grouping;
mod info;
mod invariant;
mod label_functions;
mod labels;
mod matching;
mod newest;
mod order;
mod pick;
mod resets;
mod scalar;
mod selector;
mod series;
mod set_operators;
mod sort;
mod stream;
mod subquery;
mod tally;
mod warnings;

use std::sync::Arc;

use schemas::Labels;
use thiserror::Error;

use crate::ast::Expr;
use crate::column::{Column, Value};
use crate::notes::Notes;
use crate::storage::{Storage, StorageError};

/// When to evaluate; times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    Instant(i64),
    /// At `start`, and every `step` from there up to `end`.
    Range {
        start: i64,
        end: i64,
        step: i64,
    },
}

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far back an instant selector looks, ms.
    pub lookback_ms: i64,
    /// Samples held at once.
    pub max_samples: u64,
    /// Bytes of samples held at once.
    pub memory_bytes: u64,
    /// Threads that read series.
    pub threads: usize,
    /// The step of subqueries that name none, ms.
    pub no_step_subquery_interval_ms: i64,
    /// Functions that change the meaning of a metric remove its name from the answer, not at once; so it can still be
    /// grouped by.
    pub delayed_name_removal: bool,
    /// Whether a metric is a counter is told by its label `__type__`, not by its name.
    pub type_and_unit_labels: bool,
    /// Heeds what samples say of when their counters began, where the storage knows.
    pub start_timestamps: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            max_samples: 50_000_000,
            memory_bytes: 1 << 30,
            threads: 1,
            no_step_subquery_interval_ms: 60_000,
            delayed_name_removal: true,
            type_and_unit_labels: false,
            start_timestamps: false,
        }
    }
}

/// Asked between series whether to go on.
pub trait Stop: Send + Sync {
    /// [`EvalError::TimedOut`] or [`EvalError::Canceled`] where evaluation is to end.
    fn check(&self) -> Result<(), EvalError>;
}

/// Never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct NeverStop;

impl Stop for NeverStop {
    fn check(&self) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum EvalError {
    #[error("query timed out in expression evaluation")]
    TimedOut,
    #[error("query was canceled in expression evaluation")]
    Canceled,
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error("query would hold more than {limit} bytes of samples")]
    TooMuchMemory { limit: u64 },
    /// The expression cannot be evaluated in this way at all.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be evaluated with these data: many series where there must be one, a label that is none, ….
    #[error("{0}")]
    Execution(String),
    #[error("expanding series: {0}")]
    Storage(#[from] StorageError),
}

/// The answer to a query.
#[derive(Debug)]
pub struct Evaluated {
    pub value: QueryValue,
    pub notes: Notes,
    /// Points read, or values that the storage gave in their place.
    pub samples: u64,
    /// The most samples held at once.
    pub peak_samples: u64,
}

/// A value; times in ms.
#[derive(Debug, Clone)]
pub enum QueryValue {
    Scalar(f64, i64),
    String(String, i64),
    /// In the order that the expression gives: sorted only where it sorts.
    Vector(Vec<(Labels, i64, Value)>),
    /// Sorted by labels.
    Matrix(Vec<SeriesValues>),
}

/// A series of a matrix: `column` has one place for each of `timestamps`, and may be empty at some of them.
#[derive(Debug, Clone)]
pub struct SeriesValues {
    pub labels: Labels,
    /// ms, ascending; of a range query, the same for all series.
    pub timestamps: Arc<[i64]>,
    pub column: Column,
}

impl SeriesValues {
    /// Times and values, without the empty places.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Value)> + '_ {
        self.column.iter().map(|(at, value)| (self.timestamps[at], value))
    }
}

/// Evaluates `expr`. The places in the notes are those of `text`, which it was parsed from.
pub fn evaluate(
    storage: &dyn Storage,
    expr: &Expr,
    text: &str,
    grid: Grid,
    options: &Options,
    stop: &dyn Stop,
) -> Result<Evaluated, EvalError> {
    debug_assert!(expr.span.end <= text.len(), "an expression lies in its text");
    let context = context::Context::new(storage, expr, options, stop, grid);
    let value = context.answer(expr)?;
    Ok(Evaluated {
        value,
        samples: context.budget.samples(),
        peak_samples: context.budget.peak_samples(),
        notes: context.into_notes(),
    })
}
