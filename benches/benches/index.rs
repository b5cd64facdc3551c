//! What the series index costs, within a store of a million series of ten labels: look-up (≤ 40 ns where the table is
//! in cache), creation (≤ 3 µs; here with its log record and its head), selection, and the start (≤ 3 s, log replay
//! excluded).
//!
//! Throughput is in series. `INDEX_SERIES` sets another size.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hot::{SeriesLimits, Store, StoreConfig};
use runtime::ManualClock;
use schemas::{Day, LabelMatcher, MatchOp, PointBatch, SeriesHash, TimestampMs};

/// Midday of a day.
const NOW_MS: i64 = 20_778 * 86_400_000 + 43_200_000;
/// Series of one batch, and metrics of one host.
const BATCH: usize = 10_000;
const METRICS: usize = 100;

fn series() -> usize {
    std::env::var("INDEX_SERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// One point of each of a hundred metrics of a hundred hosts.
fn batch(number: usize) -> PointBatch {
    let mut batch = PointBatch::new();
    for i in number * BATCH..(number + 1) * BATCH {
        let (host, metric) = (i / METRICS, format!("metric_{}", i % METRICS));
        let instance = format!("10.{}.{}.{}:9100", host >> 16, (host >> 8) & 255, host & 255);
        let name = format!("host_{host}");
        let tag = |n: usize| format!("value_{}", host % (n * n * n + 2));
        let tags = [tag(0), tag(1), tag(2), tag(3), tag(4), tag(5), tag(6)];
        let mut pairs = vec![("__name__", metric.as_str()), ("host", &name), ("instance", &instance)];
        let names = ["arch", "datacenter", "environment", "os", "rack", "region", "service"];
        pairs.extend(names.into_iter().zip(tags.iter().map(String::as_str)));
        let series = batch.add_series(&mut pairs).expect("valid labels");
        batch.push(series, NOW_MS, 1.0);
    }
    batch
}

fn open(dir: &Path) -> Arc<Store> {
    let limits = SeriesLimits { new_per_second: u32::MAX, new_per_day: u64::MAX, series_per_metric: u64::MAX };
    let config = StoreConfig { limits, background_flush: false, ..StoreConfig::new(dir) };
    Store::open(config, Arc::new(ManualClock::at(NOW_MS))).expect("the store opens")
}

fn index(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let batches = series().div_ceil(BATCH);
    for number in 0..batches {
        store.append(&batch(number)).expect("the store takes it");
    }
    store.flush().expect("flushes");
    look_up(c, &store, batches);
    select(c, &store);
    create(c, &store, batches);
    store.close().expect("closes");
    drop(store);
    start(c, dir.path());
}

fn look_up(c: &mut Criterion, store: &Store, batches: usize) {
    let mut group = c.benchmark_group("index/look_up");
    for (what, batches) in [("in_cache", 1), ("all", batches)] {
        let hashes: Vec<SeriesHash> = (0..batches)
            .flat_map(|number| {
                let batch = batch(number);
                (0..u32::try_from(BATCH).expect("small")).map(move |i| batch.series(i).0).collect::<Vec<_>>()
            })
            .collect();
        group.throughput(Throughput::Elements(hashes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(what), &hashes, |b, hashes| {
            b.iter(|| hashes.iter().filter_map(|hash| store.index().find(black_box(*hash))).count());
        });
    }
    group.finish();
}

fn select(c: &mut Criterion, store: &Store) {
    let metric = || LabelMatcher::equal("__name__", "metric_7");
    let pattern = |name, pattern| LabelMatcher::new(name, MatchOp::Regex, pattern).expect("compiles");
    let questions = [
        ("one_series", vec![metric(), LabelMatcher::equal("host", "host_77")]),
        ("one_metric", vec![metric()]),
        ("prefix", vec![metric(), pattern("host", "host_1.*")]),
        ("pattern", vec![metric(), pattern("instance", ".*[.]7:9100")]),
        ("alternatives", vec![metric(), pattern("host", "host_1|host_2|host_3")]),
        ("all_but", vec![metric(), LabelMatcher::new("rack", MatchOp::NotEqual, "value_1").expect("compiles")]),
    ];
    let today = Day::containing(TimestampMs(NOW_MS)).hours().time();
    let mut group = c.benchmark_group("index/select");
    for (what, matchers) in questions {
        let found = store.index().select(&matchers, Some(today), usize::MAX).expect("selects").len();
        assert!(found > 0, "{what} finds nothing");
        group.throughput(Throughput::Elements(found as u64));
        group.bench_function(what, |b| {
            b.iter(|| store.index().select(black_box(&matchers), Some(today), usize::MAX).expect("selects").len());
        });
    }
    group.finish();
}

/// Every pass appends series that were never there.
fn create(c: &mut Criterion, store: &Store, first: usize) {
    let mut next = first;
    let mut group = c.benchmark_group("index/create");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10).measurement_time(Duration::from_secs(2));
    group.bench_function("append_of_new_series", |b| {
        b.iter_custom(|passes| {
            let mut spent = Duration::ZERO;
            for _ in 0..passes {
                let batch = batch(next);
                next += 1;
                let begun = Instant::now();
                store.append(&batch).expect("the store takes it");
                spent += begun.elapsed();
            }
            spent
        });
    });
    group.finish();
}

fn start(c: &mut Criterion, dir: &Path) {
    let series = open(dir).index().series_count();
    let mut group = c.benchmark_group("index/start");
    group.throughput(Throughput::Elements(series)).sample_size(10);
    group.bench_function("open", |b| b.iter(|| open(dir).index().series_count()));
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
