//! Buckets in two parts, so that windows `(b, b + w]` can be made of them.
//!
//! hours that nothing newer touches ─▶ rows as they lie there ─┐
//! other hours ─▶ the common read, repairs included ───────────┴▶ `each`, in order of time for each series

use std::sync::Arc;

use hot::{HotError, ScanStats};
use schemas::rollup::{Bucket, BucketMoments, Moments, bucketize_moments};
use schemas::time::HourRange;
use schemas::{DurationMs, Epoch, Hour, Points, Resolution};

use super::local::scans;
use super::partial::{EachRow, StoredRows};
use super::{Partial, Question, Reader, Wait, Work};
use crate::error::QueryError;

/// What a bucket `[b, b + w)` holds: the edge, which belongs to the window that ends at `b`, and the rest, which belongs to
/// the one that begins there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edged {
    /// `b`, ms.
    start: i64,
    /// The point exactly at the start.
    edge: Option<f64>,
    /// The points behind it.
    pub(crate) open: Moments,
}

impl Edged {
    fn of(bucket: &BucketMoments) -> Self {
        Self { start: bucket.start.timestamp().0, edge: bucket.edge, open: bucket.open }
    }

    pub(crate) fn has_edge(&self) -> bool {
        self.edge.is_some()
    }

    pub(crate) fn edge(&self) -> Moments {
        self.edge.map_or(Moments::EMPTY, |edge| Moments::of_point(self.start, edge))
    }

    /// All of the bucket.
    pub(crate) fn closed(&self) -> Moments {
        self.edge().combine(&self.open)
    }
}

impl Partial for Edged {
    const SKETCHES: bool = false;

    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        bucketize_moments(&points.timestamps, &points.values, width, |bucket| {
            emit(bucket.start.timestamp().0, Self::of(&bucket));
        });
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        rows.view.scan_bucket_moments(rows.hour, rows.resolution, rows.addresses, &mut |at, buckets| {
            for bucket in buckets {
                each(at, bucket.start.timestamp().0, Self::of(bucket));
            }
        })
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        Self::of(&bucket.moments())
    }

    /// The later part of a bucket: its edge is a point like others.
    fn append(&mut self, later: &Self) {
        self.open = self.open.combine(&later.closed());
    }
}

/// What is told of a bucket: the series, by its position in the selection, and the bucket with its start in ms.
pub(crate) type EachBucket<'a> = &'a mut dyn FnMut(usize, i64, &Edged);

impl Reader {
    /// Gives every bucket of some work to `each`, those of a series in order of time; on the caller's own thread.
    pub(crate) fn buckets_here(
        self: &Arc<Self>,
        question: &Question,
        work: &Work,
        wait: &Wait,
        each: EachBucket<'_>,
    ) -> Result<(), QueryError> {
        // Hours that take the common read, together as long as they follow each other.
        let mut others: Option<HourRange> = None;
        for hour in question.hours.within(work.hours) {
            if !self.is_plain(question, work, hour)? {
                let start = others.map_or(hour, |others| others.start);
                others = Some(HourRange { start, end: hour.next() });
                continue;
            }
            if let Some(hours) = others.take() {
                self.common_buckets(question, Work { hours, ..work.clone() }, wait, each)?;
            }
            self.plain_buckets(question, work, hour, each)?;
        }
        match others {
            Some(hours) => self.common_buckets(question, Work { hours, ..work.clone() }, wait, each),
            None => Ok(()),
        }
    }

    /// Whether rows of an hour are all there is of it.
    fn is_plain(&self, question: &Question, work: &Work, hour: Hour) -> Result<bool, QueryError> {
        let through = self.view.map().sealed_through(hour);
        let first = question.selection.group_of(work.series.start);
        let groups = question.selection.groups().iter().enumerate().skip(first);
        let mut groups = groups.take_while(|(_, group)| group.series.start < work.series.end);
        let is_row = |(group, _)| {
            let source = question.routes.source(group, hour);
            source.is_some_and(|source| source.is_local() && source.resolution != Resolution::Raw)
        };
        Ok(through > Epoch::ZERO
            && groups.all(is_row)
            && self.view.overlay(hour, through).map_err(QueryError::hot)?.is_none())
    }

    fn plain_buckets(
        &self,
        question: &Question,
        work: &Work,
        hour: Hour,
        each: EachBucket<'_>,
    ) -> Result<(), QueryError> {
        self.stop.check()?;
        self.provenance.tally.visited();
        for scan in scans(self, question, work, hour) {
            let first = scan.series.start;
            let addresses = &question.selection.addresses()[scan.series.clone()];
            let each = &mut |at: usize, buckets: &[BucketMoments]| {
                for bucket in buckets {
                    each(first + at, bucket.start.timestamp().0, &Edged::of(bucket));
                }
            };
            let stats = self.view.scan_bucket_moments(hour, scan.source.resolution, addresses, each);
            self.provenance.tally.scanned(scan.source.tier, stats.map_err(QueryError::hot)?);
        }
        Ok(())
    }

    fn common_buckets(
        self: &Arc<Self>,
        question: &Question,
        work: Work,
        wait: &Wait,
        each: EachBucket<'_>,
    ) -> Result<(), QueryError> {
        for part in self.read_here::<Edged>(question, work, wait)?.iter() {
            each(part.series, part.start, &part.value);
        }
        Ok(())
    }
}
