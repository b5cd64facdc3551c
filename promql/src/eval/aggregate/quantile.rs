//! `quantile`: of the floats of a group at each step.

use super::super::EvalError;
use super::super::context::Context;
use super::super::grid::Steps;
use super::super::grouping::Groups;
use super::super::scalar::Scalars;
use super::super::stream::Stream;
use super::super::warnings;
use crate::ast::{Expr, Grouping};
use crate::column::Column;
use crate::notes::Notes;
use crate::range::quantile_of;

impl<'q> Context<'q> {
    pub(super) fn quantile(
        &'q self,
        input: &'q Expr,
        quantile: &Scalars,
        grouping: &Grouping,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let vector = self.vector(input, steps)?.collect()?;
        let groups = Groups::new(vector.series.iter().map(|one| &one.labels), grouping);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups.labels.len()];
        groups.of_series.iter().enumerate().for_each(|(series, group)| members[*group].push(series));
        if vector.series.iter().any(|one| one.column.has_histograms()) {
            let mut notes = Notes::default();
            warnings::histogram_ignored("quantile", input.span, &mut notes);
            self.note(notes);
        }
        let mut values = Vec::new();
        let columns = members.iter().enumerate().map(|(group, members)| {
            self.stop.check()?;
            let mut column = Column::empty(steps.count);
            for step in 0..steps.count {
                values.clear();
                values.extend(members.iter().filter_map(|at| vector.series[*at].column.float(step)));
                if !values.is_empty() {
                    column.set_float(step, quantile_of(quantile.at(step), &mut values));
                }
            }
            Ok((group, column, members.iter().any(|at| vector.series[*at].drop_name)))
        });
        let columns = columns.collect::<Result<Vec<_>, EvalError>>()?;
        self.grouped(groups.labels, columns.into_iter())
    }
}
