//! Layouts that differ, estimates against known values, and that no histogram breaks anything.

#![expect(clippy::float_cmp, reason = "counts and bounds are exact")]

use proptest::prelude::*;
use schemas::histogram::{Buckets, Histogram, ResetHint, SCHEMA_CUSTOM, Span};

use super::*;
use crate::error::Span as Place;
use crate::notes::Notes;

const SUBJECT: Subject<'static> = Subject { metric: "m", span: Place { start: 0, end: 1 } };

fn side(spans: &[(i32, u32)], counts: &[f64]) -> Buckets {
    let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
    Buckets { spans, counts: counts.to_vec() }
}

fn exponential(schema: i32, spans: &[(i32, u32)], counts: &[f64]) -> Histogram {
    let count = counts.iter().sum();
    Histogram { schema, count, sum: count, positive: side(spans, counts), ..Histogram::default() }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    let length = u32::try_from(counts.len()).expect("few");
    Histogram { custom_values: bounds.to_vec(), ..exponential(SCHEMA_CUSTOM, &[(0, length)], counts) }
}

fn sum(left: &Histogram, right: &Histogram) -> Histogram {
    compact(add(left, right).expect("compatible").histogram)
}

#[test]
fn bounds_are_those_that_prometheus_prints() {
    let texts = |schema, index| describe(&exponential(schema, &[(index, 1)], &[1.0]));
    assert_eq!(texts(0, 1), "{count:1, sum:1, (1,2]:1}");
    assert_eq!(texts(1, 0), "{count:1, sum:1, (0.7071067811865475,1]:1}");
    assert_eq!(texts(8, 255), "{count:1, sum:1, (1.9891988469672657,1.9945921121709396]:1}");
    assert_eq!(texts(-1, 0), "{count:1, sum:1, (0.25,1]:1}");
    assert_eq!(texts(0, 1024), "{count:1, sum:1, (8.98846567431158e+307,1.7976931348623157e+308]:1}");
    assert_eq!(texts(0, 1025), "{count:1, sum:1, (1.7976931348623157e+308,+Inf]:1}");
    assert_eq!(texts(0, -1073), "{count:1, sum:1, (5e-324,1e-323]:1}");
}

#[test]
fn a_text_has_populated_buckets_lowest_first() {
    let histogram = Histogram {
        count: 7.0,
        sum: -0.5,
        zero_count: 2.0,
        zero_threshold: 0.001,
        negative: side(&[(1, 2)], &[1.0, 0.5]),
        ..exponential(0, &[(1, 1), (1, 1)], &[0.0, 3.5])
    };
    assert_eq!(describe(&histogram), "{count:7, sum:-0.5, [-4,-2):0.5, [-2,-1):1, [-0.001,0.001]:2, (4,8]:3.5}");
    assert_eq!(describe(&custom(&[1.0, 5.0], &[1.0, 2.0, 3.0])), "{count:6, sum:6, [-Inf,1]:1, (1,5]:2, (5,+Inf]:3}");
}

#[test]
fn the_finer_schema_is_reduced() {
    let total = sum(&exponential(1, &[(1, 4)], &[1.0, 2.0, 3.0, 4.0]), &exponential(0, &[(2, 1)], &[10.0]));
    assert_eq!((total.schema, &total.positive), (0, &side(&[(1, 2)], &[3.0, 17.0])));
}

#[test]
fn the_wider_zero_bucket_takes_what_it_covers_and_never_cuts_a_populated_bucket() {
    let narrow = Histogram { zero_threshold: 0.5, zero_count: 1.0, ..exponential(0, &[(0, 3)], &[2.0, 4.0, 8.0]) };
    let wide = Histogram { zero_threshold: 1.5, zero_count: 16.0, ..exponential(0, &[(3, 1)], &[32.0]) };
    // 1.5 lies in (1,2], which holds 4: so the zero bucket ends at 2.
    let total = sum(&narrow, &wide);
    assert_eq!((total.zero_threshold, total.zero_count), (2.0, 23.0));
    assert_eq!(total.positive, side(&[(2, 2)], &[8.0, 32.0]));
}

