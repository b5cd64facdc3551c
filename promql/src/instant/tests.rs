//! Functions of samples against known values.

#![expect(clippy::float_cmp, reason = "parts of dates and bounds are exact")]

use std::sync::Arc;

use proptest::prelude::*;
use schemas::histogram::Histogram;
use schemas::points::stale;

use super::classic::{ClassicBucket, Forced, fraction, quantile};
use super::*;

fn applied(function: &str, args: &[f64], value: f64) -> Option<f64> {
    let mut column = Column::constant(1, value);
    let function = InstantFunction::named(function).expect("there is such a function");
    apply(function, &Args::constants(args), &mut column);
    column.float(0)
}

#[test]
fn floats_and_histograms_each_have_their_functions() {
    let mut column = Column::empty(3);
    column.set_float(0, -2.0);
    column.set_histogram(1, Arc::new(Histogram { count: 4.0, sum: 6.0, ..Histogram::default() }));
    let mut floats = column.clone();
    apply(InstantFunction::Abs, &Args::default(), &mut floats);
    assert_eq!((0..3).map(|step| floats.get(step)).collect::<Vec<_>>(), [Some(Value::Float(2.0)), None, None]);
    apply(InstantFunction::HistogramAvg, &Args::default(), &mut column);
    assert_eq!((0..3).map(|step| column.get(step)).collect::<Vec<_>>(), [None, Some(Value::Float(1.5)), None]);
}

#[test]
fn an_empty_place_stays_empty_whatever_the_function() {
    for &function in InstantFunction::ALL {
        let mut column = Column::constant(1, stale());
        apply(function, &Args::constants(&[1.0, 2.0]), &mut column);
        assert!(column.has_nothing(), "{}", function.name());
    }
}

#[test]
fn rounding_goes_to_the_nearest_multiple_and_up_from_the_middle() {
    assert_eq!(applied("round", &[], 2.5), Some(3.0));
    assert_eq!(applied("round", &[], -2.5), Some(-2.0));
    assert_eq!(applied("round", &[0.1], 0.26), Some(0.3));
    assert_eq!(applied("round", &[10.0], 15.0), Some(20.0));
}

#[test]
fn a_clamp_of_crossed_bounds_is_empty_and_one_of_nan_is_nan() {
    assert_eq!(applied("clamp", &[1.0, 2.0], 7.0), Some(2.0));
    assert_eq!(applied("clamp", &[2.0, 1.0], 7.0), None);
    assert!(applied("clamp", &[f64::NAN, 1.0], 7.0).is_some_and(f64::is_nan));
    assert_eq!(applied("clamp_min", &[1.0], -7.0), Some(1.0));
    assert_eq!(applied("clamp_max", &[1.0], 7.0), Some(1.0));
    assert!(applied("clamp_max", &[1.0], f64::NAN).is_some_and(f64::is_nan));
}

