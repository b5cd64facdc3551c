//! Partial results of many series, flat.

use schemas::{DurationMs, TimeRange};

use super::Partial;
use crate::error::QueryError;
use crate::limits::Share;

/// Parts between two looks at the memory limit.
const PARTS_PER_CHECK: usize = 4_096;

/// The partial result of one series over a bucket, or over the part of it that one hour holds.
#[derive(Debug, Clone)]
pub(crate) struct Part<P> {
    /// Position in the selection.
    pub(crate) series: usize,
    /// Start of the bucket or of the part of it, ms; of points, the first one's time.
    pub(crate) start: i64,
    /// Width of the bucket that the data stands for, ms: wider than asked for where only coarser data is kept.
    pub(crate) width: i64,
    pub(crate) value: P,
}

/// Collects parts within a range, and within the memory of the query.
#[derive(Debug)]
pub(crate) struct Parts<P> {
    list: Vec<Part<P>>,
    range: TimeRange,
    share: Share,
    heap_bytes: usize,
    unchecked: usize,
    /// The first refusal; what comes after it is not kept.
    refused: Option<QueryError>,
}

impl<P: Partial> Parts<P> {
    pub(crate) fn new(range: TimeRange, share: Share) -> Self {
        Self { list: Vec::new(), range, share, heap_bytes: 0, unchecked: 0, refused: None }
    }

    /// Adds a part, unless it lies wholly outside the range.
    pub(crate) fn push(&mut self, series: usize, start: i64, width: DurationMs, value: P) {
        let outside = start >= self.range.end().0 || start.saturating_add(width.0) <= self.range.start().0;
        if outside || self.refused.is_some() {
            return;
        }
        self.heap_bytes += value.heap_bytes();
        self.list.push(Part { series, start, width: width.0, value });
        self.unchecked += 1;
        if self.unchecked >= PARTS_PER_CHECK {
            self.account();
        }
    }

    /// The range in which parts are kept.
    pub(crate) fn range(&self) -> TimeRange {
        self.range
    }

    /// Fails if the memory limit was met. To be called between hours.
    pub(crate) fn check(&mut self) -> Result<(), QueryError> {
        self.account();
        self.refused.take().map_or(Ok(()), Err)
    }

    fn account(&mut self) {
        self.unchecked = 0;
        let bytes = self.list.capacity() * size_of::<Part<P>>() + self.heap_bytes;
        if let Err(refused) = self.share.resize(bytes) {
            self.refused.get_or_insert(refused);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The parts by themselves; their memory is given back.
    pub(crate) fn into_list(self) -> Vec<Part<P>> {
        self.list
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part<P>> {
        self.list.iter()
    }

    /// Sorts by series and time; parts of one hour come sorted already.
    pub(crate) fn sorted(mut self) -> Self {
        let key = |part: &Part<P>| (part.series, part.start);
        if !self.list.is_sorted_by_key(key) {
            self.list.sort_by_key(key);
        }
        self
    }

    /// Combines the parts of each bucket, in order: `width` is what was asked for, and coarser parts keep their own.
    pub(crate) fn into_buckets(self, width: DurationMs) -> Buckets<P> {
        Buckets { parts: self.list.into_iter().peekable(), width: width.0, _share: self.share }
    }
}

/// Whole buckets, sorted by series and time.
pub(crate) struct Buckets<P> {
    parts: std::iter::Peekable<std::vec::IntoIter<Part<P>>>,
    width: i64,
    /// The memory stays taken while parts are left.
    _share: Share,
}

impl<P: Partial> Iterator for Buckets<P> {
    type Item = Part<P>;

    fn next(&mut self) -> Option<Part<P>> {
        let mut bucket = self.parts.next()?;
        if bucket.width <= self.width {
            bucket.width = self.width;
            bucket.start = bucket.start.div_euclid(self.width) * self.width;
        }
        let (series, end) = (bucket.series, bucket.start + bucket.width);
        while let Some(next) = self.parts.next_if(|next| next.series == series && next.start < end) {
            bucket.value.append(&next.value);
        }
        Some(bucket)
    }
}
