//! The series index: which series there are, what they are called, and on which days they have points.
//!
//! canonical labels ─hash─▶ table (16 shards) ─▶ address ............. `resolve`, for every batch
//! matchers ─▶ postings ─▶ ∩ active days ─▶ series, by address ....... `select`, for every query
//! created, removed, marked ─▶ the next commit, the next flush ....... `persist`
//!
//! Nouns: a *symbol* is a string by number; a *posting* the series of one label value; *activity* the series of a day;
//! an *era* what keeps a series from being forgotten while a batch is on its way. Numbers of series and symbols are
//! given out in order and never reused. Everything is in memory (docs/decisions/0002-index-in-memory.md); the bytes
//! are in docs/formats/series.md.
//!
//! Locks, in the order they are taken: creation, catalog, shard of the table, pending. None is held across I/O.
//! Not here: which hours a series has data in, and where.

mod activity;
mod cardinality;
mod catalog;
mod eras;
mod forget;
mod limits;
mod paged;
mod persist;
mod posting;
mod resolve;
mod select;
mod series_table;
mod symbols;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use schemas::batch::MetricMetadata;
use schemas::labels::METRIC_NAME;
use schemas::series_record::Symbol;
use schemas::{Day, LabelMatcher, Labels, MetricId, SeriesAddress, SeriesHash, SeriesId, Sid, TimeRange};
use thiserror::Error;

use self::activity::Activity;
pub use self::cardinality::Cardinality;
use self::catalog::Catalog;
use self::eras::Eras;
use self::limits::{DayCount, TokenBucket};
use self::persist::Pending;
pub(crate) use self::persist::{ACTIVITY_FAMILY, SERIES_FAMILY};
use self::resolve::Creation;
pub(crate) use self::resolve::Resolved;
use self::series_table::{SeriesTable, TableEntry, shard_of};
use crate::config::SeriesLimits;
use crate::db::Db;

/// The bytes that a description of a metric may have; longer ones are cut.
const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// What a metric with native histograms is called where nobody has said what it is, as senders would call it.
const KIND_OF_HISTOGRAMS: &str = "histogram";

/// A series and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesInfo {
    pub address: SeriesAddress,
    pub series_id: SeriesId,
    pub labels: Labels,
}

/// Why a selection has no answer.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SelectError {
    /// Every series of the node was asked for, which nobody means.
    #[error("at least one matcher is needed")]
    NoMatcher,
    #[error("{matched} series match, but at most {limit} are allowed")]
    TooManySeries { matched: u64, limit: usize },
}

/// Sizes of the index, for metrics and `inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStats {
    pub series: u64,
    pub label_names: u64,
    pub label_values: u64,
    pub symbols: u64,
    /// An estimate of the memory held.
    pub memory_bytes: usize,
}

/// See the module.
pub struct Index {
    db: Arc<Db>,
    limits: SeriesLimits,
    table: SeriesTable,
    catalog: RwLock<Catalog>,
    creation: Mutex<Creation>,
    pending: Mutex<Pending>,
    activity: Activity,
    eras: Eras,
    generation: AtomicU64,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("series", &self.series_count()).finish_non_exhaustive()
    }
}

/// What a loaded index is made of.
struct Parts {
    db: Arc<Db>,
    limits: SeriesLimits,
    catalog: Catalog,
    table: SeriesTable,
    activity: Activity,
    pending: Pending,
    today: DayCount,
}

