//! Sums, means, extremes, counts and variances of groups, folded as series come by.
//!
//! One state a group holds a cell a step; a block has states for the groups it met, and blocks are put together in order.
//! Histograms are rare, and stand beside the cells (`histograms`).

mod cells;
mod histograms;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use schemas::Labels;
use schemas::labels::METRIC_NAME;

use super::EvalError;
use super::budget::{Budget, Held};
use super::stream::Fold;
use super::warnings;
use crate::column::{Column, Value};
use crate::error::Span;
use crate::histogram::Subject;
use crate::notes::Notes;
use crate::operator::Aggregator;
use cells::Cells;
use histograms::Total;

/// An aggregation over groups.
pub(super) struct Tally<'a> {
    pub(super) op: Aggregator,
    /// For each series, its group.
    pub(super) groups: &'a [usize],
    /// Groups.
    pub(super) count: usize,
    /// For each series, whether its name is to be removed.
    pub(super) drop_name: Vec<bool>,
    pub(super) steps: usize,
    /// Of what is aggregated.
    pub(super) span: Span,
    pub(super) budget: &'a Budget,
}

/// What a group has come to.
pub(super) struct State {
    cells: Cells,
    /// At steps with histograms: their sum, so far.
    histograms: BTreeMap<usize, Total>,
    drop_name: bool,
}

/// States of the groups that were met: a block meets few of many.
pub(super) type States<'a> = (HashMap<usize, State>, Held<'a>);

impl<'a> Fold for Tally<'a> {
    type Part = States<'a>;

    fn part(&self) -> Self::Part {
        (HashMap::new(), self.budget.hold_nothing())
    }

    fn take(
        &self,
        (states, held): &mut Self::Part,
        series: usize,
        labels: &Labels,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        let state = match states.entry(self.groups[series]) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                let cells = Cells::new(self.op, self.steps);
                held.add(self.steps, cells.bytes(self.steps))?;
                place.insert(State { cells, histograms: BTreeMap::new(), drop_name: false })
            }
        };
        state.drop_name |= self.drop_name[series];
        if column.has_histograms() {
            self.take_histograms(state, labels, column, notes);
        }
        let before = state.cells.bytes(self.steps);
        state.cells.take(column);
        held.add(0, state.cells.bytes(self.steps) - before)?;
        Ok(())
    }

    fn merge(&self, part: &mut Self::Part, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        for (group, from) in later.0 {
            let Some(into) = part.0.get_mut(&group) else {
                part.0.insert(group, from);
                continue;
            };
            into.drop_name |= from.drop_name;
            let before = into.cells.bytes(self.steps);
            into.cells.merge(from.cells);
            part.1.add(0, into.cells.bytes(self.steps) - before)?;
            for (step, total) in from.histograms {
                match into.histograms.get_mut(&step) {
                    Some(known) => known.merge(total),
                    None => drop(into.histograms.insert(step, total)),
                }
            }
        }
        part.1.join(later.1);
        Ok(())
    }
}

impl Tally<'_> {
    fn take_histograms(&self, state: &mut State, labels: &Labels, column: &mut Column, notes: &mut Notes) {
        match self.op {
            Aggregator::Sum | Aggregator::Avg => {
                let subject = Subject { metric: labels.get(METRIC_NAME).unwrap_or_default(), span: self.span };
                for (step, histogram) in column.histograms() {
                    let total = state.histograms.entry(step).or_insert_with(|| Total::new(self.op == Aggregator::Avg));
                    total.add(histogram, &subject, notes);
                }
            }
            // They count as any value does.
            Aggregator::Count | Aggregator::Group => state.cells.count(column.histograms().map(|(step, _)| step)),
            _ => warnings::histogram_ignored(self.op.as_str(), self.span, notes),
        }
    }

    /// The values of each group, and whether its name is to be removed; `None` where it has none.
    pub(super) fn finish(&self, mut states: States<'_>, notes: &mut Notes) -> Vec<Option<(Column, bool)>> {
        let finish = |state: Option<State>| {
            let State { cells, histograms, drop_name } = state?;
            let mut column = cells.finish();
            for (step, total) in histograms {
                if column.is_set(step) {
                    warnings::mixed_in_aggregation(self.span, notes);
                    column.clear(step);
                } else if let Some(histogram) = total.finish(self.span, notes) {
                    column.set(step, Value::Histogram(histogram));
                }
            }
            (!column.has_nothing()).then_some((column, drop_name))
        };
        (0..self.count).map(|group| states.0.remove(&group)).map(finish).collect()
    }
}
