//! The times of an evaluation.

use super::EvalError;
use super::budget::Budget;
use crate::storage::Windows;

/// Equally spaced times: `start`, `start + step`, …; perhaps none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    /// ms.
    pub(super) start: i64,
    /// ms, positive.
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Steps {
    pub(super) fn one(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// From `start` up to `end`; refused where there would be more than samples may be held.
    pub(super) fn range(start: i64, end: i64, step: i64, budget: &Budget) -> Result<Self, EvalError> {
        if end < start {
            return Ok(Self { start, step: step.max(1), count: 0 });
        }
        let last = end.saturating_sub(start) / step.max(1);
        let count = usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1);
        budget.allows(count)?;
        Ok(Self { start, step: step.max(1), count })
    }

    pub(super) fn first(self) -> Self {
        Self { count: self.count.min(1), ..self }
    }

    pub(super) fn time(self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i64::try_from(step).unwrap_or(i64::MAX)))
    }

    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |step| self.time(step))
    }

    /// A window ending at each step, moved into the past by `offset`.
    pub(super) fn windows(self, offset: i64, range: i64) -> Windows {
        Windows { first_end: self.start.saturating_sub(offset), step: self.step, count: self.count, range }
    }
}
