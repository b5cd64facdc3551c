//! The series of a query, in the order in which they are read, and their routes.
//!
//! matchers → index, and names of the archive ([`foreign`]) → series by address → groups of one (class, metric) → a route a
//! group
//!
//! A series is named by its position here in all partial results.

mod foreign;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hot::SeriesInfo;
use schemas::tier_map::Owner;
use schemas::{
    DurationMs, Hour, LabelMatcher, Labels, MetricId, RetentionClass, SeriesAddress, SeriesId, TierMap, TimeRange,
};

use crate::provenance::ProvenanceCollector;
use crate::router::{Need, Segment, Source, route};

/// Stands for the metric of a selection that has none.
const UNKNOWN_METRIC: MetricId = MetricId(u32::MAX);

/// Which series a query is about. Every part narrows.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// At least one must refuse the empty text, unless there are ids.
    pub(crate) matchers: Vec<LabelMatcher>,
    pub(crate) ids: Option<BTreeSet<SeriesId>>,
    /// Active on one of its days; `None`: ever.
    pub(crate) range: Option<TimeRange>,
    /// What may be read of them, which decides in which hours Delta is asked.
    pub(crate) needs: Vec<Need>,
}

/// Series, sorted by address, cut into groups that are routed alike.
#[derive(Debug)]
pub(crate) struct Selection {
    series: Vec<SeriesInfo>,
    addresses: Vec<SeriesAddress>,
    groups: Vec<MetricGroup>,
}

/// The series of one metric in one class.
#[derive(Debug)]
pub(crate) struct MetricGroup {
    pub(crate) class: RetentionClass,
    pub(crate) metric: MetricId,
    pub(crate) name: Arc<str>,
    /// Positions in the selection.
    pub(crate) series: Range<usize>,
    /// Series ids in the order of positions.
    ids: Vec<SeriesId>,
    /// Series ids with their positions, sorted, to place what cold tables give; made when it is first asked for.
    by_id: OnceLock<Vec<(SeriesId, usize)>>,
}

impl Selection {
    /// Takes series in any order.
    pub(crate) fn new(mut series: Vec<SeriesInfo>) -> Self {
        if !series.is_sorted_by_key(|info| info.address) {
            series.sort_by_key(|info| info.address);
        }
        let addresses: Vec<SeriesAddress> = series.iter().map(|info| info.address).collect();
        let mut groups = Vec::new();
        let mut start = 0;
        for group in addresses.chunk_by(|a, b| (a.class, a.metric) == (b.class, b.metric)) {
            let range = start..start + group.len();
            start = range.end;
            groups.push(MetricGroup::new(&series, range));
        }
        Self { series, addresses, groups }
    }

    /// The labels, in order.
    pub(crate) fn labels(&self) -> Vec<Labels> {
        self.series.iter().map(|info| info.labels.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn series(&self) -> &[SeriesInfo] {
        &self.series
    }

    pub(crate) fn addresses(&self) -> &[SeriesAddress] {
        &self.addresses
    }

    pub(crate) fn groups(&self) -> &[MetricGroup] {
        &self.groups
    }

    /// The group that holds a position.
    pub(crate) fn group_of(&self, series: usize) -> usize {
        self.groups.partition_point(|group| group.series.end <= series)
    }
}

impl MetricGroup {
    fn new(all: &[SeriesInfo], series: Range<usize>) -> Self {
        let first = &all[series.start];
        let ids = all[series.clone()].iter().map(|info| info.series_id).collect();
        Self {
            class: first.address.class,
            metric: first.address.metric,
            name: Arc::from(first.labels.metric()),
            series,
            ids,
            by_id: OnceLock::new(),
        }
    }

    fn by_id(&self) -> &[(SeriesId, usize)] {
        self.by_id.get_or_init(|| {
            let mut by_id: Vec<(SeriesId, usize)> = self.ids.iter().copied().zip(self.series.clone()).collect();
            by_id.sort_unstable();
            by_id
        })
    }

    /// The position of a series id, if it is selected.
    pub(crate) fn position(&self, id: SeriesId) -> Option<usize> {
        let by_id = self.by_id();
        let at = by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(by_id[at].1)
    }

    /// The ids of the series at these positions, sorted.
    pub(crate) fn ids(&self, positions: &Range<usize>) -> Vec<SeriesId> {
        self.by_id().iter().filter(|(_, at)| positions.contains(at)).map(|(id, _)| *id).collect()
    }
}

/// Where each group of a selection is read, for one need over one range.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) need: Need,
    /// The range, aligned to the need's buckets and cut to what storage can address.
    pub(crate) range: TimeRange,
    /// Segments of each group, in order; of an empty selection, those that a metric nobody has sent would have.
    groups: Vec<Vec<Segment>>,
}

impl Routes {
    pub(crate) fn new(map: &TierMap, selection: &Selection, need: Need, range: TimeRange) -> Self {
        let range = need.cover(range).unwrap_or(range);
        let of = |group: &MetricGroup| route(map, group.class, group.metric, need, range);
        let mut groups: Vec<Vec<Segment>> = selection.groups().iter().map(of).collect();
        if groups.is_empty() {
            // Nothing will be read, but the answer still says whether anything of the time is kept.
            groups.push(route(map, RetentionClass::DEFAULT, UNKNOWN_METRIC, need, range));
        }
        Self { need, range, groups }
    }

    /// The width at which stored data is cut before parts are combined: a bucket's, but at most an hour, since an
    /// hour is read at a time.
    pub(crate) fn part_width(&self) -> DurationMs {
        self.need.width().min(DurationMs::HOUR)
    }

    pub(crate) fn segments(&self, group: usize) -> &[Segment] {
        &self.groups[group]
    }

    /// Where an hour of a group is read.
    pub(crate) fn source(&self, group: usize, hour: Hour) -> Option<Source> {
        let segments = &self.groups[group];
        let at = segments.partition_point(|segment| segment.range.end() <= hour.start());
        segments.get(at).filter(|segment| segment.range.start() < hour.end()).and_then(|segment| segment.source)
    }

    /// Whether no part has to be answered by coarser data. What is dropped everywhere does not count: no other
    /// question would bring it back.
    pub(crate) fn is_exact(&self) -> bool {
        self.groups.iter().flatten().all(|segment| segment.source.is_none_or(|source| source.exact))
    }

    /// Behind the last hour that Delta owns for any of the series.
    pub(crate) fn cold_end(&self) -> Hour {
        let is_cold = |segment: &&Segment| segment.source.is_some_and(|source| source.owner == Owner::Cold);
        self.groups.iter().flatten().filter(is_cold).map(|segment| segment.hours().end).max().unwrap_or_default()
    }

    /// Drops the parts that only coarser data could answer.
    pub(crate) fn exact_only(mut self) -> Self {
        for segment in self.groups.iter_mut().flatten() {
            segment.source = segment.source.filter(|source| source.exact);
        }
        self
    }

    pub(crate) fn tell(&self, collector: &ProvenanceCollector) {
        for segments in &self.groups {
            collector.routed(self.need, segments);
        }
    }
}
