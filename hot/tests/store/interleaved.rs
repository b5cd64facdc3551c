//! Appends, flushes, seals, archives, drops, merges and starts in random order: after every step each answer equals the
//! model. A failing run prints its seed; `TEST_SEED=<seed>` repeats it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::points::stale;
use schemas::time::HOUR_MS;
use schemas::Hour;

use crate::given::{World, hour};

const HOURS: u32 = 4;
const SERIES: usize = 4;
const STEPS: usize = 60;

/// What a run of the story remembers beside the world.
struct Story {
    world: World,
    rng: StdRng,
    hot_lo: u32,
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
            55..70 => format!("seal {n}: {}", self.world.seal(hour(n))),
            70..80 => format!("archive {n}: {}", self.world.archive(hour(n))),
            80..86 => self.raise(),
            86..91 => format!("drop: {:?}", self.world.store().drop_unowned().expect("drops")),
            91..95 => format!("merge: {:?}", self.world.store().merge_runs().expect("merges")),
            _ => {
                self.world.reopen();
                "start again".to_owned()
            }
        }
    }

    fn append(&mut self) -> String {
        let mut told = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            let at = i64::from(self.rng.random_range(0..HOURS)) * HOUR_MS;
            // Few distinct times, some on edges, so that arrivals meet.
            let within = [0, 1, 59_999, 60_000, 300_000, HOUR_MS - 1][self.rng.random_range(0..6)];
            let value = match self.rng.random_range(0..8) {
                0 => stale(),
                1 => f64::NAN,
                2 => -0.0,
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
        if lo > self.hot_lo {
            self.world.raise(hour(lo), Hour(0));
            self.hot_lo = lo;
        }
        format!("raise to {lo}")
    }
}

fn run(seed: u64) {
    let mut story = Story { world: World::new(), rng: StdRng::seed_from_u64(seed), hot_lo: 0 };
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
    for seed in 0..12 {
        run(seed);
    }
}
