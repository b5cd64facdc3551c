//! What `load` commands make: points of series.
//!
//! [`Load`] → [`Data::add`] → [`Data::series`]: labels and settled points · [`Data::starts`]: when their counters began
//!
//! Two things are as in the storage that Prometheus runs the scripts on. Reset hints of histograms are what its chunks
//! remember: a histogram that continues the one before is known not to be a reset, and of any other counter nothing is
//! known. And `load_with_nhcb` makes histograms with custom buckets of classic ones.

mod classic;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use promql::column::Value;
use promql::starts::Starts;
use schemas::histogram::{Histogram, ResetHint};
use schemas::points::histogram_marker;
use schemas::{Labels, Points};

use crate::language::Load;
use crate::notation::{Sample, histogram::by_index};

/// A point as it was written.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub value: Value,
    /// When its counter began, ms since 1970.
    pub start_ms: Option<i64>,
}

/// Everything loaded since the last `clear`.
#[derive(Debug, Clone, Default)]
pub struct Data {
    series: BTreeMap<Labels, BTreeMap<i64, Loaded>>,
    /// Reset hints are not those of chunks, but as they came.
    hints_are_kept: bool,
}

impl Data {
    /// Data that were not loaded by a script; reset hints stay as they are.
    pub fn of(series: BTreeMap<Labels, BTreeMap<i64, Value>>) -> Self {
        let series = series.into_iter().map(|(labels, points)| {
            let points = points.into_iter().map(|(at, value)| (at, Loaded { value, start_ms: None }));
            (labels, points.collect())
        });
        Self { series: series.collect(), hints_are_kept: true }
    }

    /// The same, each sample saying when its counter began: `start` makes that of its time, both ms.
    #[must_use]
    pub fn with_starts(mut self, mut start: impl FnMut(i64) -> Option<i64>) -> Self {
        for point in self.series.values_mut().flatten() {
            point.1.start_ms = start(*point.0);
        }
        self
    }

    pub fn add(&mut self, load: &Load) -> Result<()> {
        let mut added = BTreeMap::new();
        for series in &load.series {
            let mut points = BTreeMap::new();
            let mut timestamp = 0;
            for (at, sample) in series.written.values.iter().enumerate() {
                if let Some(Sample { value, .. }) = sample {
                    let start_ms = series.starts.get(at).copied().flatten().map(|offset| timestamp + offset);
                    points.insert(timestamp, Loaded { value: value.clone(), start_ms });
                }
                timestamp += load.step_ms;
            }
            // Of a series that stands twice in one command, the last line counts.
            added.insert(series.written.labels.clone(), points);
        }
        if load.with_custom_buckets {
            for (labels, points) in classic::converted(&added)? {
                added.entry(labels).or_default().extend(points);
            }
        }
        for (labels, points) in added {
            self.series.entry(labels).or_default().extend(points);
        }
        Ok(())
    }

    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// The points as they were written.
    pub fn written(&self) -> impl Iterator<Item = (&Labels, &BTreeMap<i64, Loaded>)> {
        self.series.iter()
    }

    /// The points of each series, with the reset hints that a storage of chunks gives.
    pub fn points(&self) -> BTreeMap<Labels, BTreeMap<i64, Loaded>> {
        let mut out = self.series.clone();
        if !self.hints_are_kept {
            out.values_mut().for_each(forget_hints);
        }
        out
    }

    /// The same as points of our own.
    pub fn series(&self) -> impl Iterator<Item = (Labels, Points)> {
        self.points().into_iter().map(|(labels, points)| (labels, columns(points)))
    }

    /// When the counters of samples began, of the series whose samples say so.
    pub fn starts(&self) -> impl Iterator<Item = (&Labels, Starts)> {
        let starts = self.series.iter().map(|(labels, points)| {
            let said = points.iter().filter_map(|(at, point)| Some((*at, point.start_ms?)));
            (labels, said.collect::<Starts>())
        });
        starts.filter(|(_, starts)| !starts.is_empty())
    }
}

fn columns(loaded: BTreeMap<i64, Loaded>) -> Points {
    let mut points = Points::with_capacity(loaded.len());
    for (timestamp, loaded) in loaded {
        match loaded.value {
            Value::Float(value) => points.push(timestamp, value),
            Value::Histogram(histogram) => {
                points.push(timestamp, histogram_marker());
                points.histograms.insert(timestamp, histogram);
            }
        }
    }
    points
}

