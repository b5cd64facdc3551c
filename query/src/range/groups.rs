//! Which output series each input series becomes a part of.

use std::collections::BTreeMap;

use schemas::SeriesId;
use schemas::labels::METRIC_NAME;

use crate::error::QueryError;
use crate::request::RangeRequest;
use crate::selection::Selection;

/// How a bucket of an output series is made of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// Each series is its own output.
    Each,
    /// The series' points are merged.
    Merge,
    /// The series' values are combined.
    Combine(crate::request::GroupAgg),
}

/// The output series of a question.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) joining: Joining,
    /// The output of each input series, by position.
    of_series: Vec<usize>,
    names: Vec<OutputName>,
}

/// What an output series is called. Ordered as answers are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutputName {
    pub(super) metric: String,
    pub(super) labels: Vec<(String, String)>,
    /// Tells apart what else is the same; of groups none.
    id: Option<SeriesId>,
}

impl Outputs {
    /// As the request says. A metric is never merged with another: one group each.
    pub(super) fn new(selection: &Selection, request: &RangeRequest) -> Result<Self, QueryError> {
        if !request.is_grouped() {
            return Ok(Self::each(selection));
        }
        let by: &[String] = request.group_by.as_deref().unwrap_or_default();
        if by.iter().any(|name| name == METRIC_NAME) {
            return Err(QueryError::BadRequest(format!(
                "series of different metrics are never merged: leave {METRIC_NAME} out of group_by"
            )));
        }
        let mut known: BTreeMap<OutputName, usize> = BTreeMap::new();
        let of_series = selection.series().iter().map(|info| {
            let kept = info.labels.without_metric().filter(|(name, _)| by.iter().any(|b| b == name));
            let labels = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let name = OutputName { metric: info.labels.metric().to_owned(), labels, id: None };
            let next = known.len();
            *known.entry(name).or_insert(next)
        });
        let of_series: Vec<usize> = of_series.collect();
        let mut names: Vec<(usize, OutputName)> = known.into_iter().map(|(name, at)| (at, name)).collect();
        names.sort_unstable_by_key(|(at, _)| *at);
        let joining = request.group_agg.map_or(Joining::Merge, Joining::Combine);
        Ok(Self { joining, of_series, names: names.into_iter().map(|(_, name)| name).collect() })
    }

    /// Each series by itself.
    pub(super) fn each(selection: &Selection) -> Self {
        let names = selection.series().iter().map(|info| OutputName {
            metric: info.labels.metric().to_owned(),
            labels: info.labels.without_metric().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            id: Some(info.series_id),
        });
        Self { joining: Joining::Each, of_series: (0..selection.len()).collect(), names: names.collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn of(&self, series: usize) -> usize {
        self.of_series[series]
    }

    pub(super) fn name(&self, output: usize) -> &OutputName {
        &self.names[output]
    }

    /// The labels in which some outputs differ, each with its values, as one line each.
    pub(super) fn differences(&self, outputs: &[usize]) -> Vec<String> {
        let mut values: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for &output in outputs {
            for (name, value) in &self.names[output].labels {
                *values.entry(name).or_default().entry(value).or_default() += 1;
            }
        }
        let mut lines = Vec::new();
        for (name, found) in values {
            let everywhere = found.values().sum::<usize>() == outputs.len();
            if found.len() == 1 && everywhere {
                continue;
            }
            let absent = (!everywhere).then_some("(absent)");
            let list: Vec<&str> = found.keys().copied().chain(absent).collect();
            let more = if list.len() > 10 { format!(", and {} more", list.len() - 10) } else { String::new() };
            lines.push(format!("label {name}: {}{more}", list[..list.len().min(10)].join(", ")));
        }
        lines
    }
}
