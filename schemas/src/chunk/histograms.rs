//! The native histograms of a chunk, behind its column of floats.
//!
//! points skipped, histogram (as a difference to the one before, where the layout is the same) · and so on

use std::sync::Arc;

use super::format_error::FormatError;
use crate::histogram::{Histogram, codec};
use crate::points::{Histograms, is_histogram};
use crate::varint::{Reader, put_uvarint};

/// Appends the histograms of the stand-ins among the values.
pub(super) fn put(timestamps: &[i64], values: &[f64], histograms: &Histograms, out: &mut Vec<u8>) {
    let places = timestamps.iter().zip(values).enumerate().filter(|(_, (_, value))| is_histogram(**value));
    let found: Vec<(usize, &Histogram)> =
        places.filter_map(|(at, (&timestamp_ms, _))| Some((at, histograms.get(timestamp_ms)?.as_ref()))).collect();
    put_uvarint(out, found.len() as u64);
    let (mut next, mut before) = (0, None);
    for (at, histogram) in found {
        put_uvarint(out, (at - next) as u64);
        codec::put(histogram, before, out);
        (next, before) = (at + 1, Some(histogram));
    }
}

/// Reads them, by time.
pub(super) fn read(
    reader: &mut Reader<'_>,
    timestamps: &[i64],
    values: &[f64],
) -> Result<Vec<(i64, Arc<Histogram>)>, FormatError> {
    let count = usize::try_from(reader.uvarint()?).ok().filter(|&count| count <= values.len());
    let count = count.ok_or(FormatError::Impossible("number of histograms"))?;
    let mut all: Vec<(i64, Arc<Histogram>)> = Vec::new();
    let mut next = 0_usize;
    for _ in 0..count {
        let skipped = usize::try_from(reader.uvarint()?).ok().and_then(|skipped| next.checked_add(skipped));
        let at = skipped.filter(|&at| values.get(at).is_some_and(|&value| is_histogram(value)));
        let at = at.ok_or(FormatError::Impossible("place of a histogram"))?;
        let before = all.last().map(|(_, before)| before.as_ref());
        let histogram = codec::read(reader, before)?;
        all.push((timestamps[at], Arc::new(histogram)));
        next = at + 1;
    }
    Ok(all)
}
