//! Chunks of native histograms in Prometheus' encoding of float histograms.
//!
//! count (2 bytes) · flags · layout, once · time, count, zero count, sum, buckets; the later ones as differences
//!
//! A reader takes it for granted that no counter was reset within a chunk: a chunk goes on only with histograms of the same
//! layout whose sender says so, or with gauges. Integer histograms are written as floats, which hold their counts.

use std::sync::Arc;

use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM};

use super::bits::{Bits, Xor};
use super::chunk::{Chunk, Encoding, POINTS_MAX, count};

/// Bounds up to this are written as whole thousandths where they are some.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

/// A chunk of the first histograms of a list that fit into one, and how many those are.
pub(super) fn first_chunk(histograms: &[(i64, Arc<Histogram>)]) -> (Chunk, usize) {
    let (start_ms, first) = &histograms[0];
    let alike = histograms[1..].iter().take(POINTS_MAX - 1).take_while(|(_, next)| goes_on(first, next)).count();
    let taken = &histograms[..=alike];
    let mut head = count(taken.len()).to_vec();
    head.push(match first.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 0b1000_0000,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Gauge => 0b1100_0000,
    });
    let mut bits = Bits::behind(head);
    put_layout(&mut bits, first);
    bits.put_varbit(*start_ms);
    let mut fields: Vec<Xor> = Vec::new();
    for value in values(first) {
        bits.put_float(value);
        fields.push(Xor::new(value));
    }
    let (mut time, mut delta) = (*start_ms, 0_i64);
    for (ms, next) in &taken[1..] {
        let new_delta = ms.wrapping_sub(time);
        bits.put_varbit(new_delta.wrapping_sub(delta));
        for (field, value) in fields.iter_mut().zip(values(next)) {
            field.put(&mut bits, value);
        }
        (time, delta) = (*ms, new_delta);
    }
    let chunk =
        Chunk { encoding: Encoding::FloatHistogram, start_ms: *start_ms, end_ms: time, data: bits.into_bytes() };
    (chunk, taken.len())
}

/// Whether a histogram may follow in the chunk of another.
fn goes_on(first: &Histogram, next: &Histogram) -> bool {
    let known = match (first.reset_hint, next.reset_hint) {
        (ResetHint::Gauge, hint) => hint == ResetHint::Gauge,
        (_, hint) => hint == ResetHint::NotReset,
    };
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    known
        && first.schema == next.schema
        && same(first.zero_threshold, next.zero_threshold)
        && first.positive.spans == next.positive.spans
        && first.negative.spans == next.negative.spans
        && first.positive.counts.len() == next.positive.counts.len()
        && first.negative.counts.len() == next.negative.counts.len()
        && first.custom_values.len() == next.custom_values.len()
        && first.custom_values.iter().zip(&next.custom_values).all(|(a, b)| same(*a, *b))
}

/// Count, zero count, sum, buckets: what changes from one to the next.
fn values(histogram: &Histogram) -> impl Iterator<Item = f64> + '_ {
    let sums = [histogram.count, histogram.zero_count, histogram.sum];
    let buckets = histogram.positive.counts.iter().chain(&histogram.negative.counts);
    sums.into_iter().chain(buckets.copied())
}

fn put_layout(bits: &mut Bits, histogram: &Histogram) {
    put_zero_threshold(bits, histogram.zero_threshold);
    bits.put_varbit(i64::from(histogram.schema));
    put_spans(bits, &histogram.positive);
    put_spans(bits, &histogram.negative);
    if histogram.schema == SCHEMA_CUSTOM {
        bits.put_uvarbit(histogram.custom_values.len() as u64);
        for bound in &histogram.custom_values {
            put_bound(bits, *bound);
        }
    }
}

/// One byte for zero and for usual powers of two, else nine.
fn put_zero_threshold(bits: &mut Bits, threshold: f64) {
    if threshold.to_bits() << 1 == 0 {
        return bits.put(0, 8);
    }
    // Of 2^k the fraction is empty, and the biased exponent k + 1023; it is told as k + 244.
    let (fraction, biased) = (threshold.to_bits() << 12, threshold.to_bits() >> 52);
    match biased.checked_sub(1_023 - 244) {
        Some(told @ 1..=254) if fraction == 0 => bits.put(told, 8),
        _ => {
            bits.put(255, 8);
            bits.put_float(threshold);
        }
    }
}

fn put_spans(bits: &mut Bits, buckets: &Buckets) {
    bits.put_uvarbit(buckets.spans.len() as u64);
    for span in &buckets.spans {
        bits.put_uvarbit(u64::from(span.length));
        bits.put_varbit(i64::from(span.offset));
    }
}

fn put_bound(bits: &mut Bits, bound: f64) {
    let thousandths = (bound * 1_000.0).round();
    let whole =
        (0.0..=THOUSANDTHS_MAX).contains(&(bound * 1_000.0)) && (thousandths / 1_000.0).to_bits() == bound.to_bits();
    if whole {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and checked to be in range"
        )]
        bits.put_uvarbit(thousandths as u64 + 1);
    } else {
        bits.put(0, 1);
        bits.put_float(bound);
    }
}
