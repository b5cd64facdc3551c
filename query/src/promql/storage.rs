//! The tiers as the evaluator sees them.
//!
//! selector ─▶ series of the index and of the archive ─▶ a [`Plan`] for each metric ─▶ runs of metrics that are read alike
//! ─▶ [`TierSeries`], which reads blocks of them
//!
//! One view of the store serves all selectors of a query. Runs on the evaluator's threads. Not here: how a block is read
//! (`block`).

use std::ops::Range;
use std::sync::Arc;

use hot::Store;
use parking_lot::Mutex;
use promql::notes::Notes;
use promql::range::RangeFunction;
use promql::storage::{Selection as Selector, SeriesSet, Sink, Storage, StorageError, Wanted as Asked, Windows};
use schemas::batch::MetricMetadata;
use schemas::rollup::{BucketMoments, Rollup};
use schemas::time::HOUR_MS;
use schemas::{DurationMs, Labels, Points, TimeRange, TimestampMs};

use super::ahead::{Ahead, by_series};
use super::block::{Block, reaches};
use super::plan::{Plan, Question as PlanQuestion};
use crate::engine::known;
use crate::error::QueryError;
use crate::read::{EachBucket, Part, Partial, PlainRows, Question, Reader, Wait, Work};
use crate::router::{Need, Segment, addressable};
use crate::selection::{Routes, Selection, Wanted};

/// Raw points that one hour of one series is taken for where nobody has counted.
const POINTS_PER_HOUR: usize = 360;
/// Values that one read is to give, about, for what it looks up to be little of its work; and series where that is unknown.
const VALUES_AT_ONCE: usize = 16_384;
const SERIES_AT_ONCE: usize = 128;
/// Series of a metric from which on it pays to look for its hours by itself.
const SERIES_TO_KEEP: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Tiers {
    pub(super) store: Arc<Store>,
    pub(super) reader: Arc<Reader>,
    pub(super) wait: Wait,
    pub(super) series_max: usize,
}

impl Storage for Tiers {
    fn select(&self, selector: &Selector) -> Result<Box<dyn SeriesSet + '_>, StorageError> {
        Ok(Box::new(TierSeries::select(self, selector).map_err(as_storage_error)?))
    }
}

/// What the evaluator is told of a failure.
pub(super) fn as_storage_error(error: QueryError) -> StorageError {
    StorageError::Failed(Box::new(error))
}

/// Neighbouring series that are read alike.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) series: Range<usize>,
    pub(super) plan: Plan,
}

/// Buckets of one width, for the runs that need them.
#[derive(Debug)]
pub(super) struct Rows<P> {
    pub(super) width: DurationMs,
    pub(super) question: Question,
    plain: PlainRows,
    ahead: Ahead<P>,
}

impl<P: Partial> Rows<P> {
    /// Of all time that windows may need: those that do not fit buckets begin and end earlier than asked.
    fn new(tiers: &Tiers, selection: &Arc<Selection>, need: Need, range: TimeRange) -> Result<Self, QueryError> {
        let width = need.width();
        let reaches_back = TimestampMs(range.start().0.saturating_sub(2 * width.0));
        let question = question(tiers, selection, need, TimeRange::new(reaches_back, range.end())?)?;
        let hours = question.hours.within(question.routes.range.hours()).count();
        let per_hour = usize::try_from(HOUR_MS / width.0).unwrap_or(60);
        let ahead = Ahead::new(selection.len(), hours * per_hour * size_of::<Part<P>>());
        let plain = if width == DurationMs::HOUR { plain_rows(tiers, selection, hours) } else { PlainRows::Asked };
        Ok(Self { width, question, plain, ahead })
    }

    /// The rows of each of some series.
    pub(super) fn read(&self, tiers: &Tiers, series: &Range<usize>) -> Result<Vec<Vec<Part<P>>>, QueryError> {
        let hours = self.question.routes.range.hours();
        let read = |series| tiers.reader.read_here(&self.question, Work { series, hours }, &tiers.wait);
        if self.has_cold() {
            return self.ahead.take(series, &tiers.reader.budget, &read);
        }
        Ok(by_series(read(series.clone())?, series))
    }

    /// Whether Delta owns any of the time.
    fn has_cold(&self) -> bool {
        self.question.routes.cold_end() > self.question.routes.range.hours().start
    }
}

impl Rows<BucketMoments> {
    /// Gives the buckets of some series to `each`, those of a series in order of time.
    pub(super) fn each(&self, tiers: &Tiers, series: &Range<usize>, each: EachBucket<'_>) -> Result<(), QueryError> {
        if !self.has_cold() {
            let work = Work { series: series.clone(), hours: self.question.routes.range.hours() };
            return tiers.reader.buckets_here(&self.question, &work, self.plain, &tiers.wait, each);
        }
        for (series, rows) in series.clone().zip(self.read(tiers, series)?) {
            rows.iter().for_each(|row| each(series, &row.value));
        }
        Ok(())
    }
}

