//! Late points and corrections are ordinary data, wherever their hour has got to.

use schemas::Resolution;
use schemas::points::stale;
use schemas::tier_map::{Form, Owner};
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::asked::{everything, range};
use super::given::{World, brief_retention, hour, series};

/// A point every ten seconds of two series in the hours `from..to`, and the clock behind them.
pub(super) async fn scraped(from: i64, to: i64) -> World {
    let mut world = World::at(hour(from), brief_retention()).await;
    scrape(&mut world, from, to);
    world
}

/// The same in a world that goes on.
pub(super) fn scrape(world: &mut World, from: i64, to: i64) {
    world.move_to(hour(to));
    let (gauge, counter) = (gauge(), counter());
    let mut told = Vec::new();
    let start = hour(from).start().0;
    for (step, at) in (0_i32..).zip((start..hour(to).start().0).step_by(10_000)) {
        told.push((&gauge, at, f64::from(step * 7_919 % 1_009) / 10.0));
        told.push((&counter, at, f64::from(step * 5)));
    }
    world.append(&told);
}

pub(super) fn gauge() -> schemas::Labels {
    series("cpu_usage", &[("job", "a"), ("host", "x")])
}

pub(super) fn counter() -> schemas::Labels {
    series("requests_total", &[("job", "b"), ("host", "x")])
}

/// Asks everything of the hours `from..to`.
pub(super) async fn check(world: &World, from: i64, to: i64) {
    world.ask_all(&everything(), range(hour(from).start().0, hour(to).start().0)).await;
}

/// Milliseconds after the start of an hour.
fn at(offset: i64, ms: i64) -> i64 {
    hour(offset).start().0 + ms
}

/// A correction downwards, a point where there was none, and one before all others.
fn arrive_late(world: &mut World, offset: i64) {
    let (gauge, counter) = (gauge(), counter());
    world.append(&[
        (&gauge, at(offset, 20 * MINUTE_MS), -3.0),
        (&counter, at(offset, 20 * MINUTE_MS), 1.0),
        (&gauge, at(offset, 20 * MINUTE_MS + 1), 2_000.0),
        (&counter, at(offset, 1), 0.0),
    ]);
}

