//! Metric control at the intake: which series are stored, under which labels, and how many of their points.
//!
//! decoded [`PointBatch`] ─▶ [`Controls::apply`]: each series' fate (cached), then each point ─▶ the batch that the sink gets
//!
//! A [`Rule`] is a name, matchers and an [`Action`]; [`Rules`] are asked in their order. `drop` and `keep` end the walk of a
//! series, so an earlier `keep` exempts it from everything after; label rules and `keep_one_in` hand it on, and the next
//! rule sees the labels as they are by then. Changing labels may make one series of two: their points meet as any
//! points of one series do (SET-1).
//!
//! Which points stay depends on nothing but the rules, the series and the timestamp, so a repeat of a request, and a
//! message of Kafka that is read again, leave the same ones (SET-1).
//!
//! Without rules all of it is one load of a pointer a batch. With rules, a series that came lately costs one look into a
//! table a batch; only a new one is held against the rules.
//!
//! Deliberately not here: how rules are written and kept (the server), and anything that takes a clock or a disk.

mod cache;
mod plan;
mod rule;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::family::Family;
use runtime::metrics::registry::Registry;
use schemas::points::is_stale;
use schemas::{Labels, PointBatch};

use self::cache::{FateCache, Found, Room};
use self::plan::{Fate, RenameRefused, SLOTS_PER_RULE, Step};
pub use self::rule::{Action, LABELS_PER_RULE_MAX, ListError, RULES_MAX, Rule, RuleError, Rules};

/// Metrics whose descriptions are remembered as stored or not.
const DESCRIBED_MAX: usize = 10_000;

type ByRuleAndAction = [(&'static str, String); 2];

/// The rules in force. Clones are handles to the same ones.
#[derive(Debug, Clone)]
pub struct Controls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    plan: ArcSwap<Plan>,
    points: Family<ByRuleAndAction, Counter>,
    /// One change of rules at a time.
    changing: Mutex<()>,
    room: Room,
}

impl Default for Controls {
    fn default() -> Self {
        Self::with_room(Room::DEFAULT)
    }
}

impl Controls {
    fn with_room(room: Room) -> Self {
        let points = Family::default();
        let plan = ArcSwap::from_pointee(Plan::new(Rules::default(), &points, room));
        Self(Arc::new(Shared { plan, points, changing: Mutex::new(()), room }))
    }

    pub fn register(&self, registry: &mut Registry) {
        let help = "Points that rules of `controls` have spoken of, by what became of them";
        registry.register("ingest_controlled_points", help, self.0.points.clone());
    }

    /// Puts other rules in force, for every batch from now on. A rule that keeps name and action goes on counting.
    pub fn set(&self, rules: Rules) {
        let shared = &*self.0;
        let _changing = shared.changing.lock();
        let new = Arc::new(Plan::new(rules, &shared.points, shared.room));
        let old = shared.plan.swap(Arc::clone(&new));
        let kept: BTreeSet<ByRuleAndAction> = new.slots().map(|slot| slot.labels()).collect();
        for gone in old.slots().map(|slot| slot.labels()).filter(|labels| !kept.contains(labels)) {
            shared.points.remove(&gone);
        }
    }

    /// The rules in force, each with what it has done since the start.
    pub fn status(&self) -> Vec<RuleStatus> {
        let plan = self.0.plan.load();
        let refused = plan.refused.lock();
        let status = plan.rules.iter().enumerate().map(|(index, rule)| {
            let slots = plan.slots().filter(|slot| slot.rule.name() == rule.name());
            RuleStatus {
                rule: rule.clone(),
                points: slots.map(|slot| (slot.action, plan.counted(&slot))).collect(),
                rename_refused: refused.get(&index).cloned(),
            }
        });
        status.collect()
    }

    /// Holds a batch against the rules: what is left in it is what is to be stored. Tell [`Controlled::count`] once it is.
    pub fn apply(&self, batch: &mut PointBatch) -> Controlled {
        let plan = self.0.plan.load();
        if plan.cache.is_none() {
            return Controlled::default();
        }
        let plan = Arc::clone(&plan);
        let mut controlled = Controlled { tally: vec![0; plan.rules.len() * SLOTS_PER_RULE], ..Controlled::default() };
        plan.apply(batch, &mut controlled);
        controlled.plan = Some(plan);
        controlled
    }
}

/// A rule, and what came of it since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleStatus {
    pub rule: Rule,
    /// Points by the `action` of `thermocline_ingest_controlled_points_total`.
    pub points: Vec<(&'static str, u64)>,
    /// The first series whose labels could not be renamed, and why.
    pub rename_refused: Option<String>,
}

/// What the rules did to a batch.
#[derive(Default)]
#[must_use = "points that the rules left out are neither accepted nor refused: say so, and count them"]
pub struct Controlled {
    plan: Option<Arc<Plan>>,
    /// Points by slot of the plan.
    tally: Vec<u64>,
    left_out: u64,
    /// Where points closed up: first point of a run, and its index before. Empty if none was left out.
    runs: Vec<(u32, u32)>,
}

impl fmt::Debug for Controlled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controlled").field("left_out", &self.left_out).field("by_rule", &self.by_rule()).finish()
    }
}

