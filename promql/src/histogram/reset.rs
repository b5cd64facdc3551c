//! Whether a counter was reset between two histograms.

use schemas::histogram::{Buckets, Histogram, ResetHint};

use super::arithmetic::Sum;
use super::bounds;
use super::layout::{self, Cells, uses_custom_buckets};

/// Whether a counter was reset between a histogram and the one before: by what its sender says, else if a count went
/// down, a populated bucket vanished, or the layout became finer.
pub fn is_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.reset_hint {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if current.count < previous.count {
        return true;
    }
    if have_one_layout(current, previous) {
        let fell =
            |now: &Buckets, before: &Buckets| now.counts.iter().zip(&before.counts).any(|(now, before)| now < before);
        return current.zero_count < previous.zero_count
            || fell(&current.positive, &previous.positive)
            || fell(&current.negative, &previous.negative);
    }
    if uses_custom_buckets(current) != uses_custom_buckets(previous) {
        return true;
    }
    if uses_custom_buckets(current) {
        custom_is_reset(current, previous)
    } else {
        exponential_is_reset(current, previous)
    }
}

/// Whether buckets can be compared one by one, as nearly always from one scrape to the next.
fn have_one_layout(current: &Histogram, previous: &Histogram) -> bool {
    let is_alike = |now: &Buckets, before: &Buckets| {
        let first = now.spans.first().map_or(1, |span| span.offset);
        // What a zero bucket covers is compared with it.
        let is_outside = current.zero_threshold == 0.0
            || uses_custom_buckets(current)
            || bounds::exponential(first, current.schema) > current.zero_threshold;
        is_outside && now.spans == before.spans && now.counts.len() == before.counts.len()
    };
    #[expect(clippy::float_cmp, reason = "the same layout has the same threshold and bounds")]
    let is_one = current.schema == previous.schema
        && current.zero_threshold == previous.zero_threshold
        && current.custom_values == previous.custom_values;
    is_one && is_alike(&current.positive, &previous.positive) && is_alike(&current.negative, &previous.negative)
}

fn exponential_is_reset(current: &Histogram, previous: &Histogram) -> bool {
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let (zero_count, threshold) = Sum::new(previous).zero_bucket_of(current.zero_threshold);
    #[expect(clippy::float_cmp, reason = "asks whether the threshold was moved")]
    let cuts_a_bucket = threshold != current.zero_threshold;
    if cuts_a_bucket || current.zero_count < zero_count.total() {
        return true;
    }
    let outside = |cells: Cells, schema: i32| {
        let mut cells = layout::reduce(&cells, schema, current.schema);
        let covered = |index: i32| bounds::exponential(index, current.schema) <= current.zero_threshold;
        cells.drain(..cells.iter().take_while(|(index, _)| current.zero_threshold > 0.0 && covered(*index)).count());
        cells
    };
    let sides = [(&current.positive, &previous.positive), (&current.negative, &previous.negative)];
    sides.into_iter().any(|(now, before)| {
        let now = outside(layout::cells(now), current.schema);
        fell(&now, &outside(layout::cells(before), previous.schema))
    })
}

fn custom_is_reset(current: &Histogram, previous: &Histogram) -> bool {
    let (now, before) = (layout::cells(&current.positive), layout::cells(&previous.positive));
    if current.custom_values == previous.custom_values {
        return fell(&now, &before);
    }
    let bounds = layout::intersection(&current.custom_values, &previous.custom_values);
    let now = layout::rebound(&now, &current.custom_values, &bounds);
    fell(&now, &layout::rebound(&before, &previous.custom_values, &bounds))
}

/// Whether a bucket holds less than before.
fn fell(now: &Cells, before: &Cells) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|&(index, count)| {
        while now.next_if(|(other, _)| *other < index).is_some() {}
        match now.peek() {
            Some((other, held)) if *other == index => held.total() < count.total(),
            _ => count.total() != 0.0,
        }
    })
}
