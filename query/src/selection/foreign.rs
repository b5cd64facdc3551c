//! Series that others have archived and that the local index does not find for a question: it has never heard of them, or
//! knows nothing of the days on which the others had them.
//!
//! hours of the range that Delta answers ─▶ others wrote there? (tags) ─▶ table of series ─▶ without what the index found
//!   ─▶ [`Foreign`] ─▶ series with addresses
//!
//! A series that the index knows has its address there. Any other gets a made-up one: nothing lies under it in RocksDB, since
//! the index gives numbers out from 0 and these are taken from the other end, so that its hours of Delta are all it has. A node
//! that is alone on its archive makes no request for all this.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cold::{EntryStream, SeriesEntry, SeriesSelection};
use futures::TryStreamExt as _;
use hot::{Index, SeriesInfo};
use schemas::{Labels, MetricId, RetentionClass, SeriesAddress, SeriesId, Sid};

use super::Wanted;
use crate::error::QueryError;
use crate::read::Reader;
use crate::router::{addressable, delta_hours};

/// Gathers what the archive names beyond what the index found.
struct Foreign<'a> {
    index: &'a Index,
    /// Selected already.
    selected: HashSet<SeriesId>,
    made_up: MadeUp,
    found: Vec<SeriesInfo>,
}

impl<'a> Foreign<'a> {
    fn new(index: &'a Index, selected: &[SeriesInfo]) -> Self {
        let selected = selected.iter().map(|info| info.series_id).collect();
        Self { index, selected, made_up: MadeUp::default(), found: Vec::new() }
    }

    fn add(&mut self, entry: SeriesEntry) {
        let SeriesEntry { series_id, labels, .. } = entry;
        if !self.selected.insert(series_id) {
            return;
        }
        let known = self.index.by_series_id(series_id).filter(|info| info.labels == labels);
        let address = known.map_or_else(|| self.made_up.address(self.index, &labels), |info| info.address);
        self.found.push(SeriesInfo { address, series_id, labels });
    }
}

/// Addresses of series that the index does not have.
#[derive(Debug, Default)]
struct MadeUp {
    series: u32,
    metrics: BTreeMap<String, MetricId>,
}

impl MadeUp {
    fn address(&mut self, index: &Index, labels: &Labels) -> SeriesAddress {
        let sid = Sid(u32::MAX - self.series);
        self.series += 1;
        SeriesAddress { class: RetentionClass::DEFAULT, metric: self.metric(index, labels.metric()), sid }
    }

    /// The number of a metric is the same for all of its series, and the index's if that has one: the metric's forms hold
    /// for these series too.
    fn metric(&mut self, index: &Index, name: &str) -> MetricId {
        if let Some(&metric) = self.metrics.get(name) {
            return metric;
        }
        let nth = u32::try_from(self.metrics.len()).unwrap_or(u32::MAX);
        let metric = index.metric_id(name).unwrap_or(MetricId(u32::MAX - nth));
        self.metrics.insert(name.to_owned(), metric);
        metric
    }
}

impl Wanted {
    /// Whether all matchers match.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
    }

    /// The same in the archive, beyond what was selected; `None` if Delta answers nothing of the wanted time, or nothing is left
    /// to look for.
    fn of_archive(self, reader: &Reader, selected: &[SeriesInfo]) -> Option<SeriesSelection> {
        let Self { matchers, ids, range, needs } = self;
        let range = range.unwrap_or(addressable());
        let range = delta_hours(reader.view.map(), RetentionClass::DEFAULT, &needs, range)?.time();
        let ids = ids.map(|ids| {
            let found: BTreeSet<SeriesId> = selected.iter().map(|info| info.series_id).collect();
            ids.difference(&found).copied().collect::<Vec<SeriesId>>()
        });
        let nothing_is_left = ids.as_ref().is_some_and(Vec::is_empty);
        (!nothing_is_left).then_some(SeriesSelection { matchers, ids, range: Some(range) })
    }
}

impl Reader {
    /// The wanted series that only others have in Delta's hours, beyond those that are selected; all together at most `limit`.
    pub(crate) async fn foreign(
        &self,
        index: &Index,
        wanted: Wanted,
        selected: &[SeriesInfo],
        limit: usize,
    ) -> Result<Vec<SeriesInfo>, QueryError> {
        let Some(mut named) = self.named_by_others(wanted, selected).await? else { return Ok(Vec::new()) };
        let mut foreign = Foreign::new(index, selected);
        while let Some(entry) = named.try_next().await.map_err(QueryError::cold)? {
            self.stop.check()?;
            foreign.add(entry);
            if selected.len() + foreign.found.len() > limit {
                return Err(QueryError::TooLarge(format!(
                    "more than {limit} series match, and no more are allowed: narrow the matchers"
                )));
            }
        }
        Ok(foreign.found)
    }
    /// Gives the labels of each wanted series that the archive names to `each`, if others wrote in Delta's hours; a series may
    /// come twice, and series of this node may be among them.
    pub(crate) async fn labels_of_others(
        &self,
        wanted: Wanted,
        each: &mut (dyn FnMut(&Labels) -> Result<(), QueryError> + Send),
    ) -> Result<(), QueryError> {
        let Some(mut named) = self.named_by_others(wanted, &[]).await? else { return Ok(()) };
        while let Some(entry) = named.try_next().await.map_err(QueryError::cold)? {
            self.stop.check()?;
            each(&entry.labels)?;
        }
        Ok(())
    }

    /// What the archive names of the wanted series; `None` if nobody else wrote in the hours that Delta answers.
    async fn named_by_others(
        &self,
        wanted: Wanted,
        selected: &[SeriesInfo],
    ) -> Result<Option<EntryStream>, QueryError> {
        let Some(wanted) = wanted.of_archive(self, selected) else { return Ok(None) };
        let (archive, versions) = (&self.archive, self.view.map().delta);
        let hours = wanted.range.unwrap_or(addressable()).hours();
        if !archive.others_wrote(&versions, hours).await.map_err(QueryError::cold)? {
            return Ok(None);
        }
        archive.stream_series(&versions, wanted, &self.counters).await.map(Some).map_err(QueryError::cold)
    }
}
