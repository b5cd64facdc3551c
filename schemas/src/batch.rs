//! A batch of points as decoders build it and the store takes it: columnar, series by reference.
//!
//! decoder ─▶ `series(labels) → index`, `push(index, ts, value)` ─▶ store: resolve each series once, append columns
//!
//! A native histogram has a stand-in among the values, and lies beside them under the number of its point.
//! A batch owns one arena for the canonical label bytes of all its series, so building it allocates a handful of
//! times whatever its size. The same series may stand in a batch more than once.

mod rework;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::histogram::Histogram;
use crate::ids::SeriesHash;
use crate::labels::{LabelError, canonicalize, hash_canonical};
use crate::points::{float_of_sender, histogram_marker};

/// Where a series' canonical label bytes lie in the arena of the batch, and their hash.
#[derive(Debug, Clone, Copy)]
struct SeriesEntry {
    start: u32,
    end: u32,
    hash: SeriesHash,
}

/// What a sender said of a metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricMetadata {
    pub unit: Option<String>,
    pub kind: Option<String>,
    pub help: Option<String>,
}

/// A place in a batch to go back to: everything that was added later can be taken out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    arena: usize,
    series: usize,
    points: usize,
    /// Which mark of the batch this is: only the newest can be gone back to.
    number: u64,
}

/// Points of many series, in arrival order.
#[derive(Debug, Clone, Default)]
pub struct PointBatch {
    arena: Vec<u8>,
    series: Vec<SeriesEntry>,
    series_of: Vec<u32>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    /// The native histograms by point, ascending: of every value that stands for one, and of no other.
    histograms: Vec<(u32, Arc<Histogram>)>,
    metadata: BTreeMap<String, MetricMetadata>,
    /// What was said of metrics before the newest mark, where it was changed since.
    said_before: Vec<(String, Option<MetricMetadata>)>,
    /// Marks set so far; 0 while nobody wants to go back.
    marks: u64,
}

