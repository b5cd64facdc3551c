//! Sums, means, extremes, counts and variances of groups, folded as series come by.
//!
//! One state a group holds a cell a step; a block has states for the groups it met, and blocks are put together in order.
//! Histograms are rare, and stand beside the cells (`histograms`).

mod cells;
mod histograms;

use std::collections::BTreeMap;

use hashbrown::HashMap;
use schemas::Labels;
use schemas::labels::METRIC_NAME;

use super::EvalError;
use super::budget::{Budget, Held};
use super::stream::{Fold, block_of};
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
    /// How many groups there are.
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

/// States of the groups that a block met, which are few of many.
pub(super) struct Met<'a> {
    /// For each group, its place among the states.
    places: HashMap<usize, usize>,
    /// Groups with what they have come to.
    states: Vec<(usize, State)>,
    held: Held<'a>,
}

/// States of all groups, `None` of those that have no series with a value.
pub(super) struct States<'a> {
    by_group: Vec<Option<State>>,
    held: Held<'a>,
}

impl<'a> Fold for Tally<'a> {
    type Part = Met<'a>;
    type Whole = States<'a>;

    fn part(&self) -> Self::Part {
        let few = self.count.min(block_of(self.groups.len()));
        let (places, states) = (HashMap::with_capacity(few), Vec::with_capacity(few));
        Met { places, states, held: self.budget.hold_nothing() }
    }

    fn whole(&self) -> Self::Whole {
        States { by_group: (0..self.count).map(|_| None).collect(), held: self.budget.hold_nothing() }
    }

    fn take(
        &self,
        Met { places, states, held }: &mut Self::Part,
        series: usize,
        labels: &Labels,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        let group = self.groups[series];
        let place = *places.entry(group).or_insert(states.len());
        if place == states.len() {
            let cells = Cells::new(self.op, self.steps);
            held.add(self.steps, cells.bytes(self.steps))?;
            states.push((group, State { cells, histograms: BTreeMap::new(), drop_name: false }));
        }
        let (_, state) = &mut states[place];
        state.drop_name |= self.drop_name[series];
        if column.has_histograms() {
            self.take_histograms(state, labels, column, notes);
        }
        let before = state.cells.bytes(self.steps);
        state.cells.take(column);
        held.add(0, state.cells.bytes(self.steps) - before)?;
        Ok(())
    }

    fn merge(&self, whole: &mut Self::Whole, mut later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        for (group, from) in later.states {
            let state = &mut whole.by_group[group];
            let Some(into) = state else {
                *state = Some(from);
                continue;
            };
            into.drop_name |= from.drop_name;
            later.held.release(self.steps, from.cells.bytes(self.steps));
            let before = into.cells.bytes(self.steps);
            into.cells.merge(from.cells);
            whole.held.add(0, into.cells.bytes(self.steps) - before)?;
            for (step, total) in from.histograms {
                match into.histograms.get_mut(&step) {
                    Some(known) => known.merge(total),
                    None => drop(into.histograms.insert(step, total)),
                }
            }
        }
        whole.held.join(later.held);
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

    /// Groups with their values, perhaps none, and whether the name is to be removed.
    pub(super) fn finish<'a>(
        &'a self,
        states: States<'_>,
        notes: &'a mut Notes,
    ) -> impl Iterator<Item = (usize, Column, bool)> + 'a {
        let groups = states.by_group.into_iter().enumerate();
        groups.filter_map(|(group, state)| Some((group, state?))).map(|(group, state)| {
            let State { cells, histograms, drop_name } = state;
            let mut column = cells.finish();
            for (step, total) in histograms {
                if column.is_set(step) {
                    warnings::mixed_in_aggregation(self.span, notes);
                    column.clear(step);
                } else if let Some(histogram) = total.finish(self.span, notes) {
                    column.set(step, Value::Histogram(histogram));
                }
            }
            (group, column, drop_name)
        })
    }
}
