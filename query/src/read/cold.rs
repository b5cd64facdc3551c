//! Hours that Delta owns, and repairs of rollups whose raw points Delta owns.
//!
//! segments of Delta in the work ─▶ overlays of those hours (CPU pool) ─▶ one stream a metric ─▶ parts, or a repair

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use cold::{ColdSelection, SeriesStream};
use futures::TryStreamExt as _;
use schemas::rollup::Bucket;
use schemas::tier_map::{ColdTable, Owner, Tier};
use schemas::time::HourRange;
use schemas::{DurationMs, Epoch, Hour, Points, Resolution, SeriesAddress, TimeRange};

use super::local::{LocalRead, Repair};
use super::{Partial, Question, Reader, Work};
pub(crate) use files::ColdFiles;

use crate::error::QueryError;
use crate::router::Source;
use crate::selection::MetricGroup;

/// Above so many series of a metric, all of its rows are read and the others dropped here: long lists of ids cost more
/// to test against than they save.
const LISTED_SERIES_MAX: usize = 4_096;

/// One metric of one segment of Delta.
#[derive(Debug, Clone)]
struct ColdScan {
    group: usize,
    /// Positions in the selection.
    series: Range<usize>,
    range: TimeRange,
    source: Source,
}

impl ColdScan {
    fn group<'q>(&self, question: &'q Question) -> &'q MetricGroup {
        &question.selection.groups()[self.group]
    }

    fn table(&self) -> ColdTable {
        ColdTable::of(self.source.resolution)
    }

    /// What to ask of the archive: coarser rows are whole, so a little more than the scan's range.
    fn selection(&self, question: &Question) -> ColdSelection {
        let group = self.group(question);
        let listed = self.series.len() <= LISTED_SERIES_MAX;
        let width = self.source.resolution.width();
        ColdSelection {
            class: Some(group.class),
            metric: Some(group.name.to_string()),
            series: listed.then(|| group.ids(&self.series)),
            range: width.map_or(self.range, |width| self.range.align_outward(width)),
        }
    }
}

/// Whether any of the work is Delta's.
pub(super) fn has_cold(question: &Question, work: &Work) -> bool {
    scans(question, work).next().is_some()
}

fn scans<'a>(question: &'a Question, work: &'a Work) -> impl Iterator<Item = ColdScan> + 'a {
    let first = question.selection.group_of(work.series.start);
    let groups = question.selection.groups().iter().enumerate().skip(first);
    groups.take_while(|(_, group)| group.series.start < work.series.end).flat_map(move |(index, group)| {
        let series = group.series.start.max(work.series.start)..group.series.end.min(work.series.end);
        question.routes.segments(index).iter().filter_map(move |segment| {
            let source = segment.source.filter(|source| source.owner == Owner::Cold)?;
            let range = segment.range.intersect(work.hours.time())?;
            Some(ColdScan { group: index, series: series.clone(), range, source })
        })
    })
}

/// Reads the part of some work that Delta owns.
pub(super) async fn read<P: Partial>(
    reader: &Arc<Reader>,
    question: &Question,
    work: &Work,
    out: &mut LocalRead<P>,
) -> Result<(), QueryError> {
    let scans: Vec<ColdScan> = scans(question, work).collect();
    for scan in scans {
        reader.stop.check()?;
        let read = ColdRead { reader, question, scan };
        let newer = read.overlays().await?;
        if read.scan.source.resolution == Resolution::Raw {
            read.raw(newer, out).await?;
        } else {
            read.rows(&newer, out).await?;
        }
        out.parts.check()?;
    }
    Ok(())
}

/// Newer points by series and hour.
type NewerByHour = BTreeMap<(usize, Hour), Points>;

/// Points of an hour that arrived after `through`, with the index of their address.
fn newer_than(
    reader: &Reader,
    addresses: &[SeriesAddress],
    hour: Hour,
    through: Epoch,
) -> Result<Vec<(usize, Points)>, QueryError> {
    let mut newer = Vec::new();
    if let Some(overlay) = reader.view.overlay(hour, through).map_err(QueryError::hot)? {
        let stats =
            overlay.read(addresses, &mut |at, points| newer.push((at, points.clone()))).map_err(QueryError::hot)?;
        reader.provenance.tally.scanned(Tier::Hot, stats);
    }
    Ok(newer)
}

/// A series' points in Delta, and those that arrived later.
#[derive(Default)]
struct Overlaid {
    base: Points,
    newer: Points,
}

