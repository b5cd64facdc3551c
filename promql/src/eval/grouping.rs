//! Which group each series of an aggregation falls into, found once, from labels.
//!
//! labels of a series ─▶ the wanted ones, as bytes ─hash─▶ a group that has them, or a new one

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use schemas::Labels;
use schemas::labels::{LabelsBuilder, METRIC_NAME};

use crate::ast::Grouping;

/// The groups of some series, in the order in which they are first met.
#[derive(Debug)]
pub(super) struct Groups {
    /// For each series, its group.
    pub(super) of_series: Vec<usize>,
    /// For each group, the labels that its series have in common.
    pub(super) labels: Vec<Labels>,
}

impl Groups {
    pub(super) fn new<'a>(series: impl IntoIterator<Item = &'a Labels>, grouping: &Grouping) -> Self {
        if matches!(grouping, Grouping::By(names) if names.is_empty()) {
            let of_series: Vec<usize> = series.into_iter().map(|_| 0).collect();
            let labels = vec![Labels::default(); of_series.len().min(1)];
            return Self { of_series, labels };
        }
        let (mut of_series, mut labels) = (Vec::new(), Vec::<Labels>::new());
        let (mut places, hasher) = (HashTable::<usize>::new(), DefaultHashBuilder::default());
        let mut key = LabelsBuilder::default();
        for one in series {
            select(one, grouping, &mut key);
            let is_same = |group: &usize| labels[*group].as_bytes() == key.as_bytes();
            let hash_of = |group: &usize| hasher.hash_one(labels[*group].as_bytes());
            let place = places.entry(hasher.hash_one(key.as_bytes()), is_same, hash_of).or_insert(labels.len());
            let group = *place.get();
            if group == labels.len() {
                labels.push(key.build());
            }
            of_series.push(group);
        }
        Self { of_series, labels }
    }
}

/// The labels that tell which group a series is of.
fn select(labels: &Labels, grouping: &Grouping, key: &mut LabelsBuilder) {
    let is_any = |names: &[String], name: &[u8]| names.iter().any(|one| one.as_bytes() == name);
    key.clear();
    match grouping {
        Grouping::By(names) => {
            labels.raw().filter(|label| is_any(names, label.name)).take(names.len()).for_each(|label| key.copy(label));
        }
        Grouping::Without(names) => {
            let keeps = |name| name != METRIC_NAME.as_bytes() && !is_any(names, name);
            labels.raw().filter(|label| keeps(label.name)).for_each(|label| key.copy(label));
        }
    }
}
