//! What an operator may say of series at the intake, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use schemas::LabelMatcher;
use schemas::labels::{METRIC_NAME, TENANT};
use thiserror::Error;

use super::plan::SLOTS_PER_RULE;

/// Rules at once. Each series that is new to the rules is held against all of them.
pub const RULES_MAX: usize = 100;
/// Labels that one rule may drop or rename.
pub const LABELS_PER_RULE_MAX: usize = 64;
/// Bytes of a label name in a rule.
const LABEL_NAME_BYTES_MAX: usize = 1 << 10;
/// Bytes of a rule's name.
const NAME_BYTES_MAX: usize = 63;

/// Why a rule cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RuleError {
    #[error("a name is 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _")]
    Name,
    #[error("another rule has this name")]
    NameTaken,
    #[error("there are more than {RULES_MAX} rules")]
    TooManyRules,
    #[error("no label is named")]
    NoLabels,
    #[error("more than {LABELS_PER_RULE_MAX} labels are named")]
    TooManyLabels,
    #[error("a label name has 1 to {LABEL_NAME_BYTES_MAX} bytes, but one has {0}")]
    LabelName(usize),
    #[error("the label {0:?} can be neither dropped nor renamed, nor another be called so")]
    Reserved(String),
    #[error("{0:?} is renamed to itself")]
    RenamedToItself(String),
    #[error("{first:?} and {second:?} are both renamed to {to:?}")]
    RenamedTwice { first: String, second: String, to: String },
}

/// What becomes of the points of series that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Not stored. Later rules are not asked.
    Drop,
    /// Stored as they are by now: later rules are not asked.
    Keep,
    /// Without these labels, on to the next rule.
    DropLabels(BTreeSet<String>),
    /// With labels called otherwise (old name → new name), on to the next rule. All at once, so that two may swap.
    RenameLabels(BTreeMap<String, String>),
    /// One point in so many, chosen by series and timestamp, goes on to the next rule; the others are not stored.
    KeepOneIn(NonZeroU32),
}

impl Action {
    /// The values of the metric label `action` under which its points are counted: what it does, and what else may come
    /// of it.
    pub(super) fn outcomes(&self) -> [Option<&'static str>; 2] {
        match self {
            Self::Drop => [Some("drop"), None],
            Self::Keep => [Some("keep"), None],
            Self::DropLabels(_) => [Some("drop_labels"), None],
            Self::RenameLabels(_) => [Some("rename_labels"), Some("rename_refused")],
            Self::KeepOneIn(_) => [Some("leave_out"), Some("keep_one")],
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: String,
    matchers: Vec<LabelMatcher>,
    action: Action,
}

impl Rule {
    /// Checks what can be known without a series.
    pub fn new(name: impl Into<String>, matchers: Vec<LabelMatcher>, action: Action) -> Result<Self, RuleError> {
        let name = name.into();
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(known) {
            return Err(RuleError::Name);
        }
        match &action {
            Action::Drop | Action::Keep | Action::KeepOneIn(_) => {}
            Action::DropLabels(labels) => check_labels(labels.iter())?,
            Action::RenameLabels(renames) => check_renames(renames)?,
        }
        Ok(Self { name, matchers, action })
    }

    /// The name under which it is counted.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Whether a series with these labels, the metric name among them, is meant.
    pub(super) fn matches(&self, labels: &[(&str, &str)]) -> bool {
        self.matchers.iter().all(|matcher| {
            let label = labels.iter().find(|(name, _)| *name == matcher.name());
            matcher.matches(label.map_or("", |(_, value)| value))
        })
    }

    /// Whether the series of a metric are meant: all of them, some of them for all that the name tells, or none.
    pub(super) fn matches_metric(&self, metric: &str) -> MetricMatch {
        let (by_name, by_label): (Vec<_>, Vec<_>) = self.matchers.iter().partition(|m| m.name() == METRIC_NAME);
        match by_name.iter().all(|matcher| matcher.matches(metric)) {
            false => MetricMatch::None,
            true if by_label.is_empty() => MetricMatch::All,
            true => MetricMatch::Some,
        }
    }
}

/// Which series of a metric a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricMatch {
    All,
    Some,
    None,
}

fn check_labels<'a>(labels: impl ExactSizeIterator<Item = &'a String>) -> Result<(), RuleError> {
    match labels.len() {
        0 => return Err(RuleError::NoLabels),
        1..=LABELS_PER_RULE_MAX => {}
        _ => return Err(RuleError::TooManyLabels),
    }
    for label in labels {
        if label.is_empty() || label.len() > LABEL_NAME_BYTES_MAX {
            return Err(RuleError::LabelName(label.len()));
        }
        if label == METRIC_NAME || label == TENANT {
            return Err(RuleError::Reserved(label.clone()));
        }
    }
    Ok(())
}

