//! What a point costs in the codec and in rollups: ns and bytes, for the shapes of series that metrics are made of.
//!
//! `cargo bench -p thermocline-benches --bench codec`; throughput is in points.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use schemas::chunk::{ChunkDecoder, ChunkEncoder, read_header};
use schemas::rollup::{Bucket, Moments, aggregate_by_bucket, bucketize, fold_buckets};
use schemas::rollup_row::{RowDecoder, encode_buckets};
use schemas::time::{BucketStart, DurationMs, HOUR_MS, TimestampMs};
use schemas::{Points, sketch::Sketch};

/// 2023-11-14T22:00:00Z.
const HOUR_START: i64 = 472_222 * HOUR_MS;
const SERIES: usize = 64;

/// A small deterministic generator (xorshift64*): benches need no other randomness.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `[0, 1)`.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Roughly standard normal: a sum of twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

/// How the values of a series behave.
#[derive(Clone, Copy)]
enum Shape {
    /// TSBS cpu-only: a random walk of unit steps within 0 to 100, cut to whole numbers.
    IntegerWalk,
    /// A gauge with two decimals that wanders.
    TwoDecimals,
    /// A counter that grows by about 1,000 an interval.
    Counter,
    /// Doubles with all their bits in use.
    Incompressible,
}

impl Shape {
    const ALL: [(Self, &'static str); 4] = [
        (Self::IntegerWalk, "integer_walk"),
        (Self::TwoDecimals, "two_decimals"),
        (Self::Counter, "counter"),
        (Self::Incompressible, "incompressible"),
    ];

    fn series(self, seed: u64, interval_ms: i64) -> Points {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut state = match self {
            Self::Counter => (random.share() * 1e9).floor(),
            Self::IntegerWalk | Self::TwoDecimals | Self::Incompressible => random.share() * 100.0,
        };
        let mut points = Points::default();
        for ts in (HOUR_START..HOUR_START + HOUR_MS).step_by(usize::try_from(interval_ms).expect("positive")) {
            let value = match self {
                Self::IntegerWalk => {
                    state = (state + random.normal()).clamp(0.0, 100.0);
                    state.floor()
                }
                Self::TwoDecimals => {
                    state = (state + random.normal()).clamp(0.0, 100.0);
                    (state * 100.0).round() / 100.0
                }
                Self::Counter => {
                    state += (1_000.0 + 30.0 * random.normal()).max(0.0).floor();
                    state
                }
                Self::Incompressible => random.share() * 100.0,
            };
            points.push(ts, value);
        }
        points
    }

    fn many(self, interval_ms: i64) -> Vec<Points> {
        (0..SERIES as u64).map(|seed| self.series(seed + 1, interval_ms)).collect()
    }
}

fn encoded(series: &[Points]) -> Vec<Vec<u8>> {
    let mut encoder = ChunkEncoder::default();
    let chunk = |points: &Points| {
        let mut bytes = Vec::new();
        encoder.encode(&points.timestamps, &points.values, &mut bytes);
        bytes
    };
    series.iter().map(chunk).collect()
}

fn points_in(series: &[Points]) -> u64 {
    series.iter().map(|points| points.len() as u64).sum()
}

#[expect(clippy::print_stderr, reason = "sizes belong beside the times that criterion prints")]
fn report_size(what: &str, bytes: usize, points: u64) {
    eprintln!("{what}: {:.3} bytes a point", bytes as f64 / points as f64);
}

fn group<'a>(criterion: &'a mut Criterion, name: &str, series: &[Points]) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(points_in(series)));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    group
}

