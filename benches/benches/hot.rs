//! The hot store: what a point costs on its way in, and what a panel costs on its way out.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hot::{Store, StoreConfig};
use runtime::SystemClock;
use schemas::time::HOUR_MS;
use schemas::{DurationMs, Epoch, Hour, Labels, PointBatch, SeriesAddress};
use tempfile::TempDir;

const SERIES: usize = 1_000;
const HOURS: u32 = 24;
const EVERY_MS: i64 = 10_000;
const FIRST: Hour = Hour(2_940 * 7 * 24);

fn open(dir: &TempDir) -> Arc<Store> {
    let config = StoreConfig { background_flush: false, ..StoreConfig::new(dir.path().join("hot")) };
    Store::open(config, Arc::new(SystemClock)).expect("opens")
}

fn labels(series: usize) -> Labels {
    let pairs =
        [("__name__", "cpu_usage".to_owned()), ("host", format!("host-{series}")), ("env", "production".to_owned())];
    Labels::new(pairs).expect("valid")
}

/// Some scrapes of all series.
fn scrapes(from_ms: i64, scrapes: i64) -> PointBatch {
    let mut batch = PointBatch::new();
    let entries: Vec<u32> = (0..SERIES).map(|series| batch.add_canonical(labels(series).as_bytes())).collect();
    for scrape in 0..scrapes {
        for &entry in &entries {
            let walk = (i64::from(entry) * 7 + scrape * 13) % 997;
            batch.push(entry, from_ms + scrape * EVERY_MS, f64::from(i32::try_from(walk).expect("small")) / 10.0);
        }
    }
    batch
}

fn fill(store: &Arc<Store>, hours: u32) {
    for hour in 0..hours {
        for minute in 0..60 {
            let from = FIRST.start().0 + i64::from(hour) * HOUR_MS + minute * 60_000;
            store.append(&scrapes(from, 6)).expect("there is room");
        }
    }
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("hot_write");
    group.sample_size(10);
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    let mut at = FIRST.start().0;
    group.throughput(Throughput::Elements(10 * SERIES as u64));
    group.bench_function("append_10_000_points", |b| {
        b.iter_batched(
            || {
                at += 10 * EVERY_MS;
                scrapes(at, 10)
            },
            |batch| store.append(&batch).expect("there is room"),
            BatchSize::PerIteration,
        );
    });
    store.flush().expect("flushes");
    group.throughput(Throughput::Elements(360 * SERIES as u64));
    group.bench_function("flush_an_hour", |b| {
        b.iter_batched(
            || {
                let dir = tempfile::tempdir().expect("a directory");
                let store = open(&dir);
                fill(&store, 1);
                (dir, store)
            },
            |(dir, store)| {
                store.flush().expect("flushes");
                (dir, store)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("seal_an_hour", |b| {
        b.iter_batched(
            || {
                let dir = tempfile::tempdir().expect("a directory");
                let store = open(&dir);
                fill(&store, 1);
                store.flush().expect("flushes");
                (dir, store)
            },
            |(dir, store)| {
                let mut seal = store.begin_seal(FIRST).expect("begins").expect("due");
                seal.write(None, &[], None).expect("writes");
                seal.finish(None).expect("finishes");
                (dir, store)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A panel of 1,000 series over a day, one thread.
fn read(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir);
    fill(&store, HOURS);
    let mut addresses: Vec<SeriesAddress> = Vec::new();
    for series in 0..SERIES {
        let info = store.index().by_series_id(labels(series).hash().series_id()).expect("known");
        addresses.push(info.address);
    }
    addresses.sort();
    let mut group = c.benchmark_group("hot_read");
    group.sample_size(10);
    group.throughput(Throughput::Elements(360 * u64::from(HOURS) * SERIES as u64));
    group.bench_function("overlay_of_the_head", |b| {
        b.iter(|| {
            let view = store.view();
            for hour in (0..HOURS).map(|n| Hour(FIRST.0 + n)) {
                let overlay = view.overlay(hour, Epoch::ZERO).expect("readable").expect("in the head");
                overlay
                    .read(&addresses, &mut |_, points| {
                        black_box(points.len());
                    })
                    .expect("readable");
            }
        });
    });
    for hour in (0..HOURS).map(|n| Hour(FIRST.0 + n)) {
        let mut seal = store.begin_seal(hour).expect("begins").expect("due");
        seal.write(None, &[], None).expect("writes");
        seal.finish(None).expect("finishes");
    }
    for (name, width) in [("minutes", DurationMs::MINUTE), ("hours", DurationMs::HOUR)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let view = store.view();
                for hour in (0..HOURS).map(|n| Hour(FIRST.0 + n)) {
                    let mut each = |_: usize, moments: &[(i64, schemas::rollup::Moments)]| {
                        black_box(moments.len());
                    };
                    view.scan_aggregates(hour, width, &addresses, &mut each).expect("scans");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, write, read);
criterion_main!(benches);
