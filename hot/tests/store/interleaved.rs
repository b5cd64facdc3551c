//! Appends, flushes, seals, archives, drops, merges and starts in random order: after every step each answer equals the
//! model. A failing run prints its seed; `TEST_SEED=<seed>` repeats it, `TEST_SEEDS=<n>` plays more of them.

use hot::HourSeal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::Hour;
use schemas::points::stale;
use schemas::time::HOUR_MS;

use crate::given::{World, hour, native};

const HOURS: u32 = 4;
const SERIES: usize = 4;
const STEPS: usize = 60;

/// What a run of the story remembers beside the world.
struct Story {
    world: World,
    rng: StdRng,
    hot_lo: u32,
    /// A seal that is written and not yet finished, while everything else goes on.
    unfinished: Option<HourSeal>,
}

impl Story {
    fn step(&mut self) -> String {
        let n = self.rng.random_range(0..HOURS);
        match self.rng.random_range(0..100) {
            0..40 => self.append(),
            40..55 => {
                self.world.flush();
                "flush".to_owned()
            }
            55..65 => format!("seal {n}: {}", self.world.seal(hour(n))),
            65..70 => self.half_a_seal(n),
            70..80 => format!("archive {n}: {}", self.world.archive(hour(n))),
            80..86 => self.raise(),
            86..91 => format!("drop: {:?}", self.world.store().drop_unowned().expect("drops")),
            91..95 => format!("merge: {:?}", self.world.store().merge_runs().expect("merges")),
            _ => {
                // Dies with the process: its files go, and its hour is as it was.
                self.unfinished = None;
                let map = self.world.store().view().map().clone();
                self.world.reopen();
                assert_eq!(*self.world.store().view().map(), map, "what is on the disk is what was published");
                "start again".to_owned()
            }
        }
    }

    /// Finishes the seal that is under way, or begins one.
    fn half_a_seal(&mut self, n: u32) -> String {
        if let Some(seal) = self.unfinished.take() {
            let n = seal.hour().0 - hour(0).0;
            return format!("finish seal {n}: {:?}", seal.finish(None).expect("finishes"));
        }
        let store = std::sync::Arc::clone(self.world.store());
        let Some(mut seal) = store.begin_seal(hour(n)).expect("begins") else { return format!("no seal {n}") };
        if crate::given::is_delta_s(seal.view().map(), hour(n)) {
            return format!("seal {n} given up");
        }
        let stats = seal.write(None, &[], None).expect("writes");
        self.unfinished = Some(seal);
        format!("write seal {n}: {stats:?}")
    }

    fn append(&mut self) -> String {
        let mut told = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            let at = i64::from(self.rng.random_range(0..HOURS)) * HOUR_MS;
            // Few distinct times, some on edges, so that arrivals meet.
            let within = [0, 1, 59_999, 60_000, 300_000, HOUR_MS - 1][self.rng.random_range(0..6)];
            let value = match self.rng.random_range(0..10) {
                0 => stale(),
                1 => f64::NAN,
                2 => -0.0,
                3 | 4 => native(self.rng.random_range(0..100)),
                _ => f64::from(self.rng.random_range(-50..50)) / 4.0,
            };
            told.push((self.rng.random_range(0..SERIES), at + within, value));
        }
        self.world.append(&told);
        format!("append {told:?}")
    }

    /// Gives archived hours to the archive; the last hour stays.
    fn raise(&mut self) -> String {
        let may_go = |world: &World, n: u32| {
            let view = world.store().view();
            view.map().is_archived(crate::given::CLASS, hour(n))
        };
        let mut lo = self.hot_lo;
        while lo < HOURS - 1 && may_go(&self.world, lo) && self.rng.random_bool(0.7) {
            lo += 1;
        }
        let locked = self.unfinished.as_ref().is_some_and(|seal| seal.hour() < hour(lo));
        if lo > self.hot_lo && !locked {
            self.world.raise(hour(lo), Hour(0));
            self.hot_lo = lo;
        }
        format!("raise to {lo}")
    }
}

fn run(seed: u64) {
    let mut story = Story { world: World::new(), rng: StdRng::seed_from_u64(seed), hot_lo: 0, unfinished: None };
    let mut told = Vec::new();
    for step in 0..STEPS {
        told.push(story.step());
        for n in 0..HOURS {
            if let Err(difference) = story.world.agrees(hour(n)) {
                panic!("TEST_SEED={seed} step {step}: {difference}\n{}", told.join("\n"));
            }
        }
    }
}

#[test]
fn every_answer_equals_the_model_after_every_step() {
    if let Some(seed) = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        run(seed);
        return;
    }
    let seeds = std::env::var("TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        run(seed);
    }
}
