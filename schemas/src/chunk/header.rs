//! The front of a chunk: what can be known without decoding it.
//!
//! version · kind · flags · count · first timestamp · spacing · column head · statistics; see `docs/formats/chunk.md`
//!
//! Statistics are of the floats: a chunk with native histograms says how many points those are.
//! Statistics are integers relative to the column's first value wherever that gives the same bits, and whole doubles where
//! not, so the header of an hour's chunk takes about 30 bytes.

use super::column::ColumnHead;
use super::format_error::FormatError;
use super::timestamps::Spacing;
use super::{ChunkError, KIND_FLOAT, KIND_HISTOGRAMS, MAX_POINTS, VERSION};
use crate::rollup::Moments;
use crate::varint::{Reader, put_f64, put_ivarint, put_uvarint};

const FLAG_STALE: u8 = 0x01;
const FLAG_NAN: u8 = 0x02;
const FLAG_WHOLE: u8 = 0x04;
const FLAG_SPACING_SHIFT: u8 = 4;
const FLAG_SPACING: u8 = 0x30;

/// Scalars of the statistics, by their bit in the mask of those that are whole doubles.
const FIRST: u8 = 0x01;
const LAST: u8 = 0x02;
const MIN: u8 = 0x04;
const MAX: u8 = 0x08;
const SUM: u8 = 0x10;
const RESET_ADJ: u8 = 0x20;

/// What a chunk says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkHeader {
    /// Points, staleness markers and native histograms included.
    pub points: u32,
    /// Points that stand for native histograms.
    pub histograms: u32,
    /// Timestamp of the first point, ms.
    pub first_ms: i64,
    /// Timestamp of the last point, ms.
    pub last_ms: i64,
    /// The moments of all floats. They may stand in for decoding only if the chunk lies inside the window and no
    /// other chunk of the series overlaps its time, else duplicates would count twice.
    pub moments: Moments,
}

/// Where the parts behind the header are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) header: ChunkHeader,
    pub(super) spacing: Spacing,
    pub(super) column: ColumnHead,
}

/// Writes the header of points of which `stand_ins` stand for native histograms.
pub(super) fn put(
    out: &mut Vec<u8>,
    timestamps: &[i64],
    spacing: Spacing,
    column: ColumnHead,
    moments: &Moments,
    stand_ins: u64,
) {
    let points = timestamps.len();
    let has_stale = moments.stale_ts.is_some();
    let flag = |present: bool, bit: u8| if present { bit } else { 0 };
    let scalars = Scalars::of(moments, column);
    let flags = flag(has_stale, FLAG_STALE)
        | flag(moments.nan_count > 0, FLAG_NAN)
        | flag(moments.count > 0 && scalars.whole != 0, FLAG_WHOLE)
        | spacing.code() << FLAG_SPACING_SHIFT;
    let kind = if stand_ins > 0 { KIND_HISTOGRAMS } else { KIND_FLOAT };
    out.extend_from_slice(&[VERSION, kind, flags]);
    put_uvarint(out, points as u64);
    if stand_ins > 0 {
        put_uvarint(out, stand_ins);
    }
    put_ivarint(out, timestamps[0]);
    spacing.put(out);
    column.put(out);
    if let Some(stale_ts) = moments.stale_ts {
        put_uvarint(out, points as u64 - stand_ins - moments.count);
        put_distance(out, stale_ts, timestamps[points - 1]);
    }
    if moments.count > 0 && (has_stale || stand_ins > 0) {
        put_distance(out, timestamps[0], moments.first_ts);
        put_distance(out, moments.last_ts, timestamps[points - 1]);
    }
    if moments.count == 0 {
        return;
    }
    if moments.nan_count > 0 {
        put_uvarint(out, moments.nan_count);
    }
    put_uvarint(out, moments.resets);
    scalars.put(out);
}

