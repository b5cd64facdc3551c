//! A generation: the points of one epoch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use schemas::chunk::ChunkDecoder;
use schemas::{Epoch, Hour, Points, SeriesAddress, Sid, TimeRange};

use super::shard::{Applied, Shard};
use super::{HeadBatch, SHARDS, shard_of};
use crate::error::HotError;

/// The points of one epoch, in memory.
#[derive(Debug)]
pub(crate) struct Generation {
    epoch: Epoch,
    shards: Vec<RwLock<Shard>>,
    /// Points of each hour, repeats counted.
    hours: RwLock<BTreeMap<Hour, u64>>,
    points: AtomicU64,
    log_bytes: AtomicU64,
    arena_bytes: AtomicU64,
    /// Bytes of the native histograms in the pages.
    histogram_bytes: AtomicU64,
    log_records: AtomicU64,
    /// When the first point came, in ms; `i64::MAX` while there is none.
    first_arrival: AtomicI64,
}

impl Generation {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hours: RwLock::default(),
            points: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            arena_bytes: AtomicU64::new(0),
            histogram_bytes: AtomicU64::new(0),
            log_records: AtomicU64::new(0),
            first_arrival: AtomicI64::new(i64::MAX),
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Adds the points of one log record. Called by one thread at a time, in log order.
    pub(crate) fn apply(&self, batch: &HeadBatch, record_bytes: usize, now_ms: i64) {
        // The hours first: a reader that finds a point must not have been told that its hour has none.
        {
            let mut hours = self.hours.write();
            for &(hour, points) in &batch.hours {
                *hours.entry(hour).or_default() += points;
            }
        }
        for (shard, points) in batch.by_shard() {
            let Applied { packed, histograms } = self.shards[shard].write().apply(points);
            self.arena_bytes.fetch_add(packed as u64, Ordering::Relaxed);
            self.histogram_bytes.fetch_add(histograms.came as u64, Ordering::Relaxed);
            self.histogram_bytes.fetch_sub(histograms.went as u64, Ordering::Relaxed);
        }
        self.points.fetch_add(batch.len() as u64, Ordering::Release);
        self.log_bytes.fetch_add(record_bytes as u64, Ordering::Relaxed);
        self.log_records.fetch_add(1, Ordering::Relaxed);
        self.first_arrival.fetch_min(now_ms, Ordering::Relaxed);
    }

    /// Appends the points of a series in `range` to `out`, in arrival order.
    pub(crate) fn read(
        &self,
        address: SeriesAddress,
        range: TimeRange,
        decoder: &mut ChunkDecoder,
        out: &mut Points,
    ) -> Result<(), HotError> {
        let shard = self.shards[shard_of(address)].read();
        shard.read(address.sid, range.start().0, range.end().0, decoder, out)
    }

    pub(crate) fn holds_hour(&self, hour: Hour) -> bool {
        self.hours.read().contains_key(&hour)
    }

    /// Its hours with their points, repeats counted.
    pub(crate) fn hours(&self) -> BTreeMap<Hour, u64> {
        self.hours.read().clone()
    }

    pub(crate) fn holds_series(&self, sid: Sid) -> bool {
        self.shards[sid.0 as usize % SHARDS].read().holds(sid)
    }

