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
    /// Names of the series read last, which are in order: their references and places.
    names: Vec<(u32, Short)>,
    /// Which of them is the metric's.
    metric_at: usize,
}

impl PlainLabels {
    /// Makes the labels of `references` (name, value, name, …) canonical; returns the symbol of the metric's name.
    pub(super) fn read(&mut self, references: &[u32], symbols: &Symbols<'_>, limits: &Limits) -> Option<u32> {
        let (pairs, rest) = references.as_chunks::<2>();
        let long = limits.label_name_bytes < 0x80 || limits.label_value_bytes < 0x80;
        let odd = pairs.is_empty() || !rest.is_empty();
        if long || odd || !symbols.are_utf8() || pairs.len() > limits.labels_per_series {
            return None;
        }
        let known = self.names.len() == pairs.len() && self.names.iter().zip(pairs).all(|(known, of)| known.0 == of[0]);
        if !known {
            self.learn(pairs, symbols)?;
        }
        self.bytes.clear();
        for (&(_, name), &[_, value]) in self.names.iter().zip(pairs) {
            let value = symbols.short(value)?;
            self.bytes.append(symbols.body(), name.start, name.end);
            self.bytes.append(symbols.body(), value.start, value.end);
        }
        (self.bytes.len() <= limits.labels_bytes).then(|| pairs[self.metric_at][1])
    }

    /// Looks at the names of labels, and remembers them if they can be taken as they are.
    fn learn(&mut self, pairs: &[[u32; 2]], symbols: &Symbols<'_>) -> Option<()> {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        let mut metric_at = None;
        let mut previous: &[u8] = b"";
        for (at, &[name, _]) in pairs.iter().enumerate() {
            let place = symbols.short(name)?;
            let text = &symbols.body()[place.start + 1..place.end];
            if !is_before(previous, text) || text == TENANT.as_bytes() {
                return None;
            }
            if text == METRIC_NAME.as_bytes() {
                metric_at = Some(at);
            }
            names.push((name, place));
            previous = text;
        }
        self.metric_at = metric_at?;
        self.names = names;
        Some(())
    }

    pub(super) fn canonical(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}