fn check_renames(renames: &BTreeMap<String, String>) -> Result<(), RuleError> {
    check_labels(renames.keys())?;
    check_labels(renames.values())?;
    let mut by_target: BTreeMap<&str, &str> = BTreeMap::new();
    for (from, to) in renames {
        if from == to {
            return Err(RuleError::RenamedToItself(from.clone()));
        }
        if let Some(first) = by_target.insert(to, from) {
            return Err(RuleError::RenamedTwice { first: first.to_owned(), second: from.clone(), to: to.clone() });
        }
    }
    Ok(())
}

/// A rule of a list that cannot be used, by its place in the list.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub struct ListError {
    pub index: usize,
    pub source: RuleError,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} of the list", self.index)
    }
}

/// Rules in the order in which they are asked; each has a name of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    pub fn new(rules: Vec<Rule>) -> Result<Self, ListError> {
        if rules.len() > RULES_MAX {
            return Err(ListError { index: RULES_MAX, source: RuleError::TooManyRules });
        }
        let mut names = BTreeSet::new();
        match rules.iter().position(|rule| !names.insert(rule.name())) {
            Some(index) => Err(ListError { index, source: RuleError::NameTaken }),
            None => Ok(Self(rules)),
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.0.iter()
    }

    /// The rule that counts in a slot.
    pub(super) fn of_slot(&self, slot: usize) -> Option<&Rule> {
        self.0.get(slot / SLOTS_PER_RULE)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Rule> {
        self.0.get(index)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Rules {
    type Item = &'a Rule;
    type IntoIter = std::slice::Iter<'a, Rule>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn renames(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    }

    fn refused(action: Action) -> RuleError {
        Rule::new("r", Vec::new(), action).expect_err("refused")
    }

    #[test]
    fn a_rule_has_a_name_that_can_stand_in_a_metric() {
        assert!(Rule::new("no-debug_2", Vec::new(), Action::Drop).is_ok());
        for name in ["", "No", "a b", "a\"", &"x".repeat(64)] {
            assert_eq!(Rule::new(name, Vec::new(), Action::Drop), Err(RuleError::Name), "{name:?}");
        }
    }

    #[test]
    fn labels_that_name_the_series_or_the_tenant_are_left_alone() {
        for reserved in ["__name__", "__tenant__"] {
            let error = RuleError::Reserved(reserved.to_owned());
            assert_eq!(refused(Action::DropLabels(labels(&["a", reserved]))), error);
            assert_eq!(refused(Action::RenameLabels(renames(&[(reserved, "a")]))), error);
            assert_eq!(refused(Action::RenameLabels(renames(&[("a", reserved)]))), error);
        }
    }

    #[test]
    fn labels_are_some_but_not_too_many_and_none_is_empty_or_huge() {
        assert_eq!(refused(Action::DropLabels(labels(&[]))), RuleError::NoLabels);
        assert_eq!(refused(Action::RenameLabels(renames(&[]))), RuleError::NoLabels);
        let many: BTreeSet<String> = (0..=LABELS_PER_RULE_MAX).map(|n| format!("l{n}")).collect();
        assert_eq!(refused(Action::DropLabels(many)), RuleError::TooManyLabels);
        assert_eq!(refused(Action::RenameLabels(renames(&[("a", "")]))), RuleError::LabelName(0));
        assert_eq!(refused(Action::DropLabels(labels(&[&"x".repeat(1_025)]))), RuleError::LabelName(1_025));
    }

    #[test]
    fn renames_that_must_collide_are_refused_and_a_swap_is_none() {
        assert_eq!(refused(Action::RenameLabels(renames(&[("a", "a")]))), RuleError::RenamedToItself("a".to_owned()));
        let twice = refused(Action::RenameLabels(renames(&[("a", "c"), ("b", "c")])));
        assert_eq!(twice.to_string(), "\"a\" and \"b\" are both renamed to \"c\"");
        assert!(Rule::new("r", Vec::new(), Action::RenameLabels(renames(&[("a", "b"), ("b", "a")]))).is_ok());
    }

    #[test]
    fn a_list_has_each_name_once_and_an_end() {
        let rule = |name: &str| Rule::new(name, Vec::new(), Action::Drop).expect("valid");
        let twice = Rules::new(vec![rule("a"), rule("b"), rule("a")]).expect_err("twice");
        assert_eq!(twice, ListError { index: 2, source: RuleError::NameTaken });
        let many = Rules::new((0..=RULES_MAX).map(|n| rule(&format!("r{n}"))).collect()).expect_err("too many");
        assert_eq!(many.source, RuleError::TooManyRules);
    }
}
