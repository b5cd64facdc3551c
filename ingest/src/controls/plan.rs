//! What a list of rules makes of one series. Pure: the same rules and labels give the same fate, on any node.
//!
//! labels ─▶ rule by rule: matched? ─▶ [`Step`]s and labels as they are by then ─▶ [`Fate`]
//!
//! A rule sees the labels that the rules before it have left. `drop` and `keep` end the walk.

use std::sync::Arc;

use schemas::SeriesHash;
use schemas::labels::{canonicalize, hash_canonical, iter_canonical};

use super::rule::{Action, MetricMatch, Rule, Rules};
use crate::limits::Limits;
use crate::mix::splitmix64;

/// Counters of a rule: its first outcome, and its second.
pub(super) const SLOTS_PER_RULE: usize = 2;

/// What becomes of the points of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// No rule says anything of it.
    Untouched,
    /// The first rule that speaks of it drops it: counted in the slot.
    Drop { slot: usize },
    /// One rule speaks of it, and changes nothing: counted in the slot.
    Count { slot: usize },
    /// Anything else.
    Steps(Arc<Steps>),
}

/// The walk of a series past the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) steps: Box<[Step]>,
    /// The labels at the end, where they differ: canonical bytes, and their hash.
    pub(super) relabelled: Option<(Box<[u8]>, SeriesHash)>,
}

impl Steps {
    /// Bytes that it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        let labels = self.relabelled.as_ref().map_or(0, |(bytes, _)| bytes.len());
        size_of::<Self>() + size_of_val(&*self.steps) + labels
    }
}

/// What one rule does to each point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Counted only: the series' labels tell the rest.
    Count { slot: usize },
    /// Not stored.
    Lose { slot: usize },
    /// One in `n` stays, counted in the slot after the one that counts the others.
    OneIn { slot: usize, n: u64, seed: u64 },
}

/// A rename that cannot be, of a series that `labels` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenameRefused {
    pub(super) rule: usize,
    pub(super) why: String,
}

/// Whether the point at `timestamp_ms` is one of those that stay: the timestamp-th number of SplitMix64 from `seed` is a
/// multiple of `n`.
pub(super) fn is_one_in(seed: u64, timestamp_ms: i64, n: u64) -> bool {
    splitmix64(seed, timestamp_ms.cast_unsigned()).is_multiple_of(n)
}

/// The seed of the `nth` rule (from 0) that keeps one in so many of a series: such rules are independent of each other,
/// and rules of other kinds do not change which points stay.
fn seed(series: SeriesHash, nth: u64) -> u64 {
    let low = u64::try_from(series.0 & u128::from(u64::MAX)).expect("64 bits");
    splitmix64(low, nth)
}

/// The fate of a series, and the renames that it refused.
pub(super) fn fate(rules: &Rules, hash: SeriesHash, canonical: &[u8]) -> (Fate, Vec<RenameRefused>) {
    let mut walk = Walk {
        labels: iter_canonical(canonical).collect(),
        steps: Vec::new(),
        relabelled: None,
        hash,
        one_in: 0,
        refused: Vec::new(),
    };
    for (index, rule) in rules.iter().enumerate() {
        if rule.matches(&walk.labels) && walk.past(index, rule) == Onward::Ended {
            break;
        }
    }
    let fate = match (walk.steps.as_slice(), &walk.relabelled) {
        ([], _) => Fate::Untouched,
        ([Step::Lose { slot }], None) => Fate::Drop { slot: *slot },
        ([Step::Count { slot }], None) => Fate::Count { slot: *slot },
        _ => Fate::Steps(Arc::new(Steps {
            steps: walk.steps.into_boxed_slice(),
            relabelled: walk.relabelled.map(|bytes| (bytes.into_boxed_slice(), walk.hash)),
        })),
    };
    (fate, walk.refused)
}

/// Whether what is said of a metric is stored: not if every series of it that may come is dropped.
pub(super) fn keeps_description(rules: &Rules, metric: &str) -> bool {
    for rule in rules {
        match (rule.action(), rule.matches_metric(metric)) {
            (Action::Drop, MetricMatch::All) => return false,
            (Action::Keep, MetricMatch::All | MetricMatch::Some) => return true,
            (Action::Drop, MetricMatch::Some | MetricMatch::None)
            | (Action::Keep, MetricMatch::None)
            | (Action::DropLabels(_) | Action::RenameLabels(_) | Action::KeepOneIn(_), _) => {}
        }
    }
    true
}

#[derive(Debug, PartialEq, Eq)]
enum Onward {
    Next,
    Ended,
}

/// A series on its way past the rules.
struct Walk<'a> {
    labels: Vec<(&'a str, &'a str)>,
    steps: Vec<Step>,
    /// Canonical bytes of `labels`, once a rule has changed them.
    relabelled: Option<Vec<u8>>,
    /// Of `labels`.
    hash: SeriesHash,
    /// Rules so far that keep one in so many.
    one_in: u64,
    refused: Vec<RenameRefused>,
}

impl<'a> Walk<'a> {
    /// Past a rule that matches.
    fn past(&mut self, index: usize, rule: &'a Rule) -> Onward {
        let slot = index * SLOTS_PER_RULE;
        match rule.action() {
            Action::Drop => {
                self.steps.push(Step::Lose { slot });
                // Nobody asks any more.
                self.relabelled = None;
                return Onward::Ended;
            }
            Action::Keep => {
                self.steps.push(Step::Count { slot });
                return Onward::Ended;
            }
            Action::DropLabels(names) => {
                let left: Vec<_> = self.labels.iter().filter(|(name, _)| !names.contains(*name)).copied().collect();
                if left.len() < self.labels.len() && self.relabel(left).is_ok() {
                    self.steps.push(Step::Count { slot });
                }
            }
            Action::RenameLabels(renames) => {
                let renamed: Vec<_> = self
                    .labels
                    .iter()
                    .map(|(name, value)| (renames.get(*name).map_or(*name, String::as_str), *value))
                    .collect();
                if renamed != self.labels {
                    match self.relabel(renamed) {
                        Ok(()) => self.steps.push(Step::Count { slot }),
                        Err(why) => {
                            self.steps.push(Step::Count { slot: slot + 1 });
                            self.refused.push(RenameRefused { rule: index, why });
                        }
                    }
                }
            }
            Action::KeepOneIn(n) => {
                let seed = seed(self.hash, self.one_in);
                self.one_in += 1;
                self.steps.push(Step::OneIn { slot, n: u64::from(n.get()), seed });
            }
        }
        Onward::Next
    }

    /// Takes other labels, unless they cannot name a series.
    fn relabel(&mut self, mut labels: Vec<(&'a str, &'a str)>) -> Result<(), String> {
        let mut canonical = Vec::new();
        canonicalize(&mut labels, &mut canonical).map_err(|error| error.to_string())?;
        let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let limit = Limits::default().labels_bytes;
        if bytes > limit && bytes > self.labels.iter().map(|(name, value)| name.len() + value.len()).sum() {
            return Err(format!("the labels would have {bytes} bytes together, but at most {limit} are allowed"));
        }
        self.labels = labels;
        self.hash = hash_canonical(&canonical);
        self.relabelled = Some(canonical);
        Ok(())
    }
}