/// One scan of Delta under way.
struct ColdRead<'a> {
    reader: &'a Arc<Reader>,
    question: &'a Question,
    scan: ColdScan,
}

impl ColdRead<'_> {
    /// The points newer than what Delta holds of the scan's hours. Hours with any are few: late data not sealed yet.
    async fn overlays(&self) -> Result<NewerByHour, QueryError> {
        let hours = self.scan.range.hours();
        let newer = self.reader.view.overlay_hours();
        let touched: Vec<Hour> = newer.into_iter().map(|(hour, _)| hour).filter(|&hour| hours.contains(hour)).collect();
        if touched.is_empty() {
            return Ok(NewerByHour::new());
        }
        let (class, table) = (self.scan.group(self.question).class, self.scan.table());
        let (shared, series) = (Arc::clone(self.reader), self.scan.series.clone());
        let selection = Arc::clone(&self.question.selection);
        let job = move || {
            let mut newer = NewerByHour::new();
            for hour in touched {
                let through = shared.view.map().archived_through(table, class, hour);
                let addresses = &selection.addresses()[series.clone()];
                for (at, points) in newer_than(&shared, addresses, hour, through)? {
                    newer.insert((series.start + at, hour), points);
                }
            }
            Ok(newer)
        };
        self.reader.pool.run(job).await
    }

    /// Hands what Delta has of each series of the scan to `each`, with its position in the selection.
    async fn each_series<T, P: Partial>(
        &self,
        mut stream: SeriesStream<T>,
        out: &mut LocalRead<P>,
        mut each: impl FnMut(&mut LocalRead<P>, usize, T),
    ) -> Result<(), QueryError> {
        let group = self.scan.group(self.question);
        while let Some((id, found)) = stream.try_next().await.map_err(QueryError::cold)? {
            self.reader.stop.check()?;
            let Some(series) = group.position(id).filter(|at| self.scan.series.contains(at)) else { continue };
            self.reader.provenance.tally.met(Tier::Cold);
            each(out, series, found);
            out.parts.check()?;
        }
        Ok(())
    }

    /// Raw points, with all that is newer merged in.
    async fn raw<P: Partial>(&self, newer: NewerByHour, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let width = self.question.routes.part_width();
        let mut overlaid: BTreeMap<usize, Overlaid> = BTreeMap::new();
        for ((series, _), points) in newer {
            overlaid.entry(series).or_default().newer.extend_from(&points);
        }
        let stream = points_stream(self.reader, self.scan.selection(self.question)).await?;
        let each = |out: &mut LocalRead<P>, series, points: Points| match overlaid.get_mut(&series) {
            Some(overlaid) => overlaid.base.extend_from(&points),
            None => out.cut(series, &points, width),
        };
        self.each_series(stream, out, each).await?;
        for (series, Overlaid { base, newer }) in overlaid {
            out.cut(series, &base.overlaid_with(&newer), width);
        }
        Ok(())
    }

    /// Rollup rows; those of series and hours with newer points are left to a repair.
    async fn rows<P: Partial>(&self, newer: &NewerByHour, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let Reader { view, archive, counters, .. } = self.reader.as_ref();
        let resolution = self.scan.source.resolution;
        let width = resolution.width().unwrap_or(DurationMs::MINUTE);
        let repaired = self.plan_repairs(newer, out);
        let selection = self.scan.selection(self.question);
        let versions = view.map().delta;
        let stream = if P::SKETCHES {
            archive.scan_buckets(&versions, resolution, &selection, counters).await
        } else {
            archive.scan_lean_buckets(&versions, resolution, &selection, counters).await
        };
        let each = |out: &mut LocalRead<P>, series, buckets: Vec<Bucket>| {
            for bucket in &buckets {
                let start = bucket.start.timestamp();
                if repaired.is_empty() || !repaired.contains(&(series, Hour::containing(start))) {
                    out.parts.push(series, start.0, width, P::of_bucket(bucket));
                }
            }
        };
        self.each_series(stream.map_err(QueryError::cold)?, out, each).await
    }

    /// Notes a repair for each hour with newer points whose raw points are still kept, and returns what is repaired.
    fn plan_repairs<P: Partial>(&self, newer: &NewerByHour, out: &mut LocalRead<P>) -> BTreeSet<(usize, Hour)> {
        let mut repaired = BTreeSet::new();
        let mut by_hour: BTreeMap<Hour, Vec<usize>> = BTreeMap::new();
        for &(series, hour) in newer.keys() {
            if self.raw_owner(hour) == Owner::Expired {
                self.reader.provenance.tally.unrepaired();
            } else {
                repaired.insert((series, hour));
                by_hour.entry(hour).or_default().push(series);
            }
        }
        out.repairs.extend(by_hour.into_iter().map(|(hour, series)| Repair { hour, series }));
        repaired
    }

    fn raw_owner(&self, hour: Hour) -> Owner {
        let (map, group) = (self.reader.view.map(), self.scan.group(self.question));
        let form = map.form(group.class, group.metric, hour.day());
        map.owner(group.class, form, Resolution::Raw, hour)
    }
}

