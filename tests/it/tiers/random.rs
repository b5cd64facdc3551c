//! Everything that can happen, in random order, by seed: `TEST_SEED=n` replays one story, `TIERS_STORIES=n` adds n new ones.
//!
//! seed ─▶ steps (points arrive, late ones, corrections; flush, seal, archive, drop, merge, kill, restart) ─▶ after each:
//! random questions ─▶ at times: all questions
//!
//! A story lasts most of a day around a midnight at which a week ends; at first raw points stay three hours, minutes five,
//! hours eight, so that every tier owns a part of it, and whole families go. It counts by which tiers it was answered, and fails if
//! one of them was not.

use std::time::Instant;

use hot::MergeOutcome;
use kit::oracle::{Agg, GroupAgg};
use kit::strategies::{self, Shape};
use kit::{Question, Workload};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use schemas::points::stale;
use schemas::tier_map::Form;
use schemas::time::{HOUR_MS, MINUTE_MS};
use schemas::{DurationMs, Hour, LabelMatcher, Labels, MatchOp, Retention, TimestampMs};

use super::asked::{WIDTHS, everything, metric, range};
use super::given::{World, brief_retention, hour, series};
use super::owners::Named;

/// Seeds of the ordinary run.
const SEEDS: [u64; 2] = [2, 3];
/// Steps between two times at which everything is asked.
const STEPS: usize = 60;
/// Random questions after each step.
const QUESTIONS: usize = 4;
/// Metrics of the series that a story begins with, and of those that join it.
const METRICS: &[&str] = &["cpu_usage", "requests_total"];
/// A metric of a point a second, too dense for identity.
const DENSE: &str = "dense";

