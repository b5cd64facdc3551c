//! What the property tests of this crate draw their points from: every class of double and every pattern of time that
//! the codec treats differently, and mixtures of them.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span};
use crate::points::{Points, histogram_marker, is_sample, stale};

/// Doubles that have broken codecs.
pub(crate) fn special() -> impl Strategy<Value = f64> {
    let payload = |bits: u64| f64::from_bits(bits);
    prop::sample::select(vec![
        0.0,
        -0.0,
        f64::NAN,
        payload(0x7ff0_0000_0000_0001),
        payload(0xfff8_dead_beef_0001),
        payload(u64::MAX),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        payload(1),
        -payload(0x000f_ffff_ffff_ffff),
        f64::MAX,
        f64::MIN,
        1e308,
        2_251_799_813_685_247.0,
        2_251_799_813_685_248.0,
        -2_251_799_813_685_249.0,
        9_007_199_254_740_993.0,
        f64::EPSILON,
        stale(),
    ])
}

/// Whole numbers and decimal fractions of some magnitude, none of them special.
pub(crate) fn decimal() -> impl Strategy<Value = f64> {
    (0..13_i32, 0..6_i32, -1.0..1.0_f64).prop_map(|(digits, places, share)| {
        let scale = 10_f64.powi(places);
        (share * 10_f64.powi(digits)).round() / scale
    })
}

/// The values of one series.
pub(crate) fn values(len: usize) -> BoxedStrategy<Vec<f64>> {
    let walk = (vec(-4..5_i64, len), any::<i32>(), 0..4_i32).prop_map(|(steps, start, places)| {
        let scale = 10_f64.powi(places);
        accumulate(i64::from(start), &steps, |int| int as f64 / scale)
    });
    let counter = (vec(0..100_000_i64, len), 0..1_000_i64, prop::bool::ANY).prop_map(|(steps, page, resets)| {
        let mut total = 0;
        let count = |step: i64| {
            total = if resets && step < 3_000 { 0 } else { total + step * (page + 1) };
            total as f64
        };
        steps.into_iter().map(count).collect()
    });
    let repeats = vec((special().boxed().prop_union(decimal().boxed()), 0..20_usize), len).prop_map(|runs| {
        let len = runs.len();
        runs.into_iter().flat_map(|(value, times)| std::iter::repeat_n(value, times + 1)).take(len).collect()
    });
    let mostly_decimal = vec(prop_oneof![30 => (0..1_000_i64).prop_map(|int| int as f64 / 100.0), 1 => special()], len);
    let smooth = (0.0..100.0_f64, 0.0..1.0_f64)
        .prop_map(move |(start, pace)| (0..len).map(|i| start + (i as f64 * pace).sin()).collect());
    prop_oneof![
        walk,
        counter,
        repeats,
        mostly_decimal,
        smooth,
        vec(any::<u64>().prop_map(f64::from_bits), len),
        vec(special(), len),
        vec(decimal(), len),
        any::<f64>().prop_map(move |value| vec![value; len]),
    ]
    .boxed()
}

fn accumulate(start: i64, steps: &[i64], value: impl Fn(i64) -> f64) -> Vec<f64> {
    let mut at = start;
    steps
        .iter()
        .map(|step| {
            at += step;
            value(at)
        })
        .collect()
}

/// Sorted unique timestamps that storage can address.
pub(crate) fn timestamps(len: usize) -> BoxedStrategy<Vec<i64>> {
    let start = 0..4_102_444_800_000_i64;
    let constant =
        (start.clone(), 1..100_000_i64).prop_map(move |(start, step)| vec![step; len + 1].rising_from(start));
    let jitter = (start.clone(), vec(9_950..10_050_i64, len)).prop_map(|(start, steps)| steps.rising_from(start));
    let gaps = (start.clone(), vec(prop_oneof![20 => Just(15_000_i64), 1 => 15_001..4_000_000_i64], len))
        .prop_map(|(start, steps)| steps.rising_from(start));
    let dense = (start.clone(), vec(1..3_i64, len)).prop_map(|(start, steps)| steps.rising_from(start));
    let minutes = (0..1_000_000_i64, vec(1..4_i64, len)).prop_map(|(start, steps)| {
        steps.iter().map(|step| step * 20_000).collect::<Vec<_>>().rising_from(start * 60_000)
    });
    prop_oneof![constant, jitter, gaps, dense, minutes].prop_map(move |all| all[..len].to_vec()).boxed()
}

trait RisingFrom {
    fn rising_from(self, start: i64) -> Vec<i64>;
}

impl RisingFrom for Vec<i64> {
    fn rising_from(mut self, start: i64) -> Vec<i64> {
        let mut at = start;
        for step in &mut self {
            at += *step;
            *step = at;
        }
        self
    }
}

