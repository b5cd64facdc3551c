//! What functions over windows cost on top of reading points: gauges and counters in memory, a point every 10 s for a
//! day, summed by region at every minute, by one thread. `rate` costs up to 1.5 ns a point, and 20 ns a window with
//! what is done at its ends.
//!
//! Throughput is in points; a window of the range functions has six points that the one before had not.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promql::eval::{Grid, NeverStop, Options, evaluate};
use promql::memory::MemoryStorage;
use promql::{ParseOptions, parse_expr};
use rand::{Rng, SeedableRng, rngs::StdRng};
use schemas::{Labels, Points};

const SERIES: usize = 100;
const REGIONS: usize = 10;
const INTERVAL_MS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;
const STEP_MS: i64 = 60_000;

/// A gauge that rises as often as it falls, a counter, and one that starts anew about once in an hour.
fn storage() -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    let mut random = StdRng::seed_from_u64(1);
    for series in 0..SERIES {
        for name in ["gauge", "counter", "restarted"] {
            let (host, region) = (format!("host_{series}"), format!("region_{}", series % REGIONS));
            let labels = Labels::new([("__name__", name), ("host", &host), ("region", &region)]).expect("valid labels");
            *storage.points_mut(&labels) = points(name, &mut random);
        }
    }
    storage
}

fn points(name: &str, random: &mut StdRng) -> Points {
    let mut value = 1000.0;
    let mut next = || {
        value = match name {
            "gauge" => value + random.random_range(-1.0..1.0),
            "restarted" if random.random_ratio(1, 360) => 0.0,
            _ => value + random.random_range(0.0..5.0),
        };
        value
    };
    let timestamps: Vec<i64> = (1..=DAY_MS / INTERVAL_MS).map(|at| at * INTERVAL_MS).collect();
    let values = timestamps.iter().map(|_| next()).collect();
    Points::new(timestamps, values)
}

fn functions(c: &mut Criterion) {
    let storage = storage();
    let points: usize = storage.iter().map(|(_, points)| points.len()).sum::<usize>() / 3;
    let grid = Grid::Range { start: STEP_MS, end: DAY_MS, step: STEP_MS };
    let options = Options { threads: 1, ..Options::default() };
    let mut group = c.benchmark_group("promql");
    group.throughput(Throughput::Elements(points as u64));
    for (what, of) in [
        ("rate/gauge", "rate(gauge[5m])"),
        ("rate/counter", "rate(counter[5m])"),
        ("rate/restarted_counter", "rate(restarted[5m])"),
        ("rate/no_overlap", "rate(gauge[1m])"),
        ("rate/much_overlap", "rate(gauge[1h])"),
        ("avg_over_time/gauge", "avg_over_time(gauge[5m])"),
        ("max_over_time/gauge", "max_over_time(gauge[5m])"),
        ("resets/gauge", "resets(gauge[5m])"),
        ("last/gauge", "gauge"),
    ] {
        let text = format!("sum by (region) ({of})");
        let expr = parse_expr(&text, ParseOptions::ALL).expect("parses");
        let evaluate = || evaluate(&storage, &expr, &text, grid, &options, &NeverStop).expect("an answer");
        assert!(evaluate().samples > 0, "{what} has no values");
        group.bench_function(what, |b| b.iter(|| black_box(evaluate())));
    }
    group.finish();
}

criterion_group!(benches, functions);
criterion_main!(benches);
