//! Where the series are: the metrics and labels that have the most of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use schemas::labels::METRIC_NAME;

use super::Index;
use super::posting::Posting;

/// Names with counts, the largest first, as many as were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series of a metric.
    pub series_by_metric: Vec<(String, u64)>,
    /// Values of a label.
    pub values_by_label: Vec<(String, u64)>,
    /// Bytes of the values of a label.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Series with `name=value`.
    pub series_by_pair: Vec<(String, u64)>,
}

/// The largest few of many.
struct Largest<T> {
    rows: usize,
    heap: BinaryHeap<Reverse<(u64, T)>>,
}

impl<T: Ord> Largest<T> {
    fn new(rows: usize) -> Self {
        Self { rows, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, count: u64, name: T) {
        self.heap.push(Reverse((count, name)));
        if self.heap.len() > self.rows {
            self.heap.pop();
        }
    }

    fn into_rows(self, shown: impl Fn(T) -> String) -> Vec<(String, u64)> {
        let mut rows: Vec<(String, u64)> = self.heap.into_iter().map(|Reverse((n, name))| (shown(name), n)).collect();
        rows.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rows
    }
}

impl Index {
    /// The `rows` largest of each kind. Walks all label values, not the series.
    pub fn cardinality(&self, rows: usize) -> Cardinality {
        let catalog = self.catalog.read();
        let (mut metrics, mut pairs) = (Largest::new(rows), Largest::new(rows));
        let (mut values, mut bytes) = (Largest::new(rows), Largest::new(rows));
        for (name, of) in catalog.labels() {
            values.offer(of.sorted.len() as u64, Arc::clone(name));
            bytes.offer(of.sorted.keys().map(|value| value.len() as u64).sum(), Arc::clone(name));
            for (value, symbol) in &of.sorted {
                let series = of.by_value.get(symbol).map_or(0, Posting::len);
                if &**name == METRIC_NAME {
                    metrics.offer(series, Arc::clone(value));
                }
                pairs.offer(series, (Arc::clone(name), Arc::clone(value)));
            }
        }
        drop(catalog);
        let text = |name: Arc<str>| name.to_string();
        Cardinality {
            series_by_metric: metrics.into_rows(text),
            values_by_label: values.into_rows(text),
            bytes_by_label: bytes.into_rows(text),
            series_by_pair: pairs.into_rows(|(name, value)| format!("{name}={value}")),
        }
    }
}
