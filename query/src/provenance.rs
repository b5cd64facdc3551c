//! Says of an answer where it came from: which tier answered which part, at what resolution, how complete.
//!
//! segments (before reading) + [`Tally`] (what reading really met) ─▶ [`Provenance`]
//!
//! A tier is named in `tiers` if it gave data (or, of an empty answer, if it would have). *Hot* is local raw points, runs
//! and the head; *warm* is local rollups, and raw chunks that stand for them once the raw retention is over; *cold*
//! is Delta.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use schemas::tier_map::Tier;
use schemas::{DurationMs, TimestampMs};

use crate::router::{Need, Segment};

/// Segments that an answer tells at most; beyond, neighbours are told as one.
const SEGMENTS_MAX: usize = 200;

/// Where an answer came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// Tiers that gave data, hot first.
    pub tiers: Vec<Tier>,
    /// Oldest first. Series of different metrics may have come from different tiers at the same time: then segments
    /// overlap.
    pub segments: Vec<ProvenanceSegment>,
    /// The coarsest resolution in the answer: `raw`, `1m`, `1h`, `1d`.
    pub resolution: &'static str,
    /// Whether every part is answered exactly, at the resolution asked for.
    pub complete: bool,
    /// The version of the tier map: answers with the same version saw the same map.
    pub data_version: u64,
    /// The largest relative error that a quantile of the answer may have; `None` where all values are exact.
    pub quantile_error: Option<f64>,
    /// Hours looked into, as often as they were: once for each batch of series.
    pub hours_read: u64,
    /// Points decoded, of raw data.
    pub points_read: u64,
    /// Rollup rows that were used, decoded now or kept decoded.
    pub rows_read: u64,
    /// Bytes read of chunks, rows and objects.
    pub bytes_read: u64,
    /// GET requests to the object store.
    pub object_store_gets: u64,
    /// Series that matched.
    pub series_matched: u64,
    pub timings: Timings,
}

/// A part of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceSegment {
    pub start: TimestampMs,
    pub end: TimestampMs,
    /// `None`: retention has dropped it everywhere.
    pub tier: Option<Tier>,
    /// Of the answer's values in this part.
    pub resolution: &'static str,
    pub complete: bool,
}

/// How long the steps took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Finding the series.
    pub select: Duration,
    /// Reading and aggregating.
    pub read: Duration,
    pub total: Duration,
}

/// The name of a resolution by its bucket width.
pub(crate) fn resolution_name(width: DurationMs) -> &'static str {
    match width {
        w if w >= DurationMs::DAY => "1d",
        w if w >= DurationMs::HOUR => "1h",
        w if w >= DurationMs::MINUTE => "1m",
        _ => "raw",
    }
}

/// What the readers of a query meet, counted from many threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    hours: AtomicU64,
    points: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Bit `t` is set once tier `t` gave data.
    tiers: AtomicU8,
    /// A corrected bucket could not be recomputed, for its raw points are kept nowhere.
    unrepaired: AtomicBool,
    /// The largest error bound of a quantile, as bits of a non-negative float, which order as integers.
    quantile_error: AtomicU64,
}

const TIERS: [Tier; 3] = [Tier::Hot, Tier::Warm, Tier::Cold];

impl Tally {
    /// Counts a local scan that gave data from `tier`, if it did.
    pub(crate) fn scanned(&self, tier: Tier, stats: hot::ScanStats) {
        self.points.fetch_add(stats.points, Ordering::Relaxed);
        self.rows.fetch_add(stats.rows, Ordering::Relaxed);
        self.bytes.fetch_add(stats.bytes, Ordering::Relaxed);
        if stats.points > 0 || stats.rows > 0 {
            self.met(tier);
        }
    }

    /// Counts points that were decoded after their scan.
    pub(crate) fn decoded(&self, points: usize) {
        self.points.fetch_add(points as u64, Ordering::Relaxed);
    }

    /// Counts an hour that is looked into.
    pub(crate) fn visited(&self) {
        self.hours.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn met(&self, tier: Tier) {
        self.tiers.fetch_or(1 << (tier as u8), Ordering::Relaxed);
    }

    pub(crate) fn unrepaired(&self) {
        self.unrepaired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn quantile_error(&self, error: f64) {
        self.quantile_error.fetch_max(error.max(0.0).to_bits(), Ordering::Relaxed);
    }

    fn tiers_met(&self) -> Vec<Tier> {
        let bits = self.tiers.load(Ordering::Relaxed);
        TIERS.into_iter().filter(|&tier| bits & (1 << (tier as u8)) != 0).collect()
    }
}

/// Gathers the provenance of one query.
#[derive(Debug)]
pub struct ProvenanceCollector {
    pub(crate) tally: Tally,
    pub(crate) cold: cold::ReadCounters,
    data_version: u64,
    series_matched: AtomicU64,
    told: parking_lot::Mutex<BTreeSet<Told>>,
}

/// A segment as told, in the order of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    start: TimestampMs,
    end: TimestampMs,
    tier: Option<Tier>,
    width: DurationMs,
    exact: bool,
}

impl ProvenanceCollector {
    pub(crate) fn new(data_version: u64) -> Arc<Self> {
        Arc::new(Self {
            tally: Tally::default(),
            cold: cold::ReadCounters::default(),
            data_version,
            series_matched: AtomicU64::new(0),
            told: parking_lot::Mutex::default(),
        })
    }

    pub(crate) fn matched(&self, series: usize) {
        self.series_matched.fetch_add(series as u64, Ordering::Relaxed);
    }