fn put_distance(out: &mut Vec<u8>, from_ms: i64, to_ms: i64) {
    put_uvarint(out, to_ms.wrapping_sub(from_ms).cast_unsigned());
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Layout, ChunkError> {
    let version = reader.u8().map_err(FormatError::from)?;
    if version != VERSION {
        return Err(ChunkError::Version { found: version });
    }
    let has_histograms = match reader.u8().map_err(FormatError::from)? {
        KIND_FLOAT => false,
        KIND_HISTOGRAMS => true,
        found => return Err(ChunkError::Kind { found }),
    };
    Ok(read_known(reader, has_histograms)?)
}

fn read_known(reader: &mut Reader<'_>, has_histograms: bool) -> Result<Layout, FormatError> {
    let flags = reader.u8()?;
    if flags & !(FLAG_STALE | FLAG_NAN | FLAG_WHOLE | FLAG_SPACING) != 0 {
        return Err(FormatError::Impossible("chunk flags"));
    }
    let points = reader.uvarint()?;
    let points = u32::try_from(points).ok().filter(|&points| points > 0 && points as usize <= MAX_POINTS);
    let points = points.ok_or(FormatError::Impossible("number of points"))?;
    let histograms = if has_histograms { reader.uvarint()? } else { 0 };
    let histograms =
        u32::try_from(histograms).ok().filter(|&histograms| histograms <= points && (histograms > 0) == has_histograms);
    let histograms = histograms.ok_or(FormatError::Impossible("number of histograms"))?;
    let first_ms = reader.ivarint()?;
    let spacing = Spacing::read((flags & FLAG_SPACING) >> FLAG_SPACING_SHIFT, reader)?;
    let last_ms = spacing.last_ms(first_ms, points as usize);
    let column = ColumnHead::read(reader)?;

    let floats = u64::from(points - histograms);
    let mut moments = Moments { count: floats, first_ts: first_ms, last_ts: last_ms, ..Moments::EMPTY };
    if flags & FLAG_STALE != 0 {
        let stale = reader.uvarint()?;
        let samples = moments.count.checked_sub(stale).filter(|_| stale > 0);
        moments.count = samples.ok_or(FormatError::Impossible("number of staleness markers"))?;
        moments.stale_ts = Some(last_ms.wrapping_sub(reader.uvarint()?.cast_signed()));
    }
    if moments.count > 0 && (flags & FLAG_STALE != 0 || has_histograms) {
        moments.first_ts = first_ms.wrapping_add(reader.uvarint()?.cast_signed());
        moments.last_ts = last_ms.wrapping_sub(reader.uvarint()?.cast_signed());
    }
    if moments.count > 0 {
        if flags & FLAG_NAN != 0 {
            moments.nan_count = reader.uvarint()?;
        }
        moments.resets = reader.uvarint()?;
        if moments.nan_count > moments.count || moments.resets >= moments.count {
            return Err(FormatError::Impossible("statistics"));
        }
        Scalars::read(reader, flags & FLAG_WHOLE != 0, column, &mut moments)?;
    }
    let header = ChunkHeader { points, histograms, first_ms, last_ms, moments };
    Ok(Layout { header, spacing, column })
}

/// The doubles of the statistics, each as an integer relative to the column's first value or whole.
struct Scalars {
    values: [(f64, i64); 6],
    len: usize,
    whole: u8,
}

impl Scalars {
    fn of(moments: &Moments, column: ColumnHead) -> Self {
        let Moments { first, last, min, max, sum, reset_adj, .. } = *moments;
        let mut scalars = Self { values: [(0.0, 0); 6], len: 6, whole: 0 };
        for (nth, value) in [first, last, min, max, sum, reset_adj].into_iter().enumerate() {
            match column.to_relative(value) {
                Some(relative) => scalars.values[nth] = (value, relative),
                None => {
                    scalars.values[nth].0 = value;
                    scalars.whole |= 1 << nth;
                }
            }
        }
        if moments.resets == 0 {
            scalars.len = 5;
            scalars.whole &= !RESET_ADJ;
        }
        scalars
    }

    fn put(&self, out: &mut Vec<u8>) {
        if self.whole != 0 {
            out.push(self.whole);
        }
        for (nth, &(value, relative)) in self.values[..self.len].iter().enumerate() {
            if self.whole & 1 << nth != 0 { put_f64(out, value) } else { put_ivarint(out, relative) }
        }
    }

    fn read(
        reader: &mut Reader<'_>,
        has_whole: bool,
        column: ColumnHead,
        moments: &mut Moments,
    ) -> Result<(), FormatError> {
        let whole = if has_whole { reader.u8()? } else { 0 };
        if whole & !(FIRST | LAST | MIN | MAX | SUM | RESET_ADJ) != 0 {
            return Err(FormatError::Impossible("statistics"));
        }
        let mut scalar = |bit: u8| -> Result<f64, FormatError> {
            if whole & bit != 0 { Ok(reader.f64()?) } else { column.at_relative(reader.ivarint()?) }
        };
        moments.first = scalar(FIRST)?;
        moments.last = scalar(LAST)?;
        moments.min = scalar(MIN)?;
        moments.max = scalar(MAX)?;
        moments.sum = scalar(SUM)?;
        if moments.resets > 0 {
            moments.reset_adj = scalar(RESET_ADJ)?;
        }
        Ok(())
    }
}
