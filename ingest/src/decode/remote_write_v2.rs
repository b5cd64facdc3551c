//! Prometheus remote write 2.0: `io.prometheus.write.v2.Request`, read in place.
//!
//! message ─▶ [`Symbols`]: every string once ─▶ time series: references ─▶ canonical bytes, the short way
//! ([`plain`]) or the general ─▶ batch; samples and histograms follow
//!
//! Field numbers are those of `prompb/io/prometheus/write/v2/types.proto`. A value's bits are kept, so staleness
//! markers survive; start timestamps are read over, exemplars are counted and left out. A series without a point, or
//! with a reference to nowhere, is refused as Prometheus refuses it. Indexes of rejections are those of the time
//! series in the message, from 0.

use std::ops::Range;

use schemas::labels::METRIC_NAME;
use schemas::{PointBatch, RejectReason};

use super::protobuf::{Field, Reader};
use super::remote_write::{push_series, sample_of};
use super::{Collector, DecodeError, Decoded, Origins, Scope};
use crate::canonical::{LABELS_READ_MAX, Pair, require_utf8, room_for_label, settle, write_series};

mod metadata;
mod plain;
mod symbols;
#[cfg(test)]
mod tests;

use metadata::{Metadata, family};
use plain::PlainLabels;
use symbols::Symbols;

/// How errors call the message.
const FORMAT: &str = "remote write 2.0 request";

/// Decodes a plain (no longer snappy) `io.prometheus.write.v2.Request`.
pub fn decode(body: &[u8], scope: Scope<'_>, batch: &mut PointBatch) -> Result<Decoded, DecodeError> {
    let mut reader = Reader::new(body, FORMAT);
    let mut request = Request {
        out: Collector::new(scope, batch, Origins::of_groups()),
        symbols: Symbols::read(body, reader.clone())?,
        scratch: Scratch::default(),
        described: Vec::new(),
        series_seen: 0,
    };
    // Fields we do not know are skipped, as protobuf asks, here and below.
    while let Some(field) = reader.next_field()? {
        match field {
            (5, Field::Bytes(series)) => request.time_series(reader.within(series))?,
            (1..=3, _) => return Err(reader.malformed("this is a message of remote write 1.0")),
            _ => {}
        }
    }
    Ok(request.out.decoded)
}

/// Memory that is used again for each time series.
#[derive(Default)]
struct Scratch<'a> {
    /// References of names and values, in turn.
    references: Vec<u32>,
    plain: PlainLabels,
    pairs: Vec<Pair<'a>>,
    canonical: Vec<u8>,
    samples: Vec<(i64, f64)>,
    histograms: Vec<Range<usize>>,
}

struct Request<'s, 'b, 'a> {
    out: Collector<'s, 'b>,
    symbols: Symbols<'a>,
    scratch: Scratch<'a>,
    /// What was said last of the metrics of these symbols, by symbol.
    described: Vec<Metadata>,
    series_seen: u64,
}

/// Canonical bytes of a series: where they are, and the symbol of the metric's name.
struct Named {
    plain: bool,
    metric: u32,
}

impl<'a> Request<'_, '_, 'a> {
    fn time_series(&mut self, mut reader: Reader<'a>) -> Result<(), DecodeError> {
        let whole = reader.clone();
        let metadata = self.fields(&mut reader)?;
        let index = self.series_seen;
        self.series_seen += 1;
        let points = self.scratch.samples.len() + self.scratch.histograms.len();
        let points = u64::try_from(points).unwrap_or(u64::MAX);
        self.out.see(points)?;
        let named = self.named().and_then(|named| {
            if points == 0 {
                return Err(RejectReason::Malformed("a series without a sample or a histogram".to_owned()));
            }
            self.describe(named.metric, metadata)?;
            Ok(named)
        });
        match named {
            Ok(named) => self.push(index, &named, &whole),
            Err(reason) => {
                self.out.reject(index, points, reason);
                Ok(())
            }
        }
    }