impl Controlled {
    /// Points that are not in the batch any more.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Points by rule and by what it did to them, where there are some.
    pub fn by_rule(&self) -> Vec<(&str, &'static str, u64)> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let counted = plan.slots().map(|slot| (slot.rule.name(), slot.action, self.tally[slot.at]));
        counted.filter(|(.., points)| *points > 0).collect()
    }

    /// The index before of a point of the batch as it is now.
    pub fn index_before(&self, point: u32) -> u32 {
        match self.runs.partition_point(|(first, _)| *first <= point).checked_sub(1) {
            Some(at) => self.runs[at].1 + (point - self.runs[at].0),
            None => point,
        }
    }

    /// Adds it to the counters: once the batch is in, so that one which is refused and sent again counts once.
    pub fn count(&self) {
        let Some(plan) = &self.plan else { return };
        for (counter, points) in plan.counters.iter().zip(&self.tally).filter(|(_, points)| **points > 0) {
            if let Some(counter) = counter {
                counter.inc_by(*points);
            }
        }
    }
}

/// What can come of a rule, and where it is counted.
struct Slot<'r> {
    at: usize,
    rule: &'r Rule,
    action: &'static str,
}

impl Slot<'_> {
    fn labels(&self) -> ByRuleAndAction {
        [("rule", self.rule.name().to_owned()), ("action", self.action.to_owned())]
    }
}

fn slots(rules: &Rules) -> impl Iterator<Item = Slot<'_>> {
    rules.iter().enumerate().flat_map(|(index, rule)| {
        let outcomes = rule.action().outcomes().into_iter().enumerate();
        outcomes.filter_map(move |(nth, action)| Some(Slot { at: index * SLOTS_PER_RULE + nth, rule, action: action? }))
    })
}

/// A list of rules with what is remembered under it.
#[derive(Debug)]
struct Plan {
    rules: Rules,
    /// By slot: [`SLOTS_PER_RULE`] a rule, where the rule has such an outcome.
    counters: Vec<Option<Counter>>,
    /// None without rules.
    cache: Option<Caches>,
    /// By rule: the first rename that could not be.
    refused: Mutex<HashMap<usize, String>>,
}

#[derive(Debug)]
struct Caches {
    fates: RwLock<FateCache>,
    /// Whether what is said of a metric is stored; none where no rule drops.
    descriptions: Option<RwLock<HashMap<String, bool>>>,
}

impl Plan {
    fn new(rules: Rules, points: &Family<ByRuleAndAction, Counter>, room: Room) -> Self {
        let drops = rules.iter().any(|rule| *rule.action() == Action::Drop);
        let cache = (!rules.is_empty())
            .then(|| Caches { fates: RwLock::new(FateCache::new(room)), descriptions: drops.then(RwLock::default) });
        let mut counters = vec![None; rules.len() * SLOTS_PER_RULE];
        for slot in slots(&rules) {
            counters[slot.at] = Some(points.get_or_create_owned(&slot.labels()));
        }
        Self { rules, counters, cache, refused: Mutex::default() }
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        slots(&self.rules)
    }

    fn counted(&self, slot: &Slot<'_>) -> u64 {
        self.counters[slot.at].as_ref().map_or(0, Counter::get)
    }

    fn apply(&self, batch: &mut PointBatch, controlled: &mut Controlled) {
        let Some(cache) = &self.cache else { return };
        if let Some(known) = &cache.descriptions {
            self.forget_descriptions(known, batch);
        }
        let Some(fates) = self.fates(&cache.fates, batch) else { return };
        for (series, fate) in (0..).zip(&fates) {
            if let Fate::Steps(steps) = fate
                && let Some((canonical, hash)) = &steps.relabelled
            {
                batch.relabel(series, canonical, *hash);
            }
        }
        let Controlled { tally, left_out, runs, .. } = controlled;
        let (mut before, mut kept) = (0_u32, 0_u32);
        batch.retain(|series, timestamp_ms, value| {
            let stays = stays(&fates[series as usize], timestamp_ms, value, tally);
            if stays {
                if before - kept != runs.last().map_or(0, |(first, at)| at - first) {
                    runs.push((kept, before));
                }
                kept += 1;
            } else {
                *left_out += 1;
            }
            before += 1;
            stays
        });
    }