/// Leaves of reset hints what chunks remember.
fn forget_hints(points: &mut BTreeMap<i64, Loaded>) {
    let mut before: Option<Arc<Histogram>> = None;
    for point in points.values_mut() {
        let Value::Histogram(histogram) = &mut point.value else {
            before = None;
            continue;
        };
        let written = Arc::clone(histogram);
        let reset_hint = match written.reset_hint {
            ResetHint::Gauge => ResetHint::Gauge,
            _ if before.is_some_and(|before| continues(&before, &written)) => ResetHint::NotReset,
            _ => ResetHint::Unknown,
        };
        *histogram = Arc::new(Histogram { reset_hint, ..Histogram::clone(&written) });
        before = Some(written);
    }
}

/// Whether a counter could have gone from one histogram to the next in one chunk.
fn continues(before: &Histogram, next: &Histogram) -> bool {
    let has_all = |before, next| {
        let next = by_index(next);
        by_index(before).iter().all(|(index, count)| next.get(index).copied().unwrap_or(0.0) >= *count)
    };
    before.reset_hint != ResetHint::Gauge
        && next.reset_hint != ResetHint::Reset
        && next.count >= before.count
        && next.schema == before.schema
        && next.zero_threshold.to_bits() == before.zero_threshold.to_bits()
        && next.custom_values == before.custom_values
        && next.zero_count >= before.zero_count
        && has_all(&before.positive, &next.positive)
        && has_all(&before.negative, &next.negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Command, Script};

    fn data(script: &str) -> Data {
        let mut data = Data::default();
        for command in Script::parse(script).expect(script).commands {
            match command {
                Command::Load(load) => data.add(&load).expect("loads"),
                Command::Clear => data.clear(),
                Command::Eval(_) => {}
            }
        }
        data
    }

    #[test]
    fn points_stand_at_the_steps_and_loads_add_up() {
        let data = data("load 1m\n a 1 _ 3\n b 1\n\nload 30s\n a _ 2\n");
        let series: Vec<(Labels, Points)> = data.series().collect();
        assert_eq!(series[0].1.iter().collect::<Vec<_>>(), [(0, 1.0), (30_000, 2.0), (120_000, 3.0)]);
        assert_eq!(series.len(), 2);
    }

    #[test]
    fn starts_are_those_of_their_samples() {
        let data = data("load 1m\n a@st _ -10s _ -60s\n a 1 2 3 _\n b 1 2 3 4\n");
        let starts: Vec<(&str, Starts)> = data.starts().map(|(labels, starts)| (labels.metric(), starts)).collect();
        assert_eq!(starts, [("a", Starts::from_iter([(60_000, 50_000)]))]);
    }

    #[test]
    fn a_histogram_that_continues_the_one_before_is_no_reset() {
        let up = "{{count:1 buckets:[1]}} {{count:2 buckets:[1 1]}} {{count:1 buckets:[1]}} {{count:1 buckets:[1]}} 7";
        let data = data(&format!("load 1m\n a {up} {{{{count:1 buckets:[1]}}}} {{{{counter_reset_hint:gauge}}}}\n"));
        let (_, points) = data.series().next().expect("a series");
        let hints: Vec<ResetHint> = points.histograms.iter().map(|(_, histogram)| histogram.reset_hint).collect();
        use ResetHint::{Gauge, NotReset, Unknown};
        assert_eq!(hints, [Unknown, NotReset, Unknown, NotReset, Unknown, Gauge]);
    }

    #[test]
    fn classic_histograms_are_there_with_custom_buckets_too() {
        let classic = "a_bucket{le=\"1\",x=\"y\"} 1 2\n a_bucket{le=\"+Inf\",x=\"y\"} 3 5\n a_sum{x=\"y\"} 9 10\n";
        let data = data(&format!("load_with_nhcb 1m\n {classic}"));
        let (labels, points) = data.series().next().expect("a series");
        let histogram = points.histograms.get(60_000).expect("a histogram");
        assert_eq!((labels.to_string().as_str(), points.len()), ("a{x=\"y\"}", 2));
        assert_eq!((histogram.count, histogram.sum, &histogram.custom_values[..]), (5.0, 10.0, &[1.0][..]));
        assert_eq!(histogram.positive.counts, [2.0, 3.0]);
        assert_eq!(data.series().count(), 4, "and the classic ones");
    }
}
