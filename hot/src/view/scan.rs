//! Reads the base of one hour out of RocksDB, decoding on the way.
//!
//! sorted addresses ─▶ one forward pass a family ─▶ chunk or row ─decode─▶ points, moments or buckets ─▶ `each`
//!
//! Which family a metric's chunks are in is its form's matter: `raw` chunks have 1-minute rows beside them, `raw1m`
//! chunks are their own (identity). Nothing here looks at who owns the hour, nor at what is newer than the base.

use schemas::chunk::ChunkDecoder;
use schemas::keys::{Family, parse_sealed_key, sealed_hour_prefix, sealed_key};
use schemas::rollup::{Aggregate, Bucket, BucketMoments, aggregate_by_bucket, bucketize, bucketize_moments};
use schemas::rollup_row::{RowDecoder, RowError};
use schemas::tier_map::Form;
use schemas::{DurationMs, Hour, MetricId, Points, Resolution, RetentionClass, SeriesAddress};

use super::View;
use crate::cursor::{Access, Cursor};
use crate::error::HotError;

/// What a scan read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Points decoded.
    pub points: u64,
    /// Chunks and rollup rows read.
    pub rows: u64,
    /// Bytes of these.
    pub bytes: u64,
}

impl ScanStats {
    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    fn row(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.bytes += bytes.len() as u64;
    }
}

/// The start of a bucket in ms, and its aggregate.
pub type Timed<A> = (i64, A);

/// One hour of one family, read forward by address.
#[derive(Debug)]
pub(crate) struct HourReader<'v> {
    view: &'v View,
    family: Family,
    hour: Hour,
    access: Access,
    /// The class that is being read; its cursor is `None` when the family does not exist.
    current: Option<(RetentionClass, Option<Cursor<'v>>)>,
}

impl<'v> HourReader<'v> {
    pub(crate) fn new(view: &'v View, family: Family, hour: Hour, access: Access) -> Self {
        Self { view, family, hour, access, current: None }
    }

    /// The value of a series. Each address must be greater than the last.
    pub(crate) fn find(&mut self, address: SeriesAddress) -> Result<Option<&[u8]>, HotError> {
        if self.current.as_ref().is_none_or(|(class, _)| *class != address.class) {
            let prefix = sealed_hour_prefix(address.class, self.hour);
            self.current = Some((address.class, self.view.cursor(self.family, &prefix, self.access)));
        }
        match &mut self.current {
            Some((_, Some(cursor))) => cursor.find(&sealed_key(self.hour, address)),
            _ => Ok(None),
        }
    }

    fn damaged(&self, what: &'static str, address: SeriesAddress, reason: impl std::fmt::Display) -> HotError {
        HotError::damaged(what, self.family.to_string(), &sealed_key(self.hour, address), reason)
    }
}

/// The raw chunks of one hour, whichever form they have.
#[derive(Debug)]
pub(crate) struct ChunkReader<'v> {
    view: &'v View,
    raw: HourReader<'v>,
    raw1m: HourReader<'v>,
    /// The form of the metric that is being read.
    form: Option<(RetentionClass, MetricId, Form)>,
}

impl<'v> ChunkReader<'v> {
    pub(crate) fn new(view: &'v View, hour: Hour, access: Access) -> Self {
        let reader = |form| HourReader::new(view, Family::of_raw(form, hour), hour, access);
        Self { view, raw: reader(Form::Raw), raw1m: reader(Form::Raw1m), form: None }
    }

    pub(crate) fn form_of(&mut self, address: SeriesAddress) -> Form {
        match self.form {
            Some((class, metric, form)) if (class, metric) == (address.class, address.metric) => form,
            _ => {
                let form = self.view.map().form(address.class, address.metric, self.raw.hour.day());
                self.form = Some((address.class, address.metric, form));
                form
            }
        }
    }

