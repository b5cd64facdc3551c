//! Series that are held: labels, values, and what is still to happen to the name.

use hashbrown::{HashMap, HashSet};
use schemas::Labels;
use schemas::labels::LabelsBuilder;

use super::EvalError;
use super::budget::Held;
use super::labels::without_metadata;
use crate::column::Column;

/// One series of a vector.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// The name (with type and unit) is to go when the answer is made.
    pub(super) drop_name: bool,
    pub(super) column: Column,
}

/// Series with at least one value each, held in memory.
#[derive(Debug)]
pub(super) struct Vector<'q> {
    pub(super) series: Vec<Series>,
    pub(super) held: Held<'q>,
}

/// Two series with the same labels have a value at the same time.
pub(super) fn same_labels() -> EvalError {
    EvalError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Removes the names that were to be removed, and puts series together that are the same without.
pub(super) fn remove_names(mut series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    let mut builder = LabelsBuilder::default();
    for one in series.iter_mut().filter(|one| one.drop_name) {
        one.labels = without_metadata(&one.labels, &mut builder);
    }
    merge_same(series)
}

/// Puts series with the same labels together; an error where both have a value at a step.
pub(super) fn merge_same(series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    if all_differ(series.iter().map(|one| &one.labels)) {
        return Ok(series);
    }
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        if let Some(&at) = places.get(&one.labels) {
            merge_columns(&mut merged[at].column, &one.column)?;
        } else {
            places.insert(one.labels.clone(), merged.len());
            merged.push(one);
        }
    }
    Ok(merged)
}

/// Whether no two label sets are the same.
pub(super) fn all_differ<'a>(labels: impl ExactSizeIterator<Item = &'a Labels>) -> bool {
    if labels.len() < 2 {
        return true;
    }
    let mut seen = HashSet::with_capacity(labels.len());
    labels.into_iter().all(|one| seen.insert(one.as_bytes()))
}

/// Adds the values of another series of the same labels.
pub(super) fn merge_columns(into: &mut Column, from: &Column) -> Result<(), EvalError> {
    for (step, value) in from.iter() {
        if into.is_set(step) {
            return Err(same_labels());
        }
        into.set(step, value);
    }
    Ok(())
}