/// Whether Delta answers for raw points of an hour.
fn is_archived_and_dropped(world: &World, offset: i64) -> bool {
    world.owner(Form::Raw1m, Resolution::Raw, hour(offset)) == Owner::Cold
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_point_repairs_its_minute_and_its_hour() {
    let mut world = scraped(-1, 1).await;
    world.seal().await;
    arrive_late(&mut world, -1);
    check(&world, -1, 1).await;
    world.flush().await;
    check(&world, -1, 1).await;
    assert_eq!(world.seal().await.sealed, [hour(-1)]);
    check(&world, -1, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_point_between_seal_and_archive_reaches_the_archive() {
    let mut world = scraped(-2, 0).await;
    world.seal().await;
    arrive_late(&mut world, -2);
    assert_eq!(world.archive().await.archived, [hour(-2), hour(-1)]);
    check(&world, -2, 0).await;
    world.seal().await;
    assert_eq!(world.archive().await.archived, [hour(-2)], "only what has changed is committed again");
    world.move_to(hour(8));
    world.retain().await;
    assert!(is_archived_and_dropped(&world, -2));
    check(&world, -2, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_point_between_archive_and_drop_overlays_the_archive() {
    let mut world = scraped(-2, 0).await;
    world.settle().await;
    world.move_to(hour(4));
    arrive_late(&mut world, -2);
    world.retain().await;
    assert!(is_archived_and_dropped(&world, -2));
    check(&world, -2, 0).await;
    world.kill().await;
    check(&world, -2, 0).await;
    assert_eq!(world.seal().await.sealed, [hour(-2)]);
    check(&world, -2, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_late_flushes_of_an_hour_before_its_next_seal_both_count() {
    let mut world = scraped(-2, 0).await;
    world.seal().await;
    arrive_late(&mut world, -2);
    world.flush().await;
    let gauge = gauge();
    // Once more the same point, and another one.
    world.append(&[(&gauge, at(-2, 20 * MINUTE_MS), 55.5), (&gauge, at(-2, 40 * MINUTE_MS + 3), 7.25)]);
    world.flush().await;
    check(&world, -2, 0).await;
    world.kill().await;
    check(&world, -2, 0).await;
    world.seal().await;
    check(&world, -2, 0).await;
    world.archive().await;
    world.move_to(hour(8));
    world.retain().await;
    check(&world, -2, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_may_be_archived_in_any_order() {
    let mut world = World::at(hour(-4), brief_retention()).await;
    scrape(&mut world, -1, 0);
    world.settle().await;
    world.move_to(hour(1));
    // The hour before comes after.
    let gauge = gauge();
    let told: Vec<_> = (0..60).map(|minute| (&gauge, at(-3, minute * MINUTE_MS), 1.5)).collect();
    world.append(&told);
    world.seal().await;
    assert_eq!(world.archive().await.archived, [hour(-3)]);
    check(&world, -4, 1).await;
    // And one in between, once all of them are Delta's.
    world.move_to(hour(9));
    world.retain().await;
    assert!(is_archived_and_dropped(&world, -2));
    world.append(&[(&gauge, at(-2, 0), 4.0), (&gauge, at(-2, HOUR_MS - 1), 5.0)]);
    check(&world, -4, 1).await;
    world.settle().await;
    check(&world, -4, 1).await;
    world.kill().await;
    check(&world, -4, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_and_dropped_hour_is_corrected_at_once_and_for_good() {
    let mut world = scraped(-3, 0).await;
    world.move_to(hour(9));
    world.settle().await;
    assert!(is_archived_and_dropped(&world, -2));
    arrive_late(&mut world, -2);
    check(&world, -3, 0).await;
    world.flush().await;
    check(&world, -3, 0).await;
    world.settle().await;
    check(&world, -3, 0).await;
    // Corrected once more, and a marker that must not take a value away.
    let gauge = gauge();
    world.append(&[
        (&gauge, at(-2, 20 * MINUTE_MS), -4.0),
        (&gauge, at(-2, 0), stale()),
        (&gauge, at(-2, 21 * MINUTE_MS + 1), stale()),
    ]);
    check(&world, -3, 0).await;
    world.settle().await;
    world.restart().await;
    check(&world, -3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_may_begin_in_an_hour_that_was_dropped_long_ago() {
    let mut world = scraped(-3, 0).await;
    world.move_to(hour(9));
    world.settle().await;
    let newcomer = series("cpu_usage", &[("job", "c")]);
    let stranger = series("unheard_of", &[("job", "c")]);
    world.append(&[(&newcomer, at(-2, 5), 1.0), (&stranger, at(-2, 6), 2.0), (&stranger, at(-1, 0), 3.0)]);
    check(&world, -3, 0).await;
    world.settle().await;
    check(&world, -3, 0).await;
    world.kill().await;
    check(&world, -3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_record_was_lost_is_recorded_again() {
    let mut world = scraped(-1, 0).await;
    world.seal().await;
    let remains = world.remains();
    assert_eq!(world.archive().await.archived, [hour(-1)]);
    world.resume(remains).await;
    let report = world.archive().await;
    assert_eq!((report.archived.len(), report.unchanged), (0, vec![hour(-1)]));
    world.move_to(hour(9));
    world.retain().await;
    assert!(is_archived_and_dropped(&world, -1));
    // The same where Delta owns the hour and the seal commits to it.
    arrive_late(&mut world, -1);
    world.flush().await;
    let remains = world.remains();
    assert_eq!(world.seal().await.sealed, [hour(-1)]);
    world.resume(remains).await;
    check(&world, -1, 0).await;
    assert_eq!(world.seal().await.sealed, [hour(-1)]);
    check(&world, -1, 0).await;
}

/// A point a second for twenty minutes: too dense for identity.
fn crowd(world: &mut World, name: &str, offset: i64) {
    let labels = series(name, &[("job", "a")]);
    let seconds = (at(offset, 0)..at(offset, 20 * MINUTE_MS)).step_by(1_000);
    let told: Vec<_> =
        (0_i32..).zip(seconds).map(|(i, at)| (&labels, at, f64::from(i * 7_919 % 9_973) / 100.0)).collect();
    world.append(&told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_late_points_of_a_half_local_hour_keep_what_delta_owns_of_it() {
    let mut world = scraped(-2, 0).await;
    crowd(&mut world, "dense", -2);
    world.settle().await;
    world.move_to(hour(2));
    world.retain().await;
    assert_eq!(world.owner(Form::Raw, Resolution::Raw, hour(-2)), Owner::Cold);
    assert_eq!(world.owner(Form::Raw1m, Resolution::Raw, hour(-2)), Owner::Local);
    // Only metrics that are local have anything new.
    arrive_late(&mut world, -2);
    world.settle().await;
    check(&world, -2, 0).await;
    // And only one of those that are Delta's, once all of them are.
    world.move_to(hour(9));
    world.settle().await;
    world.append(&[(&series("dense", &[("job", "a")]), at(-2, 1), 1.0)]);
    world.settle().await;
    check(&world, -2, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_a_dense_metric_may_begin_in_an_hour_whose_raw_chunks_have_left() {
    let mut world = scraped(-2, 0).await;
    world.settle().await;
    world.move_to(hour(2));
    world.retain().await;
    // What form it has is decided by the very seal that finds Delta to own it.
    crowd(&mut world, "newcomer", -2);
    world.settle().await;
    assert_eq!(world.form("newcomer", hour(-2)), Form::Raw);
    assert_eq!(world.owner(Form::Raw, Resolution::Raw, hour(-2)), Owner::Cold);
    check(&world, -2, 0).await;
    world.kill().await;
    check(&world, -2, 0).await;
}