/// A series of 1 to `len_max` points.
pub(crate) fn points(len_max: usize) -> impl Strategy<Value = Points> {
    (1..=len_max)
        .prop_flat_map(|len| (timestamps(len), values(len)))
        .prop_map(|(timestamps, values)| Points::new(timestamps, values))
}

/// A series of counter, gauge and missing samples whose sums are exact, about the hour that begins at 0.
pub(crate) fn ordinary_points(len_max: usize) -> impl Strategy<Value = Points> {
    let value = prop_oneof![
        20 => (-5_000..5_000_i64).prop_map(|int| int as f64 / 100.0),
        5 => (0..10_i64).prop_map(|int| int as f64),
        1 => special().prop_filter("sums stay finite", |value| value.abs() < 1e300 || !value.is_finite()),
    ];
    (1..=len_max).prop_flat_map(move |len| (timestamps(len), vec(value.clone(), len))).prop_map(
        |(timestamps, values)| {
            let first = timestamps[0] - timestamps[0].rem_euclid(60_000);
            Points::new(timestamps.into_iter().map(|ts| ts - first).collect(), values)
        },
    )
}

/// Native histograms of one series: now and then another layout, counts that grow, stand still, or are no whole numbers. They
/// need not be ones that a sender may bring: the codec keeps what it is given.
pub(crate) fn histograms(len_max: usize) -> impl Strategy<Value = Vec<Histogram>> {
    let layout = (layout(), prop::sample::select(vec![0_u64, 1, 50, 1 << 40]), any::<bool>());
    let run = layout.prop_flat_map(|(layout, step, whole)| {
        let buckets = layout.positive.counts.len() + layout.negative.counts.len() + 2;
        let steps = vec((vec(0..=step, buckets), special_or_decimal(), 0..4_usize), 1..5);
        steps.prop_map(move |steps| run_of(&layout, &steps, whole))
    });
    vec(run, 1..=len_max).prop_map(move |runs| {
        let mut all: Vec<Histogram> = runs.concat();
        all.truncate(len_max);
        all
    })
}

fn special_or_decimal() -> impl Strategy<Value = f64> {
    prop_oneof![1 => special(), 5 => decimal()].prop_filter("a stale sum is no histogram", |&sum| is_sample(sum))
}

fn layout() -> impl Strategy<Value = Histogram> {
    let spans = || vec((-20..20_i32, 0..6_u32), 0..4);
    let threshold = prop::sample::select(vec![0.0, 1e-3, 2.0_f64.powi(-128), 1.0]);
    (SCHEMA_MIN - 1..=SCHEMA_MAX, threshold, spans(), spans(), vec(decimal(), 0..4)).prop_map(
        |(schema, zero_threshold, positive, negative, bounds)| {
            let custom = schema < SCHEMA_MIN;
            let buckets = |spans: Vec<(i32, u32)>| {
                let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
                let counts = vec![0.0; spans.iter().map(|span| span.length as usize).sum()];
                Buckets { spans, counts }
            };
            Histogram {
                schema: if custom { SCHEMA_CUSTOM } else { schema },
                zero_threshold,
                positive: buckets(positive),
                negative: buckets(negative),
                custom_values: if custom { bounds } else { Vec::new() },
                ..Histogram::default()
            }
        },
    )
}

fn run_of(layout: &Histogram, steps: &[(Vec<u64>, f64, usize)], whole: bool) -> Vec<Histogram> {
    let hints = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];
    let mut at = layout.clone();
    let grow = |step: &(Vec<u64>, f64, usize)| {
        let (added, sum, hint) = step;
        let Histogram { zero_count, count, positive, negative, .. } = &mut at;
        let buckets = positive.counts.iter_mut().chain(&mut negative.counts);
        for (cell, &added) in [zero_count, count].into_iter().chain(buckets).zip(added) {
            *cell += added as f64 * if whole { 1.0 } else { 0.3 };
        }
        Histogram { sum: *sum, reset_hint: hints[*hint], is_integer: whole, ..at.clone() }
    };
    steps.iter().map(grow).collect()
}

/// A series of 1 to `len_max` points, of which up to `len_max` are native histograms.
pub(crate) fn mixed_points(len_max: usize) -> impl Strategy<Value = Points> {
    (points(len_max), histograms(len_max), vec(any::<prop::sample::Index>(), 1..=len_max)).prop_map(
        |(mut points, histograms, places)| {
            let mut places: Vec<usize> = places.iter().map(|place| place.index(points.len())).collect();
            places.sort_unstable();
            places.dedup();
            for (&at, histogram) in places.iter().zip(histograms) {
                points.values[at] = histogram_marker();
                points.histograms.insert(points.timestamps[at], Arc::new(histogram));
            }
            points
        },
    )
}
