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
use super::remote_write::{plain_samples, push_series, sample_of};
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
        symbols: Symbols::read(body, reader)?,
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
    plain: PlainLabels,
    /// References of names and values, in turn, of a series that goes the general way.
    references: Vec<u32>,
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

/// What a series has beside its points.
#[derive(Default)]
struct Fields {
    /// Where its references lie packed, if all of them do.
    packed: Option<Range<usize>>,
    metadata: Metadata,
}

impl<'a> Request<'_, '_, 'a> {
    fn time_series(&mut self, mut reader: Reader<'a>) -> Result<(), DecodeError> {
        let whole = reader;
        let Fields { packed, metadata } = self.fields(&mut reader)?;
        let index = self.series_seen;
        self.series_seen += 1;
        let points = self.scratch.samples.len() + self.scratch.histograms.len();
        let points = u64::try_from(points).unwrap_or(u64::MAX);
        self.out.see(points)?;
        let named = self.named(packed, &whole)?.and_then(|named| {
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

    /// Reads the fields of a series, its points into the scratch memory.
    fn fields(&mut self, reader: &mut Reader<'a>) -> Result<Fields, DecodeError> {
        let scratch = &mut self.scratch;
        scratch.samples.clear();
        scratch.histograms.clear();
        let limit = self.out.scope.limits.points_per_request;
        let points_max = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut fields, mut labelled) = (Fields::default(), false);
        loop {
            plain_samples(reader, &mut scratch.samples, points_max - scratch.histograms.len())?;
            let Some(field) = reader.next_field()? else { return Ok(fields) };
            match field {
                (1, Field::Bytes(packed)) if !labelled => (fields.packed, labelled) = (Some(packed), true),
                (1, _) => (fields.packed, labelled) = (None, true),
                (2 | 3, Field::Bytes(_)) if scratch.samples.len() + scratch.histograms.len() == points_max => {
                    return Err(DecodeError::TooManyPoints { limit });
                }
                (2, Field::Bytes(sample)) => scratch.samples.push(sample_of(reader.within(sample))?),
                (3, Field::Bytes(histogram)) => scratch.histograms.push(histogram),
                (4, Field::Bytes(_)) => self.out.decoded.dropped.exemplars += 1,
                (5, Field::Bytes(said)) => fields.metadata = Metadata::read(reader.within(said))?,
                _ => {}
            }
        }
    }

    /// Makes the labels of the series canonical. The outer result is for a damaged message.
    fn named(
        &mut self,
        packed: Option<Range<usize>>,
        series: &Reader<'a>,
    ) -> Result<Result<Named, RejectReason>, DecodeError> {
        let limits = self.out.scope.limits;
        if let Some(packed) = packed
            && let Some(metric) = self.scratch.plain.read(series.slice(packed), &self.symbols, limits)
        {
            return Ok(Ok(Named { plain: true, metric }));
        }
        self.scratch.references.clear();
        references(*series, &mut self.scratch.references)?;
        Ok(self.named_by_references())
    }

    fn named_by_references(&mut self) -> Result<Named, RejectReason> {
        let Scratch { references, pairs, canonical, .. } = &mut self.scratch;
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
        settle(pairs, self.out.scope.limits)?;
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

/// Reads the references of a series, packed or apart. More than any series may have are not kept: so many are refused
/// anyway.
fn references(mut series: Reader<'_>, out: &mut Vec<u32>) -> Result<(), DecodeError> {
    let mut add = |reference: u64| {
        if out.len() <= 2 * LABELS_READ_MAX + 1 {
            // No request has so many symbols that this one is another's.
            out.push(u32::try_from(reference).unwrap_or(u32::MAX));
        }
    };
    while let Some(field) = series.next_field()? {
        match field {
            (1, Field::Varint(reference)) => add(reference),
            (1, Field::Bytes(packed)) => {
                let mut packed = series.within(packed);
                while let Some(reference) = packed.next_packed_varint()? {
                    add(reference);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn invalid(what: &str) -> RejectReason {
    RejectReason::InvalidLabels(what.to_owned())
}