/// Recomputes what was left to repairs: raw owner ⊕ newer points, cut into buckets.
pub(super) async fn repair<P: Partial>(
    reader: &Arc<Reader>,
    question: &Question,
    out: &mut LocalRead<P>,
) -> Result<(), QueryError> {
    for repair in std::mem::take(&mut out.repairs) {
        reader.stop.check()?;
        for (series, points) in settled(reader, question, &repair).await? {
            out.cut(series, &points, question.routes.part_width());
        }
        out.parts.check()?;
    }
    Ok(())
}

/// All points of a repair's series in its hour.
async fn settled(
    reader: &Arc<Reader>,
    question: &Question,
    repair: &Repair,
) -> Result<BTreeMap<usize, Points>, QueryError> {
    let Some(&first) = repair.series.first() else { return Ok(BTreeMap::new()) };
    let index = question.selection.group_of(first);
    let group = &question.selection.groups()[index];
    let map = reader.view.map();
    let form = map.form(group.class, group.metric, repair.hour.day());
    let through = map.owner_through(group.class, form, Resolution::Raw, repair.hour);
    let is_local = map.owner(group.class, form, Resolution::Raw, repair.hour) == Owner::Local;
    let addresses: Vec<SeriesAddress> =
        repair.series.iter().map(|&series| question.selection.addresses()[series]).collect();
    let (shared, hour) = (Arc::clone(reader), repair.hour);
    let (mut base, newer) = reader
        .pool
        .run(move || -> Result<_, QueryError> {
            let newer = newer_than(&shared, &addresses, hour, through)?;
            let mut base: BTreeMap<usize, Points> = BTreeMap::new();
            if is_local {
                let each = &mut |at: usize, points: &Points| drop(base.insert(at, points.clone()));
                let stats = shared.view.scan_points(hour, &addresses, each).map_err(QueryError::hot)?;
                shared.provenance.tally.scanned(Tier::Hot, stats);
            }
            Ok((base, newer))
        })
        .await?;
    if !is_local {
        base = delta_base(reader, question, index, repair).await?;
    }
    for (at, newer) in newer {
        let points = base.entry(at).or_default();
        *points = points.overlaid_with(&newer);
    }
    Ok(base.into_iter().map(|(at, points)| (repair.series[at], points)).collect())
}

/// The raw points that Delta holds of a repair, by index into its series.
async fn delta_base(
    reader: &Arc<Reader>,
    question: &Question,
    index: usize,
    repair: &Repair,
) -> Result<BTreeMap<usize, Points>, QueryError> {
    let group = &question.selection.groups()[index];
    let hours = HourRange { start: repair.hour, end: repair.hour.next() };
    let mut ids: Vec<_> = repair.series.iter().map(|&at| question.selection.series()[at].series_id).collect();
    ids.sort_unstable();
    let selection = ColdSelection {
        class: Some(group.class),
        metric: Some(group.name.to_string()),
        series: Some(ids),
        range: hours.time(),
    };
    let mut base: BTreeMap<usize, Points> = BTreeMap::new();
    let mut stream = points_stream(reader, selection).await?;
    while let Some((id, points)) = stream.try_next().await.map_err(QueryError::cold)? {
        if let Some(at) = group.position(id).and_then(|series| repair.series.binary_search(&series).ok()) {
            reader.provenance.tally.met(Tier::Cold);
            base.entry(at).or_default().extend_from(&points);
        }
    }
    Ok(base)
}

async fn points_stream(reader: &Reader, selection: ColdSelection) -> Result<SeriesStream<Points>, QueryError> {
    let versions = reader.view.map().delta;
    reader.archive.scan_points(&versions, &selection, &reader.counters).await.map_err(QueryError::cold)
}
