//! Nothing happens at a boundary: of buckets, hours, days, tiers, and forms of chunks.

use kit::Question;
use kit::oracle::Agg;
use schemas::tier_map::{Form, Owner, Tier};
use schemas::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use schemas::{DurationMs, Labels, Resolution};

use super::asked::{WIDTHS, everything, metric, range};
use super::given::{World, brief_retention, hour, series};
use super::late::{check, scraped};

fn dense() -> Labels {
    series("dense", &[("job", "a")])
}

/// A point a second for twenty minutes of each hour `from..to`: too dense for identity.
fn crowd(world: &mut World, from: i64, to: i64) {
    world.move_to(hour(to));
    let labels = dense();
    let mut told = Vec::new();
    for start in (from..to).map(|offset| hour(offset).start().0) {
        let seconds = (start..start + 20 * MINUTE_MS).step_by(1_000);
        told.extend((0_i32..).zip(seconds).map(|(i, at)| (&labels, at, f64::from(10_000 + i * 7_919 % 9_973) / 100.0)));
    }
    world.append(&told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_may_start_anew_exactly_where_buckets_hours_and_tiers_meet() {
    let mut world = World::at(hour(-6), brief_retention()).await;
    world.move_to(hour(4));
    let counter = series("requests_total", &[("job", "a")]);
    let mut told = Vec::new();
    for offset in -6..4 {
        let start = hour(offset).start().0;
        // Up to a millisecond before the hour, and from zero on it.
        told.extend(
            (0_i32..).zip((start..start + HOUR_MS).step_by(10_000)).map(|(i, at)| (&counter, at, f64::from(i))),
        );
        told.push((&counter, start + HOUR_MS - 1, 400.0));
        // And on a minute.
        told.push((&counter, start + 30 * MINUTE_MS, 0.5));
    }
    world.append(&told);
    check(&world, -6, 4).await;
    for now in 4..14 {
        world.move_to(hour(now));
        world.settle().await;
        for (_, agg) in Agg::ALL {
            for width in WIDTHS.into_iter().flatten() {
                let whole = range(hour(-6).start().0, hour(4).start().0);
                world.ask(&Question::buckets(everything(), whole, width, agg)).await;
            }
        }
    }
    assert_eq!(world.owner(Form::Raw1m, Resolution::Hour, hour(3)), Owner::Cold);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tier_answers_for_its_part_of_one_question() {
    let mut world = World::at(hour(-8), brief_retention()).await;
    crowd(&mut world, -8, 2);
    world.settle().await;
    assert_eq!(world.form("dense", hour(-8)), Form::Raw);
    // Points that are still in the head, and some late ones in every tier.
    let labels = dense();
    let told: Vec<_> = (-8..2).map(|offset| (&labels, hour(offset).start().0 + 7 * MINUTE_MS, 1.0)).collect();
    world.append(&told);
    world.clock.advance(30 * MINUTE_MS);
    world.append(&[(&labels, hour(2).start().0, 9.0), (&labels, hour(2).start().0 + 5, 8.0)]);
    let whole = range(hour(-8).start().0, hour(2).start().0 + 20 * MINUTE_MS);
    let minutes = world.ask(&Question::buckets(metric("dense"), whole, DurationMs::MINUTE, Agg::Rate)).await;
    assert_eq!(minutes.provenance.tiers, [Tier::Hot, Tier::Warm, Tier::Cold]);
    let segments: Vec<Option<Tier>> = minutes.provenance.segments.iter().map(|segment| segment.tier).collect();
    assert_eq!(segments, [Some(Tier::Cold), Some(Tier::Warm), Some(Tier::Hot)]);
    world.ask_all(&everything(), whole).await;
    world.agree("dense", whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_chunks_outlive_the_raw_retention_and_others_do_not() {
    let mut world = scraped(-2, 0).await;
    crowd(&mut world, -2, 0);
    world.settle().await;
    world.move_to(hour(3));
    world.settle().await;
    assert_eq!(world.form("dense", hour(-2)), Form::Raw);
    assert_eq!(world.form("cpu_usage", hour(-2)), Form::Raw1m);
    let whole = range(hour(-2).start().0, hour(0).start().0);
    let first = range(hour(-2).start().0, hour(-1).start().0);
    let tiers = async |name: &str, within| world.ask(&Question::raw(metric(name), within)).await.provenance.tiers;
    assert_eq!(tiers("dense", first).await, [Tier::Cold]);
    assert_eq!(tiers("cpu_usage", first).await, [Tier::Warm]);
    world.ask_all(&everything(), whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metric_may_have_another_form_on_another_day() {
    let mut world = World::at(hour(-49), brief_retention()).await;
    let labels = dense();
    world.move_to(hour(-48));
    let few: Vec<_> = (0..30).map(|minute| (&labels, hour(-49).start().0 + minute * MINUTE_MS, 2.5)).collect();
    world.append(&few);
    world.seal().await;
    // Nothing for a day, so that no form is handed on; then a crowd.
    crowd(&mut world, -1, 0);
    world.seal().await;
    assert_eq!(world.form("dense", hour(-49)), Form::Raw1m);
    assert_eq!(world.form("dense", hour(-1)), Form::Raw);
    let whole = range(hour(-50).start().0, hour(1).start().0);
    world.ask_all(&everything(), whole).await;
    for now in [1, 3, 9] {
        world.move_to(hour(now));
        world.settle().await;
        world.ask_all(&everything(), whole).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_day_leaves_no_family_and_no_gap() {
    let mut world = scraped(-2, 2).await;
    world.settle().await;
    let families = |world: &World| -> Vec<String> {
        let inventory = world.life().store.inventory().expect("can be listed");
        let names = inventory.families.into_iter().map(|family| family.name);
        // Each life has a log of its own.
        names.filter(|name| !name.starts_with("log_")).collect()
    };
    let before = families(&world);
    world.move_to(hour(12));
    world.settle().await;
    let after = families(&world);
    assert!(after.len() < before.len(), "{before:?} became {after:?}");
    check(&world, -2, 2).await;
    world.restart().await;
    assert_eq!(families(&world), after);
    check(&world, -2, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_exactly_on_minutes_and_hours_belong_to_what_begins_there() {
    let mut world = World::at(hour(-2), brief_retention()).await;
    world.move_to(hour(0));
    let labels = series("edges", &[("job", "a")]);
    let middle = hour(-1).start().0;
    let around =
        [-HOUR_MS, -MINUTE_MS, -SECOND_MS, -1, 0, 1, SECOND_MS, MINUTE_MS - 1, MINUTE_MS, MINUTE_MS + 1, HOUR_MS - 1];
    let told: Vec<_> =
        (1_i32..).zip(around).map(|(value, offset)| (&labels, middle + offset, f64::from(value))).collect();
    world.append(&told);
    let check = async |world: &World| {
        world.ask_all(&everything(), range(hour(-2).start().0, hour(0).start().0)).await;
        // Every range that begins or ends at one of the points, or beside it.
        for start in around {
            for end in around.iter().filter(|end| **end > start) {
                for width in WIDTHS {
                    let within = range(middle + start, middle + end);
                    let question = match width {
                        None => Question::raw(everything(), within),
                        Some(width) => Question::buckets(everything(), within, width, Agg::Count),
                    };
                    world.ask(&question).await;
                }
            }
        }
    };
    check(&world).await;
    world.seal().await;
    check(&world).await;
    world.archive().await;
    world.move_to(hour(9));
    world.retain().await;
    check(&world).await;
}