impl Index {
    fn from_parts(parts: Parts) -> Self {
        let Parts { db, limits, catalog, table, activity, pending, today } = parts;
        Self {
            db,
            limits,
            table,
            catalog: RwLock::new(catalog),
            creation: Mutex::new(Creation { rate: TokenBucket::new(limits.new_per_second), today }),
            pending: Mutex::new(pending),
            activity,
            eras: Eras::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// The series that satisfy all matchers and, with a range, have points on one of its days; by address.
    pub fn select(
        &self,
        matchers: &[LabelMatcher],
        range: Option<TimeRange>,
        limit: usize,
    ) -> Result<Vec<SeriesInfo>, SelectError> {
        if matchers.is_empty() {
            return Err(SelectError::NoMatcher);
        }
        let catalog = self.catalog.read();
        let set = self.selected(&catalog, matchers, range);
        let matched = set.len();
        if matched > limit as u64 {
            return Err(SelectError::TooManySeries { matched, limit });
        }
        let mut found: Vec<SeriesInfo> = set.iter().filter_map(|sid| catalog.info(Sid(sid))).collect();
        drop(catalog);
        found.sort_unstable_by_key(|info| info.address);
        Ok(found)
    }

    /// Names of the labels of matching series (of all series without matchers), sorted.
    pub fn label_names(&self, matchers: &[LabelMatcher], range: Option<TimeRange>) -> Vec<String> {
        let catalog = self.catalog.read();
        let set = self.selected(&catalog, matchers, range);
        let carried = catalog.labels().filter(|(_, values)| !values.series.is_disjoint(&set));
        let mut names: Vec<String> = carried.map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// The first `limit` values of a label among matching series (all series without matchers), sorted.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[LabelMatcher],
        range: Option<TimeRange>,
        limit: usize,
    ) -> Vec<String> {
        let catalog = self.catalog.read();
        let Some(values) = catalog.label(name) else { return Vec::new() };
        if matchers.is_empty() && range.is_none() {
            return values.sorted.keys().take(limit).map(ToString::to_string).collect();
        }
        let set = self.selected(&catalog, matchers, range);
        if set.len() < values.sorted.len() as u64 {
            // Fewer series than values: ask each series.
            let symbol = catalog.symbols.find(name);
            let value_of = |sid| catalog.symbols.text(catalog.slot(Sid(sid))?.value_of(symbol?)?);
            let distinct: BTreeSet<&str> = set.iter().filter_map(value_of).map(|text| &**text).collect();
            return distinct.into_iter().take(limit).map(str::to_owned).collect();
        }
        let carried = values
            .sorted
            .iter()
            .filter(|(_, value)| values.by_value.get(*value).is_some_and(|posting| posting.intersects(&set)));
        carried.take(limit).map(|(text, _)| text.to_string()).collect()
    }

    fn selected<'c>(
        &self,
        catalog: &'c Catalog,
        matchers: &[LabelMatcher],
        range: Option<TimeRange>,
    ) -> Cow<'c, RoaringBitmap> {
        let set = select::matching(catalog, matchers);
        let Some(range) = range else { return set };
        let hours = range.hours();
        if hours.is_empty() {
            return Cow::Owned(RoaringBitmap::new());
        }
        let last = hours.iter().next_back().map_or(hours.start, |hour| hour).day();
        Cow::Owned(self.activity.among(&set, hours.start.day(), last))
    }

    pub fn info(&self, sid: Sid) -> Option<SeriesInfo> {
        self.catalog.read().info(sid)
    }

    /// Where the data of a series lies; cheaper than [`info`](Self::info), which builds its labels.
    pub fn address(&self, sid: Sid) -> Option<SeriesAddress> {
        self.catalog.read().slot(sid).map(|slot| slot.address(sid))
    }

    /// The series with exactly these canonical labels, by their hash.
    pub fn find(&self, hash: SeriesHash) -> Option<SeriesAddress> {
        let table = self.table.read(shard_of(hash.series_id()));
        table.find(hash).map(TableEntry::address)
    }

    pub fn by_series_id(&self, id: SeriesId) -> Option<SeriesInfo> {
        let sid = self.table.read(shard_of(id)).find_id(id)?.address().sid;
        self.info(sid)
    }

    pub fn metric_id(&self, metric: &str) -> Option<MetricId> {
        self.catalog.read().metric_id(metric)
    }

    pub fn metric_name(&self, metric: MetricId) -> Option<Arc<str>> {
        let catalog = self.catalog.read();
        let symbol = Symbol(metric.0);
        catalog.label(METRIC_NAME)?.by_value.get(&symbol)?;
        catalog.symbols.text(symbol).map(Arc::clone)
    }

