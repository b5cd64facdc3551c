//! Native histograms among floats, through all tiers: what arrived is what is read, one sample a time, the later arrival
//! winning; and functions of floats do not see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::histogram::{Buckets, Histogram, ResetHint, Span};
use schemas::points::{STALE_BITS, is_histogram};
use schemas::tier_map::{Form, Owner};
use schemas::time::HOUR_MS;
use schemas::{Hour, Labels, PointBatch, Points, Resolution};

use super::asked::{metric, range};
use super::given::{World, brief_retention, hour, series};

const METRIC: &str = "request_duration_seconds";
const STEPS: usize = 150;

/// What was said of one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sample {
    Float(u64),
    /// By number.
    Histogram(u32),
}

/// The histogram of a number: integers, fractions and gauges, with layouts that change now and then.
fn histogram(number: u32) -> Histogram {
    let length = 1 + number / 16 % 4;
    let unit = if number.is_multiple_of(5) { 0.25 } else { 1.0 };
    let counts: Vec<f64> = (0..length).map(|bucket| f64::from(number + bucket) * unit).collect();
    let negative = Buckets { spans: vec![Span { offset: 3, length: 1 }], counts: vec![unit] };
    Histogram {
        schema: 3,
        zero_threshold: 1e-6,
        count: counts.iter().sum::<f64>() + unit,
        sum: f64::from(number),
        positive: Buckets { spans: vec![Span { offset: -4, length }], counts },
        negative,
        reset_hint: if number.is_multiple_of(7) { ResetHint::Gauge } else { ResetHint::Unknown },
        is_integer: !number.is_multiple_of(5),
        ..Histogram::default()
    }
}

struct Story {
    world: World,
    rng: StdRng,
    series: Vec<Labels>,
    model: BTreeMap<(Labels, i64), Sample>,
    /// From which tiers answers came.
    owners: BTreeMap<&'static str, u64>,
}

impl Story {
    async fn begin(seed: u64) -> Self {
        let series = ["a", "b", "c"].map(|job| series(METRIC, &[("job", job)])).to_vec();
        Self {
            world: World::at(hour(-3), brief_retention()).await,
            rng: StdRng::seed_from_u64(seed),
            series,
            model: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    fn sample(&mut self) -> Sample {
        match self.rng.random_range(0..10) {
            0 => Sample::Float(STALE_BITS),
            1 | 2 => Sample::Float(f64::from(self.rng.random_range(-9..9)).to_bits()),
            _ => Sample::Histogram(self.rng.random_range(0..200)),
        }
    }

    fn append(&mut self, told: &[(usize, i64, Sample)]) {
        let mut batch = PointBatch::new();
        for &(of, at, sample) in told {
            let entry = batch.add_canonical(self.series[of].as_bytes());
            match sample {
                Sample::Float(bits) => batch.push(entry, at, f64::from_bits(bits)),
                Sample::Histogram(number) => batch.push_histogram(entry, at, Arc::new(histogram(number))),
            }
            let key = (self.series[of].clone(), at);
            let stale = sample == Sample::Float(STALE_BITS);
            if !stale || !self.model.contains_key(&key) {
                self.model.insert(key, sample);
            }
        }
        let appended = self.world.life().store.append(&batch).expect("there is room");
        assert_eq!(appended.accepted, told.len() as u64, "{appended:?}");
    }

    /// Ten minutes of scrapes.
    fn advance(&mut self) {
        let now = self.world.now_ms();
        let mut told = Vec::new();
        for of in 0..self.series.len() {
            for at in (now..now + 600_000).step_by(20_000) {
                let sample = self.sample();
                told.push((of, at, sample));
            }
        }
        self.world.clock.set(now + 600_000);
        self.append(&told);
    }

    /// Points of any time before, some of which there are already.
    fn late(&mut self) {
        let first = hour(-3).start().0;
        let slots = (self.world.now_ms() - first) / 10_000;
        let told: Vec<(usize, i64, Sample)> = (0..self.rng.random_range(1..20))
            .filter(|_| slots > 0)
            .map(|_| {
                let at = first + self.rng.random_range(0..slots) * 10_000;
                (self.rng.random_range(0..self.series.len()), at, self.sample())
            })
            .collect();
        self.append(&told);
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..35 => self.advance(),
            35..55 => self.late(),
            55..65 => self.world.flush().await,
            65..77 => drop(self.world.seal().await),
            77..85 => drop(self.world.archive().await),
            85..92 => drop(self.world.retain().await),
            92..97 => self.world.kill().await,
            _ => self.world.restart().await,
        }
    }

    /// Reads a range of all series, and holds it against the model.
    async fn check(&mut self, start: i64, end: i64, seed: u64) {
        let answer = self.world.life().engine.raw(metric(METRIC), range(start, end)).await.expect("answers");
        let mut found: BTreeMap<(Labels, i64), Sample> = BTreeMap::new();
        for of in &answer.series {
            let stand_ins = of.points.values.iter().filter(|value| is_histogram(**value)).count();
            assert_eq!(of.points.histograms.len(), stand_ins, "seed {seed}");
            for (at, value) in of.points.iter() {
                let before = found.insert((of.labels.clone(), at), sample_of(&of.points, at, value));
                assert_eq!(before, None, "seed {seed}: {at} comes twice");
            }
        }
        let inside = self.model.iter().filter(|((_, at), _)| (start..end).contains(at));
        let expected: BTreeMap<(Labels, i64), Sample> = inside.map(|(key, sample)| (key.clone(), *sample)).collect();
        let differs = |key: &&(Labels, i64)| found.get(*key) != expected.get(*key);
        let first = found.keys().chain(expected.keys()).filter(differs).min();
        assert_eq!(first.map(|key| (key, found.get(key), expected.get(key))), None, "seed {seed}");
        for at in (start..end).step_by(usize::try_from(HOUR_MS).expect("small")) {
            let owner = self.world.owner(Form::Raw1m, Resolution::Raw, Hour::containing(schemas::TimestampMs(at)));
            let name = match owner {
                Owner::Local => "local",
                Owner::Cold => "cold",
                Owner::Expired => "expired",
            };
            *self.owners.entry(name).or_default() += 1;
        }
    }
}

fn sample_of(points: &Points, at: i64, value: f64) -> Sample {
    if !is_histogram(value) {
        return Sample::Float(value.to_bits());
    }
    let found = points.histograms.get(at).expect("each value that stands for a histogram has one");
    let number = (0..200).find(|number| f64::from(*number).to_bits() == found.sum.to_bits()).expect("was told");
    assert_eq!(**found, histogram(number));
    Sample::Histogram(number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_and_floats_are_read_as_they_arrived_whatever_happens_to_them() {
    let seeds = match std::env::var_os("TEST_SEED") {
        Some(_) => vec![kit::seed()],
        None => vec![11, 12],
    };
    for seed in seeds {
        let mut story = Story::begin(seed).await;
        let first = hour(-3).start().0;
        for step in 0..STEPS {
            story.step().await;
            let end = story.world.now_ms() + 1;
            if step % 10 == 9 {
                story.check(first, end, seed).await;
            } else {
                let from = story.rng.random_range(first..end);
                let to = story.rng.random_range(from..=end);
                story.check(from, to, seed).await;
            }
        }
        // Whatever was still on its way, once through everything.
        story.world.move_to(hour(12));
        story.world.settle().await;
        story.check(first, hour(12).start().0, seed).await;
        assert!(story.owners.contains_key("local") && story.owners.contains_key("cold"), "{:?}", story.owners);
    }
}