    /// Remembers how a group of series is routed.
    pub(crate) fn routed(&self, need: Need, segments: &[Segment]) {
        let mut told = self.told.lock();
        told.extend(segments.iter().map(|segment| Told {
            start: segment.range.start(),
            end: segment.range.end(),
            tier: segment.source.map(|source| source.tier),
            width: if segment.source.is_some() { segment.width(need) } else { need.width() },
            exact: segment.source.is_some_and(|source| source.exact),
        }));
    }

    /// What is known before anything is read: the tiers that will be asked, not those that gave data.
    pub fn planned(&self) -> Provenance {
        let planned = self.snapshot();
        Provenance { tiers: tiers_of(&*self.told.lock()), ..planned }
    }

    /// What can be said so far; the whole truth once everything is read.
    pub fn snapshot(&self) -> Provenance {
        let told: Vec<Told> = self.told.lock().iter().copied().collect();
        let mut tiers = self.tally.tiers_met();
        if tiers.is_empty() {
            tiers = tiers_of(&told);
        }
        let coarsest = told.iter().filter(|t| t.tier.is_some()).map(|t| t.width).max().unwrap_or(DurationMs(1));
        let error = f64::from_bits(self.tally.quantile_error.load(Ordering::Relaxed));
        Provenance {
            tiers,
            resolution: resolution_name(coarsest),
            complete: told.iter().all(|t| t.exact) && !self.tally.unrepaired.load(Ordering::Relaxed),
            segments: merged(told).into_iter().map(Told::into_segment).collect(),
            data_version: self.data_version,
            quantile_error: (error > 0.0).then_some(error),
            hours_read: self.tally.hours.load(Ordering::Relaxed),
            points_read: self.tally.points.load(Ordering::Relaxed),
            rows_read: self.tally.rows.load(Ordering::Relaxed) + self.cold.rows(),
            bytes_read: self.tally.bytes.load(Ordering::Relaxed) + self.cold.bytes(),
            object_store_gets: self.cold.gets(),
            series_matched: self.series_matched.load(Ordering::Relaxed),
            timings: Timings::default(),
        }
    }
}

impl Told {
    fn into_segment(self) -> ProvenanceSegment {
        ProvenanceSegment {
            start: self.start,
            end: self.end,
            tier: self.tier,
            resolution: resolution_name(self.width),
            complete: self.exact,
        }
    }
}

fn tiers_of<'a>(told: impl IntoIterator<Item = &'a Told> + Copy) -> Vec<Tier> {
    TIERS.into_iter().filter(|&tier| told.into_iter().any(|t| t.tier == Some(tier))).collect()
}

/// Joins what touches and says the same; bounds the number.
fn merged(told: Vec<Told>) -> Vec<Told> {
    let mut out: Vec<Told> = Vec::new();
    for next in told {
        let same = |t: &Told| (t.tier, t.width, t.exact) == (next.tier, next.width, next.exact);
        match out.iter().rposition(|t| same(t) && t.end >= next.start) {
            Some(before) => out[before].end = out[before].end.max(next.end),
            None if out.len() < SEGMENTS_MAX => out.push(next),
            // Many metrics with many forms a day: the last segment then speaks for the rest.
            None => {
                if let Some(last) = out.last_mut() {
                    last.end = last.end.max(next.end);
                    last.exact &= next.exact;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use schemas::TimeRange;
    use schemas::tier_map::Owner;

    use super::*;
    use crate::router::Source;

    fn segment(start: i64, end: i64, tier: Option<Tier>, exact: bool) -> Segment {
        let range = TimeRange::new(TimestampMs(start), TimestampMs(end)).expect("ordered");
        let resolution = if exact { schemas::Resolution::Minute } else { schemas::Resolution::Hour };
        let source = tier.map(|tier| Source { owner: Owner::Local, resolution, tier, exact });
        Segment { range, source }
    }

    const MINUTES: Need = Need::Moments { width: DurationMs::MINUTE };

    #[test]
    fn metrics_routed_alike_are_told_once() {
        let collector = ProvenanceCollector::new(3);
        let segments = [segment(0, 10, Some(Tier::Cold), true), segment(10, 30, Some(Tier::Warm), true)];
        collector.routed(MINUTES, &segments);
        collector.routed(MINUTES, &segments);
        collector.routed(MINUTES, &[segment(0, 20, Some(Tier::Cold), true)]);
        let told = collector.snapshot();
        let spans: Vec<_> = told.segments.iter().map(|s| (s.start.0, s.end.0, s.tier)).collect();
        assert_eq!(spans, [(0, 20, Some(Tier::Cold)), (10, 30, Some(Tier::Warm))]);
        assert!(told.complete);
        assert_eq!((told.resolution, told.data_version, told.quantile_error), ("1m", 3, None));
        assert_eq!(told.tiers, [Tier::Warm, Tier::Cold], "of an empty answer, those that would have given data");
        collector.tally.met(Tier::Cold);
        assert_eq!(collector.snapshot().tiers, [Tier::Cold]);
        assert_eq!(collector.planned().tiers, [Tier::Warm, Tier::Cold]);
    }

    #[test]
    fn coarser_and_dropped_parts_are_incomplete() {
        let collector = ProvenanceCollector::new(0);
        collector.routed(MINUTES, &[segment(0, 10, None, false), segment(10, 20, Some(Tier::Cold), false)]);
        collector.tally.met(Tier::Cold);
        let told = collector.snapshot();
        assert!(!told.complete);
        assert_eq!(told.resolution, "1h");
        assert_eq!(told.segments.iter().map(|s| s.complete).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn the_largest_error_is_told() {
        let collector = ProvenanceCollector::new(0);
        collector.tally.quantile_error(0.01);
        collector.tally.quantile_error(0.02);
        collector.tally.quantile_error(0.005);
        assert_eq!(collector.snapshot().quantile_error, Some(0.02));
    }
}
