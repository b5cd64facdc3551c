//! The naive model: a map from series and timestamp to value, and loops over it.
//!
//! arrivals, in order ─▶ map (SET-1) ─▶ select ─▶ cut into buckets ─▶ aggregate ─▶ group ─▶ [`Answer`]
//!
//! It follows the words of the REST interface and shares no code with what it judges: no rollup, no sketch, no chunk.
//! Where floating point leaves room (the order of additions, a sketch's bound), the answer says how much.

mod aggregate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemas::points::is_stale;
use schemas::{DurationMs, LabelMatcher, Labels, TimeRange};

use aggregate::{combine, of_points};

/// Rounding of a relative bound.
const ROUNDING: f64 = 1e-9;

/// What each bucket becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agg {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    /// Nearest rank.
    Quantile(f64),
    /// PromQL's `rate`, with the bucket as its range.
    Rate,
    /// PromQL's `increase`, with the bucket as its range.
    Increase,
}

impl Agg {
    /// Every aggregate of the interface with its name there.
    pub const ALL: [(&'static str, Self); 13] = [
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("sum", Self::Sum),
        ("count", Self::Count),
        ("first", Self::First),
        ("last", Self::Last),
        ("p50", Self::Quantile(0.5)),
        ("p90", Self::Quantile(0.9)),
        ("p95", Self::Quantile(0.95)),
        ("p99", Self::Quantile(0.99)),
        ("rate", Self::Rate),
        ("increase", Self::Increase),
    ];
}

/// How the values of a group's series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAgg {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

impl GroupAgg {
    /// Every way of the interface with its name there.
    pub const ALL: [(&'static str, Self); 5] =
        [("sum", Self::Sum), ("avg", Self::Avg), ("min", Self::Min), ("max", Self::Max), ("count", Self::Count)];
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub matchers: Vec<LabelMatcher>,
    /// Rounded outward to whole buckets.
    pub range: TimeRange,
    /// `None`: the points themselves, each series by itself.
    pub width: Option<DurationMs>,
    pub agg: Agg,
    /// One output a metric and combination of these labels; `Some` of nothing merges all series of a metric.
    pub group_by: Option<Vec<String>>,
    pub group_agg: Option<GroupAgg>,
}

impl Question {
    /// The points of everything that matches.
    pub fn raw(matchers: Vec<LabelMatcher>, range: TimeRange) -> Self {
        Self { matchers, range, width: None, agg: Agg::Last, group_by: None, group_agg: None }
    }

    /// Buckets of each series.
    pub fn buckets(matchers: Vec<LabelMatcher>, range: TimeRange, width: DurationMs, agg: Agg) -> Self {
        Self { matchers, range, width: Some(width), agg, group_by: None, group_agg: None }
    }
}

/// The name of an output series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesName {
    pub metric: String,
    /// Sorted, without the metric name.
    pub labels: Vec<(String, String)>,
}

/// A value, and how far from it an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub value: f64,
    /// What the order of additions may make of it; 0: bit for bit.
    slack: f64,
    /// What a sketch's relative error applies to; 0: no sketch is involved.
    sketched: f64,
}

impl Expected {
    fn exact(value: f64) -> Self {
        Self { value, slack: 0.0, sketched: 0.0 }
    }

    /// Whether an answer is right, given the bound that it states for quantiles (0 where it states none).
    ///
    /// Any NaN is as good as another. Where terms leave the range of `f64`, the order of additions decides between a
    /// number, an infinity and NaN, and every answer is taken.
    pub fn accepts(&self, got: f64, quantile_error: f64) -> bool {
        if got.to_bits() == self.value.to_bits() || (got.is_nan() && self.value.is_nan()) {
            return true;
        }
        if !self.slack.is_finite() {
            return true;
        }
        // A value on the edge of a sketch's bin lies at the bound itself, give or take rounding.
        let room = self.slack + self.sketched * quantile_error * (1.0 + ROUNDING);
        room > 0.0 && (got - self.value).abs() <= room
    }
}

/// Output series with their values, oldest first.
pub type Answer = BTreeMap<SeriesName, Vec<(i64, Expected)>>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
}

impl Oracle {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one point, later than all before (SET-1).
    pub fn append(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        let points = self.series.entry(labels.clone()).or_default();
        match points.get(&timestamp_ms) {
            // A staleness marker never replaces a value.
            Some(kept) if is_stale(value) && !is_stale(*kept) => {}
            Some(_) | None => {
                points.insert(timestamp_ms, value);
            }
        }
    }