    /// Reads the fields of a series into the scratch memory.
    fn fields(&mut self, reader: &mut Reader<'a>) -> Result<Metadata, DecodeError> {
        let scratch = &mut self.scratch;
        scratch.references.clear();
        scratch.samples.clear();
        scratch.histograms.clear();
        let limit = self.out.scope.limits.points_per_request;
        let points_max = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut metadata = Metadata::default();
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Field::Bytes(packed)) => references(reader.within(packed), &mut scratch.references)?,
                (1, Field::Varint(reference)) => add_reference(reference, &mut scratch.references),
                (2 | 3, Field::Bytes(_)) if scratch.samples.len() + scratch.histograms.len() >= points_max => {
                    return Err(DecodeError::TooManyPoints { limit });
                }
                (2, Field::Bytes(sample)) => scratch.samples.push(sample_of(reader.within(sample))?),
                (3, Field::Bytes(histogram)) => scratch.histograms.push(histogram),
                (4, Field::Bytes(_)) => self.out.decoded.dropped.exemplars += 1,
                (5, Field::Bytes(said)) => metadata = Metadata::read(reader.within(said))?,
                _ => {}
            }
        }
        Ok(metadata)
    }

    /// Makes the labels of the series canonical.
    fn named(&mut self) -> Result<Named, RejectReason> {
        let Scratch { references, plain, pairs, canonical, .. } = &mut self.scratch;
        let limits = self.out.scope.limits;
        if let Some(metric) = plain.read(references, &self.symbols, limits) {
            return Ok(Named { plain: true, metric });
        }
        if !references.len().is_multiple_of(2) {
            return Err(invalid("a label name has no value: the number of references is odd"));
        }
        pairs.clear();
        let mut metric = 0;
        for pair in references.chunks_exact(2) {
            room_for_label(pairs.len())?;
            let (name, value) = (self.symbols.get(pair[0])?, self.symbols.get(pair[1])?);
            if name == METRIC_NAME.as_bytes() {
                metric = pair[1];
            }
            pairs.push((name, value));
        }
        if !self.symbols.are_utf8() {
            require_utf8(pairs)?;
        }
        settle(pairs, limits)?;
        write_series(pairs, canonical)?;
        Ok(Named { plain: false, metric })
    }

    /// Remembers what the series says of its metric. Most series repeat what another has said.
    fn describe(&mut self, metric: u32, said: Metadata) -> Result<(), RejectReason> {
        if said == Metadata::default() || self.described.get(metric as usize) == Some(&said) {
            return Ok(());
        }
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or("");
        let (help, unit) = (text(self.symbols.get(said.help)?), text(self.symbols.get(said.unit)?));
        let name = text(self.symbols.get(metric)?);
        self.out.describe(family(name, said.kind()), Some(unit), said.kind(), Some(help));
        // The metric is one of the symbols, whose number is bounded.
        if self.described.len() <= metric as usize {
            self.described.resize(metric as usize + 1, Metadata::default());
        }
        self.described[metric as usize] = said;
        Ok(())
    }

    fn push(&mut self, index: u64, named: &Named, reader: &Reader<'a>) -> Result<(), DecodeError> {
        let Self { out, scratch, .. } = self;
        let canonical = if named.plain { scratch.plain.canonical() } else { &scratch.canonical };
        push_series(out, index, canonical, &scratch.samples, &scratch.histograms, reader)
    }
}

/// Reads packed references. More than any series may have are not kept: so many are refused anyway.
fn references(mut packed: Reader<'_>, out: &mut Vec<u32>) -> Result<(), DecodeError> {
    while let Some(reference) = packed.next_packed_varint()? {
        add_reference(reference, out);
    }
    Ok(())
}

#[inline]
fn add_reference(reference: u64, out: &mut Vec<u32>) {
    if out.len() <= 2 * LABELS_READ_MAX + 1 {
        // No request has so many symbols that this one is another's.
        out.push(u32::try_from(reference).unwrap_or(u32::MAX));
    }
}

fn invalid(what: &str) -> RejectReason {
    RejectReason::InvalidLabels(what.to_owned())
}
