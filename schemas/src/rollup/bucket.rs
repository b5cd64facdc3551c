//! Buckets: cutting points into them, and making coarser ones of finer ones.

use super::{Aggregate, Moments, Rollup};
use crate::points::is_histogram;
use crate::sketch::SketchBuilder;
use crate::time::{BucketStart, DurationMs, TimestampMs};

/// A stored bucket `[b, b + w)` in two parts, so that both `[b, b + w)` and `(b, b + w]` can be answered exactly:
/// `[b, b + w) = edge(b) · open(b)` and `(b, b + w] = open(b) · edge(b + w)`.
/// Equal if the edges are the same bit for bit, and the open parts are equal.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub start: BucketStart,
    /// The point exactly at `start`, which may be a staleness marker.
    pub edge: Option<f64>,
    /// The points of `(start, start + w)`. Its sketch is coarse enough for the edge to be added without halving.
    pub open: Rollup,
}

impl Bucket {
    /// The rollup of `[b, b + w)`.
    pub fn closed(&self) -> Rollup {
        let mut closed = Rollup::default();
        if let Some(edge) = self.edge {
            closed.add(self.start.timestamp().0, edge);
        }
        closed.append(&self.open);
        closed
    }

    /// This bucket without its sketch.
    pub fn moments(&self) -> BucketMoments {
        BucketMoments { start: self.start, edge: self.edge, open: self.open.moments }
    }

    /// Coarsens the open part until the edge can join it.
    fn make_room_for_edge(&mut self) {
        if let Some(edge) = self.edge {
            let scale = self.open.sketch.scale_with(edge);
            self.open.sketch.reduce_scale_to(scale);
        }
    }
}

impl PartialEq for Bucket {
    fn eq(&self, other: &Self) -> bool {
        self.moments() == other.moments() && self.open.sketch == other.open.sketch
    }
}

/// A [`Bucket`] without its sketch; equal if the edges are the same bit for bit, and the open parts are equal.
#[derive(Debug, Clone, Copy)]
pub struct BucketMoments {
    pub start: BucketStart,
    /// The point exactly at `start`, which may be a staleness marker.
    pub edge: Option<f64>,
    /// The points of `(start, start + w)`.
    pub open: Moments,
}

impl BucketMoments {
    /// The moments of `[b, b + w)`.
    pub fn closed(&self) -> Moments {
        self.edge_moments().combine(&self.open)
    }

    /// The moments of the edge alone.
    pub fn edge_moments(&self) -> Moments {
        self.edge.map_or(Moments::EMPTY, |edge| Moments::of_point(self.start.timestamp().0, edge))
    }
}

impl PartialEq for BucketMoments {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.edge.map(f64::to_bits) == other.edge.map(f64::to_bits)
            && self.open == other.open
    }
}

/// Splits sorted unique points into buckets of `width` and gives each non-empty one to `emit`, in order. Native histograms are
/// passed over: a bucket of nothing else is empty.
///
/// # Panics
/// If the columns differ in length or `width` is not positive.
pub fn bucketize(timestamps: &[i64], values: &[f64], width: DurationMs, mut emit: impl FnMut(Bucket)) {
    let mut builder = SketchBuilder::default();
    for_each_bucket(timestamps, values, width, |start, timestamps, values| {
        let Some(BucketMoments { start, edge, open }) = of_bucket(start, width, timestamps, values) else { return };
        let sketch = builder.build(&values[usize::from(timestamps[0] == start.timestamp().0)..]);
        let mut bucket = Bucket { start, edge, open: Rollup { moments: open, sketch } };
        bucket.make_room_for_edge();
        emit(bucket);
    });
}

/// [`bucketize`] without sketches.
///
/// # Panics
/// If the columns differ in length or `width` is not positive.
pub fn bucketize_moments(timestamps: &[i64], values: &[f64], width: DurationMs, mut emit: impl FnMut(BucketMoments)) {
    for_each_bucket(timestamps, values, width, |start, timestamps, values| {
        if let Some(bucket) = of_bucket(start, width, timestamps, values) {
            emit(bucket);
        }
    });
}