impl PointBatch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.series.clear();
        self.series_of.clear();
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.metadata.clear();
        self.said_before.clear();
        self.marks = 0;
    }

    /// Marks this place. Earlier marks are void from now on.
    pub fn mark(&mut self) -> Mark {
        self.said_before.clear();
        self.marks += 1;
        Mark { arena: self.arena.len(), series: self.series.len(), points: self.len(), number: self.marks }
    }

    /// Takes out everything that was added since the newest mark, which stays valid.
    pub fn truncate_to(&mut self, mark: Mark) {
        assert_eq!(mark.number, self.marks, "only the newest mark of a batch can be gone back to");
        self.arena.truncate(mark.arena);
        self.series.truncate(mark.series);
        self.series_of.truncate(mark.points);
        self.timestamps.truncate(mark.points);
        self.values.truncate(mark.points);
        self.histograms.truncate(self.histograms.partition_point(|(point, _)| (*point as usize) < mark.points));
        while let Some((metric, said)) = self.said_before.pop() {
            match said {
                Some(said) => self.metadata.insert(metric, said),
                None => self.metadata.remove(&metric),
            };
        }
    }

    /// Adds a series by its labels, metric name included, in any order; `pairs` is left sorted.
    /// Returns its index in this batch.
    pub fn add_series(&mut self, pairs: &mut Vec<(&str, &str)>) -> Result<u32, LabelError> {
        let start = self.arena.len();
        canonicalize(pairs, &mut self.arena)?;
        let hash = hash_canonical(&self.arena[start..]);
        Ok(self.push_entry(start, hash))
    }

    /// Adds a series by canonical bytes that are known to be valid.
    pub fn add_canonical(&mut self, canonical: &[u8]) -> u32 {
        let start = self.arena.len();
        self.arena.extend_from_slice(canonical);
        self.push_entry(start, hash_canonical(canonical))
    }

    fn push_entry(&mut self, start: usize, hash: SeriesHash) -> u32 {
        let offset = |n: usize| u32::try_from(n).expect("a batch's labels stay below 4 GiB: bodies are bounded");
        let entry = SeriesEntry { start: offset(start), end: offset(self.arena.len()), hash };
        let index = offset(self.series.len());
        self.series.push(entry);
        index
    }

    /// Adds a point (timestamp in ms) of a series of this batch. A float with the bits that stand for a histogram becomes the
    /// ordinary NaN.
    pub fn push(&mut self, series: u32, timestamp_ms: i64, value: f64) {
        self.push_bits(series, timestamp_ms, float_of_sender(value));
    }

    /// Adds a native histogram of a series of this batch, which must be valid ([`Histogram::validate`]). One whose sum is the
    /// staleness marker is to be pushed as that float.
    pub fn push_histogram(&mut self, series: u32, timestamp_ms: i64, histogram: Arc<Histogram>) {
        debug_assert_eq!(histogram.validate(), Ok(()), "decoders refuse histograms that contradict themselves");
        let point = u32::try_from(self.len()).expect("points of a batch are bounded far below 2^32");
        self.histograms.push((point, histogram));
        self.push_bits(series, timestamp_ms, histogram_marker());
    }

    fn push_bits(&mut self, series: u32, timestamp_ms: i64, value: f64) {
        debug_assert!((series as usize) < self.series.len());
        self.series_of.push(series);
        self.timestamps.push(timestamp_ms);
        self.values.push(value);
    }

    /// Remembers what the sender says of a metric; the last word of a batch wins, field by field.
    pub fn describe(&mut self, metric: &str, said: MetricMetadata) {
        if self.marks > 0 {
            self.said_before.push((metric.to_owned(), self.metadata.get(metric).cloned()));
        }
        let entry = self.metadata.entry(metric.to_owned()).or_default();
        entry.unit = said.unit.or(entry.unit.take());
        entry.kind = said.kind.or(entry.kind.take());
        entry.help = said.help.or(entry.help.take());
    }

    /// Points in the batch.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Series entries in the batch, repeats counted.
    pub fn series_len(&self) -> usize {
        self.series.len()
    }

    /// Hash and canonical label bytes of a series.
    pub fn series(&self, index: u32) -> (SeriesHash, &[u8]) {
        let entry = &self.series[index as usize];
        (entry.hash, &self.arena[entry.start as usize..entry.end as usize])
    }

    /// The hash of each series, in order.
    pub fn series_hashes(&self) -> impl Iterator<Item = SeriesHash> {
        self.series.iter().map(|entry| entry.hash)
    }

    /// The index of each point's series.
    pub fn series_of(&self) -> &[u32] {
        &self.series_of
    }

    /// Each point's timestamp in ms.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Each point's value; native histograms have a stand-in ([`crate::points::is_histogram`]).
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The native histograms by point, ascending: one for each stand-in among the values.
    pub fn histograms(&self) -> &[(u32, Arc<Histogram>)] {
        &self.histograms
    }

    /// The native histogram of a point.
    pub fn histogram_of(&self, point: u32) -> Option<&Arc<Histogram>> {
        let at = self.histograms.binary_search_by_key(&point, |(of, _)| *of).ok()?;
        Some(&self.histograms[at].1)
    }

    /// What was said of metrics, by name.
    pub fn metadata(&self) -> &BTreeMap<String, MetricMetadata> {
        &self.metadata
    }

    /// Bytes that the batch holds in memory, for the bounds of queues.
    pub fn bytes(&self) -> usize {
        let histograms: usize = self.histograms.iter().map(|(_, histogram)| histogram.bytes()).sum();
        self.arena.len() + self.series.len() * size_of::<SeriesEntry>() + self.len() * 20 + histograms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    #[test]
    fn a_batch_keeps_points_and_canonical_series() {
        let mut batch = PointBatch::new();
        let up = batch.add_series(&mut vec![("job", "a"), ("__name__", "up")]).expect("valid");
        batch.push(up, 1_000, 1.0);
        let labels = Labels::new([("__name__", "up"), ("job", "a")]).expect("valid");
        assert_eq!(batch.series(up), (labels.hash(), labels.as_bytes()));
        assert_eq!((batch.len(), batch.timestamps(), batch.values()), (1, &[1_000_i64][..], &[1.0][..]));
    }

    #[test]
    fn going_back_to_a_mark_takes_out_what_came_later() {
        let unit = |unit: &str| MetricMetadata { unit: Some(unit.to_owned()), ..MetricMetadata::default() };
        let mut batch = PointBatch::new();
        let up = batch.add_series(&mut vec![("__name__", "up")]).expect("valid");
        batch.push(up, 1_000, 1.0);
        batch.describe("up", unit("bool"));
        let before = batch.clone();
        let mark = batch.mark();
        for _ in 0..2 {
            let down = batch.add_series(&mut vec![("__name__", "down")]).expect("valid");
            batch.push(down, 2_000, 2.0);
            batch.push(up, 3_000, 3.0);
            for said in ["percent", "bytes"] {
                batch.describe("up", unit(said));
                batch.describe("down", unit(said));
            }
            assert_eq!(batch.metadata()["up"], unit("bytes"));
            batch.truncate_to(mark);
            assert_eq!((batch.len(), batch.series_len(), batch.bytes()), (1, 1, before.bytes()));
            assert_eq!(batch.metadata(), before.metadata());
            assert_eq!(batch.series(up), before.series(up));
        }
    }

    #[test]
    fn a_histogram_comes_and_goes_with_its_point() {
        let histogram = Arc::new(Histogram { count: 3.0, zero_count: 3.0, ..Histogram::default() });
        let mut batch = PointBatch::new();
        let up = batch.add_series(&mut vec![("__name__", "up")]).expect("valid");
        batch.push(up, 1_000, 1.0);
        batch.push_histogram(up, 2_000, Arc::clone(&histogram));
        let mark = batch.mark();
        batch.push_histogram(up, 3_000, Arc::clone(&histogram));
        batch.truncate_to(mark);
        assert_eq!((batch.len(), batch.histograms()), (2, &[(1, Arc::clone(&histogram))][..]));
        assert!(batch.bytes() > 40 + histogram.bytes());
        batch.push_histogram(up, 4_000, Arc::clone(&histogram));
        batch.push(up, 5_000, 2.0);
        batch.retain(|_, timestamp_ms, _| timestamp_ms != 2_000);
        assert_eq!((batch.timestamps(), batch.histograms()), (&[1_000, 4_000, 5_000][..], &[(1, histogram)][..]));
        assert!(crate::points::is_histogram(batch.values()[1]));
    }

    #[test]
    fn a_float_cannot_pretend_to_be_a_histogram() {
        let mut batch = PointBatch::new();
        let up = batch.add_series(&mut vec![("__name__", "up")]).expect("valid");
        batch.push(up, 1_000, histogram_marker());
        batch.push(up, 2_000, crate::points::stale());
        let bits: Vec<u64> = batch.values().iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, [f64::NAN.to_bits(), crate::points::STALE_BITS]);
    }

    #[test]
    fn a_refused_series_leaves_no_trace() {
        let mut batch = PointBatch::new();
        assert!(batch.add_series(&mut vec![("job", "a")]).is_err());
        assert_eq!((batch.series_len(), batch.bytes()), (0, 0));
    }
}