    /// How many series a metric has, in all classes.
    pub fn series_of(&self, metric: MetricId) -> u64 {
        let catalog = self.catalog.read();
        let of_name = catalog.label(METRIC_NAME).and_then(|names| names.by_value.get(&Symbol(metric.0)));
        of_name.map_or(0, |posting| posting.len())
    }

    /// What senders said of a metric.
    pub fn metadata(&self, metric: &str) -> Option<MetricMetadata> {
        let catalog = self.catalog.read();
        catalog.metadata(catalog.metric_id(metric)?).cloned()
    }

    pub fn series_count(&self) -> u64 {
        self.catalog.read().len() as u64
    }

    /// Changes whenever series were removed: what was remembered of series before may be wrong.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Sizes; walks the label names, not the series.
    pub fn stats(&self) -> IndexStats {
        let catalog = self.catalog.read();
        IndexStats {
            series: catalog.len() as u64,
            label_names: catalog.labels().count() as u64,
            label_values: catalog.label_values() as u64,
            symbols: catalog.symbols.len() as u64,
            memory_bytes: catalog.memory_bytes() + self.table.memory_bytes() + self.activity.memory_bytes(),
        }
    }

    /// An estimate of the memory held, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.stats().memory_bytes
    }

    /// Marks series as active on a day; cheap for those that are.
    pub(crate) fn mark_active(&self, day: Day, sids: impl Iterator<Item = Sid>) {
        self.activity.mark(day, sids);
    }

    /// Remembers what a sender said of metrics, field by field; metrics without a series are passed over.
    pub(crate) fn describe(&self, said: &BTreeMap<String, MetricMetadata>) {
        let news: Vec<(MetricId, MetricMetadata)> = {
            let catalog = self.catalog.read();
            let merged = |(metric, said): (&String, &MetricMetadata)| {
                let id = catalog.metric_id(metric)?;
                let known = catalog.metadata(id).cloned().unwrap_or_default();
                let merged = MetricMetadata {
                    unit: cut(said.unit.as_deref()).or_else(|| known.unit.clone()),
                    kind: cut(said.kind.as_deref()).or_else(|| known.kind.clone()),
                    help: cut(said.help.as_deref()).or_else(|| known.help.clone()),
                };
                (merged != known).then_some((id, merged))
            };
            said.iter().filter_map(merged).collect()
        };
        self.set_metadata(news);
    }

    /// Calls metrics histograms that have native ones, unless somebody has said what they are: rollups hold floats alone, and
    /// who reads them must know where there is more.
    pub(crate) fn describe_histograms(&self, metrics: &BTreeSet<MetricId>) {
        let news: Vec<(MetricId, MetricMetadata)> = {
            let catalog = self.catalog.read();
            let called = |&metric: &MetricId| {
                let known = catalog.metadata(metric);
                let unsaid = known.is_none_or(|known| known.kind.is_none());
                unsaid.then(|| {
                    let kind = Some(KIND_OF_HISTOGRAMS.to_owned());
                    (metric, MetricMetadata { kind, ..known.cloned().unwrap_or_default() })
                })
            };
            metrics.iter().filter_map(called).collect()
        };
        self.set_metadata(news);
    }

    fn set_metadata(&self, news: Vec<(MetricId, MetricMetadata)>) {
        if news.is_empty() {
            return;
        }
        let mut catalog = self.catalog.write();
        let mut pending = self.pending.lock();
        for (metric, said) in news {
            // The metric may have gone between the two locks.
            if catalog.symbols.text(Symbol(metric.0)).is_some() {
                catalog.set_metadata(metric, said);
                pending.metadata.insert(metric);
            }
        }
    }
}

/// At most so many bytes of a description, whole characters.
fn cut(text: Option<&str>) -> Option<String> {
    text.map(|text| text[..text.floor_char_boundary(DESCRIPTION_BYTES_MAX)].to_owned())
}