/// The bucket of some points; `None` if all are native histograms.
fn of_bucket(start: i64, width: DurationMs, timestamps: &[i64], values: &[f64]) -> Option<BucketMoments> {
    let at_edge = usize::from(timestamps[0] == start);
    let open = Moments::from_points(&timestamps[at_edge..], &values[at_edge..]);
    let edge = (at_edge == 1).then(|| values[0]).filter(|&edge| !is_histogram(edge));
    let start = BucketStart::containing(TimestampMs(start), width);
    (edge.is_some() || !open.is_empty()).then_some(BucketMoments { start, edge, open })
}

/// The bucket that starts at `start`, made of the finer buckets in it, which must be in order: the same as
/// [`bucketize`] of the raw points makes.
pub fn fold_buckets(start: BucketStart, finer: &[Bucket]) -> Bucket {
    debug_assert!(finer.windows(2).all(|pair| pair[0].start < pair[1].start), "buckets are in order");
    debug_assert!(finer.first().is_none_or(|first| first.start >= start), "no bucket lies before the start");
    let mut whole = Bucket { start, edge: None, open: Rollup::default() };
    for bucket in finer {
        match bucket.edge {
            Some(edge) if bucket.start == start => whole.edge = Some(edge),
            Some(edge) => whole.open.add(bucket.start.timestamp().0, edge),
            None => {}
        }
        whole.open.append(&bucket.open);
    }
    whole.make_room_for_edge();
    whole
}

/// The aggregate of each non-empty bucket `[b, b + w)`, in order, with the bucket's start in ms: for queries that need no
/// sketch and no edge. Buckets are aligned to multiples of `width`; those of nothing but native histograms are passed over.
///
/// # Panics
/// If the columns differ in length or `width` is not positive.
#[inline]
pub fn aggregate_by_bucket<A: Aggregate>(
    timestamps: &[i64],
    values: &[f64],
    width: DurationMs,
    mut emit: impl FnMut(i64, A),
) {
    for_each_bucket(timestamps, values, width, |start, timestamps, values| {
        let part = A::of_points(timestamps, values);
        if part.count() > 0 || !values.iter().all(|&value| is_histogram(value)) {
            emit(start, part);
        }
    });
}

/// Gives every bucket's start and its points, which are at least one, to `visit`, in order.
#[inline(always)]
fn for_each_bucket(timestamps: &[i64], values: &[f64], width: DurationMs, mut visit: impl FnMut(i64, &[i64], &[f64])) {
    assert_eq!(timestamps.len(), values.len(), "one timestamp a value");
    assert!(width.0 > 0, "a bucket has a width");
    let (mut from, mut before) = (0, 0);
    let mut end = i64::MIN;
    while let Some(&first) = timestamps.get(from) {
        // The next bucket usually follows the last one, which saves a division.
        let start = if end <= first && first < end.saturating_add(width.0) && end != i64::MIN {
            end
        } else {
            first - first.rem_euclid(width.0)
        };
        end = start.saturating_add(width.0);
        let points = count_before(&timestamps[from..], end, before);
        visit(start, &timestamps[from..from + points], &values[from..from + points]);
        from += points;
        before = points;
    }
}

/// How many of these sorted timestamps lie before `end`; at least the first does. Regular series have as many as the
/// bucket before had.
#[inline(always)]
fn count_before(timestamps: &[i64], end: i64, guess: usize) -> usize {
    let last_fits = guess > 0 && timestamps.get(guess - 1).is_some_and(|&ts| ts < end);
    if last_fits && timestamps.get(guess).is_none_or(|&ts| ts >= end) {
        return guess;
    }
    timestamps.iter().position(|&ts| ts >= end).unwrap_or(timestamps.len())
}
