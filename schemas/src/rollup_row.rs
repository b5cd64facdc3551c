//! Stored rollups of one series and one hour: the values of the column families `m1` and `h1`.
//!
//! buckets ─▶ which of the hour's slots they take · columns (edge, counts, times, first, last, min, max, sum, resets) ·
//! sketches, if kept · crc32c ─▶ bytes ─▶ the same buckets
//!
//! Columns go through the codecs of chunks, so decimals and repeats are small. The sketches come last and are skipped by
//! whoever does not ask for them. The same buckets give the same bytes (SEAL-1); what is read back equals what was
//! written in everything that [`Moments`] compares and in every bin. The format is described in `docs/formats/rollup.md`.
//! Not here: which row is read when (the query router), rows of the Delta tables ([`BucketRow`](crate::rollup::BucketRow)).

mod columns;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::chunk::FormatError;
use crate::points::is_stale;
use crate::rollup::{Bucket, BucketMoments, Moments, Rollup};
use crate::sketch::{Sketch, SketchError};
use crate::time::{BucketStart, DurationMs, HOUR_MS, TimestampMs};
use crate::varint::{ReadError, Reader};
use columns::{ColumnReader, ColumnWriter, put_mask, read_mask};

/// The first byte of every row.
pub const VERSION: u8 = 1;
/// The most buckets in an hour: none is narrower than a minute.
pub const MAX_BUCKETS: usize = 60;

/// The greatest count that is read back: no hour has as many samples.
const MAX_COUNT: u64 = 1 << 48;
const FLAG_SKETCHES: u8 = 0x01;
const CHECKSUM_BYTES: usize = 4;