#[test]
fn of_custom_bounds_those_in_common_stay() {
    let combined = add(&custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]), &custom(&[2.0, 3.0], &[10.0, 20.0, 30.0]));
    let combined = combined.expect("both custom");
    assert!(combined.noticed.bounds_differed);
    assert_eq!(combined.histogram.custom_values, [2.0]);
    assert_eq!(combined.histogram.positive, side(&[(0, 2)], &[13.0, 57.0]));
    assert_eq!(add(&custom(&[1.0], &[1.0]), &exponential(0, &[], &[])), Err(Incompatible));
}

#[test]
fn hints_of_resets_meet() {
    let with = |reset_hint| Histogram { reset_hint, ..exponential(0, &[(0, 1)], &[1.0]) };
    let met = |a, b| add(&with(a), &with(b)).map(|sum| (sum.histogram.reset_hint, sum.noticed.resets_collide));
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    assert_eq!(met(Reset, NotReset), Ok((Unknown, true)));
    assert_eq!(met(Reset, Reset), Ok((Reset, false)));
    assert_eq!(met(Reset, Gauge), Ok((Gauge, false)));
    assert_eq!(met(Unknown, NotReset), Ok((Unknown, false)));
}

#[test]
fn a_reset_is_what_a_sender_says_or_a_count_that_fell() {
    let before = exponential(0, &[(0, 2)], &[1.0, 2.0]);
    let grown = exponential(0, &[(0, 2)], &[2.0, 2.0]);
    let vanished = exponential(0, &[(0, 1)], &[9.0]);
    assert!(!is_reset(&grown, &before));
    assert!(is_reset(&before, &grown));
    assert!(is_reset(&vanished, &before));
    assert!(is_reset(&Histogram { reset_hint: ResetHint::Reset, ..grown.clone() }, &before));
    assert!(!is_reset(&Histogram { reset_hint: ResetHint::NotReset, ..vanished }, &before));
    // A coarser schema may come without a reset, a finer one may not.
    assert!(!is_reset(&exponential(-1, &[(0, 2)], &[1.0, 2.0]), &before));
    assert!(is_reset(&exponential(1, &[(-1, 4)], &[9.0; 4]), &before));
    assert!(is_reset(&custom(&[1.0], &[9.0]), &before));
}

#[test]
fn quantiles_lie_on_a_logarithmic_scale_and_linear_around_zero() {
    let of = |q, histogram: &Histogram| quantile(q, histogram, SUBJECT, &mut Notes::default());
    let histogram = exponential(0, &[(1, 1)], &[10.0]);
    assert!((of(0.5, &histogram) - 2.0_f64.sqrt()).abs() < 1e-15);
    let around_zero = Histogram { zero_threshold: 1.0, zero_count: 10.0, count: 10.0, ..Histogram::default() };
    assert_eq!(of(0.75, &around_zero), 0.5);
    let positive =
        Histogram { count: 20.0, zero_threshold: 1.0, zero_count: 10.0, ..exponential(0, &[(1, 1)], &[10.0]) };
    assert_eq!(of(0.25, &positive), 0.5);
    assert_eq!(of(0.5, &custom(&[10.0, 20.0], &[0.0, 10.0])), 15.0);
    assert_eq!(of(0.9, &custom(&[10.0, 20.0], &[0.0, 1.0, 9.0])), 20.0);
    assert!(of(0.5, &Histogram::default()).is_nan());
    assert_eq!((of(-1.0, &histogram), of(2.0, &histogram)), (f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn observations_of_nan_are_above_all_others_and_noted() {
    let histogram = Histogram { count: 10.0, sum: f64::NAN, ..exponential(0, &[(1, 1)], &[8.0]) };
    let mut notes = Notes::default();
    assert!((quantile(0.4, &histogram, SUBJECT, &mut notes) - 2.0_f64.sqrt()).abs() < 1e-15);
    assert!(quantile(0.9, &histogram, SUBJECT, &mut notes).is_nan());
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram, SUBJECT, &mut notes), 0.8);
    let texts: Vec<_> = notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all fractions for \
             metric name \"m\"",
            "PromQL info: input to histogram_quantile has NaN observations, result is NaN for metric name \"m\"",
            "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher for metric name \
             \"m\"",
        ]
    );
}

