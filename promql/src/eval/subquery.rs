//! Subqueries: a vector expression at steps of its own, as the points of a range.
//!
//! The steps are multiples of the interval, counted from 1970, so that windows that move see the same values.

use std::sync::Arc;

use schemas::Points;
use schemas::histogram::ResetHint;

use super::context::Context;
use super::grid::Steps;
use super::series::remove_names;
use super::stream::Stream;
use super::{EvalError, SeriesValues};
use crate::ast::{Expr, ExprKind, Subquery};
use crate::column::{Column, Value};
use crate::storage::Windows;

impl<'q> Context<'q> {
    /// The values of a subquery, its own steps, and the windows over them: one a step, or with `@` one for all.
    pub(super) fn subquery(
        &'q self,
        subquery: &'q Subquery,
        steps: Steps,
    ) -> Result<(Stream<'q>, Steps, Windows), EvalError> {
        let range = self.length(&subquery.range)?;
        let interval = match &subquery.step {
            Some(step) => self.length(step)?,
            None => self.options.no_step_subquery_interval_ms,
        }
        .max(1);
        let windows = self.windows(&subquery.modifiers, steps, range)?;
        let before = windows.first_end.saturating_sub(range);
        let start = before.div_euclid(interval).saturating_add(1).saturating_mul(interval);
        let inner = Steps::range(start, windows.end(windows.count.saturating_sub(1)), interval, &self.budget)?;
        Ok((self.vector(&subquery.expr, inner)?, inner, windows))
    }

    /// A range vector as the answer to an instant query.
    pub(super) fn matrix(&'q self, expr: &'q Expr, steps: Steps) -> Result<Vec<SeriesValues>, EvalError> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.matrix(inner, steps),
            ExprKind::Subquery(subquery) => {
                let (stream, inner, _) = self.subquery(subquery, steps)?;
                let vector = stream.collect()?;
                let timestamps: Arc<[i64]> = inner.times().collect();
                let series =
                    if self.options.delayed_name_removal { remove_names(vector.series)? } else { vector.series };
                let values = series.into_iter().map(|one| SeriesValues {
                    labels: one.labels,
                    timestamps: Arc::clone(&timestamps),
                    column: one.column,
                });
                Ok(values.collect())
            }
            ExprKind::Matrix(matrix) => {
                let (mut all, mut held) = (Vec::new(), self.budget.hold_nothing());
                self.points(matrix, steps.start, &mut |labels, points| {
                    if points.is_empty() {
                        return Ok(());
                    }
                    let column = column_of(&points);
                    held.add(column.samples(), column.bytes() * 2)?;
                    all.push(SeriesValues { labels: labels.clone(), timestamps: points.timestamps.into(), column });
                    Ok(())
                })?;
                Ok(all)
            }
            _ => Err(EvalError::Invalid("expected a range vector".to_owned())),
        }
    }
}

/// The points that a function sees of a column at these steps.
pub(super) fn points_of(column: &Column, steps: Steps) -> Points {
    let mut points = Points::with_capacity(column.len());
    for (step, value) in column.iter() {
        match value {
            Value::Float(value) => points.push(steps.time(step), value),
            Value::Histogram(mut histogram) => {
                // What came just before the sample is not what comes before it here.
                if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
                    Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
                }
                points.push_histogram(steps.time(step), histogram);
            }
        }
    }
    points
}

fn column_of(points: &Points) -> Column {
    let mut column = Column::empty(points.len());
    for (at, (time, value)) in points.iter().enumerate() {
        match points.histograms.get(time) {
            Some(histogram) if schemas::points::is_histogram(value) => column.set_histogram(at, Arc::clone(histogram)),
            _ => column.set_float(at, value),
        }
    }
    column
}
