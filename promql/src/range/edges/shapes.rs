//! Native histograms in and beside a window, and what lies between two.

use std::sync::Arc;

use schemas::histogram::{Histogram, ResetHint};

use super::line::milliseconds;
use super::{Window, search};
use crate::histogram::{
    Bounds, Incompatible, Operation, Subject, Sum, add, compact, divide, is_reset, multiply, subtract,
    uses_custom_buckets,
};
use crate::math::seconds;
use crate::notes::Notes;
use crate::range::call::RangeCall;
use crate::range::histograms::Timed;

/// `rate`, `increase` or `delta` from one edge of a window to the other.
pub(super) fn change(
    call: &RangeCall<'_>,
    window: &Window,
    histograms: &[Timed],
    notes: &mut Notes,
) -> Option<Arc<Histogram>> {
    let (first, last) = window.populated_ends(histograms)?;
    let is_counter = call.function.is_counter();
    let change = change_between(window, histograms, (first, last), is_counter, call.subject, notes);
    let Ok(change) = change else {
        call.subject.mixed_schemas(notes);
        return None;
    };
    let range = seconds(window.end.saturating_sub(window.start));
    let change = if call.function.is_per_second() { divide(&change, range) } else { change };
    Some(Arc::new(Histogram { reset_hint: ResetHint::Gauge, ..compact(change) }))
}

/// The histogram at a time: the sample, or what lies between two, or without a next one the last.
pub(super) fn at(histograms: &[Timed], time: i64, subject: Subject<'_>, notes: &mut Notes) -> Option<Arc<Histogram>> {
    let next = search(histograms.len(), |at| histograms[at].0 >= time);
    match (next.checked_sub(1).map(|before| &histograms[before]), histograms.get(next)) {
        (_, Some((ts, histogram))) if *ts == time => Some(Arc::clone(histogram)),
        (Some(old), Some(new)) => {
            let is_counter = !(is_gauge(&old.1) && is_gauge(&new.1));
            // Also where a reset would hide the one from the other.
            let are_alike = uses_custom_buckets(&old.1) == uses_custom_buckets(&new.1);
            let histogram = are_alike.then(|| between(old, new, time, is_counter, subject, notes).ok()).flatten();
            if histogram.is_none() {
                subject.mixed_schemas(notes);
            }
            histogram.map(Arc::new)
        }
        // What the sender knew is about the sample, not about the time since.
        (Some((_, last)), None) => {
            Some(Arc::new(Histogram { reset_hint: ResetHint::Unknown, ..Histogram::clone(last) }))
        }
        (None, _) => None,
    }
}

fn is_gauge(histogram: &Histogram) -> bool {
    histogram.reset_hint == ResetHint::Gauge
}

/// The histogram at a time between two samples, or of one. A counter that was reset rises from nothing.
fn between(
    old: &Timed,
    new: &Timed,
    time: i64,
    is_counter: bool,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Result<Histogram, Incompatible> {
    for (ts, histogram) in [old, new] {
        if *ts == time {
            return Ok(Histogram::clone(histogram));
        }
    }
    let ((old_ts, old), (new_ts, new)) = (old, new);
    let passed = milliseconds(time - old_ts) / milliseconds(new_ts - old_ts);
    if is_counter && is_reset(new, old) {
        return Ok(multiply(new, passed));
    }
    let rise = subtract(new, old)?;
    if rise.noticed.bounds_differed {
        subject.bounds_reconciled(Operation::Subtraction, notes);
    }
    let risen = add(&multiply(&rise.histogram, passed), old)?;
    if risen.noticed.bounds_differed {
        subject.bounds_reconciled(Operation::Addition, notes);
    }
    Ok(risen.histogram)
}

fn change_between(
    window: &Window,
    histograms: &[Timed],
    (first, last): (usize, usize),
    is_counter: bool,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Result<Histogram, Incompatible> {
    let is_custom = uses_custom_buckets(&histograms[first].1);
    for (_, histogram) in &histograms[first..=last] {
        if uses_custom_buckets(histogram) != is_custom {
            return Err(Incompatible);
        }
        if is_counter && is_gauge(histogram) {
            subject.not_a_counter(notes);
        }
    }
    let starts_before = window.is_smoothed && histograms[first].0 < window.start && first + 1 < histograms.len();
    let left = if starts_before {
        between(&histograms[first], &histograms[first + 1], window.start, is_counter, subject, notes)?
    } else {
        Histogram::clone(&histograms[first].1)
    };
    let right = if window.is_smoothed && last > 0 && histograms[last].0 > window.end {
        between(&histograms[last - 1], &histograms[last], window.end, is_counter, subject, notes)?
    } else {
        Histogram::clone(&histograms[last].1)
    };
    if !is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        subject.not_a_gauge(notes);
    }
    let mut change = Sum::new(&right);
    if change.subtract(&left)? == Bounds::Differed {
        subject.bounds_reconciled(Operation::Subtraction, notes);
    }
    if is_counter {
        let mut inside = &histograms[(first + 1).min(last)..last];
        let mut before = &left;
        // A reset that the left edge was interpolated over has been seen to.
        if starts_before && is_reset(&histograms[first + 1].1, &histograms[first].1) {
            if last <= first + 1 {
                return Ok(change.histogram());
            }
            before = &histograms[first + 1].1;
            inside = &inside[1..];
        } else if last == first {
            return Ok(change.histogram());
        }
        if let Some(lost) = lost_in_resets(before, inside, &right, subject, notes)?
            && change.add(&lost)? == Bounds::Differed
        {
            subject.bounds_reconciled(Operation::Addition, notes);
        }
    }
    Ok(change.histogram())
}

/// What a counter lost in resets on its way from one edge to the other.
fn lost_in_resets(
    left: &Histogram,
    inside: &[Timed],
    right: &Histogram,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> Result<Option<Histogram>, Incompatible> {
    let mut lost: Option<Sum> = None;
    let mut before = left;
    for histogram in inside.iter().map(|(_, histogram)| &**histogram).chain([right]) {
        if is_reset(histogram, before) {
            match &mut lost {
                None => lost = Some(Sum::new(before)),
                Some(lost) => {
                    if lost.add(before)? == Bounds::Differed {
                        subject.bounds_reconciled(Operation::Addition, notes);
                    }
                }
            }
        }
        before = histogram;
    }
    Ok(lost.map(|lost| lost.histogram()))
}
