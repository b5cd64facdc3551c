//! Hours that RocksDB owns, and the head and runs over them. Runs on the CPU pool.

use std::iter::Peekable;
use std::ops::Range;

use hot::{Overlay, ScanStats};
use schemas::tier_map::{Owner, Tier};
use schemas::{DurationMs, Epoch, Hour, Points, Resolution, SeriesAddress};

use super::partial::StoredRows;
use super::{Partial, Parts, Question, Reader, Work};
use crate::error::QueryError;
use crate::limits::Share;
use crate::router::Source;

/// What local hours gave, and what only Delta can complete.
#[derive(Debug)]
pub(super) struct LocalRead<P> {
    pub(super) parts: Parts<P>,
    pub(super) repairs: Vec<Repair>,
}

/// Series whose rollups of an hour must be recomputed from raw points that Delta owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) hour: Hour,
    /// Positions in the selection, ascending, all of one metric group.
    pub(super) series: Vec<usize>,
}

/// A read that is finished, or has to wait for Delta.
pub(super) enum Finished<P, T, F> {
    Done(T),
    Deferred(LocalRead<P>, F),
}

impl<P: Partial> LocalRead<P> {
    pub(super) fn new(reader: &Reader, question: &Question) -> Self {
        Self { parts: Parts::new(question.routes.range, reader.budget.share()), repairs: Vec::new() }
    }

    pub(super) fn finish_or_defer<T, F>(self, finish: F) -> Result<Finished<P, T, F>, QueryError>
    where
        F: FnOnce(Parts<P>) -> Result<T, QueryError>,
    {
        if self.repairs.is_empty() {
            finish(self.parts.sorted()).map(Finished::Done)
        } else {
            Ok(Finished::Deferred(self, finish))
        }
    }

    /// Adds settled points of a series, cut to the range and into buckets.
    pub(super) fn cut(&mut self, series: usize, points: &Points, width: DurationMs) {
        let parts = &mut self.parts;
        let range = parts.range();
        let within = points.index_range(range.start().0, range.end().0);
        if within.len() == points.len() {
            P::cut(points, width, &mut |start, part| parts.push(series, start, width, part));
        } else {
            P::cut(&points.slice(within), width, &mut |start, part| parts.push(series, start, width, part));
        }
    }
}

/// Reads the local part of some work.
pub(super) fn read<P: Partial>(reader: &Reader, question: &Question, work: &Work) -> Result<LocalRead<P>, QueryError> {
    let mut out = LocalRead::new(reader, question);
    for hour in question.hours.within(work.hours) {
        reader.stop.check()?;
        reader.provenance.tally.visited();
        for scan in scans(reader, question, work, hour) {
            HourScan { reader, question, hour, scan: &scan }.read(&mut out)?;
        }
        out.parts.check()?;
    }
    Ok(out)
}

/// Neighbouring series of an hour that are read alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) source: Source,
    /// Who owns the raw points, from which touched rows are recomputed.
    raw_owner: Owner,
    /// Positions in the selection.
    pub(super) series: Range<usize>,
}

pub(super) fn scans(reader: &Reader, question: &Question, work: &Work, hour: Hour) -> Vec<Scan> {
    let map = reader.view.map();
    let mut scans: Vec<Scan> = Vec::new();
    let first = question.selection.group_of(work.series.start);
    for (index, group) in question.selection.groups().iter().enumerate().skip(first) {
        if group.series.start >= work.series.end {
            break;
        }
        let Some(source) = question.routes.source(index, hour).filter(|source| source.owner == Owner::Local) else {
            continue;
        };
        let form = map.form(group.class, group.metric, hour.day());
        let raw_owner = map.owner(group.class, form, Resolution::Raw, hour);
        let series = group.series.start.max(work.series.start)..group.series.end.min(work.series.end);
        match scans.last_mut() {
            Some(last) if (last.source, last.raw_owner, last.series.end) == (source, raw_owner, series.start) => {
                last.series.end = series.end;
            }
            _ => scans.push(Scan { source, raw_owner, series }),
        }
    }
    scans
}

/// One scan of one hour.
struct HourScan<'a> {
    reader: &'a Reader,
    question: &'a Question,
    hour: Hour,
    scan: &'a Scan,
}

