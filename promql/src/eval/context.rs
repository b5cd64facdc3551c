//! What all parts of one evaluation share, and the way from an expression to the answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::Labels;

use super::budget::Budget;
use super::grid::Steps;
use super::resets::counted_selectors;
use super::series::{Series, remove_names};
use super::{EvalError, Grid, Options, QueryValue, SeriesValues, Stop, labels, order};
use crate::ast::{Expr, ExprKind, ValueType};
use crate::notes::Notes;
use crate::quote::quoted_bytes;
use crate::storage::Storage;

/// See the module.
pub(super) struct Context<'q> {
    pub(super) storage: &'q dyn Storage,
    pub(super) options: &'q Options,
    pub(super) stop: &'q dyn Stop,
    pub(super) grid: Grid,
    /// Where selectors begin of whose histograms only counts and sums matter.
    pub(super) counted: HashSet<usize>,
    pub(super) budget: Budget,
    notes: Mutex<Notes>,
}

impl<'q> Context<'q> {
    pub(super) fn new(
        storage: &'q dyn Storage,
        expr: &Expr,
        options: &'q Options,
        stop: &'q dyn Stop,
        grid: Grid,
    ) -> Self {
        Self {
            storage,
            options,
            stop,
            grid,
            counted: counted_selectors(expr),
            budget: Budget::new(options),
            notes: Mutex::default(),
        }
    }

    pub(super) fn note(&self, notes: Notes) {
        if !notes.is_empty() {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).merge(notes);
        }
    }

    pub(super) fn into_notes(self) -> Notes {
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The query's start, end and step, ms; the step of an instant query is zero.
    pub(super) fn query_range(&self) -> (i64, i64, i64) {
        match self.grid {
            Grid::Instant(at) => (at, at, 0),
            Grid::Range { start, end, step } => (start, end, step),
        }
    }

    pub(super) fn answer(&self, expr: &Expr) -> Result<QueryValue, EvalError> {
        self.stop.check()?;
        match self.grid {
            Grid::Instant(at) => self.answer_instant(expr, at),
            Grid::Range { start, end, step } => self.answer_range(expr, start, end, step),
        }
    }

    fn answer_instant(&self, expr: &Expr, at: i64) -> Result<QueryValue, EvalError> {
        let steps = Steps::one(at);
        match expr.value_type() {
            ValueType::Scalar => Ok(QueryValue::Scalar(self.scalar(expr, steps)?.at(0), at)),
            ValueType::String => Ok(QueryValue::String(string_of(expr)?.to_owned(), at)),
            ValueType::Vector => {
                let series = self.top(self.vector(expr, steps)?.collect()?.series)?;
                let samples =
                    series.into_iter().filter_map(|one| one.column.get(0).map(|value| (one.labels, at, value)));
                Ok(QueryValue::Vector(samples.collect()))
            }
            ValueType::Matrix => {
                let matrix = self.matrix(expr, steps)?;
                Ok(QueryValue::Matrix(in_order(matrix, |one| &one.labels).collect()))
            }
        }
    }

    fn answer_range(&self, expr: &Expr, start: i64, end: i64, step: i64) -> Result<QueryValue, EvalError> {
        let steps = Steps::range(start, end, step, &self.budget)?;
        let series = match expr.value_type() {
            ValueType::Scalar => {
                let column = self.scalar(expr, steps)?.column(steps.count);
                vec![Series { labels: Labels::default(), drop_name: false, column }]
            }
            ValueType::Vector => self.top(self.vector(expr, steps)?.collect()?.series)?,
            other @ (ValueType::String | ValueType::Matrix) => {
                let text = "for range query, must be Scalar or instant Vector";
                return Err(EvalError::Invalid(format!("invalid expression type {:?} {text}", other.documented())));
            }
        };
        let timestamps: Arc<[i64]> = steps.times().collect();
        let values =
            |one: Series| SeriesValues { labels: one.labels, timestamps: Arc::clone(&timestamps), column: one.column };
        Ok(QueryValue::Matrix(in_order(series, |one| &one.labels).map(values).collect()))
    }

    /// What is left to do with names at the top.
    fn top(&self, series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
        if self.options.delayed_name_removal { remove_names(series) } else { Ok(series) }
    }
}

/// A string, which is always written out.
pub(super) fn string_of(expr: &Expr) -> Result<&str, EvalError> {
    match &unwrapped(expr).kind {
        ExprKind::String(text) => Ok(text),
        ExprKind::Bytes(text) => Err(EvalError::Execution(format!("invalid UTF-8 in string {}", quoted_bytes(text)))),
        _ => Err(EvalError::Invalid("expected a string".to_owned())),
    }
}

/// A string that names a label; `invalid` makes the error of one that does not.
pub(super) fn label_of(expr: &Expr, invalid: impl FnOnce(&[u8]) -> EvalError) -> Result<&str, EvalError> {
    match &unwrapped(expr).kind {
        ExprKind::String(name) if !labels::is_valid_name(name) => Err(invalid(name.as_bytes())),
        ExprKind::Bytes(name) => Err(invalid(name)),
        _ => string_of(expr),
    }
}

/// Without parentheses.
pub(super) fn unwrapped(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => unwrapped(inner),
        _ => expr,
    }
}

/// Series in Prometheus' order.
fn in_order<T>(series: Vec<T>, labels: impl Fn(&T) -> &Labels) -> impl Iterator<Item = T> {
    let order = order::sorted(series.iter().map(labels));
    let mut unordered: Vec<Option<T>> = series.into_iter().map(Some).collect();
    order.into_iter().map(move |at| unordered[at].take().expect("each position stands there once"))
}
