//! Native histograms with custom buckets, made of classic ones: series `_bucket`, `_count` and `_sum` of one name.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use promql::column::Value;
use schemas::Labels;
use schemas::histogram::{Buckets, Histogram, SCHEMA_CUSTOM, Span};
use schemas::labels::METRIC_NAME;

use super::Loaded;

const BOUND: &str = "le";

/// A classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Bounds with cumulative counts, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

type Points = BTreeMap<i64, Loaded>;

/// The native histograms of all classic ones.
pub(super) fn converted(series: &BTreeMap<Labels, Points>) -> Result<Vec<(Labels, Points)>> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for (labels, points) in series {
        let metric = labels.metric();
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|suffix| metric.ends_with(suffix));
        let Some(suffix) = suffix else { continue };
        let bound = labels.get(BOUND).and_then(|bound| bound.parse().ok()).filter(|bound: &f64| !bound.is_nan());
        if suffix == "_bucket" && bound.is_none() {
            continue;
        }
        let of_name = found.entry(base(labels, &metric[..metric.len() - suffix.len()])).or_default();
        for (&timestamp, point) in points {
            let Value::Float(value) = point.value else { continue };
            let classic = of_name.entry(timestamp).or_default();
            match (suffix, bound) {
                ("_bucket", Some(bound)) => classic.buckets.push((bound, value)),
                ("_count", _) => classic.count = Some(value),
                _ => classic.sum = value,
            }
        }
    }
    let mut out = Vec::with_capacity(found.len());
    for (labels, classics) in found {
        let mut points = Points::new();
        for (timestamp, classic) in classics {
            let histogram = classic.convert().with_context(|| format!("{labels} at {timestamp} ms"))?;
            points.insert(timestamp, Loaded { value: Value::Histogram(Arc::new(histogram)), start_ms: None });
        }
        out.push((labels, points));
    }
    Ok(out)
}

fn base(labels: &Labels, metric: &str) -> Labels {
    let kept = labels.iter().filter(|(name, _)| *name != BOUND);
    let pairs: Vec<_> = kept.map(|(name, value)| (name, if name == METRIC_NAME { metric } else { value })).collect();
    Labels::from_sorted(pairs.iter().copied())
}

impl Classic {
    fn convert(mut self) -> Result<Histogram> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by_key(|(bound, _)| bound.to_bits());
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound < f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let total = self.buckets.last().map_or(0.0, |(_, count)| *count);
        ensure!(total.to_bits() == count.to_bits(), "a count of {count}, but {total} in buckets");
        let (mut counts, mut below) = (Vec::with_capacity(self.buckets.len()), 0.0);
        for (bound, cumulative) in &self.buckets {
            ensure!(*cumulative >= below, "fewer values up to {bound} than below it");
            counts.push(cumulative - below);
            below = *cumulative;
        }
        let spans = vec![Span { offset: 0, length: u32::try_from(counts.len())? }];
        self.buckets.pop();
        Ok(Histogram {
            schema: SCHEMA_CUSTOM,
            count,
            sum: self.sum,
            positive: Buckets { spans, counts },
            custom_values: self.buckets.into_iter().map(|(bound, _)| bound).collect(),
            ..Histogram::default()
        })
    }
}
