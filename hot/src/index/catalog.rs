//! What is known of each series by number, and who carries which label.
//!
//! series added ─▶ its labels as symbols (slot) ─▶ label name ─▶ label value ─▶ posting
//!
//! Nouns: a *slot* is one series; a *posting* the series of one label value. The same place adds, restores and removes
//! a series, so that slots and postings never disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use schemas::batch::MetricMetadata;
use schemas::labels::{METRIC_NAME, iter_canonical};
use schemas::series_record::{LabelSymbols, Symbol};
use schemas::{Labels, MetricId, RetentionClass, SeriesAddress, SeriesHash, Sid};

use super::SeriesInfo;
use super::paged::Paged;
use super::posting::Posting;
use super::symbols::Symbols;

/// One series.
#[derive(Debug)]
pub(super) struct Slot {
    /// The hash in native bytes: a `u128` would be aligned to 16 bytes.
    hash: [u8; 16],
    /// In the order of the canonical labels.
    labels: Box<[LabelSymbols]>,
    metric: MetricId,
    class: RetentionClass,
}

impl Slot {
    pub(super) fn hash(&self) -> SeriesHash {
        SeriesHash(u128::from_ne_bytes(self.hash))
    }

    pub(super) fn labels(&self) -> &[LabelSymbols] {
        &self.labels
    }

    pub(super) fn metric(&self) -> MetricId {
        self.metric
    }

    pub(super) fn class(&self) -> RetentionClass {
        self.class
    }

    pub(super) fn address(&self, sid: Sid) -> SeriesAddress {
        SeriesAddress { class: self.class, metric: self.metric, sid }
    }

    pub(super) fn value_of(&self, name: Symbol) -> Option<Symbol> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value)
    }
}

/// All values of one label name.
#[derive(Debug, Default)]
pub(super) struct LabelValues {
    pub(super) by_value: HashMap<Symbol, Posting>,
    /// The values as text, for prefixes and sorted answers.
    pub(super) sorted: BTreeMap<Arc<str>, Symbol>,
    /// Every series that has the label.
    pub(super) series: RoaringBitmap,
}

/// Why persisted labels cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLabels {
    #[error("symbol {} has no text", .0.0)]
    NoText(Symbol),
    #[error("the metric name is missing or another than the series says")]
    Metric,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) symbols: Symbols,
    slots: Paged<Slot>,
    labels: HashMap<Symbol, LabelValues>,
    metadata: HashMap<MetricId, MetricMetadata>,
    live: RoaringBitmap,
    next_sid: u32,
    label_pairs: usize,
}

