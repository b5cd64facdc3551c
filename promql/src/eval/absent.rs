//! `absent` and `absent_over_time`: one series of ones where there is nothing.

use std::collections::BTreeMap;

use schemas::labels::METRIC_NAME;
use schemas::{Labels, MatchOp};

use super::EvalError;
use super::context::Context;
use super::grid::Steps;
use super::stream::{Fold, Stream};
use crate::ast::{Expr, ExprKind};
use crate::column::Column;
use crate::notes::Notes;

impl<'q> Context<'q> {
    /// Ones at the steps at which `stream` has nothing; `of` is what was selected.
    pub(super) fn absent(&'q self, mut stream: Stream<'q>, of: &Expr, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let present = stream.fold(&Present { steps: steps.count })?;
        let mut column = Column::empty(steps.count);
        for step in present.iter().enumerate().filter(|(_, present)| !**present).map(|(step, _)| step) {
            column.set_float(step, 1.0);
        }
        Ok(Stream::single(self, labels_of_absent(of), column))
    }
}

/// The labels that what is missing would have: those that its selector asks for by equality, once each.
fn labels_of_absent(expr: &Expr) -> Labels {
    let matchers = match &expr.kind {
        ExprKind::Vector(selector) => &selector.matchers,
        ExprKind::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::default(),
    };
    let mut wanted: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        let value = (matcher.op() == MatchOp::Equal).then_some(matcher.value());
        wanted.entry(matcher.name()).and_modify(|wanted| *wanted = None).or_insert(value);
    }
    Labels::from_sorted(
        wanted.into_iter().filter_map(|(name, value)| value.filter(|v| !v.is_empty()).map(|v| (name, v))),
    )
}

/// At which steps any series has a value.
struct Present {
    steps: usize,
}

impl Fold for Present {
    type Part = Vec<bool>;
    type Whole = Self::Part;

    fn part(&self) -> Self::Part {
        vec![false; self.steps]
    }

    fn whole(&self) -> Self::Whole {
        self.part()
    }

    fn take(
        &self,
        part: &mut Self::Part,
        _: usize,
        _: &Labels,
        column: &mut Column,
        _: &mut Notes,
    ) -> Result<(), EvalError> {
        part.iter_mut().enumerate().for_each(|(step, present)| *present |= column.is_set(step));
        Ok(())
    }

    fn merge(&self, whole: &mut Self::Whole, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        whole.iter_mut().zip(later).for_each(|(present, other)| *present |= other);
        Ok(())
    }
}
