use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::points::{is_stale, stale};
use crate::strategies::{points, special};
use crate::varint::Reader;

/// Values in the order of quantiles: NaN lowest, staleness markers left out.
fn ranked(values: &[f64]) -> Vec<f64> {
    let mut counted: Vec<f64> = values.iter().copied().filter(|&value| !is_stale(value)).collect();
    counted.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    counted
}

fn one_by_one(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|&value| sketch.add(value));
    sketch
}

/// Values over many octaves, mostly small: what latencies look like, only worse.
fn heavy_tailed() -> impl Strategy<Value = f64> {
    (0.0..1.0_f64, prop::bool::ANY).prop_map(|(share, sign)| {
        let value = (1.0 - share).powf(-3.0);
        if sign { value } else { -value / 7.0 }
    })
}

proptest! {
    #[test]
    fn every_rank_is_within_the_stated_error(values in vec(prop_oneof![9 => heavy_tailed(), 1 => special()], 1..600)) {
        let sketch = Sketch::from_values(&values);
        let ranked = ranked(&values);
        prop_assert_eq!(sketch.count(), ranked.len() as u64);
        for (rank, &value) in (1..).zip(&ranked) {
            let estimate = sketch.value_at_rank(rank).expect("the rank is counted");
            if value.is_nan() {
                prop_assert!(estimate.is_nan());
            } else if value == 0.0 || value.is_infinite() {
                prop_assert_eq!(estimate.partial_cmp(&value), Some(Ordering::Equal));
            } else {
                // A subnormal has fewer digits than the error has.
                let rounding = f64::MIN_POSITIVE * f64::EPSILON;
                let bound = value.abs() * sketch.relative_error() * (1.0 + 1e-12) + rounding;
                prop_assert!((estimate - value).abs() <= bound, "{} for {} at scale {}", estimate, value, sketch.scale());
            }
        }
        prop_assert_eq!(sketch.value_at_rank(ranked.len() as u64 + 1), None);
    }

    #[test]
    fn any_merge_tree_gives_the_same_sketch(values in points(500).prop_map(|points| points.values), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = Sketch::from_values(&values);
        prop_assert_eq!(&one_by_one(&values), &whole);

        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).chain([0, values.len()]).collect();
        bounds.sort_unstable();
        let parts: Vec<Sketch> = bounds.windows(2).map(|pair| Sketch::from_values(&values[pair[0]..pair[1]])).collect();
        let fold = |parts: &mut dyn Iterator<Item = &Sketch>| {
            let mut merged = Sketch::default();
            parts.for_each(|part| merged.merge(part));
            merged
        };
        prop_assert_eq!(&fold(&mut parts.iter()), &whole);
        prop_assert_eq!(&fold(&mut parts.iter().rev()), &whole);
        let halves = [fold(&mut parts.iter().step_by(2)), fold(&mut parts.iter().skip(1).step_by(2))];
        prop_assert_eq!(&fold(&mut halves.iter()), &whole);
    }

    #[test]
    fn no_more_bins_than_the_bound_are_ever_used(values in vec(any::<f64>(), 0..2_000)) {
        let sketch = Sketch::from_values(&values);
        prop_assert!(sketch.bins() <= MAX_BINS);
        prop_assert!(sketch.scale() >= MIN_SCALE);
    }

    #[test]
    fn bytes_and_columns_give_the_sketch_back(values in points(400).prop_map(|points| points.values)) {
        let sketch = Sketch::from_values(&values);
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(&Sketch::decode(&mut reader).expect("valid"), &sketch);
        prop_assert!(reader.is_empty());
        prop_assert_eq!(&Sketch::from_parts(&sketch.to_parts(), sketch.nan_count()).expect("valid"), &sketch);
    }

    #[test]
    fn a_removed_value_leaves_the_others(values in points(150).prop_map(|points| points.values), more in special()) {
        let mut sketch = Sketch::from_values(&values);
        let scale = sketch.scale_with(more);
        sketch.reduce_scale_to(scale);
        let before = sketch.clone();
        sketch.add(more);
        prop_assert_eq!(sketch.scale(), scale);
        prop_assert!(sketch.remove(more));
        prop_assert_eq!(sketch, before);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..100)) {
        if let Ok(sketch) = Sketch::decode(&mut Reader::new(&bytes)) {
            let mut merged = sketch.clone();
            merged.merge(&sketch);
            let _ = merged.quantile(0.5);
        }
    }
}

#[test]
fn zeros_are_one_and_a_staleness_marker_is_none() {
    let sketch = Sketch::from_values(&[0.0, -0.0, stale(), f64::NAN]);
    assert_eq!((sketch.zero_count(), sketch.nan_count(), sketch.count()), (2, 1, 3));
}

#[test]
fn infinities_end_the_lists_of_bins() {
    let sketch = Sketch::from_values(&[1.0, f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(sketch.positive().collect::<Vec<_>>(), vec![(-1, 1), (INFINITY_INDEX, 2)]);
    assert_eq!(sketch.negative().collect::<Vec<_>>(), vec![(INFINITY_INDEX, 1)]);
    assert_eq!(sketch.quantile(0.0), Some(f64::NEG_INFINITY));
    assert_eq!(sketch.quantile(1.0), Some(f64::INFINITY));
}

#[test]
fn a_sketch_of_six_points_takes_about_ten_bytes() {
    let mut bytes = Vec::new();
    Sketch::from_values(&[12.3, 12.9, 13.4, 13.1, 12.2, 11.8]).encode(&mut bytes);
    assert!(bytes.len() <= 10, "{} bytes", bytes.len());
}

#[test]
fn the_nearest_rank_is_not_moved_by_rounding() {
    assert_eq!(nearest_rank(0.07, 100), 7, "0.07 * 100 is a little more than 7 in doubles");
    assert_eq!(nearest_rank(0.99, 100), 99);
    assert_eq!(nearest_rank(0.99, 99), 99);
    assert_eq!(nearest_rank(0.99, 101), 100);
    assert_eq!((nearest_rank(0.0, 5), nearest_rank(1.0, 5), nearest_rank(0.5, 4)), (1, 5, 2));
}

#[test]
fn impossible_columns_are_refused() {
    let parts = Sketch::from_values(&[1.0, 2.0, 4.0]).to_parts();
    let refused = |change: fn(&mut SketchParts)| {
        let mut changed = parts.clone();
        change(&mut changed);
        Sketch::from_parts(&changed, 0).is_err()
    };
    assert!(refused(|parts| parts.scale = 6));
    assert!(refused(|parts| parts.scale = -100));
    assert!(refused(|parts| parts.idx.reverse()));
    assert!(refused(|parts| parts.cnt[0] = 0));
    assert!(refused(|parts| parts.zero_count = -1));
    assert!(refused(|parts| parts.cnt.truncate(1)));
    assert!(refused(|parts| parts.cnt.fill(i64::MAX)));
}
