//! Buckets with their edges apart, so that windows `(b, b + w]` can be made of them.
//!
//! hours that nothing newer touches ─▶ rows as they lie there ─┐
//! other hours ─▶ the common read, repairs included ───────────┴▶ `each`, in order of time for each series

use std::sync::Arc;

use hot::{HotError, ScanStats};
use schemas::rollup::{Bucket, BucketMoments, bucketize_moments};
use schemas::time::HourRange;
use schemas::{DurationMs, Epoch, Hour, Points, Resolution};

use super::local::scans;
use super::partial::{EachRow, StoredRows};
use super::{Partial, Question, Reader, Wait, Work};
use crate::error::QueryError;

impl Partial for BucketMoments {
    const SKETCHES: bool = false;

    fn cut(points: &Points, width: DurationMs, emit: &mut dyn FnMut(i64, Self)) {
        bucketize_moments(&points.timestamps, &points.values, width, |bucket| {
            emit(bucket.start.timestamp().0, bucket);
        });
    }

    fn scan(rows: &StoredRows<'_>, each: EachRow<'_, Self>) -> Result<ScanStats, HotError> {
        rows.view.scan_bucket_moments(rows.hour, rows.resolution, rows.addresses, &mut |at, buckets| {
            for bucket in buckets {
                each(at, bucket.start.timestamp().0, *bucket);
            }
        })
    }

    fn of_bucket(bucket: &Bucket) -> Self {
        bucket.moments()
    }

    /// The later part of a bucket: its edge is a point like others.
    fn append(&mut self, later: &Self) {
        self.open.append(&later.closed());
    }
}

/// How rows of hours that nothing newer touches are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainRows {
    /// One by one.
    Asked,
    /// Of 1-hour rollups, all of each metric, asked for or not: they are kept for the next query.
    Kept,
}

/// What is told of a bucket: the series, by its position in the selection, and the bucket.
pub(crate) type EachBucket<'a> = &'a mut dyn FnMut(usize, &BucketMoments);

impl Reader {
    /// Gives every bucket of some work to `each`, those of a series in order of time; on the caller's own thread.
    pub(crate) fn buckets_here(
        self: &Arc<Self>,
        question: &Question,
        work: &Work,
        plain: PlainRows,
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
            self.plain_buckets(question, work, (hour, plain), each)?;
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
        (hour, plain): (Hour, PlainRows),
        each: EachBucket<'_>,
    ) -> Result<(), QueryError> {
        self.stop.check()?;
        self.provenance.tally.visited();
        for scan in scans(self, question, work, hour) {
            let first = scan.series.start;
            let addresses = &question.selection.addresses()[scan.series.clone()];
            let each = &mut |at: usize, buckets: &[BucketMoments]| {
                for bucket in buckets {
                    each(first + at, bucket);
                }
            };
            let stats = match (plain, scan.source.resolution) {
                (PlainRows::Kept, Resolution::Hour) => self.view.scan_decoded_hour(hour, addresses, each),
                (_, resolution) => self.view.scan_bucket_moments(hour, resolution, addresses, each),
            };
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
        for part in self.read_here::<BucketMoments>(question, work, wait)?.iter() {
            each(part.series, &part.value);
        }
        Ok(())
    }
}
