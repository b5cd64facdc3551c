//! Changes to a batch that is complete: other labels for a series, and points, series and descriptions that go.

use super::{PointBatch, SeriesEntry};
use crate::ids::SeriesHash;
use crate::labels::hash_canonical;

impl PointBatch {
    /// Gives a series other labels: canonical bytes that are known to be valid, and their hash. The bytes of the old ones
    /// stay in the arena until the batch is cleared. Marks are void from now on.
    pub fn relabel(&mut self, series: u32, canonical: &[u8], hash: SeriesHash) {
        debug_assert_eq!(hash, hash_canonical(canonical), "the hash is that of the labels");
        self.void_marks();
        let offset = |n: usize| u32::try_from(n).expect("a batch's labels stay below 4 GiB: bodies are bounded");
        let start = offset(self.arena.len());
        self.arena.extend_from_slice(canonical);
        self.series[series as usize] = SeriesEntry { start, end: offset(self.arena.len()), hash };
    }

    /// Keeps the points for which `keep(series, timestamp in ms, value)` holds, asked in their order, and the series that
    /// still have one; both close up. Marks are void from now on.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, i64, f64) -> bool) {
        self.void_marks();
        let mut used = vec![false; self.series.len()];
        let mut histograms = std::mem::take(&mut self.histograms).into_iter().peekable();
        let mut kept = 0;
        for point in 0..self.len() {
            let (series, timestamp, value) = (self.series_of[point], self.timestamps[point], self.values[point]);
            let histogram = histograms.next_if(|(of, _)| *of as usize == point);
            if keep(series, timestamp, value) {
                used[series as usize] = true;
                self.series_of[kept] = series;
                self.timestamps[kept] = timestamp;
                self.values[kept] = value;
                if let Some((_, histogram)) = histogram {
                    let place = u32::try_from(kept).expect("points of a batch are bounded far below 2^32");
                    self.histograms.push((place, histogram));
                }
                kept += 1;
            }
        }
        self.series_of.truncate(kept);
        self.timestamps.truncate(kept);
        self.values.truncate(kept);
        if !used.iter().all(|used| *used) {
            self.close_up_series(&used);
        }
    }

    fn close_up_series(&mut self, used: &[bool]) {
        let mut next = 0;
        let place = |used: &bool| {
            let place = next;
            next += u32::from(*used);
            place
        };
        let places: Vec<u32> = used.iter().map(place).collect();
        let mut used = used.iter();
        self.series.retain(|_| used.next().is_some_and(|used| *used));
        for series in &mut self.series_of {
            *series = places[*series as usize];
        }
    }

    /// Keeps what is said of the metrics for which `keep` holds. Marks are void from now on.
    pub fn retain_descriptions(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.void_marks();
        self.metadata.retain(|metric, _| keep(metric));
    }

    /// There is no way back behind a change of what was there.
    fn void_marks(&mut self) {
        if self.marks > 0 {
            self.said_before.clear();
            self.marks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::MetricMetadata;
    use crate::labels::Labels;

    fn batch(metrics: &[&str]) -> PointBatch {
        let mut batch = PointBatch::new();
        for metric in metrics {
            let series = batch.add_series(&mut vec![("__name__", metric)]).expect("valid");
            batch.push(series, 1, 1.0);
            batch.push(series, 2, 2.0);
        }
        batch
    }

    fn metric(batch: &PointBatch, series: u32) -> String {
        Labels::from_canonical(batch.series(series).1).expect("canonical").metric().to_owned()
    }

    #[test]
    fn points_that_go_take_their_series_along_when_they_are_the_last() {
        let mut batch = batch(&["a", "b", "c"]);
        batch.retain(|series, timestamp, _| series == 2 || (series == 0 && timestamp == 2));
        assert_eq!(
            (batch.series_of(), batch.timestamps(), batch.values()),
            (&[0, 1, 1][..], &[2, 1, 2][..], &[2.0, 1.0, 2.0][..])
        );
        assert_eq!((batch.series_len(), metric(&batch, 0), metric(&batch, 1)), (2, "a".to_owned(), "c".to_owned()));
        batch.retain(|_, _, _| false);
        assert_eq!((batch.len(), batch.series_len()), (0, 0));
    }

    #[test]
    fn a_series_is_what_its_new_labels_say_and_its_neighbours_stay() {
        let mut batch = batch(&["a", "b"]);
        let labels = Labels::new([("__name__", "other"), ("l", "1")]).expect("valid");
        batch.relabel(0, labels.as_bytes(), labels.hash());
        assert_eq!(batch.series(0), (labels.hash(), labels.as_bytes()));
        assert_eq!(metric(&batch, 1), "b");
    }

    #[test]
    #[should_panic(expected = "only the newest mark")]
    fn there_is_no_way_back_behind_a_change() {
        let mut batch = batch(&["a", "b"]);
        let mark = batch.mark();
        batch.retain(|series, _, _| series == 1);
        batch.truncate_to(mark);
    }

    #[test]
    fn descriptions_go_one_by_one() {
        let mut batch = PointBatch::new();
        batch.describe("a", MetricMetadata::default());
        batch.describe("b", MetricMetadata::default());
        batch.retain_descriptions(|metric| metric == "b");
        assert_eq!(batch.metadata().keys().collect::<Vec<_>>(), ["b"]);
    }
}