    pub(crate) fn reader(&mut self, form: Form) -> &mut HourReader<'v> {
        match form {
            Form::Raw => &mut self.raw,
            Form::Raw1m => &mut self.raw1m,
        }
    }

    /// The chunk of a series. Each address must be greater than the last.
    pub(crate) fn find(&mut self, address: SeriesAddress) -> Result<Option<&[u8]>, HotError> {
        let form = self.form_of(address);
        self.reader(form).find(address)
    }

    /// Appends the points of a series to `out`; counts what was read.
    fn read(
        &mut self,
        address: SeriesAddress,
        decoder: &mut ChunkDecoder,
        stats: &mut ScanStats,
        out: &mut Points,
    ) -> Result<(), HotError> {
        let form = self.form_of(address);
        let reader = self.reader(form);
        let Some(chunk) = reader.find(address)? else { return Ok(()) };
        stats.row(chunk);
        let before = out.len();
        if let Err(error) = decoder.decode(chunk, out) {
            return Err(reader.damaged("chunk", address, error));
        }
        stats.points += (out.len() - before) as u64;
        Ok(())
    }
}

impl View {
    /// The base points of an hour: `each` gets the index of every series that has some, ascending, with its settled
    /// points. `addresses` must be sorted. For different hours it may be called in parallel.
    pub fn scan_points(
        &self,
        hour: Hour,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &Points),
    ) -> Result<ScanStats, HotError> {
        let mut stats = ScanStats::default();
        let mut chunks = ChunkReader::new(self, hour, Access::Query);
        let (mut decoder, mut points) = (ChunkDecoder::default(), Points::default());
        for (index, &address) in addresses.iter().enumerate() {
            points.clear();
            chunks.read(address, &mut decoder, &mut stats, &mut points)?;
            if !points.is_empty() {
                each(index, &points);
            }
        }
        Ok(stats)
    }

    /// The base chunks of an hour as they lie there, neither decoded nor verified: `each` gets the index of every series that
    /// has one, ascending, with its bytes. Otherwise as [`View::scan_points`].
    pub fn scan_chunks(
        &self,
        hour: Hour,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<ScanStats, HotError> {
        let mut stats = ScanStats::default();
        let mut chunks = ChunkReader::new(self, hour, Access::Query);
        for (index, &address) in addresses.iter().enumerate() {
            if let Some(chunk) = chunks.find(address)? {
                stats.row(chunk);
                each(index, chunk);
            }
        }
        Ok(stats)
    }

    /// That a chunk which [`View::scan_chunks`] gave is damaged.
    pub fn damaged_chunk(&self, hour: Hour, address: SeriesAddress, reason: impl std::fmt::Display) -> HotError {
        let form = self.map().form(address.class, address.metric, hour.day());
        HotError::damaged("chunk", Family::of_raw(form, hour).to_string(), &sealed_key(hour, address), reason)
    }

    /// The aggregates of the closed buckets `[b, b + width)` of an hour, from whatever holds them cheapest. `width` is an
    /// hour, or whole minutes that divide one. Otherwise as [`View::scan_points`].
    pub fn scan_aggregates<A: Aggregate>(
        &self,
        hour: Hour,
        width: DurationMs,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &[Timed<A>]),
    ) -> Result<ScanStats, HotError> {
        debug_assert!(width.0 > 0 && width.0 % DurationMs::MINUTE.0 == 0 && DurationMs::HOUR.0 % width.0 == 0);
        let mut stats = ScanStats::default();
        let mut scratch = AggregateScratch::default();
        let mut chunks = ChunkReader::new(self, hour, Access::Query);
        let mut minutes = HourReader::new(self, Family::Minute(hour.week()), hour, Access::Query);
        let mut hours = HourReader::new(self, Family::Hour(hour.week()), hour, Access::Query);
        for (index, &address) in addresses.iter().enumerate() {
            scratch.out.clear();
            if width == DurationMs::HOUR {
                scratch.rows(&mut hours, address, DurationMs::HOUR, width, &mut stats)?;
            } else {
                match chunks.form_of(address) {
                    Form::Raw => scratch.rows(&mut minutes, address, DurationMs::MINUTE, width, &mut stats)?,
                    Form::Raw1m => scratch.chunk(&mut chunks, address, width, &mut stats)?,
                }
            }
            if !scratch.out.is_empty() {
                each(index, &scratch.out);
            }
        }
        Ok(stats)
    }

    /// The buckets of an hour with edges and sketches. `resolution` is a minute or an hour. Otherwise as
    /// [`View::scan_points`].
    pub fn scan_buckets(
        &self,
        hour: Hour,
        resolution: Resolution,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &[Bucket]),
    ) -> Result<ScanStats, HotError> {
        let mut decoder = RowDecoder::default();
        let of_row = |row: &[u8], width, out: &mut _| decoder.buckets(row, hour.start(), width, true, out);
        let of_points = |points: &Points, out: &mut Vec<_>| {
            bucketize(&points.timestamps, &points.values, DurationMs::MINUTE, |bucket| out.push(bucket));
        };
        self.scan_rows((hour, resolution), addresses, of_row, of_points, each)
    }

    /// The same without sketches.
    pub fn scan_bucket_moments(
        &self,
        hour: Hour,
        resolution: Resolution,
        addresses: &[SeriesAddress],
        each: &mut dyn FnMut(usize, &[BucketMoments]),
    ) -> Result<ScanStats, HotError> {
        let mut decoder = RowDecoder::default();
        let of_row = |row: &[u8], width, out: &mut _| decoder.moments(row, hour.start(), width, out);
        let of_points = |points: &Points, out: &mut Vec<_>| {
            bucketize_moments(&points.timestamps, &points.values, DurationMs::MINUTE, |bucket| out.push(bucket));
        };
        self.scan_rows((hour, resolution), addresses, of_row, of_points, each)
    }

    /// Buckets from rows of their width, or from the points of the chunk that stands for a row.
    fn scan_rows<B>(
        &self,
        (hour, resolution): (Hour, Resolution),
        addresses: &[SeriesAddress],
        mut of_row: impl FnMut(&[u8], DurationMs, &mut Vec<B>) -> Result<(), RowError>,
        of_points: impl Fn(&Points, &mut Vec<B>),
        each: &mut dyn FnMut(usize, &[B]),
    ) -> Result<ScanStats, HotError> {
        let mut stats = ScanStats::default();
        let mut chunks = ChunkReader::new(self, hour, Access::Query);
        let mut minutes = HourReader::new(self, Family::Minute(hour.week()), hour, Access::Query);
        let mut hours = HourReader::new(self, Family::Hour(hour.week()), hour, Access::Query);
        let (mut decoder, mut points) = (ChunkDecoder::default(), Points::default());
        let mut buckets = Vec::new();
        for (index, &address) in addresses.iter().enumerate() {
            buckets.clear();
            let rows = match (resolution, chunks.form_of(address)) {
                (Resolution::Hour, _) => Some((&mut hours, DurationMs::HOUR)),
                (Resolution::Minute, Form::Raw) => Some((&mut minutes, DurationMs::MINUTE)),
                (Resolution::Minute | Resolution::Raw, _) => None,
            };
            if let Some((rows, width)) = rows {
                if let Some(row) = rows.find(address)? {
                    stats.row(row);
                    of_row(row, width, &mut buckets).map_err(|error| rows.damaged("rollup row", address, error))?;
                }
            } else {
                points.clear();
                chunks.read(address, &mut decoder, &mut stats, &mut points)?;
                of_points(&points, &mut buckets);
            }
            if !buckets.is_empty() {
                each(index, &buckets);
            }
        }
        Ok(stats)
    }

    /// Addresses that have base data of an hour in RocksDB, sorted.
    pub fn base_addresses(&self, hour: Hour) -> Result<Vec<SeriesAddress>, HotError> {
        let mut found = Vec::new();
        let families = [
            Family::Raw(hour.day()),
            Family::Raw1m(hour.day()),
            Family::Minute(hour.week()),
            Family::Hour(hour.week()),
        ];
        for family in families {
            let before = found.len();
            self.addresses_in(family, hour, &mut found)?;
            if before > 0 && found.len() > before {
                found.sort_unstable();
                found.dedup();
            }
        }
        Ok(found)
    }

    /// Appends the addresses that a family has data of in an hour, sorted.
    pub(crate) fn addresses_in(
        &self,
        family: Family,
        hour: Hour,
        out: &mut Vec<SeriesAddress>,
    ) -> Result<(), HotError> {
        for class in self.classes_in(family)? {
            let Some(mut cursor) = self.cursor(family, &sealed_hour_prefix(class, hour), Access::Pass) else {
                continue;
            };
            while let Some((key, _)) = cursor.advance()? {
                let (_, address) =
                    parse_sealed_key(key).map_err(|error| HotError::damaged("key", family.to_string(), key, error))?;
                out.push(address);
            }
        }
        Ok(())
    }

    /// The classes that a family of sealed data holds anything of.
    pub(crate) fn classes_in(&self, family: Family) -> Result<Vec<RetentionClass>, HotError> {
        let mut classes = Vec::new();
        let Some(mut cursor) = self.cursor(family, &[], Access::Query) else { return Ok(classes) };
        let mut from = Some(0_u8);
        while let Some(class) = from {
            let Some((key, _)) = cursor.seek(&[class])? else { break };
            let Some(&found) = key.first() else { break };
            classes.push(RetentionClass(found));
            from = found.checked_add(1);
        }
        Ok(classes)
    }
}

