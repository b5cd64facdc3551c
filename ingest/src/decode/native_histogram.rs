//! Native histograms of remote write: `prometheus.Histogram`, the same message in both versions of the protocol.
//!
//! message ─▶ counts made absolute, resolution brought within ours ─▶ validated ─▶ [`NativeSample`]
//!
//! Field numbers are those of `prompb/types.proto`. Integer histograms count by differences of neighbouring buckets, float
//! histograms by absolute counts; which of them a message is, its count says. One whose sum is the staleness marker says that
//! the series has ended, and becomes that float. What contradicts itself is refused by itself.

use std::sync::Arc;

use schemas::RejectReason;
use schemas::histogram::{BUCKETS_MAX, Buckets, Histogram, ResetHint, SCHEMA_MAX, Span};
use schemas::points::is_stale;

use super::DecodeError;
use schemas::varint::unzigzag;

use super::protobuf::{Field, Reader};

/// Schemas up to here are of exponential buckets too fine for us, and are reduced.
const SCHEMA_RESERVED_MAX: i32 = 52;

/// What a message says of its time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NativeSample {
    Histogram(Arc<Histogram>),
    /// The series has ended.
    Stale,
}

/// Reads a message: its time in ms, and its sample or why that is refused. The outer error is about the whole body.
pub(crate) fn read(reader: Reader<'_>) -> Result<(i64, Result<NativeSample, RejectReason>), DecodeError> {
    let message = Message::read(reader)?;
    let timestamp_ms = message.timestamp_ms;
    let sample = if is_stale(message.histogram.sum) {
        Ok(NativeSample::Stale)
    } else {
        let histogram = message.histogram();
        histogram.map(|histogram| NativeSample::Histogram(Arc::new(histogram)))
    };
    Ok((timestamp_ms, sample.map_err(|what| RejectReason::InvalidValue(format!("native histogram: {what}")))))
}

/// The fields as they stand.
#[derive(Default)]
struct Message {
    /// Spans and scalars; counts are still apart.
    histogram: Histogram,
    timestamp_ms: i64,
    is_float: bool,
    deltas: Sides<i64>,
    counts: Sides<f64>,
}

#[derive(Default)]
struct Sides<T> {
    positive: Vec<T>,
    negative: Vec<T>,
}

impl Message {
    fn read(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        while let Some((number, field)) = reader.next_field()? {
            match field {
                Field::Varint(value) => message.integer(number, value),
                Field::Fixed64(bits) => message.double(number, f64::from_bits(bits)),
                Field::Bytes(range) => message.block(number, reader.within(range))?,
                Field::Fixed32 => {}
            }
        }
        Ok(message)
    }

    fn integer(&mut self, number: u64, value: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are rounded, as everywhere in PromQL")]
        let count = value as f64;
        match number {
            1 => (self.histogram.count, self.is_float) = (count, false),
            // A number that no schema has stays one when it is cut to 32 bits, as other decoders do.
            4 => self.histogram.schema = i32::try_from(unzigzag(value)).unwrap_or(i32::MAX),
            6 => self.histogram.zero_count = count,
            9 => push(&mut self.deltas.negative, unzigzag(value)),
            12 => push(&mut self.deltas.positive, unzigzag(value)),
            14 => self.histogram.reset_hint = hint_of(value),
            15 => self.timestamp_ms = value.cast_signed(),
            _ => {}
        }
    }

    fn double(&mut self, number: u64, value: f64) {
        match number {
            2 => (self.histogram.count, self.is_float) = (value, true),
            3 => self.histogram.sum = value,
            5 => self.histogram.zero_threshold = value,
            7 => self.histogram.zero_count = value,
            10 => push(&mut self.counts.negative, value),
            13 => push(&mut self.counts.positive, value),
            16 => push(&mut self.histogram.custom_values, value),
            _ => {}
        }
    }

    /// A span, or packed numbers.
    fn block(&mut self, number: u64, mut reader: Reader<'_>) -> Result<(), DecodeError> {
        match number {
            8 => push(&mut self.histogram.negative.spans, span_of(reader)?),
            11 => push(&mut self.histogram.positive.spans, span_of(reader)?),
            9 | 12 => {
                while let Some(value) = reader.next_packed_varint()? {
                    self.integer(number, value);
                }
            }
            10 | 13 | 16 => {
                while let Some(bits) = reader.next_packed_fixed64()? {
                    self.double(number, f64::from_bits(bits));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The histogram, if it can be kept; else what is wrong with it.
    fn histogram(self) -> Result<Histogram, String> {
        let Self { mut histogram, is_float, deltas, counts, .. } = self;
        histogram.is_integer = !is_float;
        let Buckets { spans, counts: positive } = &mut histogram.positive;
        *positive = if is_float { counts.positive } else { absolute(&deltas.positive)? };
        bounded(spans.len())?;
        let Buckets { spans, counts: negative } = &mut histogram.negative;
        *negative = if is_float { counts.negative } else { absolute(&deltas.negative)? };
        bounded(spans.len())?;
        let finer = (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&histogram.schema);
        if finer {
            // Spans must match their counts before buckets can be united; the schema is the one thing that may be wrong.
            let as_if = Histogram { schema: SCHEMA_MAX, ..histogram.clone() };
            as_if.validate().map_err(|error| error.to_string())?;
            histogram.reduce_resolution_to(SCHEMA_MAX);
        }
        histogram.validate().map_err(|error| error.to_string())?;
        Ok(histogram)
    }
}

/// Keeps one more than may be, so that too many are seen to be.
fn push<T>(list: &mut Vec<T>, value: T) {
    if list.len() <= BUCKETS_MAX {
        list.push(value);
    }
}

fn bounded(len: usize) -> Result<(), String> {
    if len <= BUCKETS_MAX { Ok(()) } else { Err(format!("more than {BUCKETS_MAX} spans")) }
}

/// Each bucket's own count, of differences to the bucket before.
fn absolute(deltas: &[i64]) -> Result<Vec<f64>, String> {
    let mut count = 0_i64;
    let absolute = deltas.iter().map(|&delta| {
        count = count.checked_add(delta).ok_or_else(|| "the count of a bucket is wider than 64 bits".to_owned())?;
        #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are rounded, as everywhere in PromQL")]
        Ok(count as f64)
    });
    absolute.collect()
}

fn span_of(mut reader: Reader<'_>) -> Result<Span, DecodeError> {
    let mut span = Span::default();
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Field::Varint(offset)) => span.offset = i32::try_from(unzigzag(offset)).unwrap_or(i32::MIN),
            (2, Field::Varint(length)) => span.length = u32::try_from(length).unwrap_or(u32::MAX),
            _ => {}
        }
    }
    Ok(span)
}

fn hint_of(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

#[cfg(test)]
mod tests;