    /// The fate of each series of a batch; none if no rule speaks of any.
    fn fates(&self, cache: &RwLock<FateCache>, batch: &PointBatch) -> Option<Vec<Fate>> {
        let words: Vec<u8> = {
            let known = cache.read();
            batch.series_hashes().map(|hash| known.word(hash)).collect()
        };
        if words.iter().all(|word| *word == cache::UNTOUCHED) {
            return None;
        }
        let placeholder = |fate: Option<Fate>| fate.unwrap_or(Fate::Untouched);
        let mut fates: Vec<Fate> = words.iter().map(|word| placeholder(cache::fate_of(*word, &self.rules))).collect();
        let unknown = (0..).zip(words).filter(|(_, word)| *word == cache::UNKNOWN).map(|(index, _)| index);
        self.find_or_decide(cache, batch, unknown.collect(), &mut fates);
        Some(fates)
    }

    /// Fills in the fates of series that are not known by a word.
    fn find_or_decide(&self, cache: &RwLock<FateCache>, batch: &PointBatch, series: Vec<u32>, fates: &mut [Fate]) {
        // What is about to be forgotten, and what is not known at all.
        let (mut old, mut new): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let known = cache.read();
        for index in series {
            let steps = match known.steps(batch.series(index).0) {
                Some(Found::Young(steps)) => steps,
                Some(Found::Old(steps)) => {
                    old.push(index);
                    steps
                }
                None => {
                    new.push(index);
                    continue;
                }
            };
            fates[index as usize] = Fate::Steps(Arc::clone(steps));
        }
        drop(known);
        for index in &new {
            let (hash, canonical) = batch.series(*index);
            let (fate, refused) = plan::fate(&self.rules, hash, canonical);
            refused.iter().for_each(|refused| self.tell(refused, canonical));
            fates[*index as usize] = fate;
        }
        if !(old.is_empty() && new.is_empty()) {
            let mut known = cache.write();
            for index in old.into_iter().chain(new) {
                known.insert(batch.series(index).0, &fates[index as usize]);
            }
        }
    }

    /// Says of each rule once that a rename could not be.
    fn tell(&self, RenameRefused { rule, why }: &RenameRefused, canonical: &[u8]) {
        self.refused.lock().entry(*rule).or_insert_with(|| {
            let series = Labels::from_canonical(canonical).map(|labels| labels.to_string()).unwrap_or_default();
            let rule = self.rules.get(*rule).map_or("", Rule::name);
            tracing::warn!(rule, %series, why, "a series keeps its labels: the rule cannot rename them");
            format!("{series}: {why}")
        });
    }

    fn forget_descriptions(&self, known: &RwLock<HashMap<String, bool>>, batch: &mut PointBatch) {
        if batch.metadata().is_empty() {
            return;
        }
        batch.retain_descriptions(|metric| {
            let found = known.read().get(metric).copied();
            found.unwrap_or_else(|| {
                let keeps = plan::keeps_description(&self.rules, metric);
                let mut known = known.write();
                if known.len() >= DESCRIBED_MAX {
                    known.clear();
                }
                known.insert(metric.to_owned(), keeps);
                keeps
            })
        });
    }
}

/// Whether a point stays, with what is counted on the way.
#[inline]
fn stays(fate: &Fate, timestamp_ms: i64, value: f64, tally: &mut [u64]) -> bool {
    match fate {
        Fate::Untouched => true,
        Fate::Drop { slot } => {
            tally[*slot] += 1;
            false
        }
        Fate::Count { slot } => {
            tally[*slot] += 1;
            true
        }
        Fate::Steps(steps) => {
            for step in &steps.steps {
                match *step {
                    Step::Count { slot } => tally[slot] += 1,
                    Step::Lose { slot } => {
                        tally[slot] += 1;
                        return false;
                    }
                    // Without its marker, a series that has ended would seem to go on.
                    Step::OneIn { slot, n, seed } => {
                        let stays = is_stale(value) || plan::is_one_in(seed, timestamp_ms, n);
                        tally[slot + usize::from(stays)] += 1;
                        if !stays {
                            return false;
                        }
                    }
                }
            }
            true
        }
    }
}

#[cfg(test)]
mod tests;
