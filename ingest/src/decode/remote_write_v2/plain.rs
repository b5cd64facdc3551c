//! The short way for series as senders write them: short symbols, sorted by name, none reserved.
//!
//! A symbol has its length before it in the message, as a canonical label has: canonical bytes are copies of symbols,
//! one behind the other. The names of labels are looked at once and remembered, as one series has them like the next.
//! Anything else gives `None`, and the caller takes the general way, which defines what is right; a property test holds
//! the two together.

use schemas::labels::{METRIC_NAME, TENANT};

use super::symbols::{Short, Symbols};
use crate::canonical::{Blocks, is_before};
use crate::limits::Limits;

/// Canonical bytes of the series being read.
#[derive(Debug, Default)]
pub(super) struct PlainLabels {
    bytes: Blocks,
    /// Names as series had them last, in order: `names[..n]` could be those of a series for any `n`.
    names: Vec<Name>,
}

/// A label name that can be taken as it is.
#[derive(Debug, Clone, Copy)]
struct Name {
    reference: u32,
    place: Short,
    is_metric: bool,
}

impl PlainLabels {
    /// Makes the labels behind packed references (name, value, name, …) canonical; returns the symbol of the metric's
    /// name.
    pub(super) fn read(&mut self, packed: &[u8], symbols: &Symbols<'_>, limits: &Limits) -> Option<u32> {
        if limits.label_name_bytes < 0x80 || limits.label_value_bytes < 0x80 || !symbols.are_utf8() {
            return None;
        }
        self.bytes.clear();
        let (mut rest, mut at, mut metric) = (packed, 0, None);
        while !rest.is_empty() {
            let name = next_reference(&mut rest)?;
            let name = match self.names.get(at) {
                Some(known) if known.reference == name => *known,
                Some(_) | None => self.learn(at, name, symbols, limits)?,
            };
            let value = next_reference(&mut rest)?;
            if name.is_metric {
                metric = Some(value);
            }
            let value = symbols.short(value)?;
            self.bytes.append(symbols.body(), name.place.start, name.place.end);
            self.bytes.append(symbols.body(), value.start, value.end);
            at += 1;
        }
        metric.filter(|_| self.bytes.len() <= limits.labels_bytes)
    }

    /// Looks at the name of label `at`, and remembers it if it can be taken as it is.
    #[inline(never)]
    fn learn(&mut self, at: usize, reference: u32, symbols: &Symbols<'_>, limits: &Limits) -> Option<Name> {
        self.names.truncate(at);
        let text = |place: Short| &symbols.body()[place.start + 1..place.end];
        let place = symbols.short(reference)?;
        let in_order = self.names.last().is_none_or(|previous| is_before(text(previous.place), text(place)));
        if !in_order || text(place) == TENANT.as_bytes() || at >= limits.labels_per_series {
            return None;
        }
        let name = Name { reference, place, is_metric: text(place) == METRIC_NAME.as_bytes() };
        self.names.push(name);
        Some(name)
    }

    pub(super) fn canonical(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// Takes a reference of at most three bytes off the front of packed ones.
#[inline]
fn next_reference(packed: &mut &[u8]) -> Option<u32> {
    let (reference, rest) = match *packed {
        [a, rest @ ..] if *a < 0x80 => (u32::from(*a), rest),
        [a, b, rest @ ..] if *b < 0x80 => (u32::from(*a & 0x7f) | u32::from(*b) << 7, rest),
        [a, b, c, rest @ ..] if *c < 0x80 => {
            (u32::from(*a & 0x7f) | u32::from(*b & 0x7f) << 7 | u32::from(*c) << 14, rest)
        }
        _ => return None,
    };
    *packed = rest;
    Some(reference)
}
