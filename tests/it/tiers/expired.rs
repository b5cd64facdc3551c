//! What retention has dropped everywhere is answered by what is coarser, and said to be; never by silence.

use kit::oracle::Agg;
use kit::{FaultRates, Question};
use schemas::tier_map::{Form, Owner};
use schemas::time::MINUTE_MS;
use schemas::{DurationMs, PointBatch, Resolution, Retention};

use super::asked::{metric, range};
use super::given::{World, brief_retention, hour};
use super::late::{gauge, scrape, scraped};

/// Raw points and minutes leave the last tier within the story.
fn briefest() -> Retention {
    Retention { cold_raw: DurationMs::hours(6), cold_rollup_1m: DurationMs::hours(30), ..brief_retention() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_that_are_kept_nowhere_are_answered_by_minutes_and_flagged() {
    let mut world = scraped(-2, 0).await;
    world.set_retention(briefest());
    world.settle().await;
    world.move_to(hour(20));
    world.retain().await;
    let whole = range(hour(-2).start().0, hour(0).start().0);
    let raw = world.answer(&Question::raw(metric("cpu_usage"), whole)).await;
    assert!(!raw.provenance.complete);
    assert_eq!(raw.provenance.resolution, "1m");
    // The same as the averages of the minutes, which are exact and complete.
    let minutes = Question::buckets(metric("cpu_usage"), whole, DurationMs::MINUTE, Agg::Avg);
    let averages = world.ask(&minutes).await;
    assert_eq!(raw.series, averages.series);
    for (_, agg) in Agg::ALL {
        world.ask(&Question { width: Some(DurationMs::HOUR), agg, ..minutes.clone() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minutes_that_are_kept_nowhere_are_answered_by_hours_and_flagged() {
    let mut world = scraped(-2, 0).await;
    world.set_retention(briefest());
    world.settle().await;
    world.move_to(hour(72));
    world.retain().await;
    let whole = range(hour(-2).start().0, hour(0).start().0);
    let minutes = Question::buckets(metric("requests_total"), whole, DurationMs::MINUTE, Agg::Max);
    let answer = world.answer(&minutes).await;
    assert!(!answer.provenance.complete);
    assert_eq!(answer.provenance.resolution, "1h");
    let hours = world.ask(&Question { width: Some(DurationMs::HOUR), ..minutes }).await;
    assert_eq!(answer.series, hours.series);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_overlays_the_last_raw_copy_is_counted_before_that_copy_goes() {
    let mut world = scraped(-2, 0).await;
    world.settle().await;
    // In the head, for an hour that loses its raw points next.
    let gauge = gauge();
    let late = hour(-2).start().0 + 3 * MINUTE_MS;
    world.move_to(hour(20));
    world.append(&[(&gauge, late, 5_000.0), (&gauge, late + 1, 1.0)]);
    world.set_retention(briefest());
    world.retain().await;
    let whole = range(hour(-2).start().0, hour(0).start().0);
    for (_, agg) in Agg::ALL {
        world.ask(&Question::buckets(metric("cpu_usage"), whole, DurationMs::HOUR, agg)).await;
    }
    let minutes = Question::buckets(metric("cpu_usage"), whole, DurationMs::MINUTE, Agg::Max);
    world.ask(&minutes).await;
    world.kill().await;
    world.ask(&minutes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_raw_copy_waits_for_what_overlays_it() {
    let mut world = scraped(-2, 0).await;
    world.settle().await;
    world.move_to(hour(20));
    world.retain().await;
    let (gauge, late) = (gauge(), hour(-2).start().0 + 3 * MINUTE_MS);
    world.append(&[(&gauge, late, 5_000.0), (&gauge, late + 1, 1.0)]);
    world.set_retention(briefest());
    // The hour is to be sealed into the archive before its raw points go; the archive is away.
    world.life().cold_store.set_rates(FaultRates::DOWN);
    let failed = world.life().compactor.apply_retention().await.expect_err("nothing can be told to the archive");
    world.life().cold_store.set_rates(FaultRates::NONE);
    assert!(cold::is_store_away(&failed), "{failed:?}");
    let owner = |world: &World| Form::ALL.map(|form| world.owner(form, Resolution::Raw, hour(-2)));
    assert_eq!(owner(&world), [Owner::Cold; 2], "its late points are not sealed yet");
    // A round finds it so again, and takes nothing from the tables either.
    let report = world.retain().await;
    assert_eq!((owner(&world), report.delta_files_removed), ([Owner::Cold; 2], 0));
    let plan = world.life().compactor.plan_retention(&briefest()).await.expect("plans");
    let held: Vec<_> = plan.drops.iter().filter_map(|drop| drop.held_back.as_deref()).collect();
    assert!(held.iter().any(|why| why.contains("not sealed yet")), "{plan:?}");
    let whole = range(hour(-2).start().0, hour(0).start().0);
    world.ask(&Question::raw(metric("cpu_usage"), whole)).await;

    // Then the hour is sealed as any other, and the next round goes on.
    world.seal().await;
    world.retain().await;
    assert_eq!(owner(&world), [Owner::Expired; 2]);
    for (_, agg) in Agg::ALL {
        world.ask(&Question::buckets(metric("cpu_usage"), whole, DurationMs::HOUR, agg)).await;
    }
    world.kill().await;
    world.ask(&Question::buckets(metric("cpu_usage"), whole, DurationMs::MINUTE, Agg::Max)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_are_refused_from_where_their_rollups_could_not_be_recomputed() {
    let mut world = scraped(-2, 0).await;
    world.set_retention(briefest());
    world.settle().await;
    world.move_to(hour(30));
    world.retain().await;
    let refused = |world: &World, at: i64| {
        let mut batch = PointBatch::new();
        let entry = batch.add_canonical(gauge().as_bytes());
        batch.push(entry, at, 1.0);
        let appended = world.life().store.append(&batch).expect("there is room");
        (appended.accepted, appended.rejected_points.first().map(|(_, reason)| reason.code()))
    };
    assert_eq!(refused(&world, hour(0).start().0 - 1), (0, Some("too_old")));
    let floor = world.life().store.intake_floor().0;
    assert_eq!(floor, hour(24).start().0, "six hours are kept");
    assert_eq!(refused(&world, floor - 1), (0, Some("too_old")));
    world.restart().await;
    assert_eq!(refused(&world, floor - 1), (0, Some("too_old")));
    scrape(&mut world, 24, 30);
    world.settle().await;
    let kept = range(floor, hour(30).start().0);
    world.ask(&Question::raw(metric("cpu_usage"), kept)).await;
}
