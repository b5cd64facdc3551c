//! Native histograms take the way of all points, and leave the rollups alone.

use schemas::points::stale;
use schemas::tier_map::Form;
use schemas::time::HOUR_MS;
use schemas::{PointBatch, Points, Resolution};

use crate::given::{CLASS, FIRST, Told, World, at, histogram, hour, labels, native};

/// Histograms every ten seconds of an hour, of one series.
fn scrapes(series: usize, hours: i64) -> Vec<Told> {
    (0..360_u32).map(|i| (series, at(hours, i64::from(i) * 10_000), native(i))).collect()
}

#[test]
fn histograms_survive_a_kill_at_every_stage() {
    let mut world = World::new();
    world.append(&scrapes(0, 0));
    world.append(&[(1, at(0, 5), 0.5), (1, at(0, 6), native(3)), (1, at(0, 7), stale())]);
    world.reopen();
    world.agrees(hour(0)).expect("the log has them");
    world.flush();
    world.reopen();
    world.agrees(hour(0)).expect("the run has them");
    assert!(world.seal(hour(0)));
    world.reopen();
    world.agrees(hour(0)).expect("the seal has them");
    world.append(&[(0, at(0, 10_000), 7.5), (1, at(0, 5), native(9)), (1, at(0, 6), stale())]);
    world.reopen();
    world.agrees(hour(0)).expect("late points are laid over them");
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("and merged into them");
}

#[test]
fn a_histogram_that_replaces_the_last_float_of_an_hour_takes_its_rows_along() {
    let mut world = World::new();
    world.append(&[(0, at(0, 60_000), 1.5), (1, at(0, 60_000), 2.5)]);
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("floats have rows");
    world.append(&[(0, at(0, 60_000), native(4))]);
    world.agrees(hour(0)).expect("the overlay recomputes them");
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("the rows are gone");
    world.append(&[(0, at(0, 60_000), 3.5)]);
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("the rows are back");
}

#[test]
fn a_metric_of_histograms_is_kept_as_raw_and_its_minutes_go_with_its_floats() {
    let mut world = World::new();
    // One metric: series whose numbers are alike by thirds.
    for series in [0, 3, 6] {
        world.append(&scrapes(series, 0));
    }
    world.append(&[(9, at(0, 60_000), 1.0)]);
    assert!(world.seal(hour(0)));
    let form = world.store().view().map().form(CLASS, world.address(0).metric, hour(0).day());
    assert_eq!(form, Form::Raw);
    world.agrees(hour(0)).expect("histograms have no minutes");
    world.append(&[(9, at(0, 60_000), native(1)), (3, at(0, 0), 4.0)]);
    assert!(world.seal(hour(0)));
    world.agrees(hour(0)).expect("minutes follow the floats");
    let view = world.store().view();
    let mut rows = Vec::new();
    let addresses = [world.address(0), world.address(3), world.address(6), world.address(9)];
    view.scan_buckets(hour(0), Resolution::Minute, &addresses, &mut |at, _| rows.push(at)).expect("scans");
    assert_eq!(rows, [1]);
}

#[test]
fn merged_runs_keep_histograms() {
    let mut world = World::new();
    for i in 0..12_u32 {
        world.append(&[(0, at(0, i64::from(i % 4) * 1_000), native(i)), (1, at(0, i64::from(i)), native(i))]);
        world.flush();
    }
    let merged = world.store().merge_runs().expect("merges");
    assert_ne!(merged, hot::MergeOutcome::Nothing);
    world.agrees(hour(0)).expect("the newest histogram of a time wins");
}

#[test]
fn a_refused_point_takes_only_its_own_histogram_along() {
    let world = World::new();
    let mut batch = PointBatch::new();
    let entry = batch.add_canonical(labels(0).as_bytes());
    let start = FIRST.start().0;
    for (ts, number) in [(start, 1), (-HOUR_MS, 2), (start + 1, 3)] {
        batch.push_histogram(entry, ts, std::sync::Arc::new(histogram(number)));
    }
    let appended = world.store().append(&batch).expect("there is room");
    assert_eq!((appended.accepted, appended.rejected_points.len()), (2, 1));
    let mut read = Points::default();
    let view = world.store().view();
    let overlay = view.overlay(hour(0), schemas::Epoch::ZERO).expect("readable").expect("two points are there");
    overlay.read(&[world.address(0)], &mut |_, points| read = points.clone()).expect("readable");
    let sums: Vec<f64> = read.histograms.iter().map(|(_, histogram)| histogram.sum).collect();
    assert_eq!((read.timestamps, sums), (vec![start, start + 1], vec![1.0, 3.0]));
}