    /// Every series, sorted.
    pub(crate) fn addresses(&self) -> Vec<SeriesAddress> {
        let mut all: Vec<SeriesAddress> = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().addresses());
        }
        all.sort_unstable();
        all
    }

    /// Points that arrived, repeats counted.
    pub(crate) fn points(&self) -> u64 {
        self.points.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points() == 0
    }

    /// Bytes of the epoch's log records.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// What the bounds of an epoch count: bytes of its log, or of its mini-chunks and the native histograms in its pages,
    /// whichever are more. These are fewer but for points that do not pack, such as those of a series that jumps to and fro by
    /// months.
    pub(crate) fn size(&self) -> u64 {
        let packed = self.arena_bytes.load(Ordering::Relaxed);
        self.log_bytes().max(packed + self.histogram_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn log_records(&self) -> u64 {
        self.log_records.load(Ordering::Relaxed)
    }

    /// When the first point came, in ms.
    pub(crate) fn first_arrival_ms(&self) -> Option<i64> {
        Some(self.first_arrival.load(Ordering::Relaxed)).filter(|&ms| ms != i64::MAX)
    }

    /// Bytes in memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().bytes() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use schemas::histogram::Histogram;
    use schemas::points::{histogram_marker, stale};
    use schemas::{MetricId, RetentionClass};

    use super::*;

    fn address(sid: u32) -> SeriesAddress {
        SeriesAddress { class: RetentionClass::DEFAULT, metric: MetricId(sid / 4), sid: Sid(sid) }
    }

    fn apply(generation: &Generation, points: &[(u32, i64, f64)]) {
        let addresses: Vec<SeriesAddress> = (0..200).map(address).collect();
        generation.apply(&HeadBatch::new(addresses, points.iter().copied(), &[]), 100, 5);
    }

    fn read(generation: &Generation, sid: u32, range: std::ops::Range<i64>) -> Vec<(i64, u64)> {
        let range =
            TimeRange::new(schemas::TimestampMs(range.start), schemas::TimestampMs(range.end)).expect("ordered");
        let mut out = Points::default();
        generation.read(address(sid), range, &mut ChunkDecoder::default(), &mut out).expect("readable");
        out.settle();
        out.iter().map(|(ts, v)| (ts, v.to_bits())).collect()
    }

    #[test]
    fn points_keep_their_arrival_order_over_pages() {
        let generation = Generation::new(Epoch(1));
        let mut points: Vec<(u32, i64, f64)> =
            (0..40).map(|i| (7, 1_000 * i, f64::from(u8::try_from(i).expect("small")))).collect();
        points.push((7, 3_000, -1.0));
        points.push((7, 4_000, stale()));
        apply(&generation, &points);
        let got = read(&generation, 7, 2_000..5_000);
        assert_eq!(got, [(2_000, 2.0_f64.to_bits()), (3_000, (-1.0_f64).to_bits()), (4_000, 4.0_f64.to_bits())]);
        assert_eq!((generation.points(), generation.log_bytes(), generation.first_arrival_ms()), (42, 100, Some(5)));
    }

    #[test]
    fn histograms_are_read_from_pages_and_from_packed_chunks_and_counted_while_they_lie_in_pages() {
        let generation = Generation::new(Epoch(1));
        let histogram = |count: i64| Arc::new(Histogram { count: count as f64, ..Histogram::default() });
        let addresses: Vec<SeriesAddress> = (0..3).map(address).collect();
        let mut points = Vec::new();
        let mut histograms = Vec::new();
        for i in 0..40 {
            for series in [2, 0] {
                points.push((series, 1_000 * i, histogram_marker()));
                histograms.push(histogram(i * 10 + i64::from(series)));
            }
            points.push((1, 1_000 * i, 0.5));
        }
        // A correction in either direction, one of them of a page that was packed.
        points.extend([(0, 3_000, 7.0), (1, 39_000, histogram_marker()), (0, 39_000, histogram_marker())]);
        histograms.extend([histogram(-1), histogram(-2)]);
        generation.apply(&HeadBatch::new(addresses, points.into_iter(), &histograms), 1, 5);
        let read = |series: u32| {
            let range = TimeRange::new(schemas::TimestampMs(2_000), schemas::TimestampMs(40_000)).expect("ordered");
            let mut out = Points::default();
            generation.read(address(series), range, &mut ChunkDecoder::default(), &mut out).expect("readable");
            out.settle();
            out.histograms.iter().map(|(ts, histogram)| (ts / 1_000, histogram.count)).collect::<Vec<_>>()
        };
        let told = |series: i64| (2..40).map(move |i| (i, (i * 10 + series) as f64));
        assert_eq!(read(2), told(2).collect::<Vec<_>>());
        let corrected = told(0).filter(|(i, _)| *i != 3).map(|(i, count)| (i, if i == 39 { -2.0 } else { count }));
        assert_eq!(read(0), corrected.collect::<Vec<_>>());
        assert_eq!(read(1), [(39, -1.0)]);
        // Two full pages and eight points of 0 and 2 each; one of 1.
        let held = generation.histogram_bytes.load(Ordering::Relaxed);
        assert_eq!(held, 17 * histogram(0).bytes() as u64);
        assert!(generation.bytes() > held && generation.size() > held);
    }

    #[test]
    fn points_far_apart_and_hours_are_kept() {
        let generation = Generation::new(Epoch(1));
        let far = 60 * schemas::time::DAY_MS;
        apply(&generation, &[(1, 0, 1.0), (1, far, 2.0), (1, 10, 3.0)]);
        assert_eq!(read(&generation, 1, 0..far + 1).iter().map(|p| p.0).collect::<Vec<_>>(), [0, 10, far]);
        assert_eq!(read(&generation, 1, 1..far).iter().map(|p| p.0).collect::<Vec<_>>(), [10]);
        assert!(
            generation.holds_hour(Hour(0)) && generation.holds_hour(Hour(60 * 24)) && !generation.holds_hour(Hour(1))
        );
        assert!(generation.holds_series(Sid(1)) && !generation.holds_series(Sid(2)));
    }

    proptest! {
        #[test]
        fn a_generation_equals_a_list(
            points in proptest::collection::vec((0_u32..5, 0_i64..100, prop_oneof![Just(stale()), any::<i8>().prop_map(f64::from)]), 0..300),
            cut in 0_usize..300,
        ) {
            let generation = Generation::new(Epoch(1));
            let cut = cut.min(points.len());
            apply(&generation, &points[..cut]);
            apply(&generation, &points[cut..]);
            for sid in 0..5 {
                let mut want = Points::default();
                for &(_, ts, value) in points.iter().filter(|p| p.0 == sid) {
                    want.push(ts, value);
                }
                want.settle();
                let want: Vec<(i64, u64)> = want.iter().map(|(ts, v)| (ts, v.to_bits())).collect();
                prop_assert_eq!(read(&generation, sid, 0..100), want);
            }
        }
    }
}