impl HourScan<'_> {
    fn read<P: Partial>(&self, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let view = &self.reader.view;
        let through = view.map().sealed_through(self.hour);
        let has_base = through > Epoch::ZERO;
        let overlay = view.overlay(self.hour, through).map_err(QueryError::hot)?;
        match overlay {
            None if has_base => self.base(out),
            None => Ok(()),
            Some(overlay) if !has_base && self.scan.raw_owner == Owner::Local => self.overlay_alone(&overlay, out),
            Some(overlay) if self.scan.source.resolution == Resolution::Raw => self.raw_overlaid(&overlay, out),
            Some(overlay) => self.rows_overlaid(&overlay, out),
        }
    }

    fn addresses(&self) -> &[SeriesAddress] {
        &self.question.selection.addresses()[self.scan.series.clone()]
    }

    fn width(&self) -> DurationMs {
        self.question.routes.part_width()
    }

    fn count(&self, tier: Tier, stats: ScanStats) {
        self.reader.provenance.tally.scanned(tier, stats);
    }

    /// The ordinary case: nothing newer than the base.
    fn base<P: Partial>(&self, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let offset = self.scan.series.start;
        if self.scan.source.resolution != Resolution::Raw {
            return self.rows(self.addresses(), &|at| offset + at, &mut |_| {}, out);
        }
        let width = self.width();
        let stats = self
            .reader
            .view
            .scan_points(self.hour, self.addresses(), &mut |at, points| out.cut(offset + at, points, width))
            .map_err(QueryError::hot)?;
        self.count(self.scan.source.tier, stats);
        Ok(())
    }

    /// Rows of some addresses; `position` names the series of an index into them, `seen` is told each.
    fn rows<P: Partial>(
        &self,
        addresses: &[SeriesAddress],
        position: &dyn Fn(usize) -> usize,
        seen: &mut dyn FnMut(usize),
        out: &mut LocalRead<P>,
    ) -> Result<(), QueryError> {
        let resolution = self.scan.source.resolution;
        let width = resolution.width().unwrap_or(DurationMs::MINUTE);
        let each = &mut |at: usize, start: i64, part: P| {
            let series = position(at);
            seen(series);
            out.parts.push(series, start, width, part);
        };
        let stored = StoredRows { view: &self.reader.view, hour: self.hour, resolution, addresses };
        let stats = P::scan(&stored, each).map_err(QueryError::hot)?;
        self.count(self.scan.source.tier, stats);
        Ok(())
    }

    /// An hour that was never sealed: runs and head are all there is.
    fn overlay_alone<P: Partial>(&self, overlay: &Overlay<'_>, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let (offset, width) = (self.scan.series.start, self.width());
        let stats = overlay
            .read(self.addresses(), &mut |at, points| out.cut(offset + at, points, width))
            .map_err(QueryError::hot)?;
        self.count(Tier::Hot, stats);
        Ok(())
    }

    fn newer(&self, overlay: &Overlay<'_>) -> Result<Newer, QueryError> {
        let mut newer = Newer { points: Vec::new(), share: self.reader.budget.share() };
        let offset = self.scan.series.start;
        let mut bytes = 0;
        let stats = overlay
            .read(self.addresses(), &mut |at, points| {
                bytes += points.len() * 16 + points.histograms.bytes();
                newer.points.push((offset + at, points.clone()));
            })
            .map_err(QueryError::hot)?;
        newer.share.grow(bytes)?;
        self.count(Tier::Hot, stats);
        Ok(newer)
    }

    fn raw_overlaid<P: Partial>(&self, overlay: &Overlay<'_>, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let newer = self.newer(overlay)?;
        let offset = self.scan.series.start;
        self.merge(self.addresses(), &|at| offset + at, newer, out)
    }

    /// Base points of some addresses ⊕ newer points, which are of the same addresses.
    fn merge<P: Partial>(
        &self,
        addresses: &[SeriesAddress],
        position: &dyn Fn(usize) -> usize,
        newer: Newer,
        out: &mut LocalRead<P>,
    ) -> Result<(), QueryError> {
        let width = self.width();
        let mut newer_points = newer.points.into_iter().peekable();
        let stats = self
            .reader
            .view
            .scan_points(self.hour, addresses, &mut |at, base| {
                let series = position(at);
                cut_before(&mut newer_points, series, width, out);
                match newer_points.next_if(|(newer, _)| *newer == series) {
                    Some((_, newer)) => out.cut(series, &base.overlaid_with(&newer), width),
                    None => out.cut(series, base, width),
                }
            })
            .map_err(QueryError::hot)?;
        cut_before(&mut newer_points, usize::MAX, width, out);
        self.count(self.scan.source.tier, stats);
        drop(newer.share);
        Ok(())
    }

    /// Rows of the series that the overlay leaves alone; the others are recomputed.
    fn rows_overlaid<P: Partial>(&self, overlay: &Overlay<'_>, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        let newer = self.newer(overlay)?;
        if newer.points.is_empty() {
            return self.base(out);
        }
        let all = self.question.selection.addresses();
        let touched: Vec<usize> = newer.points.iter().map(|(series, _)| *series).collect();
        if self.scan.raw_owner == Owner::Expired {
            return self.rows_unrepaired(newer, out);
        }
        let untouched: Vec<usize> =
            self.scan.series.clone().filter(|series| touched.binary_search(series).is_err()).collect();
        let addresses: Vec<SeriesAddress> = untouched.iter().map(|&series| all[series]).collect();
        self.rows(&addresses, &|at| untouched[at], &mut |_| {}, out)?;
        match self.scan.raw_owner {
            Owner::Local => {
                let addresses: Vec<SeriesAddress> = touched.iter().map(|&series| all[series]).collect();
                self.merge(&addresses, &|at| touched[at], newer, out)
            }
            Owner::Cold | Owner::Expired => {
                let group_of = |series: usize| self.question.selection.group_of(series);
                let groups = touched.chunk_by(|&a, &b| group_of(a) == group_of(b));
                out.repairs.extend(groups.map(|series| Repair { hour: self.hour, series: series.to_vec() }));
                Ok(())
            }
        }
    }

    /// Raw is kept nowhere any more: rows answer as they are, and newer points only where there is no row.
    fn rows_unrepaired<P: Partial>(&self, newer: Newer, out: &mut LocalRead<P>) -> Result<(), QueryError> {
        self.reader.provenance.tally.unrepaired();
        let offset = self.scan.series.start;
        let mut with_row = Vec::new();
        self.rows(self.addresses(), &|at| offset + at, &mut |series| with_row.push(series), out)?;
        for (series, points) in &newer.points {
            if with_row.binary_search(series).is_err() {
                out.cut(*series, points, self.width());
            }
        }
        Ok(())
    }
}

/// Points newer than a base, by series (positions ascending).
struct Newer {
    points: Vec<(usize, Points)>,
    share: Share,
}

/// Cuts newer points of series before `series`, which have no base.
fn cut_before<P: Partial>(
    newer: &mut Peekable<impl Iterator<Item = (usize, Points)>>,
    series: usize,
    width: DurationMs,
    out: &mut LocalRead<P>,
) {
    while let Some((at, points)) = newer.next_if(|(at, _)| *at < series) {
        out.cut(at, &points, width);
    }
}