    /// Forgets points before a time, as retention of the last tier does.
    pub fn expire(&mut self, before_ms: i64) {
        for points in self.series.values_mut() {
            *points = points.split_off(&before_ms);
        }
        self.series.retain(|_, points| !points.is_empty());
    }

    /// Every series with its points, staleness markers included.
    pub fn series(&self) -> impl Iterator<Item = (&Labels, &BTreeMap<i64, f64>)> {
        self.series.iter()
    }

    /// Points held, staleness markers included.
    pub fn len(&self) -> usize {
        self.series.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The right answer. Series and groups without values are left out.
    pub fn answer(&self, question: &Question) -> Answer {
        let chosen: Vec<(&Labels, &BTreeMap<i64, f64>)> = self
            .series
            .iter()
            .filter(|(labels, _)| question.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or(""))))
            .collect();
        let Some(width) = question.width else {
            return raw(&chosen, question.range);
        };
        let mut answer = Answer::new();
        let mut groups: BTreeMap<SeriesName, Vec<&BTreeMap<i64, f64>>> = BTreeMap::new();
        for (labels, points) in chosen {
            groups.entry(name_of(labels, question)).or_default().push(points);
        }
        for (name, members) in groups {
            let values = bucket_starts(question.range, width)
                .filter_map(|start| Some((start, of_bucket(&members, start, width.0, question)?)))
                .collect::<Vec<_>>();
            if !values.is_empty() {
                answer.insert(name, values);
            }
        }
        answer
    }
}

fn raw(chosen: &[(&Labels, &BTreeMap<i64, f64>)], range: TimeRange) -> Answer {
    let mut answer = Answer::new();
    for (labels, points) in chosen {
        let values: Vec<(i64, Expected)> = points
            .range(range.start().0..range.end().0)
            .filter(|(_, value)| !is_stale(**value))
            .map(|(ts, value)| (*ts, Expected::exact(*value)))
            .collect();
        if !values.is_empty() {
            answer.insert(full_name(labels), values);
        }
    }
    answer
}

fn full_name(labels: &Labels) -> SeriesName {
    let labels_of = labels.without_metric().map(|(name, value)| (name.to_owned(), value.to_owned()));
    SeriesName { metric: labels.metric().to_owned(), labels: labels_of.collect() }
}

/// The output that a series is a part of.
fn name_of(labels: &Labels, question: &Question) -> SeriesName {
    let mut name = full_name(labels);
    if question.group_by.is_some() || question.group_agg.is_some() {
        let by = question.group_by.as_deref().unwrap_or_default();
        name.labels.retain(|(label, _)| by.contains(label));
    }
    name
}

fn bucket_starts(range: TimeRange, width: DurationMs) -> impl Iterator<Item = i64> {
    let first = range.start().0.div_euclid(width.0);
    // The last bucket is the one that holds the range's last millisecond.
    let end = if range.is_empty() { first } else { (range.end().0 - 1).div_euclid(width.0) + 1 };
    (first..end).map(move |bucket| bucket * width.0)
}

/// The value of one bucket of an output series.
fn of_bucket(members: &[&BTreeMap<i64, f64>], start: i64, width: i64, question: &Question) -> Option<Expected> {
    let points_of = |points: &BTreeMap<i64, f64>| -> Vec<(i64, f64)> {
        let inside = points.range(start..start + width);
        inside.map(|(ts, value)| (*ts, *value)).filter(|(_, value)| !is_stale(*value)).collect()
    };
    let each = || members.iter().filter_map(|points| of_points(&points_of(points), question.agg, start, width));
    match (question.group_agg, question.agg) {
        (Some(group_agg), _) => combine(group_agg, &each().collect::<Vec<_>>()),
        // The rate of a group is the sum of its series' rates; resets are a series' own.
        (None, Agg::Rate | Agg::Increase) => combine(GroupAgg::Sum, &each().collect::<Vec<_>>()),
        // Which of two series' equal extremes is the earlier, nobody knows any more: −0 is below 0.
        (None, Agg::Min) => combine(GroupAgg::Min, &each().collect::<Vec<_>>()),
        (None, Agg::Max) => combine(GroupAgg::Max, &each().collect::<Vec<_>>()),
        (None, agg) => {
            let mut together: Vec<(i64, f64)> = members.iter().flat_map(|points| points_of(points)).collect();
            together.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            of_points(&together, agg, start, width)
        }
    }
}