#[test]
fn the_greater_of_nan_and_a_number_is_nan_but_infinity_is_greater_still() {
    assert!(greater(f64::NAN, 1.0).is_nan());
    assert_eq!(greater(f64::NAN, f64::INFINITY), f64::INFINITY);
    assert_eq!(lesser(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
    assert_eq!((greater(1.0, 2.0), lesser(1.0, 2.0)), (2.0, 1.0));
}

#[test]
fn the_inverse_hyperbolic_cosine_is_precise_near_one_and_far_away() {
    let near = applied("acosh", &[], 1.0 + 1e-10).expect("a value");
    assert!((near / 1.414_213_620_883_9e-5 - 1.0).abs() < 1e-7, "{near}");
    assert_eq!(applied("acosh", &[], 1e200), Some(1e200_f64.ln() + std::f64::consts::LN_2));
    assert!(applied("acosh", &[], 0.5).is_some_and(f64::is_nan));
}

#[test]
fn signs_of_zeros_and_nan_are_themselves() {
    assert_eq!(applied("sgn", &[], -3.0), Some(-1.0));
    assert_eq!(applied("sgn", &[], -0.0).map(f64::to_bits), Some((-0.0_f64).to_bits()));
    assert!(applied("sgn", &[], f64::NAN).is_some_and(f64::is_nan));
}

#[test]
fn dates_are_those_of_the_calendar() {
    let parts = ["year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute"];
    let of = |seconds: f64| parts.map(|part| applied(part, &[], seconds).unwrap_or(-1.0));
    assert_eq!(of(0.0), [1970.0, 1.0, 1.0, 4.0, 1.0, 31.0, 0.0, 0.0]);
    assert_eq!(of(951_782_399.9), [2000.0, 2.0, 28.0, 1.0, 59.0, 29.0, 23.0, 59.0]);
    assert_eq!(of(951_868_800.0), [2000.0, 3.0, 1.0, 3.0, 61.0, 31.0, 0.0, 0.0]);
    assert_eq!(of(4_107_542_399.0), [2100.0, 2.0, 28.0, 0.0, 59.0, 28.0, 23.0, 59.0]);
    assert_eq!(of(-1.0), [1969.0, 12.0, 31.0, 3.0, 365.0, 31.0, 23.0, 59.0]);
    assert_eq!(of(-62_135_596_800.0)[..3], [1.0, 1.0, 1.0]);
    assert_eq!(of(f64::NAN)[..3], [292_277_026_596.0, 12.0, 4.0]);
    assert_eq!((of(f64::NAN)[6], of(f64::NEG_INFINITY)), (15.0, of(f64::INFINITY)));
}

proptest! {
    #[test]
    fn every_day_is_the_next_of_the_one_before(day in -4_000_000_i32..4_000_000) {
        let part = |part, day: i32| date_part(part, f64::from(day) * 86_400.0);
        let next = if part(DatePart::DayOfMonth, day) < part(DatePart::DaysInMonth, day) {
            part(DatePart::DayOfMonth, day) + 1.0
        } else {
            1.0
        };
        prop_assert_eq!(part(DatePart::DayOfMonth, day + 1), next);
        prop_assert_eq!(part(DatePart::DayOfWeek, day + 1), (part(DatePart::DayOfWeek, day) + 1.0) % 7.0);
        let is_new_year = part(DatePart::DayOfYear, day + 1) == 1.0;
        prop_assert_eq!(is_new_year, part(DatePart::Month, day + 1) == 1.0 && next == 1.0);
    }
}

fn buckets(list: &[(f64, f64)]) -> Vec<ClassicBucket> {
    list.iter().map(|&(upper, count)| ClassicBucket { upper, count }).collect()
}

#[test]
fn a_quantile_of_classic_buckets_lies_on_the_line_between_bounds() {
    let of = |q| quantile(q, &mut buckets(&[(f64::INFINITY, 10.0), (1.0, 2.0), (2.0, 8.0)])).0;
    assert_eq!([of(0.1), of(0.2), of(0.5), of(0.8), of(0.9)], [0.5, 1.0, 1.5, 2.0, 2.0]);
    assert_eq!((of(-0.1), of(1.1)), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(of(f64::NAN).is_nan());
    assert!(quantile(0.5, &mut buckets(&[(1.0, 2.0), (2.0, 8.0)])).0.is_nan());
    assert!(quantile(0.5, &mut buckets(&[(f64::INFINITY, 2.0)])).0.is_nan());
    assert_eq!(quantile(0.1, &mut buckets(&[(-1.0, 2.0), (f64::INFINITY, 8.0)])).0, -1.0);
}

#[test]
fn counts_that_go_down_are_lifted_and_rounding_is_not_spoken_of() {
    let (value, forced) = quantile(0.5, &mut buckets(&[(1.0, 4.0), (2.0, 3.0), (3.0, 2.0), (f64::INFINITY, 4.0)]));
    assert_eq!(value, 0.5);
    assert_eq!(forced, Some(Forced { min_bucket: 2.0, max_bucket: 3.0, max_diff: 2.0 }));
    let (_, forced) = quantile(0.5, &mut buckets(&[(1.0, 4.0), (2.0, 4.0 - 1e-14), (f64::INFINITY, 4.0)]));
    assert_eq!(forced, None);
}

#[test]
fn a_note_of_lifted_counts_tells_where_and_how_much() {
    let forced = Forced { min_bucket: 2.0, max_bucket: 3.0, max_diff: 0.123 };
    let mut steps = super::classic::ForcedSteps::new(forced, 60_000);
    steps.merge(&super::classic::ForcedSteps::new(Forced { max_bucket: f64::INFINITY, ..forced }, 0));
    let mut notes = crate::notes::Notes::default();
    let span = crate::error::Span::new(0, 1);
    steps.note(crate::histogram::Subject { metric: "m", span }, &mut notes);
    let text = notes.iter().next().map(|note| note.text.clone()).unwrap_or_default();
    let end = "for metric name \"m\", from buckets 2 to +Inf, with a max diff of 0.12, over 2 samples from \
               1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_part_of_classic_buckets_is_what_lies_between() {
    let of = |lower, upper| fraction(lower, upper, &mut buckets(&[(1.0, 2.0), (2.0, 8.0), (f64::INFINITY, 10.0)]));
    assert_eq!(of(0.0, 1.0), 0.2);
    assert_eq!(of(1.5, f64::INFINITY), 0.5);
    assert_eq!(of(f64::NEG_INFINITY, 5.0), 0.8);
    assert_eq!(of(2.0, 1.0), 0.0);
    assert!(of(f64::NAN, 1.0).is_nan());
}