impl Catalog {
    /// Series held.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn next_sid(&self) -> u32 {
        self.next_sid
    }

    /// Never gives out a series number below this.
    pub(super) fn reserve_below(&mut self, next_sid: u32) {
        self.next_sid = self.next_sid.max(next_sid);
    }

    pub(super) fn slot(&self, sid: Sid) -> Option<&Slot> {
        self.slots.get(sid.0)
    }

    /// Every series.
    pub(super) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    pub(super) fn label(&self, name: &str) -> Option<&LabelValues> {
        self.labels.get(&self.symbols.find(name)?)
    }

    /// Label names with their values, in no order.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&Arc<str>, &LabelValues)> {
        self.labels.iter().filter_map(|(name, values)| Some((self.symbols.text(*name)?, values)))
    }

    /// Label values of all names together.
    pub(super) fn label_values(&self) -> usize {
        self.labels.values().map(|values| values.by_value.len()).sum()
    }

    pub(super) fn metric_id(&self, metric: &str) -> Option<MetricId> {
        let symbol = self.symbols.find(metric)?;
        self.label(METRIC_NAME)?.by_value.contains_key(&symbol).then_some(MetricId(symbol.0))
    }

    /// Series of a metric.
    pub(super) fn series_of_metric(&self, metric: &str) -> u64 {
        let posting = |symbol| self.label(METRIC_NAME)?.by_value.get(&symbol);
        self.symbols.find(metric).and_then(posting).map_or(0, Posting::len)
    }

    /// Adds a series by its canonical labels; new symbols are appended to `fresh`.
    pub(super) fn add(
        &mut self,
        hash: SeriesHash,
        class: RetentionClass,
        canonical: &[u8],
        fresh: &mut Vec<Symbol>,
    ) -> SeriesAddress {
        let sid = Sid(self.next_sid);
        self.next_sid = self.next_sid.checked_add(1).expect("creation stops before series numbers end");
        let mut metric = MetricId(0);
        let labels: Box<[LabelSymbols]> = iter_canonical(canonical)
            .map(|(name, value)| {
                let pair =
                    LabelSymbols { name: self.symbols.intern(name, fresh), value: self.symbols.intern(value, fresh) };
                if name == METRIC_NAME {
                    metric = MetricId(pair.value.0);
                }
                pair
            })
            .collect();
        self.link(sid, &labels);
        self.slots.insert(sid.0, Slot { hash: hash.0.to_ne_bytes(), labels, metric, class });
        SeriesAddress { class, metric, sid }
    }

    /// Puts a series as it was persisted. Its symbols must be there.
    pub(super) fn restore(
        &mut self,
        hash: SeriesHash,
        address: SeriesAddress,
        labels: Box<[LabelSymbols]>,
    ) -> Result<(), BadLabels> {
        let SeriesAddress { class, metric, sid } = address;
        let mut named = None;
        for label in &labels {
            let name = self.symbols.text(label.name).ok_or(BadLabels::NoText(label.name))?;
            if &**name == METRIC_NAME {
                named = Some(MetricId(label.value.0));
            }
            self.symbols.text(label.value).ok_or(BadLabels::NoText(label.value))?;
        }
        if named != Some(metric) {
            return Err(BadLabels::Metric);
        }
        self.link(sid, &labels);
        self.slots.insert(sid.0, Slot { hash: hash.0.to_ne_bytes(), labels, metric, class });
        self.reserve_below(sid.0.saturating_add(1));
        Ok(())
    }

    fn link(&mut self, sid: Sid, pairs: &[LabelSymbols]) {
        let Self { symbols, labels, .. } = self;
        for pair in pairs {
            let values = labels.entry(pair.name).or_insert_with(|| {
                symbols.hold(pair.name);
                LabelValues::default()
            });
            let LabelValues { by_value, sorted, series } = values;
            let posting = by_value.entry(pair.value).or_insert_with(|| {
                symbols.hold(pair.value);
                if let Some(text) = symbols.text(pair.value) {
                    sorted.insert(Arc::clone(text), pair.value);
                }
                Posting::default()
            });
            posting.insert(sid);
            if series.try_push(sid.0).is_err() {
                series.insert(sid.0);
            }
        }
        self.live.insert(sid.0);
        self.label_pairs += pairs.len();
    }

    /// Removes a series; symbols that went with it are appended to `gone`.
    pub(super) fn remove(&mut self, sid: Sid, gone: &mut Vec<Symbol>) -> Option<Slot> {
        let slot = self.slots.remove(sid.0)?;
        self.live.remove(sid.0);
        self.label_pairs -= slot.labels.len();
        for pair in &slot.labels {
            let Some(values) = self.labels.get_mut(&pair.name) else { continue };
            values.series.remove(sid.0);
            let Some(posting) = values.by_value.get_mut(&pair.value) else { continue };
            posting.remove(sid);
            if !posting.is_empty() {
                continue;
            }
            values.by_value.remove(&pair.value);
            if let Some(text) = self.symbols.text(pair.value) {
                values.sorted.remove(text);
            }
            let no_values = values.by_value.is_empty();
            if no_values {
                self.labels.remove(&pair.name);
            }
            gone.extend(self.symbols.release(pair.value).then_some(pair.value));
            gone.extend((no_values && self.symbols.release(pair.name)).then_some(pair.name));
        }
        Some(slot)
    }

    pub(super) fn metadata(&self, metric: MetricId) -> Option<&MetricMetadata> {
        self.metadata.get(&metric)
    }

    pub(super) fn set_metadata(&mut self, metric: MetricId, said: MetricMetadata) {
        self.metadata.insert(metric, said);
    }

    /// Drops what was said of a metric that has no series any more; true if there was something.
    pub(super) fn drop_metadata(&mut self, metric: MetricId) -> bool {
        self.metadata.remove(&metric).is_some()
    }

    pub(super) fn info(&self, sid: Sid) -> Option<SeriesInfo> {
        let slot = self.slots.get(sid.0)?;
        let text = |symbol| self.symbols.text(symbol).map_or("", |text| &**text);
        let labels = Labels::from_sorted(slot.labels.iter().map(|label| (text(label.name), text(label.value))));
        Some(SeriesInfo { address: slot.address(sid), series_id: slot.hash().series_id(), labels })
    }

    /// An estimate of the bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        /// A boxed slice beside its contents, as allocators round.
        const BOX: usize = 8;
        /// A posting's share of one series, on average: two bytes, and as much again for the label's own set.
        const MEMBER: usize = 4;
        /// One entry of a B-tree of texts, with the tree's slack.
        const SORTED: usize = 36;
        let values: usize =
            self.labels.values().map(|values| values.by_value.allocation_size() + values.sorted.len() * SORTED).sum();
        self.symbols.memory_bytes()
            + self.slots.memory_bytes()
            + self.slots.len() * BOX
            + self.label_pairs * (size_of::<LabelSymbols>() + MEMBER)
            + values
    }
}
