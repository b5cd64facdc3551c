use proptest::prelude::*;
use schemas::Epoch;
use schemas::tier_map::Thresholds;
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::*;

const CLASS: RetentionClass = RetentionClass::DEFAULT;
const METRIC: MetricId = MetricId(7);

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(TimestampMs(start), TimestampMs(end)).expect("ordered")
}

fn map_with(list: &[(Form, Resolution, u32, u32)]) -> TierMap {
    let mut map = TierMap::default();
    for &(form, resolution, hot_lo, cold_lo) in list {
        let thresholds = Thresholds { hot_lo: Hour(hot_lo), cold_lo: Hour(cold_lo) };
        map.thresholds.insert((CLASS, form, resolution), thresholds);
    }
    map
}

/// Thresholds of both forms as the default retention makes them, in hours from a small zero.
fn aged() -> TierMap {
    use Form::{Raw, Raw1m};
    let mut map = map_with(&[
        (Raw, Resolution::Raw, 200, 100),
        (Raw1m, Resolution::Raw, 150, 100),
        (Raw, Resolution::Minute, 150, 50),
        (Raw1m, Resolution::Minute, 150, 50),
        (Raw, Resolution::Hour, 150, 20),
        (Raw1m, Resolution::Hour, 150, 20),
    ]);
    map.sealed_through.insert(Hour(299), Epoch(3));
    map
}

#[test]
fn deltas_hours_are_those_in_which_it_answers_what_is_needed() {
    let hours = |needs: &[Need], from, to| {
        let found = delta_hours(&aged(), CLASS, needs, range(from * HOUR_MS + 1, to * HOUR_MS))?;
        Some((found.start.0, found.end.0))
    };
    let minutes = Need::Moments { width: DurationMs::MINUTE };
    assert_eq!(hours(&[Need::Points], 0, 400), Some((20, 200)), "coarser data too, where points are gone");
    assert_eq!(hours(&[minutes], 0, 400), Some((20, 150)), "chunks and rows of minutes are local from then on");
    assert_eq!(hours(&[minutes], 160, 180), None);
    assert_eq!(hours(&[Need::Points, minutes], 160, 180), Some((160, 180)));
    let days = Need::Moments { width: DurationMs::DAY };
    assert_eq!(hours(&[days], 150, 160), Some((144, 150)), "of a bucket that begins before the range");
    assert_eq!(delta_hours(&TierMap::default(), CLASS, &[minutes], addressable()), None);
}

fn told(map: &TierMap, need: Need) -> Vec<(i64, i64, String)> {
    route(map, CLASS, METRIC, need, range(0, 400 * HOUR_MS))
        .iter()
        .map(|segment| {
            let what = segment.source.map_or_else(
                || "gone".to_owned(),
                |s| format!("{} {}{}", s.tier, s.resolution, if s.exact { "" } else { " coarse" }),
            );
            (segment.range.start().0 / HOUR_MS, segment.range.end().0 / HOUR_MS, what)
        })
        .collect()
}

fn expected(list: &[(i64, i64, &str)]) -> Vec<(i64, i64, String)> {
    list.iter().map(|&(a, b, what)| (a, b, what.to_owned())).collect()
}

#[test]
fn raw_points_come_from_hot_then_cold_then_coarser_data() {
    assert_eq!(
        told(&aged(), Need::Points),
        expected(&[
            (0, 20, "gone"),
            (20, 50, "cold 1h coarse"),
            (50, 100, "cold 1m coarse"),
            (100, 150, "cold raw"),
            (150, 200, "warm raw"),
            (200, 400, "hot raw"),
        ]),
        "identity chunks are called warm behind the raw retention"
    );
}

#[test]
fn minutes_come_from_rows_or_identity_chunks() {
    let minutes = Need::Moments { width: DurationMs::MINUTE };
    assert_eq!(
        told(&aged(), minutes),
        expected(&[
            (0, 20, "gone"),
            (20, 50, "cold 1h coarse"),
            (50, 150, "cold 1m"),
            (150, 200, "warm 1m"),
            (200, 400, "hot 1m"),
        ])
    );
    let mut rows = aged();
    let forms = (0..20).map(|day| ((CLASS, Day(day), METRIC), Form::Raw)).collect();
    rows.forms = std::sync::Arc::new(forms);
    assert_eq!(told(&rows, minutes)[3..], expected(&[(150, 300, "warm 1m"), (300, 400, "hot 1m")]));
}

#[test]
fn hours_and_days_come_from_hour_rows() {
    for width in [DurationMs::HOUR, DurationMs::DAY] {
        assert_eq!(
            told(&aged(), Need::Moments { width }),
            expected(&[(0, 20, "gone"), (20, 150, "cold 1h"), (150, 300, "warm 1h"), (300, 400, "hot 1h")])
        );
    }
}

