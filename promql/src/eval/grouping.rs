//! Which group each series of an aggregation falls into, found once, from labels.

use std::collections::HashMap;

use schemas::Labels;
use schemas::labels::{METRIC_NAME, iter_canonical, write_label};

use super::labels::of_sorted;
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
        let keeps = |name: &str| match grouping {
            Grouping::By(names) => names.iter().any(|n| n == name),
            Grouping::Without(names) => name != METRIC_NAME && names.iter().all(|n| n != name),
        };
        let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
        let (mut labels, mut key) = (Vec::new(), Vec::new());
        let mut place = |one: &'a Labels| {
            key.clear();
            for (name, value) in one.iter().filter(|(name, _)| keeps(name)) {
                write_label(&mut key, name.as_bytes(), value.as_bytes());
            }
            if let Some(&at) = places.get(key.as_slice()) {
                return at;
            }
            let pairs: Vec<(&str, &str)> = iter_canonical(&key).collect();
            labels.push(of_sorted(&pairs));
            places.insert(key.as_slice().into(), labels.len() - 1);
            labels.len() - 1
        };
        let of_series = series.into_iter().map(&mut place).collect();
        Self { of_series, labels }
    }
}