/// The series of one selector.
#[derive(Debug)]
pub(super) struct TierSeries<'t> {
    pub(super) tiers: &'t Tiers,
    pub(super) windows: Windows,
    pub(super) wanted: Asked,
    /// Of a single window, the newest point.
    pub(super) newest_alone: bool,
    labels: Vec<Labels>,
    pub(super) runs: Vec<Run>,
    /// For raw points, of all series.
    pub(super) raw: Question,
    /// Hours that are looked into for them.
    pub(super) hours_reached: usize,
    pub(super) raw_ahead: Ahead<Points>,
    pub(super) buckets: Vec<Rows<BucketMoments>>,
    /// For quantiles of time of which raw points are gone.
    pub(super) sketches: Vec<Rows<Rollup>>,
    pub(super) notes: Mutex<Notes>,
}

impl<'t> TierSeries<'t> {
    fn select(tiers: &'t Tiers, selector: &Selector) -> Result<Self, QueryError> {
        let Selector { matchers, windows, wanted } = selector;
        let reader = &tiers.reader;
        let range = range_of(windows);
        let mut series = Vec::new();
        if let Some(range) = range {
            let of_query =
                Wanted { matchers: matchers.clone(), ids: None, range: Some(range), needs: Need::ANY.to_vec() };
            series = known(&tiers.store, &of_query, tiers.series_max)?;
            let others = reader.foreign(tiers.store.index(), of_query, &series, tiers.series_max);
            let others = tiers.wait.on(others)?;
            series.extend(others);
        }
        let selection = Arc::new(Selection::new(series));
        reader.provenance.matched(selection.len());
        let range = range.unwrap_or(TimeRange::new(TimestampMs(0), TimestampMs(0))?);
        let planned = PlanQuestion { wanted, windows: *windows, range };
        let runs = runs(tiers, &selection, &planned);
        let raw = question(tiers, &selection, Need::Points, range)?;
        let hours_reached = raw.hours.within(raw.routes.range.hours()).filter(|&hour| reaches(windows, hour)).count();
        let raw_ahead = Ahead::new(selection.len(), hours_reached * POINTS_PER_HOUR * 16);
        let mut set = Self {
            tiers,
            windows: *windows,
            wanted: wanted.clone(),
            newest_alone: planned.is_newest_alone(),
            labels: selection.labels(),
            runs,
            raw,
            hours_reached,
            raw_ahead,
            buckets: Vec::new(),
            sketches: Vec::new(),
            notes: Mutex::default(),
        };
        set.prepare_buckets(&selection, range)?;
        set.tell(&selection, range);
        Ok(set)
    }

    /// Questions for the buckets that any run needs.
    fn prepare_buckets(&mut self, selection: &Arc<Selection>, range: TimeRange) -> Result<(), QueryError> {
        for width in [DurationMs::MINUTE, DurationMs::HOUR] {
            if !self.runs.iter().any(|run| run.plan.split > 0 && run.plan.width == width) {
                continue;
            }
            self.buckets.push(Rows::new(self.tiers, selection, Need::Windows { width }, range)?);
            if matches!(&self.wanted, Asked::Function { function: RangeFunction::QuantileOverTime, .. }) {
                let need = Need::Sketches { width, every: true };
                self.sketches.push(Rows::new(self.tiers, selection, need, range)?);
            }
        }
        Ok(())
    }

    /// Says where the data of each group come from.
    fn tell(&self, selection: &Selection, range: TimeRange) {
        let collector = &self.tiers.reader.provenance;
        let groups = selection.groups().iter().map(|group| self.plan_of(group.series.start));
        // Without a series, what one would have.
        let nothing = groups.len() == 0;
        for (index, plan) in groups.chain(nothing.then_some(None)).enumerate() {
            let (of_buckets, of_points) = match plan {
                Some(plan) if plan.split == self.windows.count => (Some((plan, range)), None),
                Some(plan) if plan.split > 0 => {
                    let from = plan.raw_from.unwrap_or(range.start()).clamp(range.start(), range.end());
                    let part = |start, end| TimeRange::new(start, end).ok();
                    (part(range.start(), from).map(|before| (plan, before)), part(from, range.end()))
                }
                _ => (None, Some(range)),
            };
            if let Some((plan, range)) = of_buckets
                && let Some(buckets) = self.buckets(plan.width)
            {
                let segments = within(buckets.question.routes.segments(index), range, plan.exact);
                collector.routed(plan.need(), &segments);
            }
            if let Some(range) = of_points {
                collector.routed(Need::Points, &within(self.raw.routes.segments(index), range, true));
            }
        }
    }