#[test]
fn variance_is_of_the_middles_of_buckets() {
    let histogram = Histogram { sum: 2.0 * 2.0_f64.sqrt(), ..exponential(0, &[(1, 1)], &[2.0]) };
    assert!(variance(&histogram).abs() < 1e-30);
    assert_eq!(mean(&histogram), 2.0_f64.sqrt());
    assert_eq!(variance(&Histogram { sum: 30.0, ..custom(&[10.0, 20.0], &[0.0, 2.0]) }), 0.0);
}

#[test]
fn a_trim_takes_the_part_of_a_bucket() {
    let histogram = custom(&[10.0, 20.0], &[0.0, 10.0, 5.0]);
    let below = trim(&histogram, 15.0, Side::Below);
    assert_eq!((below.count, below.sum, &below.positive), (5.0, 62.5, &side(&[(1, 1)], &[5.0])));
    let above = trim(&histogram, 20.0, Side::Above);
    assert_eq!((above.count, above.sum, &above.positive), (5.0, 100.0, &side(&[(2, 1)], &[5.0])));
    assert_eq!(trim(&histogram, f64::NEG_INFINITY, Side::Above), histogram);
}

#[test]
fn a_mean_holds_what_a_sum_cannot() {
    let huge = Histogram { sum: f64::MAX, ..exponential(0, &[(1, 1)], &[4.0]) };
    let mut mean = Mean::new(&huge);
    (0..2).for_each(|_| assert_eq!(mean.add(&huge), Ok(Bounds::Agreed)));
    let mean = mean.histogram();
    assert!((mean.sum / f64::MAX - 1.0).abs() < 1e-15 && (mean.count - 4.0).abs() < 1e-12, "{mean:?}");
}

fn arb_side() -> impl Strategy<Value = Buckets> {
    let span = (-6_i32..6, 0_u32..4);
    (prop::collection::vec(span, 0..4), prop::collection::vec(prop_oneof![Just(0.0), 0.0..9.0_f64], 0..12)).prop_map(
        |(mut spans, counts)| {
            spans.iter_mut().skip(1).for_each(|span| span.0 = span.0.abs());
            let mut left = u32::try_from(counts.len()).expect("few");
            for span in &mut spans {
                span.1 = span.1.min(left);
                left -= span.1;
            }
            let used = spans.iter().map(|span| span.1 as usize).sum();
            side(&spans, &counts[..used])
        },
    )
}

fn arb_exponential() -> impl Strategy<Value = Histogram> {
    let zero = prop_oneof![Just(0.0), Just(0.001), Just(1.0), Just(3.0)];
    let parts = (-3_i32..5, zero, 0_u8..5, arb_side(), arb_side(), -9.0..9.0_f64);
    parts.prop_map(|(schema, zero_threshold, zeros, positive, negative, sum)| {
        let zero_count = f64::from(zeros);
        let count = zero_count + positive.counts.iter().chain(&negative.counts).sum::<f64>();
        let histogram =
            Histogram { schema, zero_threshold, zero_count, count, sum, positive, negative, ..Histogram::default() };
        // Where the zero bucket is, there are no others.
        let overlaps = super::positive(&histogram).any(|bucket| bucket.lower < zero_threshold)
            || super::negative(&histogram).any(|bucket| -bucket.upper < zero_threshold);
        Histogram { zero_threshold: if overlaps { 0.0 } else { zero_threshold }, ..histogram }
    })
}

fn observations(histogram: &Histogram) -> f64 {
    histogram.zero_count + histogram.positive.counts.iter().chain(&histogram.negative.counts).sum::<f64>()
}

