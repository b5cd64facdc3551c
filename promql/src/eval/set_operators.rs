//! `and`, `or`, `unless`: series of one side, where the other has, or has not, series of their match group.

use super::context::Context;
use super::grid::Steps;
use super::grouping::Groups;
use super::matching::grouping_of;
use super::series::{Series, Vector, merge_columns};
use super::stream::Stream;
use crate::ast::Matching;
use crate::operator::BinaryOp;

impl<'q> Context<'q> {
    pub(super) fn set_operation(
        &'q self,
        op: BinaryOp,
        matching: &Matching,
        mut left: Vector<'q>,
        mut right: Vector<'q>,
        steps: Steps,
    ) -> Stream<'q> {
        let both = left.series.iter().chain(&right.series).map(|one| &one.labels);
        let groups = Groups::new(both, &grouping_of(&matching.labels));
        let (of_left, of_right) = groups.of_series.split_at(left.series.len());
        let count = groups.labels.len();
        match op {
            BinaryOp::Or => {
                let present = presence(&left.series, of_left, count, steps);
                mask(&mut right.series, of_right, &present, false);
                let rest = right.series.into_iter().filter(|one| !one.column.has_nothing());
                left.series = joined(left.series, rest);
                left.held.join(right.held);
            }
            _ => {
                let present = presence(&right.series, of_right, count, steps);
                mask(&mut left.series, of_left, &present, op == BinaryOp::And);
            }
        }
        Stream::given(self, left)
    }
}

/// For each match group, the steps at which any of its series has a value; `None`: no series at all.
fn presence(series: &[Series], groups: &[usize], count: usize, steps: Steps) -> Vec<Option<Vec<bool>>> {
    let mut present = vec![None; count];
    for (one, group) in series.iter().zip(groups) {
        let present: &mut Vec<bool> = present[*group].get_or_insert_with(|| vec![false; steps.count]);
        present.iter_mut().enumerate().for_each(|(step, present)| *present |= one.column.is_set(step));
    }
    present
}

/// Keeps the values at steps at which presence is as wanted.
fn mask(series: &mut [Series], groups: &[usize], present: &[Option<Vec<bool>>], wanted: bool) {
    for (one, group) in series.iter_mut().zip(groups) {
        for step in 0..one.column.len() {
            let is_present = present[*group].as_ref().is_some_and(|present| present[step]);
            if is_present != wanted {
                one.column.clear(step);
            }
        }
    }
}

/// One series for each label set: what both sides have under the same labels is never at the same step.
fn joined(left: Vec<Series>, right: impl Iterator<Item = Series>) -> Vec<Series> {
    let mut places = hashbrown::HashMap::new();
    for (at, one) in left.iter().enumerate() {
        places.insert(one.labels.clone(), at);
    }
    let mut series = left;
    for one in right {
        let Some(&at) = places.get(&one.labels) else {
            series.push(one);
            continue;
        };
        // The name of the whole is as that of its first value.
        let first = |series: &Series| (0..series.column.len()).find(|step| series.column.is_set(*step));
        if first(&one) < first(&series[at]) {
            series[at].drop_name = one.drop_name;
        }
        if merge_columns(&mut series[at].column, &one.column).is_err() {
            series.push(one);
        }
    }
    series
}