/// Buffers of [`View::scan_aggregates`].
#[derive(Debug)]
struct AggregateScratch<A> {
    decoder: ChunkDecoder,
    points: Points,
    row_decoder: RowDecoder,
    rows: Vec<BucketMoments>,
    out: Vec<Timed<A>>,
}

impl<A> Default for AggregateScratch<A> {
    fn default() -> Self {
        Self {
            decoder: ChunkDecoder::default(),
            points: Points::default(),
            row_decoder: RowDecoder::default(),
            rows: Vec::new(),
            out: Vec::new(),
        }
    }
}

impl<A: Aggregate> AggregateScratch<A> {
    /// From a chunk.
    fn chunk(
        &mut self,
        chunks: &mut ChunkReader<'_>,
        address: SeriesAddress,
        width: DurationMs,
        stats: &mut ScanStats,
    ) -> Result<(), HotError> {
        self.points.clear();
        chunks.read(address, &mut self.decoder, stats, &mut self.points)?;
        let out = &mut self.out;
        aggregate_by_bucket(&self.points.timestamps, &self.points.values, width, |start, part| out.push((start, part)));
        Ok(())
    }

    /// From a row of buckets of `stored`, of which `width` is a multiple.
    fn rows(
        &mut self,
        reader: &mut HourReader<'_>,
        address: SeriesAddress,
        stored: DurationMs,
        width: DurationMs,
        stats: &mut ScanStats,
    ) -> Result<(), HotError> {
        let hour = reader.hour;
        let Some(row) = reader.find(address)? else { return Ok(()) };
        stats.row(row);
        self.rows.clear();
        if let Err(error) = self.row_decoder.moments(row, hour.start(), stored, &mut self.rows) {
            return Err(reader.damaged("rollup row", address, error));
        }
        for bucket in &self.rows {
            let start = bucket.start.timestamp().floor_to(width).0;
            let closed = A::of_moments(&bucket.closed());
            match self.out.last_mut() {
                Some((last, whole)) if *last == start => *whole = whole.combine(&closed),
                _ => self.out.push((start, closed)),
            }
        }
        Ok(())
    }
}