proptest! {
    #[test]
    fn no_observation_is_lost_or_doubled_in_a_sum(a in arb_exponential(), b in arb_exponential()) {
        let total = sum(&a, &b);
        prop_assert!((observations(&total) - observations(&a) - observations(&b)).abs() < 1e-9);
        prop_assert!((total.count - a.count - b.count).abs() < 1e-9);
        prop_assert_eq!(total.schema, a.schema.min(b.schema));
        let other_way = sum(&b, &a);
        prop_assert_eq!(total.zero_threshold, other_way.zero_threshold);
        prop_assert_eq!(total.positive.spans, other_way.positive.spans);
    }

    #[test]
    fn what_is_added_can_be_taken_away(a in arb_exponential(), b in arb_exponential()) {
        let back = compact(subtract(&sum(&a, &b), &b).expect("compatible").histogram);
        prop_assert!((back.count - a.count).abs() < 1e-9);
        prop_assert!(back.positive.counts.iter().chain(&back.negative.counts).all(|count| *count > -1e-9));
    }

    #[test]
    fn a_histogram_is_no_reset_after_itself_nor_is_its_sum_with_another(
        a in arb_exponential(),
        b in arb_exponential(),
    ) {
        prop_assert!(!is_reset(&a, &a));
        prop_assert!(equal(&a, &a));
        // A zero bucket that widens may cover half of a bucket that a coarser schema makes: that is taken for a reset.
        let b = Histogram { zero_threshold: a.zero_threshold, ..b };
        prop_assume!(super::positive(&b).all(|bucket| bucket.lower >= b.zero_threshold));
        prop_assume!(super::negative(&b).all(|bucket| -bucket.upper >= b.zero_threshold));
        prop_assert!(!is_reset(&sum(&a, &b), &a));
        prop_assert!(!is_reset(&sum(&a, &b), &b));
    }

    #[test]
    fn quantiles_grow_and_parts_add_up(a in arb_exponential(), at in -9.0..9.0_f64) {
        prop_assume!(a.count > 0.0);
        let mut before = f64::NEG_INFINITY;
        for tenth in 0..=10 {
            let value = quantile(f64::from(tenth) / 10.0, &a, SUBJECT, &mut Notes::default());
            prop_assert!(value >= before - 1e-9 * before.abs(), "{value} after {before}");
            before = value;
        }
        let part = |lower, upper| fraction(lower, upper, &a, SUBJECT, &mut Notes::default());
        let (below, above) = (part(f64::NEG_INFINITY, at), part(at, f64::INFINITY));
        prop_assert!((below + above - 1.0).abs() < 1e-9, "{below} + {above}");
    }

    #[test]
    fn two_sides_of_a_trim_are_the_whole(a in arb_exponential(), at in -9.0..9.0_f64) {
        let (below, above) = (trim(&a, at, Side::Below), trim(&a, at, Side::Above));
        prop_assert!((below.count + above.count - a.count).abs() < 1e-9, "{below:?} {above:?}");
    }

    #[test]
    fn histograms_from_outside_never_panic(
        schema in any::<i32>(),
        offsets in prop::collection::vec((any::<i32>(), 0_u32..5), 0..4),
        counts in prop::collection::vec(any::<f64>(), 0..6),
        zero_threshold in any::<f64>(),
        bounds in prop::collection::vec(any::<f64>(), 0..4),
        other in arb_exponential(),
    ) {
        let positive = side(&offsets, &counts);
        let odd = Histogram {
            schema,
            zero_threshold,
            count: 1.0,
            positive: positive.clone(),
            negative: positive,
            custom_values: bounds,
            ..Histogram::default()
        };
        for histogram in [odd.clone(), Histogram { schema: SCHEMA_CUSTOM, ..odd }] {
            for (a, b) in [(&histogram, &other), (&other, &histogram), (&histogram, &histogram)] {
                let _ = (add(a, b), subtract(a, b), is_reset(a, b), equal(a, b));
            }
            let _ = (describe(&histogram), variance(&histogram), trim(&histogram, 1.0, Side::Below));
            let _ = compact(histogram.clone());
            let _ = quantile(0.5, &histogram, SUBJECT, &mut Notes::default());
            let _ = (fraction(0.0, 1.0, &histogram, SUBJECT, &mut Notes::default()), reduced(&histogram, -4));
        }
    }
}