fn seeds() -> Vec<u64> {
    if std::env::var_os("TEST_SEED").is_some() {
        return vec![kit::seed()];
    }
    let more = std::env::var("TIERS_STORIES").map_or(0, |n| n.parse().expect("TIERS_STORIES is a number"));
    SEEDS.into_iter().chain((0..more).map(|_| kit::seed())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_equals_the_model_whatever_happens_and_whichever_tiers_it_spans() {
    for seed in seeds() {
        let mut story = Story::begin(seed).await;
        while story.world.now_ms() < hour(14).start().0 {
            story.step().await;
        }
        story.end().await;
    }
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Time goes on, and every series has new points.
    Advance,
    /// Points of the last minutes.
    Arrive,
    /// Points of any hour before.
    Late,
    /// Other values, or markers, for points that there are.
    Correct,
    /// Points on both sides of an hour and of a minute, and on them, with a counter that starts anew there.
    Boundary,
    Flush,
    Seal,
    Archive,
    Retain,
    /// Many small runs with the same hour.
    Trickle,
    Kill,
    Restart,
    /// A kill between what Delta has committed and the record of it.
    LoseRecord,
    /// Retention is changed.
    Policy,
}

impl Step {
    /// Each with its weight.
    const ALL: [(Self, u32); 14] = [
        (Self::Advance, 30),
        (Self::Arrive, 10),
        (Self::Late, 12),
        (Self::Correct, 12),
        (Self::Boundary, 6),
        (Self::Flush, 6),
        (Self::Seal, 14),
        (Self::Archive, 10),
        (Self::Retain, 10),
        (Self::Trickle, 2),
        (Self::Kill, 5),
        (Self::Restart, 3),
        (Self::LoseRecord, 4),
        (Self::Policy, 3),
    ];
}

/// A world and what happens in it.
struct Story {
    world: World,
    rng: StdRng,
    runner: TestRunner,
    series: Vec<Labels>,
    named: Named,
    steps: usize,
    /// How often each kind of thing really happened.
    sealed_again: u64,
    archived: u64,
    dropped_families: u64,
    merged: u64,
    lost_records: u64,
}

impl Story {
    async fn begin(seed: u64) -> Self {
        say(&format!("story of seed {seed} (repeat with TEST_SEED={seed})"));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut series_of = vec![series(DENSE, &[("job", "a"), ("host", "x")])];
        for name in METRICS {
            series_of.push(series(name, &[]));
            for (job, host) in [("a", "x"), ("a", "y"), ("b", "x")] {
                series_of.push(series(name, &[("job", job), ("host", host)]));
            }
        }
        Self {
            world: World::at(hour(-4), brief_retention()).await,
            rng: StdRng::seed_from_u64(seed),
            runner: TestRunner::new_with_rng(Config::default(), rng),
            series: series_of,
            named: Named::default(),
            steps: 0,
            sealed_again: 0,
            archived: 0,
            dropped_families: 0,
            merged: 0,
            lost_records: 0,
        }
    }

    fn born(&self) -> i64 {
        hour(-5).start().0
    }

    fn draw(&mut self) -> Step {
        // The first points come before anything can happen to them.
        if self.world.model.is_empty() {
            return Step::Advance;
        }
        Step::ALL.choose_weighted(&mut self.rng, |(_, weight)| *weight).expect("weights are positive").0
    }

    async fn step(&mut self) {
        let step = self.draw();
        self.steps += 1;
        let begun = Instant::now();
        self.happen(step).await;
        let done = begun.elapsed();
        for _ in 0..QUESTIONS {
            self.question().await;
        }
        if self.steps.is_multiple_of(STEPS) {
            self.ask_all().await;
        }
        say(&format!(
            "{:>4} {} {step:?} {done:?}, then asked in {:?}",
            self.steps,
            Hour::containing(TimestampMs(self.world.now_ms())),
            begun.elapsed() - done
        ));
    }

    async fn happen(&mut self, step: Step) {
        match step {
            Step::Advance => self.advance(),
            Step::Arrive => {
                let now = self.world.now_ms();
                self.arrive(now - 20 * MINUTE_MS, now);
            }
            Step::Late => {
                let (from, to) = self.some_hours();
                self.arrive(from, to);
            }
            Step::Correct => self.correct(),
            Step::Boundary => self.boundary(),
            Step::Flush => self.world.flush().await,
            Step::Seal => self.seal().await,
            Step::Archive => self.archived += self.world.archive().await.archived.len() as u64,
            Step::Retain => self.dropped_families += self.world.retain().await.families_dropped,
            Step::Trickle => self.trickle().await,
            Step::Kill => self.world.kill().await,
            Step::Restart => self.world.restart().await,
            Step::LoseRecord => self.lose_record().await,
            Step::Policy => self.change_policy(),
        }
    }

    /// Up to an hour and a bit later; a point a second of the dense metric in the first minutes of each hour.
    fn advance(&mut self) {
        let before = self.world.now_ms();
        let by = self.rng.random_range(10..70) * MINUTE_MS;
        self.world.clock.advance(by);
        let now = before + by;
        let dense = self.series[0].clone();
        let started = before - before.rem_euclid(HOUR_MS);
        let seconds =
            (started..now).step_by(1_000).filter(|at| *at >= before && at.rem_euclid(HOUR_MS) < 18 * MINUTE_MS);
        let told: Vec<_> =
            seconds.map(|at| (&dense, at, f64::from(self.rng.random_range(10_000..20_000)) / 100.0)).collect();
        self.world.append(&told);
        self.arrive(before, now);
    }

    /// Points within a range, in the order and with the mishaps that the strategies think of.
    fn arrive(&mut self, from: i64, to: i64) {
        let shape = Shape { series: 1..5, points: 1..60, span: range(from.max(self.born()), to) };
        let drawn = strategies::workload(METRICS, shape).new_tree(&mut self.runner).expect("draws");
        let Workload { series: drawn, arrivals } = drawn.current();
        let joins = self.rng.random_bool(0.1) && self.series.len() < 16;
        let first = self.rng.random_range(1..self.series.len());
        let known = self.series.len() - 1;
        let names: Vec<Labels> = if joins {
            self.series
                .extend(drawn.iter().filter(|labels| !self.series.contains(labels)).cloned().collect::<Vec<_>>());
            drawn
        } else {
            (0..drawn.len()).map(|at| self.series[1 + (first + at) % known].clone()).collect()
        };
        let told: Vec<_> = arrivals.iter().map(|at| (&names[at.series], at.timestamp_ms, at.value)).collect();
        self.world.append(&told);
    }

    /// One to three hours of the story so far.
    fn some_hours(&mut self) -> (i64, i64) {
        let now = self.world.now_ms();
        let from = self.rng.random_range(self.born()..now);
        (from, (from + self.rng.random_range(1..3 * HOUR_MS)).min(now))
    }

    fn correct(&mut self) {
        let (from, to) = self.some_hours();
        let known: Vec<(Labels, i64, f64)> = self
            .world
            .model
            .series()
            .flat_map(|(labels, points)| points.range(from..to).map(|(ts, value)| (labels.clone(), *ts, *value)))
            .collect();
        let amount = self.rng.random_range(1..8);
        let chosen: Vec<_> = known.choose_multiple(&mut self.rng, amount).cloned().collect();
        let mut told = Vec::new();
        for (labels, at, value) in &chosen {
            let other = match self.rng.random_range(0..5) {
                0 => stale(),
                1 => *value,
                2 => value + 1.0,
                3 => strategies::special_value().new_tree(&mut self.runner).expect("draws").current(),
                _ => value / 2.0 - 1.0,
            };
            told.push((labels, *at, other));
        }
        self.world.append(&told);
    }

    fn boundary(&mut self) {
        let (from, _) = self.some_hours();
        let width = if self.rng.random_bool(0.7) { HOUR_MS } else { MINUTE_MS };
        let at = from - from.rem_euclid(width);
        let labels = self.series[self.rng.random_range(1..self.series.len())].clone();
        let start = f64::from(self.rng.random_range(1..1_000));
        let reset = if self.rng.random_bool(0.5) { 0.0 } else { -0.0 };
        let last = if self.rng.random_bool(0.3) { stale() } else { start + 2.0 };
        self.world.append(&[
            (&labels, at - MINUTE_MS, start),
            (&labels, at - 1, last),
            (&labels, at, reset),
            (&labels, at + 1, 3.0),
            (&labels, at + MINUTE_MS - 1, 1.0),
        ]);
    }

    async fn seal(&mut self) {
        let sealed = |world: &World| world.life().store.view().map().sealed_through.clone();
        let before = sealed(&self.world);
        let report = self.world.seal().await;
        self.sealed_again += report.sealed.iter().filter(|hour| before.contains_key(hour)).count() as u64;
    }

    /// More runs with one hour than a merge leaves alone.
    async fn trickle(&mut self) {
        let (from, _) = self.some_hours();
        let start = from - from.rem_euclid(HOUR_MS);
        for _ in 0..9 {
            self.arrive(start, start + HOUR_MS.min(self.world.now_ms() - start));
            self.world.flush().await;
        }
        let outcome = self.world.life().store.merge_runs().expect("merges");
        self.merged += u64::from(outcome != MergeOutcome::Nothing);
    }

    /// One hour is sealed or committed to Delta, and the kill comes before RocksDB knows.
    async fn lose_record(&mut self) {
        self.world.seal().await;
        self.world.archive().await;
        let ended = self.world.now_ms() - self.world.now_ms().rem_euclid(HOUR_MS);
        let any = self.rng.random_range(self.born()..ended);
        let start = any - any.rem_euclid(HOUR_MS);
        self.arrive(start, start + HOUR_MS);
        self.world.flush().await;
        // Where Delta owns the hour, its seal commits it; else the archive does.
        let lost = if self.rng.random_bool(0.5) {
            let remains = self.world.remains();
            assert_eq!(self.world.seal().await.sealed.len(), 1);
            remains
        } else {
            self.world.seal().await;
            let remains = self.world.remains();
            self.world.archive().await;
            remains
        };
        self.lost_records += 1;
        self.world.resume(lost).await;
    }

    /// Other durations, in any order of the tiers. What has left stays away.
    fn change_policy(&mut self) {
        let mut hours = |most| DurationMs::hours(self.rng.random_range(1..most));
        let retention =
            Retention { hot_raw: hours(7), warm_rollup_1m: hours(8), warm_rollup_1h: hours(10), ..brief_retention() };
        self.world.set_retention(retention);
    }

    /// Asks something at random, whole and in pieces.
    async fn question(&mut self) {
        let question = self.random_question();
        let told = self.world.ask(&question).await.provenance;
        self.named.count(&told);
        if self.rng.random_bool(0.25) {
            let (start, end) = (question.range.start().0, question.range.end().0);
            let cut = self.rng.random_range(start..=end);
            for piece in [range(start, cut), range(cut, end)] {
                self.world.ask(&Question { range: piece, ..question.clone() }).await;
            }
        }
    }

    fn random_question(&mut self) -> Question {
        let matchers = match self.rng.random_range(0..6) {
            0 => metric(DENSE),
            1 => everything(),
            2 => {
                vec![LabelMatcher::new("job", MatchOp::Regex, "a|b").expect("valid"), LabelMatcher::equal("host", "x")]
            }
            3 => vec![LabelMatcher::equal("__name__", "cpu_usage"), LabelMatcher::equal("job", "")],
            _ => metric(METRICS.choose(&mut self.rng).expect("some")),
        };
        let mut ends = [self.some_time(), self.some_time()];
        ends.sort_unstable();
        let width = *WIDTHS.choose(&mut self.rng).expect("some");
        let Some(width) = width else { return Question::raw(matchers, range(ends[0], ends[1])) };
        let agg = Agg::ALL.choose(&mut self.rng).expect("some").1;
        let labels: &[&str] = [&["job"][..], &["host", "job"], &[], &["nowhere"]].choose(&mut self.rng).expect("some");
        let group_by = self.rng.random_bool(0.4).then(|| labels.iter().map(|&label| label.to_owned()).collect());
        let group_agg = self.rng.random_bool(0.3).then(|| GroupAgg::ALL.choose(&mut self.rng).expect("some").1);
        Question { group_by, group_agg, ..Question::buckets(matchers, range(ends[0], ends[1]), width, agg) }
    }

    /// A moment of the story: any, or one at which something changes.
    fn some_time(&mut self) -> i64 {
        let now = self.world.now_ms();
        let any = self.rng.random_range(self.born()..=now + HOUR_MS);
        match self.rng.random_range(0..4) {
            0 => self.born(),
            1 => now,
            2 => any - any.rem_euclid(HOUR_MS) + self.rng.random_range(-1..=1),
            _ => any,
        }
    }

    async fn ask_all(&mut self) {
        let whole = range(self.born(), self.world.now_ms() + 1);
        for told in self.world.ask_all(&everything(), whole).await {
            self.named.count(&told);
        }
        self.world.agree("cpu_usage", whole).await;
        self.world.agree(DENSE, whole).await;
    }

    /// Everything once more, all settled, swept, and after a kill; then, whether the story was one.
    async fn end(&mut self) {
        self.world.settle().await;
        self.world.assert_archive_is_as_recorded().await;
        self.world.life().archive.sweep().await.expect("sweeps");
        self.world.kill().await;
        self.ask_all().await;
        say(&format!(
            "{} steps, {} points: {:?}, sealed again {}, archived {}, families dropped {}, merged {}, records lost {}",
            self.steps,
            self.world.model.len(),
            self.named,
            self.sealed_again,
            self.archived,
            self.dropped_families,
            self.merged,
            self.lost_records
        ));
        let Named { hot, warm, cold, several } = self.named;
        assert!(hot > 0 && warm > 0 && cold > 0 && several > 0, "{:?}", self.named);
        assert!(self.sealed_again > 0 && self.dropped_families > 0);
        assert_eq!(self.world.form(DENSE, hour(0)), Form::Raw);
        assert_eq!(self.world.form("cpu_usage", hour(0)), Form::Raw1m);
    }
}

#[expect(clippy::print_stderr, reason = "a failed test shows its output: how far the story came, and its seed")]
fn say(text: &str) {
    eprintln!("{text}");
}
