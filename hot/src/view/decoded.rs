//! Hours of 1-hour rollups as they were decoded, kept for the queries to come.
//!
//! (class, metric, hour, through) ─▶ kept? ─no─▶ one pass over the metric's rows, decoded ─▶ kept ─▶ buckets of the series that
//! are asked for
//!
//! Dashboards ask for the same hours again and again, and to read a row takes several times as long as to use it. A metric's
//! rows of an hour are kept together, so this is for who asks for many of its series. Nothing is ever taken back: what lies
//! under one *through* stays as it is (SEAL-1), and an hour that is sealed again has another. Who reads what is newer than the
//! base reads it elsewhere (ROLL-4).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use schemas::keys::{Family, parse_sealed_key, sealed_key};
use schemas::rollup::BucketMoments;
use schemas::rollup_row::RowDecoder;
use schemas::{DurationMs, Epoch, Hour, MetricId, Resolution, RetentionClass, SeriesAddress, Sid};

use super::{ScanStats, View};
use crate::cursor::Access;
use crate::error::HotError;

/// Memory of a row.
const ROW_BYTES: usize = size_of::<Sid>() + size_of::<BucketMoments>();
/// What an hour takes beside its rows, about.
const HOUR_BYTES: usize = 256;
/// Hours that there is room for from the start.
const HOURS_EXPECTED: usize = 1_024;
/// Of what is kept, the share that hours have which were asked for twice. The rest is for those that a query has asked for
/// first, and will again before it ends.
const KNOWN_SHARE: f64 = 0.5;
/// A query keeps at most one part in so many of what there is room for.
const PARTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    class: RetentionClass,
    metric: MetricId,
    hour: Hour,
    through: Epoch,
}

/// A metric's rows of an hour, ascending by sid.
#[derive(Debug, Default)]
struct DecodedHour {
    sids: Vec<Sid>,
    buckets: Vec<BucketMoments>,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Key, Arc<DecodedHour>> for Bytes {
    fn weight(&self, _key: &Key, hour: &Arc<DecodedHour>) -> u64 {
        (HOUR_BYTES + hour.sids.len() * ROW_BYTES) as u64
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DecodedHours {
    hours: Cache<Key, Arc<DecodedHour>, Bytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl DecodedHours {
    /// Keeps so many bytes at most.
    pub(crate) fn new(bytes: usize) -> Self {
        // Undivided, so that an hour of many series fits.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(HOURS_EXPECTED)
            .weight_capacity(bytes as u64)
            .hot_allocation(KNOWN_SHARE)
            .build()
            .expect("capacities are given");
        let hours = Cache::with_options(options, Bytes, DefaultHashBuilder::default(), Default::default());
        Self { hours, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What is kept, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.hours.weight()
    }

    /// How often an hour of a metric was there when it was read, and how often it had to be decoded.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    fn get(
        &self,
        key: Key,
        decode: impl FnOnce() -> Result<DecodedHour, HotError>,
    ) -> Result<Arc<DecodedHour>, HotError> {
        let mut count = &self.hits;
        let hour = self.hours.get_or_insert_with(&key, || {
            count = &self.misses;
            decode().map(Arc::new)
        });
        count.fetch_add(1, Ordering::Relaxed);
        hour
    }
}

impl DecodedHour {
    /// Gives the bucket of each address that has one, all of this metric and ascending.
    fn each(&self, addresses: &[SeriesAddress], mut each: impl FnMut(usize, &BucketMoments)) -> u64 {
        let Some(first) = addresses.first() else { return 0 };
        let mut at = self.sids.partition_point(|&sid| sid < first.sid);
        let mut given = 0;
        for (index, address) in addresses.iter().enumerate() {
            while self.sids.get(at).is_some_and(|&sid| sid < address.sid) {
                at += 1;
            }
            if self.sids.get(at) == Some(&address.sid) {
                each(index, &self.buckets[at]);
                given += 1;
            }
        }
        given
    }
}

impl View {
    /// Whether [`View::scan_decoded_hour`] is for queries that read so many rows, of so many hours of metrics.
    pub fn keeps_decoded(&self, rows: usize, hours: usize) -> bool {
        let bytes = rows.saturating_mul(ROW_BYTES).saturating_add(hours.saturating_mul(HOUR_BYTES));
        bytes.saturating_mul(PARTS) as u64 <= self.decoded.hours.capacity()
    }

    /// As [`View::scan_bucket_moments`] of 1-hour rollups, which are kept: for who asks for many of the series of each metric,
    /// as far as [`View::keeps_decoded`] says so.
    pub fn scan_decoded_hour(
        &self,
        hour: Hour,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &[BucketMoments]),
    ) -> Result<ScanStats, HotError> {
        let through = self.map().sealed_through(hour);
        let mut stats = ScanStats::default();
        let mut start = 0;
        for metric in addresses.chunk_by(|a, b| (a.class, a.metric) == (b.class, b.metric)) {
            let each = &mut |at: usize, buckets: &[BucketMoments]| each(start + at, buckets);
            let key = Key { class: metric[0].class, metric: metric[0].metric, hour, through };
            let mut row_bytes = 0;
            let decoded = self.decoded.get(key, || self.decode_hour(key, &mut row_bytes));
            match decoded {
                Ok(decoded) => {
                    let rows = decoded.each(metric, |at, bucket| each(at, std::slice::from_ref(bucket)));
                    stats.add(ScanStats { points: 0, rows, bytes: row_bytes });
                }
                // It may be a row that nobody asks for.
                Err(_) => stats.add(self.scan_bucket_moments(hour, Resolution::Hour, metric, each)?),
            }
            start += metric.len();
        }
        Ok(stats)
    }

    fn decode_hour(&self, Key { class, metric, hour, .. }: Key, row_bytes: &mut u64) -> Result<DecodedHour, HotError> {
        let family = Family::Hour(hour.week());
        let first = sealed_key(hour, SeriesAddress { class, metric, sid: Sid(0) });
        let prefix = &first[..first.len() - size_of::<Sid>()];
        let mut decoded = DecodedHour::default();
        let Some(mut cursor) = self.cursor(family, prefix, Access::Query) else { return Ok(decoded) };
        let mut decoder = RowDecoder::default();
        while let Some((key, row)) = cursor.advance()? {
            let damaged = |reason: String| HotError::damaged("rollup row", family.to_string(), key, reason);
            let (_, address) = parse_sealed_key(key).map_err(|error| damaged(error.to_string()))?;
            decoder
                .moments(row, hour.start(), DurationMs::HOUR, &mut decoded.buckets)
                .map_err(|error| damaged(error.to_string()))?;
            decoded.sids.push(address.sid);
            *row_bytes += row.len() as u64;
        }
        debug_assert_eq!(decoded.sids.len(), decoded.buckets.len(), "an hour is one bucket");
        decoded.sids.shrink_to_fit();
        decoded.buckets.shrink_to_fit();
        Ok(decoded)
    }
}