/// Why bytes are not a row.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RowError {
    /// The bytes were changed or cut after they were written.
    #[error("rollup row has checksum {found:08x}, but {expected:08x} was written")]
    Checksum { expected: u32, found: u32 },
    /// Written by a newer Thermocline.
    #[error("rollup row has version {found}, which this version of thermocline does not know")]
    Version { found: u8 },
    /// Checked bytes that no encoder writes.
    #[error("rollup row is malformed: {0}")]
    Malformed(#[from] FormatError),
    #[error("rollup row is malformed: {0}")]
    Sketch(#[from] SketchError),
}

impl From<ReadError> for RowError {
    fn from(error: ReadError) -> Self {
        Self::Malformed(error.into())
    }
}

/// Appends the row of the buckets of one hour: 1 to 60, in order, all of `width`, which divides an hour. Without
/// sketches the row answers no quantiles but the ends.
///
/// # Panics
/// If there are no buckets, or they are not distinct slots of that hour in order.
pub fn encode_buckets(
    width: DurationMs,
    hour_start: TimestampMs,
    buckets: &[Bucket],
    with_sketch: bool,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let slots = slots_of(width).expect("the width divides an hour into at most 60");
    let mut taken = vec![false; slots];
    let mut next = 0;
    for bucket in buckets {
        let offset = bucket.start.timestamp().0 - hour_start.0;
        let slot = usize::try_from(offset / width.0).ok().filter(|&slot| (next..slots).contains(&slot));
        let slot = slot.filter(|_| offset % width.0 == 0).expect("buckets are slots of the hour, in order");
        taken[slot] = true;
        next = slot + 1;
    }
    assert!(next > 0, "a row has buckets");
    out.extend_from_slice(&[VERSION, if with_sketch { FLAG_SKETCHES } else { 0 }]);
    put_mask(out, taken.iter().copied());
    put_columns(width, buckets, out);
    if with_sketch {
        for bucket in buckets.iter().filter(|bucket| bucket.open.moments.count > 0) {
            bucket.open.sketch.encode(out);
        }
    }
    let checksum = checksum(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Every column but the sketches. A column holds only the buckets that have something in it; masks say which.
fn put_columns(width: DurationMs, buckets: &[Bucket], out: &mut Vec<u8>) {
    let mut columns = ColumnWriter::default();
    put_mask(out, buckets.iter().map(|bucket| bucket.edge.is_some()));
    columns.put_doubles(buckets.iter().filter_map(|bucket| bucket.edge), out);

    let stale = |bucket: &Bucket| bucket.open.moments.stale_ts.map(|ts| ts - bucket.start.timestamp().0);
    put_mask(out, buckets.iter().map(|bucket| stale(bucket).is_some()));
    columns.put_ints(buckets.iter().filter_map(stale), out);

    put_mask(out, buckets.iter().map(|bucket| bucket.open.moments.count > 0));
    let open = || buckets.iter().filter(|bucket| bucket.open.moments.count > 0);
    let moments = || open().map(|bucket| &bucket.open.moments);
    // A count of samples is far below 2^51; saturating keeps this total.
    let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    columns.put_ints(moments().map(|moments| stored(moments.count)), out);
    columns.put_ints(open().map(|bucket| bucket.open.moments.first_ts - bucket.start.timestamp().0), out);
    columns.put_ints(open().map(|bucket| bucket.start.timestamp().0 + width.0 - bucket.open.moments.last_ts), out);
    columns.put_doubles(moments().map(|moments| moments.first), out);
    columns.put_doubles(moments().map(|moments| moments.last), out);
    columns.put_doubles(moments().map(|moments| moments.min), out);
    columns.put_doubles(moments().map(|moments| moments.max), out);
    columns.put_doubles(moments().map(|moments| moments.sum), out);

    put_mask(out, moments().map(|moments| moments.resets > 0));
    let reset = || moments().filter(|moments| moments.resets > 0);
    columns.put_ints(reset().map(|moments| stored(moments.resets)), out);
    columns.put_doubles(reset().map(|moments| moments.reset_adj), out);

    put_mask(out, moments().map(|moments| moments.nan_count > 0));
    columns.put_ints(moments().filter(|moments| moments.nan_count > 0).map(|moments| stored(moments.nan_count)), out);
}

/// Reads rows of the hour and width that they were written for. Reuse it to save allocations.
#[derive(Debug, Default)]
pub struct RowDecoder {
    columns: ColumnReader,
    moments: Vec<BucketMoments>,
}

impl RowDecoder {
    /// Appends the buckets of a row to `out`, with their sketches if `want_sketch` and the row has them; on an error `out`
    /// is as before.
    pub fn buckets(
        &mut self,
        bytes: &[u8],
        hour_start: TimestampMs,
        width: DurationMs,
        want_sketch: bool,
        out: &mut Vec<Bucket>,
    ) -> Result<(), RowError> {
        let before = out.len();
        let result = self.append_buckets(bytes, (hour_start, width), want_sketch, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn append_buckets(
        &mut self,
        bytes: &[u8],
        (hour_start, width): (TimestampMs, DurationMs),
        want_sketch: bool,
        out: &mut Vec<Bucket>,
    ) -> Result<(), RowError> {
        let mut row = Row::open(bytes)?;
        self.moments.clear();
        row.read_moments(hour_start, width, &mut self.columns, &mut self.moments)?;
        for &BucketMoments { start, edge, open } in &self.moments {
            let has_sketch = want_sketch && row.has_sketches && open.count > 0;
            let sketch = if has_sketch { row.read_sketch(&open)? } else { Sketch::default() };
            out.push(Bucket { start, edge, open: Rollup { moments: open, sketch } });
        }
        if (want_sketch || !row.has_sketches) && !row.reader.is_empty() {
            return Err(FormatError::Impossible("trailing bytes").into());
        }
        Ok(())
    }

    /// As [`RowDecoder::buckets`], without looking at sketches.
    pub fn moments(
        &mut self,
        bytes: &[u8],
        hour_start: TimestampMs,
        width: DurationMs,
        out: &mut Vec<BucketMoments>,
    ) -> Result<(), RowError> {
        let before = out.len();
        let result = Row::open(bytes).and_then(|mut row| row.read_moments(hour_start, width, &mut self.columns, out));
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}

/// Whether a row was written with sketches.
pub fn has_sketches(bytes: &[u8]) -> Result<bool, RowError> {
    Row::open(bytes).map(|row| row.has_sketches)
}

/// The checksum of a row's bytes but the last four, which hold it.
pub fn checksum(body: &[u8]) -> u32 {
    crc32c::crc32c(body)
}

/// Slots that an hour has of this width; `None` if it does not divide one, or into too many.
fn slots_of(width: DurationMs) -> Option<usize> {
    let divides = width.0 > 0 && HOUR_MS % width.0 == 0;
    usize::try_from(divides.then(|| HOUR_MS / width.0)?).ok().filter(|&slots| slots <= MAX_BUCKETS)
}

/// A row whose checksum is right, read up to some column.
struct Row<'a> {
    reader: Reader<'a>,
    has_sketches: bool,
}

impl<'a> Row<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, RowError> {
        let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(RowError::Checksum { expected: 0, found: checksum(bytes) });
        };
        let (expected, found) = (u32::from_le_bytes(*stored), checksum(body));
        if expected != found {
            return Err(RowError::Checksum { expected, found });
        }
        let mut reader = Reader::new(body);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(RowError::Version { found: version });
        }
        let flags = reader.u8()?;
        if flags & !FLAG_SKETCHES != 0 {
            return Err(FormatError::Impossible("row flags").into());
        }
        Ok(Self { reader, has_sketches: flags & FLAG_SKETCHES != 0 })
    }

    /// The next sketch, which is of all samples of `open`, or empty where the writer had none.
    fn read_sketch(&mut self, open: &Moments) -> Result<Sketch, RowError> {
        let sketch = Sketch::decode(&mut self.reader)?;
        if sketch.count() == 0 {
            return Ok(Sketch::default());
        }
        let fits = (sketch.count(), sketch.nan_count()) == (open.count, open.nan_count);
        if fits { Ok(sketch) } else { Err(SketchError::Bins.into()) }
    }

    /// Appends the moments of every bucket; leaves the reader at the sketches.
    fn read_moments(
        &mut self,
        hour_start: TimestampMs,
        width: DurationMs,
        columns: &mut ColumnReader,
        out: &mut Vec<BucketMoments>,
    ) -> Result<(), RowError> {
        let slots = slots_of(width).ok_or(FormatError::Impossible("bucket width"))?;
        let first = out.len();
        for slot in read_mask(&mut self.reader, slots)?.ones() {
            let offset = width.0 * i64::try_from(slot).expect("a slot is at most 59");
            let start = BucketStart::containing(TimestampMs(hour_start.0.saturating_add(offset)), width);
            out.push(BucketMoments { start, edge: None, open: Moments::EMPTY });
        }
        let buckets = &mut out[first..];
        if buckets.is_empty() {
            return Err(FormatError::Impossible("number of buckets").into());
        }
        self.read_columns(width, columns, buckets)?;
        let consistent = |bucket: &BucketMoments| {
            let open = &bucket.open;
            let start = bucket.start.timestamp().0;
            let inside = |ts: i64| start < ts && ts < start.saturating_add(width.0);
            let counts = open.count == 0 || open.nan_count <= open.count && open.resets < open.count;
            // Bounded, so that sums of many rows cannot overflow.
            let counts = counts && open.count <= MAX_COUNT;
            let times =
                open.count == 0 || inside(open.first_ts) && inside(open.last_ts) && open.first_ts <= open.last_ts;
            let stale_ends = !(is_stale(open.first) || is_stale(open.last)) || open.count == 0;
            counts && times && stale_ends && open.stale_ts.is_none_or(inside)
        };
        let all = buckets.iter().all(consistent);
        if all { Ok(()) } else { Err(FormatError::Impossible("moments").into()) }
    }

    fn read_columns(
        &mut self,
        width: DurationMs,
        columns: &mut ColumnReader,
        buckets: &mut [BucketMoments],
    ) -> Result<(), RowError> {
        let reader = &mut self.reader;
        let edges = read_mask(reader, buckets.len())?;
        columns.doubles(reader, edges, |slot, value| buckets[slot].edge = Some(value))?;
        let stale = read_mask(reader, buckets.len())?;
        columns.ints(reader, stale, |slot, offset| {
            let bucket = &mut buckets[slot];
            bucket.open.stale_ts = Some(bucket.start.timestamp().0.saturating_add(offset));
            Ok(())
        })?;

        let open = read_mask(reader, buckets.len())?;
        // Masks leave out what is zero.
        let positive = |number: i64| match u64::try_from(number) {
            Ok(number) if number > 0 => Ok(number),
            Ok(_) | Err(_) => Err(FormatError::Impossible("count")),
        };
        columns.ints(reader, open, |slot, number| {
            buckets[slot].open.count = positive(number)?;
            Ok(())
        })?;
        columns.ints(reader, open, |slot, offset| {
            let bucket = &mut buckets[slot];
            bucket.open.first_ts = bucket.start.timestamp().0.saturating_add(offset);
            Ok(())
        })?;
        columns.ints(reader, open, |slot, offset| {
            let bucket = &mut buckets[slot];
            bucket.open.last_ts = bucket.start.timestamp().0.saturating_add(width.0).saturating_sub(offset);
            Ok(())
        })?;
        columns.doubles(reader, open, |slot, value| buckets[slot].open.first = value)?;
        columns.doubles(reader, open, |slot, value| buckets[slot].open.last = value)?;
        columns.doubles(reader, open, |slot, value| buckets[slot].open.min = value)?;
        columns.doubles(reader, open, |slot, value| buckets[slot].open.max = value)?;
        columns.doubles(reader, open, |slot, value| buckets[slot].open.sum = value)?;

        let reset = read_mask(reader, open.count())?.within(open);
        columns.ints(reader, reset, |slot, number| {
            buckets[slot].open.resets = positive(number)?;
            Ok(())
        })?;
        columns.doubles(reader, reset, |slot, value| buckets[slot].open.reset_adj = value)?;
        let nan = read_mask(reader, open.count())?.within(open);
        columns.ints(reader, nan, |slot, number| {
            buckets[slot].open.nan_count = positive(number)?;
            Ok(())
        })?;
        Ok(())
    }
}