fn chunks(criterion: &mut Criterion) {
    for (shape, name) in Shape::ALL {
        let series = shape.many(10_000);
        let chunks = encoded(&series);
        report_size(name, chunks.iter().map(Vec::len).sum(), points_in(&series));
        let mut group = group(criterion, &format!("chunk/{name}"), &series);

        let mut encoder = ChunkEncoder::default();
        let mut bytes = Vec::new();
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                for points in &series {
                    bytes.clear();
                    encoder.encode(&points.timestamps, &points.values, &mut bytes);
                    black_box(&bytes);
                }
            });
        });
        let mut decoder = ChunkDecoder::default();
        let mut points = Points::default();
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                for chunk in &chunks {
                    points.clear();
                    decoder.decode(chunk, &mut points).expect("valid");
                    black_box(&points);
                }
            });
        });
        group.bench_function("decode_and_aggregate_minutes", |bencher| {
            bencher.iter(|| {
                let mut total = 0.0;
                for chunk in &chunks {
                    points.clear();
                    decoder.decode(chunk, &mut points).expect("valid");
                    aggregate_by_bucket(
                        &points.timestamps,
                        &points.values,
                        DurationMs::MINUTE,
                        |_, moments: Moments| {
                            total += moments.sum + moments.max;
                        },
                    );
                }
                total
            });
        });
        group.bench_function("decode_and_keep_minutes", |bencher| {
            let mut minutes: Vec<(i64, Moments)> = Vec::new();
            bencher.iter(|| {
                for chunk in &chunks {
                    points.clear();
                    minutes.clear();
                    decoder.decode(chunk, &mut points).expect("valid");
                    aggregate_by_bucket(
                        &points.timestamps,
                        &points.values,
                        DurationMs::MINUTE,
                        |start, moments: Moments| {
                            minutes.push((start, moments));
                        },
                    );
                    black_box(&minutes);
                }
            });
        });
        group.bench_function("read_header", |bencher| {
            bencher.iter(|| {
                for chunk in &chunks {
                    black_box(read_header(chunk).expect("valid"));
                }
            });
        });
        group.finish();
    }
}

fn minutes_of(points: &Points) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    bucketize(&points.timestamps, &points.values, DurationMs::MINUTE, |bucket| buckets.push(bucket));
    buckets
}

fn rollups(criterion: &mut Criterion) {
    let hour = TimestampMs(HOUR_START);
    let start = BucketStart::containing(hour, DurationMs::HOUR);
    for (shape, name) in [(Shape::IntegerWalk, "integer_walk"), (Shape::TwoDecimals, "two_decimals")] {
        for (interval_ms, interval) in [(10_000, "10s"), (1_000, "1s")] {
            let series = shape.many(interval_ms);
            let minutes: Vec<Vec<Bucket>> = series.iter().map(minutes_of).collect();
            let mut rows = Vec::new();
            for (with_sketch, what) in [(false, "lean minutes"), (true, "minutes with sketches")] {
                let row = |buckets: &Vec<Bucket>| {
                    let mut row = Vec::new();
                    encode_buckets(DurationMs::MINUTE, hour, buckets, with_sketch, &mut row);
                    row
                };
                rows = minutes.iter().map(row).collect();
                let bytes = rows.iter().map(Vec::len).sum();
                report_size(&format!("{name} at {interval}, {what}"), bytes, points_in(&series));
            }
            let hour_bytes: usize = minutes.iter().map(|buckets| hour_row(start, buckets).len()).sum();
            report_size(&format!("{name} at {interval}, hour with sketch"), hour_bytes, points_in(&series));

            let mut group = group(criterion, &format!("rollup/{name}_{interval}"), &series);
            group.bench_function("bucketize_minutes", |bencher| {
                bencher.iter(|| series.iter().for_each(|points| drop(black_box(minutes_of(points)))));
            });
            group.bench_function("fold_hour", |bencher| {
                bencher.iter(|| minutes.iter().for_each(|buckets| drop(black_box(fold_buckets(start, buckets)))));
            });
            group.bench_function("sketch_of_hour", |bencher| {
                bencher.iter(|| series.iter().for_each(|points| drop(black_box(Sketch::from_values(&points.values)))));
            });
            let mut bytes = Vec::new();
            group.bench_function("encode_minutes", |bencher| {
                bencher.iter(|| {
                    for buckets in &minutes {
                        bytes.clear();
                        encode_buckets(DurationMs::MINUTE, hour, buckets, true, &mut bytes);
                        black_box(&bytes);
                    }
                });
            });
            let (mut decoder, mut moments) = (RowDecoder::default(), Vec::new());
            group.bench_function("decode_minutes_moments", |bencher| {
                bencher.iter(|| {
                    for row in &rows {
                        moments.clear();
                        decoder.moments(row, hour, DurationMs::MINUTE, &mut moments).expect("valid");
                        black_box(&moments);
                    }
                });
            });
            let mut buckets = Vec::new();
            group.bench_function("decode_minutes_with_sketches", |bencher| {
                bencher.iter(|| {
                    for row in &rows {
                        buckets.clear();
                        decoder.buckets(row, hour, DurationMs::MINUTE, true, &mut buckets).expect("valid");
                        black_box(&buckets);
                    }
                });
            });
            group.finish();
        }
    }
}

fn hour_row(start: BucketStart, minutes: &[Bucket]) -> Vec<u8> {
    let mut row = Vec::new();
    encode_buckets(DurationMs::HOUR, start.timestamp(), &[fold_buckets(start, minutes)], true, &mut row);
    row
}

criterion_group!(benches, chunks, rollups);
criterion_main!(benches);