#[test]
fn quantiles_are_not_asked_of_rows_without_sketches() {
    let width = DurationMs::MINUTE;
    let any_quantile = told(&aged(), Need::Sketches { width, every: true });
    assert_eq!(any_quantile[1..3], expected(&[(20, 100, "cold 1h coarse"), (100, 150, "cold raw")]));
    let p99_of_minutes = told(&aged(), Need::Sketches { width, every: false });
    assert_eq!(p99_of_minutes[1..3], expected(&[(20, 50, "cold 1h coarse"), (50, 150, "cold 1m")]));
}

#[test]
fn finer_local_data_is_preferred_to_cold_rows() {
    let map = map_with(&[(Form::Raw1m, Resolution::Minute, 100, 0), (Form::Raw1m, Resolution::Hour, 100, 0)]);
    let source = route(&map, CLASS, METRIC, Need::Moments { width: DurationMs::HOUR }, range(0, HOUR_MS))[0].source;
    let source = source.expect("kept");
    assert_eq!((source.owner, source.resolution, source.exact), (Owner::Local, Resolution::Raw, true));
}

#[test]
fn time_outside_storage_is_not_routed() {
    let map = TierMap::default();
    assert!(route(&map, CLASS, METRIC, Need::Points, range(-10, 0)).is_empty());
    let segments = route(&map, CLASS, METRIC, Need::Points, range(-10, 10));
    assert_eq!(segments.iter().map(|s| s.range).collect::<Vec<_>>(), [range(0, 10)]);
    assert!(route(&map, CLASS, METRIC, Need::Points, range(5, 5)).is_empty());
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (0_u32..120, 0_u32..120).prop_map(|(a, b)| Thresholds { hot_lo: Hour(a.max(b)), cold_lo: Hour(a.min(b)) })
}

fn maps() -> impl Strategy<Value = TierMap> {
    let forms = proptest::collection::vec(any::<bool>(), 6);
    (proptest::collection::vec(thresholds(), 6), forms, 0_u32..120).prop_map(|(list, forms, sealed)| {
        let mut map = TierMap::default();
        let keys = Form::ALL.into_iter().flat_map(|form| Resolution::ALL.map(|r| (CLASS, form, r)));
        map.thresholds = keys.zip(list).collect();
        let days = forms
            .into_iter()
            .zip(0..)
            .map(|(raw, day)| ((CLASS, Day(day), METRIC), if raw { Form::Raw } else { Form::Raw1m }));
        map.forms = std::sync::Arc::new(days.collect());
        map.sealed_through.insert(Hour(sealed), Epoch(1));
        map
    })
}

fn needs() -> impl Strategy<Value = Need> {
    prop_oneof![
        Just(Need::Points),
        prop_oneof![Just(DurationMs::MINUTE), Just(DurationMs::HOUR), Just(DurationMs::DAY)].prop_flat_map(
            |width| prop_oneof![
                Just(Need::Moments { width }),
                Just(Need::Sketches { width, every: false }),
                Just(Need::Sketches { width, every: true }),
            ]
        ),
    ]
}

proptest! {
    #[test]
    fn segments_are_disjoint_ordered_and_cover_the_range(
        map in maps(), need in needs(), start in 0..130 * HOUR_MS, length in 1..100 * HOUR_MS,
    ) {
        let asked = range(start, start + length);
        let segments = route(&map, CLASS, METRIC, need, asked);
        prop_assert_eq!(segments[0].range.start(), asked.start());
        prop_assert_eq!(segments[segments.len() - 1].range.end(), asked.end());
        for pair in segments.windows(2) {
            prop_assert_eq!(pair[0].range.end(), pair[1].range.start());
            prop_assert_eq!(pair[0].range.end().0 % HOUR_MS, 0, "an hour has one owner");
            prop_assert_ne!(pair[0].source, pair[1].source);
        }
    }

    #[test]
    fn every_segment_is_read_from_the_owner_that_the_map_names(
        map in maps(), need in needs(), start in 0..130 * HOUR_MS, length in 1..100 * HOUR_MS,
    ) {
        for segment in route(&map, CLASS, METRIC, need, range(start, start + length)) {
            for hour in segment.hours().iter() {
                let form = map.form(CLASS, METRIC, hour.day());
                let owners = Resolution::ALL.map(|r| (r, map.owner(CLASS, form, r, hour)));
                let lean = |r, owner| r == Resolution::Minute && owner == Owner::Cold
                    && matches!(need, Need::Sketches { every: true, .. });
                let exact = |r: Resolution, owner| r == Resolution::Raw || (need != Need::Points && !lean(r, owner)
                    && need.width().0 % r.width().map_or(MINUTE_MS, |w| w.0) == 0);
                let any_exact = owners.iter().any(|&(r, owner)| owner != Owner::Expired && exact(r, owner));
                match segment.source {
                    Some(source) => {
                        prop_assert_eq!(map.owner(CLASS, form, source.resolution, hour), source.owner);
                        prop_assert_eq!(source.exact, exact(source.resolution, source.owner));
                        prop_assert_eq!(source.exact, any_exact, "coarser data only where nothing exact is kept");
                    }
                    None => prop_assert!(owners.iter().all(|&(_, owner)| owner == Owner::Expired)),
                }
            }
        }
    }
}
