//! Prometheus remote write 1.0: `prometheus.WriteRequest`, read in place.
//!
//! message ─▶ time series ─▶ canonical bytes, the short way ([`plain`]) or the general ─▶ batch; samples and native histograms
//! follow
//!
//! The reader is our own because this is the hottest path of the system and a generated decoder allocates twice a
//! label (`docs/decisions/0003-own-remote-write-decoder.md`). Field numbers are those of `prompb/remote.proto` and
//! `prompb/types.proto`. A value's bits are kept, so staleness markers survive. Exemplars are
//! counted and left out. Indexes of rejections are those of the time series in the message, from 0.

use std::ops::Range;

use schemas::{PointBatch, RejectReason};

use super::protobuf::{Field, Reader};
use super::{Collector, DecodeError, Decoded, Origins, Scope, native_histogram};
use crate::canonical::{Pair, require_utf8, room_for_label, settle, write_series};

mod plain;
#[cfg(test)]
mod tests;

use plain::PlainLabels;

/// Decodes a plain (no longer snappy) `WriteRequest`.
pub fn decode(body: &[u8], scope: Scope<'_>, batch: &mut PointBatch) -> Result<Decoded, DecodeError> {
    let mut request = Request {
        out: Collector::new(scope, batch, Origins::of_groups()),
        scratch: Scratch::default(),
        series_seen: 0,
    };
    let mut reader = Reader::new(body, "remote write request");
    // Fields we do not know are skipped, as protobuf asks, here and below.
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Bytes(series)) => request.time_series(reader.within(series))?,
            (3, Field::Bytes(metadata)) => request.metadata(reader.within(metadata))?,
            _ => {}
        }
    }
    Ok(request.out.decoded)
}

/// Memory that is used again for each time series.
#[derive(Default)]
struct Scratch<'a> {
    plain: PlainLabels,
    pairs: Vec<Pair<'a>>,
    samples: Vec<(i64, f64)>,
    /// Where the messages of the native histograms lie.
    histograms: Vec<Range<usize>>,
    canonical: Vec<u8>,
}

struct Request<'s, 'b, 'a> {
    out: Collector<'s, 'b>,
    scratch: Scratch<'a>,
    series_seen: u64,
}

impl<'a> Request<'_, '_, 'a> {
    fn time_series(&mut self, mut reader: Reader<'a>) -> Result<(), DecodeError> {
        let whole = reader;
        let plain = self.scratch.plain.read(reader.rest(), self.out.scope.limits);
        if let Some(labels_bytes) = plain {
            reader.skip(labels_bytes)?;
        }
        let more_labels = self.samples(&mut reader)?;
        let points = self.scratch.samples.len() + self.scratch.histograms.len();
        let index = self.series_seen;
        self.series_seen += 1;
        let points = u64::try_from(points).unwrap_or(u64::MAX);
        self.out.see(points)?;
        if points == 0 {
            return Ok(());
        }
        if plain.is_some() && !more_labels {
            return self.push_samples(index, true, &whole);
        }
        match self.canonical_labels(whole)? {
            Ok(()) => return self.push_samples(index, false, &whole),
            Err(reason) => self.out.reject(index, points, reason),
        }
        Ok(())
    }

    /// Reads what is left of a series but its labels; says whether there are any.
    fn samples(&mut self, reader: &mut Reader<'a>) -> Result<bool, DecodeError> {
        let Scratch { samples, histograms, .. } = &mut self.scratch;
        samples.clear();
        histograms.clear();
        let limit = self.out.scope.limits.points_per_request;
        let samples_max = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut labels = false;
        loop {
            plain_samples(reader, samples, samples_max - histograms.len())?;
            let Some(field) = reader.next_field()? else { return Ok(labels) };
            match field {
                (1, Field::Bytes(_)) => labels = true,
                (2 | 4, Field::Bytes(_)) if samples.len() + histograms.len() == samples_max => {
                    return Err(DecodeError::TooManyPoints { limit });
                }
                (2, Field::Bytes(sample)) => samples.push(sample_of(reader.within(sample))?),
                (3, Field::Bytes(_)) => self.out.decoded.dropped.exemplars += 1,
                (4, Field::Bytes(histogram)) => histograms.push(histogram),
                _ => {}
            }
        }
    }

