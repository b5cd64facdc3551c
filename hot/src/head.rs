//! The head: points that are in no file yet, in memory and readable.
//!
//! [`HeadBatch`] (sorted by shard, arrival order kept) ─▶ [`Generation`] ─▶ shard ─▶ the series' page of 16 points
//! ─when full▶ mini-chunk in the shard's arena
//!
//! A generation holds what the log of its epoch holds (EPOCH-1): the committer applies batches in log order, and the
//! switch to the next generation is the switch to the next log. An ended generation is read until its run is published,
//! and freed by its last reader. Reads copy points out in arrival order; who wins is settled by the reader (SET-1).
//! Not here: durability (`log`), who switches (`committer`), the run that follows (`flush`).

mod generation;
mod page;
mod shard;

pub(crate) use generation::Generation;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::histogram::Histogram;
use schemas::points::is_histogram;
use schemas::{Hour, SeriesAddress, TimestampMs};

/// Shards of a generation. A series is always in the shard of its number.
const SHARDS: usize = 64;

fn shard_of(address: SeriesAddress) -> usize {
    address.sid.0 as usize % SHARDS
}

/// A point on its way into the head.
#[derive(Debug, Clone, Copy)]
struct HeadPoint {
    /// Index into the batch's addresses.
    series: u32,
    timestamp: i64,
    value: f64,
}

/// Points sorted by shard and, within a shard, in arrival order. Prepared by the caller's thread, so that the committer
/// only copies.
#[derive(Debug, Default)]
pub(crate) struct HeadBatch {
    addresses: Vec<SeriesAddress>,
    points: Vec<HeadPoint>,
    /// The native histograms by place in `points`, one for each value that stands for one.
    histograms: BTreeMap<u32, Arc<Histogram>>,
    /// `points[ends[s - 1]..ends[s]]` belong to shard `s`.
    ends: Vec<u32>,
    /// Points of each hour.
    hours: Vec<(Hour, u64)>,
}

impl HeadBatch {
    /// A batch of points given as (index into `addresses`, timestamp, value) in arrival order, and the native histograms that
    /// some values stand for, in the same order.
    pub(crate) fn new(
        addresses: Vec<SeriesAddress>,
        points: impl ExactSizeIterator<Item = (u32, i64, f64)> + Clone,
        histograms: &[Arc<Histogram>],
    ) -> Self {
        let mut ends = vec![0_u32; SHARDS];
        let mut hours: Vec<(Hour, u64)> = Vec::new();
        let mut last_hour = 0;
        for (series, timestamp, _) in points.clone() {
            ends[shard_of(addresses[series as usize])] += 1;
            count_hour(&mut hours, &mut last_hour, Hour::containing(TimestampMs(timestamp)));
        }
        let mut next = vec![0_u32; SHARDS];
        let mut total = 0;
        for (end, next) in ends.iter_mut().zip(&mut next) {
            *next = total;
            total += *end;
            *end = total;
        }
        let blank = HeadPoint { series: 0, timestamp: 0, value: 0.0 };
        let mut sorted = vec![blank; points.len()];
        let mut of_stand_ins = histograms.iter();
        let mut histograms = BTreeMap::new();
        for (series, timestamp, value) in points {
            let slot = &mut next[shard_of(addresses[series as usize])];
            sorted[*slot as usize] = HeadPoint { series, timestamp, value };
            if let Some(histogram) = of_stand_ins.as_slice().first().filter(|_| is_histogram(value)) {
                histograms.insert(*slot, Arc::clone(histogram));
                of_stand_ins.next();
            }
            *slot += 1;
        }
        Self { addresses, points: sorted, histograms, ends, hours }
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Bytes in memory, for the bound of the queue.
    pub(crate) fn bytes(&self) -> usize {
        let histograms: usize = self.histograms.values().map(|histogram| histogram.bytes()).sum();
        let addresses = self.addresses.len() * size_of::<SeriesAddress>();
        self.points.len() * size_of::<HeadPoint>() + addresses + histograms
    }

    /// The points of each shard that has any.
    fn by_shard(&self) -> impl Iterator<Item = (usize, ShardPoints<'_>)> {
        let mut from = 0;
        self.ends.iter().enumerate().filter_map(move |(shard, &end)| {
            let points = ShardPoints { batch: self, from, end };
            from = end;
            (points.from < points.end).then_some((shard, points))
        })
    }
}

/// The points of a batch that belong to one shard.
#[derive(Debug, Clone, Copy)]
struct ShardPoints<'b> {
    batch: &'b HeadBatch,
    from: u32,
    end: u32,
}

impl<'b> ShardPoints<'b> {
    /// In arrival order, each with its native histogram if its value stands for one.
    fn iter(self) -> impl Iterator<Item = (&'b HeadPoint, Option<&'b Arc<Histogram>>)> {
        let points = &self.batch.points[self.from as usize..self.end as usize];
        let histograms = &self.batch.histograms;
        (self.from..).zip(points).map(move |(at, point)| {
            let histogram = if is_histogram(point.value) { histograms.get(&at) } else { None };
            (point, histogram)
        })
    }

    fn address(self, series: u32) -> SeriesAddress {
        self.batch.addresses[series as usize]
    }
}

/// Counts one point of `hour` in a sorted list; `last` remembers where the previous point's hour was, since neighbours
/// share it.
fn count_hour(hours: &mut Vec<(Hour, u64)>, last: &mut usize, hour: Hour) {
    if hours.get(*last).is_none_or(|held| held.0 != hour) {
        *last = hours.binary_search_by_key(&hour, |held| held.0).unwrap_or_else(|missing| {
            hours.insert(missing, (hour, 0));
            missing
        });
    }
    hours[*last].1 += 1;
}