    fn plan_of(&self, series: usize) -> Option<Plan> {
        let run = self.runs.partition_point(|run| run.series.end <= series);
        self.runs.get(run).map(|run| run.plan)
    }

    pub(super) fn buckets(&self, width: DurationMs) -> Option<&Rows<BucketMoments>> {
        self.buckets.iter().find(|buckets| buckets.width == width)
    }
}

impl SeriesSet for TierSeries<'_> {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn read(&self, series: Range<usize>, sink: Sink<'_>) -> Result<(), StorageError> {
        let first = self.runs.partition_point(|run| run.series.end <= series.start);
        for run in self.runs[first..].iter().take_while(|run| run.series.start < series.end) {
            let here = run.series.start.max(series.start)..run.series.end.min(series.end);
            Block::new(self, run.plan, here).read(sink)?;
        }
        Ok(())
    }

    /// Each read looks into every hour anew, which is much of the work where windows are few.
    fn at_once(&self) -> usize {
        let is_whole = |run: &Run| run.plan.split == 0 || run.plan.exact && run.plan.split == self.windows.count;
        let values = if self.runs.iter().all(is_whole) { VALUES_AT_ONCE } else { 0 };
        (values / self.windows.count.max(1)).max(SERIES_AT_ONCE)
    }

    fn notes(&self) -> Notes {
        self.notes.lock().clone()
    }
}

/// All time that points in any window can have; `None` if no data can be there.
fn range_of(windows: &Windows) -> Option<TimeRange> {
    if windows.count == 0 || windows.range <= 0 {
        return None;
    }
    let (first, last) = windows.span();
    addressable().intersect(TimeRange::new(TimestampMs(first), TimestampMs(last.saturating_add(1))).ok()?)
}

fn question(tiers: &Tiers, selection: &Arc<Selection>, need: Need, range: TimeRange) -> Result<Question, QueryError> {
    let routes = Routes::new(tiers.reader.view.map(), selection, need, range);
    let routes = if need == Need::Points { routes.exact_only() } else { routes };
    let hours = tiers.wait.on(tiers.reader.hours(selection, &routes))?;
    Ok(Question { selection: Arc::clone(selection), routes: Arc::new(routes), hours: Arc::new(hours) })
}

/// Hours are kept of queries for at least half the series of each metric, and not for a few, unless that is more than is kept.
fn plain_rows(tiers: &Tiers, selection: &Selection, hours: usize) -> PlainRows {
    let mut all = 0_usize;
    for group in selection.groups() {
        let series = usize::try_from(tiers.store.index().series_of(group.metric)).unwrap_or(usize::MAX);
        if group.series.len() < SERIES_TO_KEEP.max(series / 2) {
            return PlainRows::Asked;
        }
        all = all.saturating_add(series.max(group.series.len()));
    }
    let reads = selection.groups().len().saturating_mul(hours);
    if tiers.reader.view.keeps_decoded(all.saturating_mul(hours), reads) { PlainRows::Kept } else { PlainRows::Asked }
}

/// Neighbouring groups with the same plan, as one.
fn runs(tiers: &Tiers, selection: &Selection, asked: &PlanQuestion<'_>) -> Vec<Run> {
    let map = tiers.reader.view.map();
    let mut runs: Vec<Run> = Vec::new();
    for group in selection.groups() {
        // Rollups know nothing of native histograms; what a metric of them has as floats is not answered by itself.
        let plan = match is_histogram(tiers.store.index().metadata(&group.name)) {
            true => asked.of_points(map, group.class, group.metric),
            false => asked.plan(map, group.class, group.metric),
        };
        match runs.last_mut() {
            Some(last) if last.plan == plan => last.series.end = group.series.end,
            _ => runs.push(Run { series: group.series.clone(), plan }),
        }
    }
    runs
}

/// Whether senders call a metric a histogram: one that has series under its own name has native ones.
fn is_histogram(said: Option<MetricMetadata>) -> bool {
    said.is_some_and(|said| matches!(said.kind.as_deref(), Some("histogram" | "gaugehistogram")))
}

/// The parts of segments within a range.
fn within(segments: &[Segment], range: TimeRange, exact: bool) -> Vec<Segment> {
    let cut = segments.iter().filter_map(|segment| {
        let source = segment.source.map(|source| crate::router::Source { exact: source.exact && exact, ..source });
        Some(Segment { range: segment.range.intersect(range)?, source })
    });
    cut.collect()
}
