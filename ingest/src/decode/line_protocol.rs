//! Influx line protocol: `measurement,tag=value field=1.5,other=2i 1700000000000000000`.
//!
//! body ─▶ lines ─▶ measurement, tags, fields, time (slices) ─▶ tags canonical once ─▶ one series a field
//!
//! A field becomes the metric `measurement_field`, the field `value` the bare `measurement`; tags become labels.
//! Integers are kept exactly below 2^53, booleans as 0 and 1, strings are dropped and counted. A line is taken or
//! refused as a whole, except for the time, which all its points share anyway. Indexes of rejections are line numbers
//! from 1. Own parser: `docs/decisions/0003-own-remote-write-decoder.md` says why for this format too.

use std::borrow::Cow;

use schemas::{PointBatch, RejectReason};

use super::{Collector, DecodeError, Decoded, Origins, Scope};
use crate::canonical::{Pair, TagSet};

mod line;
mod lines;
#[cfg(test)]
mod tests;

use line::Line;
use lines::Lines;

/// The unit of the timestamps of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    #[default]
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    /// By magnitude, as `/api/v3/write_lp` does by default.
    Auto,
}

impl Precision {
    /// Reads the `precision` parameter of any version of the write API; `None` if it is none of theirs.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "n" | "ns" | "nanosecond" => Self::Nanosecond,
            "u" | "us" | "µ" | "µs" | "microsecond" => Self::Microsecond,
            "ms" | "millisecond" => Self::Millisecond,
            "s" | "second" => Self::Second,
            "m" => Self::Minute,
            "h" => Self::Hour,
            "auto" => Self::Auto,
            _ => return None,
        })
    }

    /// Milliseconds, rounded towards the past; `None` when they do not fit.
    fn to_ms(self, number: i64) -> Option<i64> {
        match self {
            Self::Nanosecond => Some(number.div_euclid(1_000_000)),
            Self::Microsecond => Some(number.div_euclid(1_000)),
            Self::Millisecond => Some(number),
            Self::Second => number.checked_mul(1_000),
            Self::Minute => number.checked_mul(60_000),
            Self::Hour => number.checked_mul(3_600_000),
            Self::Auto => Self::guess(number).to_ms(number),
        }
    }

    /// The bounds are InfluxDB's: each unit holds until about the year 2128.
    fn guess(number: i64) -> Self {
        match number.unsigned_abs() {
            0..5_000_000_000 => Self::Second,
            5_000_000_000..5_000_000_000_000 => Self::Millisecond,
            5_000_000_000_000..5_000_000_000_000_000 => Self::Microsecond,
            5_000_000_000_000_000.. => Self::Nanosecond,
        }
    }
}

/// Decodes line protocol.
pub fn decode(
    body: &[u8],
    precision: Precision,
    scope: Scope<'_>,
    batch: &mut PointBatch,
) -> Result<Decoded, DecodeError> {
    let mut request = Request {
        out: Collector::new(scope, batch, Origins::of_groups()),
        precision,
        utf8: std::str::from_utf8(body).is_ok(),
        tags: TagSet::default(),
        scratch: Scratch::default(),
    };
    for (number, line) in Lines::new(body) {
        request.line(number, line)?;
    }
    Ok(request.out.decoded)
}

/// Memory that is used again for each line.
#[derive(Default)]
struct Scratch<'a> {
    pairs: Vec<Pair<'a>>,
    fields: Vec<(Cow<'a, [u8]>, f64)>,
}

struct Request<'s, 'b, 'a> {
    out: Collector<'s, 'b>,
    precision: Precision,
    /// The body as a whole is UTF-8, so its pieces are: no delimiter lies inside a character.
    utf8: bool,
    tags: TagSet,
    scratch: Scratch<'a>,
}

impl<'a> Request<'_, '_, 'a> {
    fn line(&mut self, number: u64, line: &'a [u8]) -> Result<(), DecodeError> {
        if let Err(reason) = self.take(number, line)? {
            self.out.see(1)?;
            self.out.reject(number, 1, reason);
        }
        Ok(())
    }

    /// The outer error is about the request, the inner one about this line.
    fn take(&mut self, number: u64, line: &'a [u8]) -> Result<Result<(), RejectReason>, DecodeError> {
        if !self.utf8 && std::str::from_utf8(line).is_err() {
            return Ok(Err(RejectReason::Malformed("the line is not UTF-8".to_owned())));
        }
        let parsed = match self.parse(line) {
            Ok(parsed) => parsed,
            Err(reason) => return Ok(Err(reason)),
        };
        let points = u64::try_from(self.scratch.fields.len()).unwrap_or(u64::MAX);
        self.out.decoded.dropped.strings += parsed.strings;
        self.out.see(points)?;
        if let Err(reason) = self.out.admit(parsed.timestamp_ms) {
            if points > 0 {
                self.out.reject(number, points, reason);
            }
            return Ok(Ok(()));
        }
        self.push(number, &parsed);
        Ok(Ok(()))
    }

    /// Reads a line to its end: tags into `tags`, numeric fields into `scratch.fields`.
    fn parse(&mut self, line: &'a [u8]) -> Result<Parsed<'a>, RejectReason> {
        let Scratch { pairs, fields } = &mut self.scratch;
        let mut line = Line::new(line);
        let measurement = line.measurement()?;
        pairs.clear();
        if line.tags(pairs)? {
            let unescape = |(name, value): &Pair<'a>| (line::unescape(name), line::unescape(value));
            let owned: Vec<_> = pairs.iter().map(unescape).collect();
            let mut unescaped: Vec<Pair<'_>> = owned.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
            self.tags.set(&mut unescaped, self.out.scope.limits)?;
        } else {
            self.tags.set(pairs, self.out.scope.limits)?;
        }
        fields.clear();
        let strings = line.fields(fields)?;
        let timestamp_ms = match line.timestamp()? {
            None => self.out.scope.now_ms,
            Some(number) => self
                .precision
                .to_ms(number)
                .ok_or_else(|| RejectReason::InvalidTimestamp(format!("{number} does not fit into milliseconds")))?,
        };
        Ok(Parsed { measurement, timestamp_ms, strings })
    }

    fn push(&mut self, number: u64, parsed: &Parsed<'_>) {
        let Self { out, tags, scratch, .. } = self;
        for (field, value) in &scratch.fields {
            let named = match field.as_ref() {
                b"value" => tags.with_metric(&[&parsed.measurement], out.scope.limits),
                field => tags.with_metric(&[&parsed.measurement, b"_", field], out.scope.limits),
            };
            match named {
                Ok(canonical) => {
                    out.begin_series(canonical);
                    out.push(number, parsed.timestamp_ms, *value);
                }
                Err(reason) => out.reject(number, 1, reason),
            }
        }
    }
}

/// What a line says besides its tags and fields.
struct Parsed<'a> {
    measurement: Cow<'a, [u8]>,
    timestamp_ms: i64,
    /// String fields, left out.
    strings: u64,
}
