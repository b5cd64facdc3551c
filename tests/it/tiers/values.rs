//! Unusual values survive every tier bit for bit, and aggregates treat them alike wherever they are.

use schemas::Labels;
use schemas::points::stale;
use schemas::time::{HOUR_MS, MINUTE_MS};

use super::asked::{everything, range};
use super::given::{World, brief_retention, hour, series};

/// What arithmetic, codecs and Parquet may get wrong.
const SPECIAL: [f64; 15] = [
    0.0,
    -0.0,
    f64::NAN,
    f64::from_bits(0x7ff8_0000_0000_00ff),
    f64::from_bits(0xfff8_0000_0000_0001),
    // Signalling NaNs on both sides of those that are reserved.
    f64::from_bits(0x7ff0_0000_0000_0001),
    f64::from_bits(0x7ff0_0000_0000_0004),
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::from_bits(1),
    f64::MIN_POSITIVE,
    1e308,
    -1e308,
    f64::MAX,
    9_007_199_254_740_993.0,
];

/// Asks everything in each state: head, run, sealed, archived, Delta's alone, and after a kill.
async fn check_in_every_tier(world: &mut World) {
    let whole = range(hour(-2).start().0, hour(0).start().0);
    world.ask_all(&everything(), whole).await;
    world.flush().await;
    world.ask_all(&everything(), whole).await;
    world.seal().await;
    world.ask_all(&everything(), whole).await;
    world.archive().await;
    for now in [2, 4, 9] {
        world.move_to(hour(now));
        world.retain().await;
        world.ask_all(&everything(), whole).await;
    }
    world.kill().await;
    world.ask_all(&everything(), whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn special_values_are_kept_bit_for_bit_alone_and_among_others() {
    let mut world = World::at(hour(-2), brief_retention()).await;
    world.move_to(hour(0));
    let named: Vec<(String, f64)> = SPECIAL.iter().map(|value| (format!("{:016x}", value.to_bits()), *value)).collect();
    let alone: Vec<(Labels, f64)> =
        named.iter().map(|(name, value)| (series("special", &[("job", name)]), *value)).collect();
    let among: Vec<(Labels, f64)> =
        named.iter().map(|(name, value)| (series("mixed", &[("job", name)]), *value)).collect();
    let start = hour(-1).start().0;
    let mut told = Vec::new();
    for (labels, value) in &alone {
        told.extend([0, 1, 30_000, MINUTE_MS].map(|at| (labels, start + at, *value)));
    }
    for (labels, value) in &among {
        told.extend((0_i32..40).map(|i| (labels, start + i64::from(i) * 7_000, f64::from(i) / 4.0)));
        told.extend([3, MINUTE_MS, HOUR_MS - 1].map(|at| (labels, start + at, *value)));
    }
    world.append(&told);
    check_in_every_tier(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staleness_markers_are_never_counted_and_never_replace_a_value() {
    let mut world = World::at(hour(-2), brief_retention()).await;
    world.move_to(hour(0));
    let [last, alone, first, only] = ["last", "alone", "first", "only"].map(|job| series("ended", &[("job", job)]));
    let start = hour(-2).start().0;
    world.append(&[
        // Last in its bucket, and in the next minute nothing.
        (&last, start, 1.0),
        (&last, start + 30_000, 2.0),
        (&last, start + 59_999, stale()),
        // Alone in a bucket between two others.
        (&alone, start + 5, 5.0),
        (&alone, start + MINUTE_MS, stale()),
        (&alone, start + 2 * MINUTE_MS, 1.0),
        // Exactly on the hour, before the values of the next one; and a value in its place later.
        (&first, start + 7, stale()),
        (&first, start + 8, 3.0),
        (&first, hour(-1).start().0, stale()),
        (&first, hour(-1).start().0 + 1, 4.0),
        // Nothing but a marker.
        (&only, start + 9, stale()),
    ]);
    let whole = range(hour(-2).start().0, hour(0).start().0);
    world.ask_all(&everything(), whole).await;
    world.seal().await;
    // A marker at the time of a value that is sealed, and a value at the time of a marker that is.
    world.append(&[(&last, start, stale()), (&first, start + 7, 9.0)]);
    world.ask_all(&everything(), whole).await;
    world.flush().await;
    check_in_every_tier(&mut world).await;
    world.append(&[(&last, start + 30_000, stale()), (&only, start + 9, -1.0)]);
    world.ask_all(&everything(), whole).await;
    world.settle().await;
    world.ask_all(&everything(), whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_of_many_values_for_one_moment_wins_wherever_the_others_are() {
    let mut world = World::at(hour(-2), brief_retention()).await;
    world.move_to(hour(0));
    let labels = series("corrected", &[("job", "a")]);
    let at = hour(-2).start().0 + 90_000;
    world.append(&[(&labels, at, 8.0), (&labels, at - 1, 1.0), (&labels, at, 7.0)]);
    world.flush().await;
    world.append(&[(&labels, at, 6.0)]);
    world.flush().await;
    world.append(&[(&labels, at, 5.0)]);
    let whole = range(hour(-2).start().0, hour(0).start().0);
    world.ask_all(&everything(), whole).await;
    world.seal().await;
    world.append(&[(&labels, at, 4.0)]);
    world.flush().await;
    world.append(&[(&labels, at, 3.0)]);
    world.kill().await;
    world.append(&[(&labels, at, 2.0)]);
    check_in_every_tier(&mut world).await;
    world.append(&[(&labels, at, 1.0)]);
    world.flush().await;
    world.append(&[(&labels, at, 0.0), (&labels, at, -0.0)]);
    check_in_every_tier(&mut world).await;
}