    /// Makes the labels of a series canonical, wherever in the message and in whatever order they stand. The outer
    /// error is about the message, the inner one about this series.
    fn canonical_labels(&mut self, mut reader: Reader<'a>) -> Result<Result<(), RejectReason>, DecodeError> {
        let Scratch { pairs, canonical, .. } = &mut self.scratch;
        pairs.clear();
        while let Some(field) = reader.next_field()? {
            if let (1, Field::Bytes(label)) = field {
                if let Err(reason) = room_for_label(pairs.len()) {
                    return Ok(Err(reason));
                }
                pairs.push(label_of(reader.within(label))?);
            }
        }
        let limits = self.out.scope.limits;
        Ok(require_utf8(pairs).and_then(|()| settle(pairs, limits)).and_then(|()| write_series(pairs, canonical)))
    }

    fn push_samples(&mut self, index: u64, plain: bool, reader: &Reader<'a>) -> Result<(), DecodeError> {
        let Self { out, scratch, .. } = self;
        let canonical = if plain { scratch.plain.canonical() } else { &scratch.canonical };
        push_series(out, index, canonical, &scratch.samples, &scratch.histograms, reader)
    }

    fn metadata(&mut self, mut reader: Reader<'a>) -> Result<(), DecodeError> {
        let (mut metric, mut unit, mut kind, mut help) = ("", None, None, None);
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or("");
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Field::Varint(number)) => kind = kind_of(number),
                (2, Field::Bytes(name)) => metric = text(reader.slice(name)),
                (4, Field::Bytes(said)) => help = Some(text(reader.slice(said))),
                (5, Field::Bytes(said)) => unit = Some(text(reader.slice(said))),
                _ => {}
            }
        }
        self.out.describe(metric, unit, kind, help);
        Ok(())
    }
}

/// Pushes the samples and the native histograms of a series that may come in; `reader` reads its message, in which the
/// histograms lie.
pub(super) fn push_series(
    out: &mut Collector<'_, '_>,
    index: u64,
    canonical: &[u8],
    samples: &[(i64, f64)],
    histograms: &[Range<usize>],
    reader: &Reader<'_>,
) -> Result<(), DecodeError> {
    let mut begun = false;
    for &(timestamp_ms, value) in samples {
        match out.admit(timestamp_ms) {
            Err(reason) => out.reject(index, 1, reason),
            Ok(()) => {
                if !begun {
                    out.begin_series(canonical);
                    begun = true;
                }
                out.push(index, timestamp_ms, value);
            }
        }
    }
    for histogram in histograms {
        let (timestamp_ms, sample) = native_histogram::read(reader.within(histogram.clone()))?;
        match out.admit(timestamp_ms).and(sample) {
            Err(reason) => out.reject(index, 1, reason),
            Ok(sample) => {
                if !begun {
                    out.begin_series(canonical);
                    begun = true;
                }
                out.push_native(index, timestamp_ms, sample);
            }
        }
    }
    Ok(())
}

fn label_of<'a>(mut reader: Reader<'a>) -> Result<Pair<'a>, DecodeError> {
    let mut pair: Pair<'a> = (b"", b"");
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Bytes(name)) => pair.0 = reader.slice(name),
            (2, Field::Bytes(value)) => pair.1 = reader.slice(value),
            _ => {}
        }
    }
    Ok(pair)
}

/// Reads samples as senders write them, up to the first field that is none or not written so, or to `samples_max`.
#[inline]
pub(super) fn plain_samples(
    series: &mut Reader<'_>,
    samples: &mut Vec<(i64, f64)>,
    samples_max: usize,
) -> Result<(), DecodeError> {
    while samples.len() < samples_max
        && let Some(sample) = plain::sample(series.rest())
    {
        samples.push(sample);
        series.skip(plain::SAMPLE_BYTES)?;
    }
    Ok(())
}

/// A sample's time in ms, and its value.
pub(super) fn sample_of(mut reader: Reader<'_>) -> Result<(i64, f64), DecodeError> {
    let (mut timestamp_ms, mut value) = (0_i64, 0.0_f64);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Field::Varint(bits)) => timestamp_ms = bits.cast_signed(),
            _ => {}
        }
    }
    Ok((timestamp_ms, value))
}

/// `MetricMetadata.MetricType`.
pub(super) fn kind_of(number: u64) -> Option<&'static str> {
    let kinds = ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    kinds.get(at).copied()
}
