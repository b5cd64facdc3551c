//! Which topics are read, and by which rule. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::{TopicName, TopicRule};
use super::dead_letters::is_dead_letter_topic;

/// The rule of a topic: the first that names it, or whose pattern matches it.
pub(super) fn rule_of(rules: &[TopicRule], topic: &str) -> Option<Arc<TopicRule>> {
    rules.iter().find(|rule| matches(&rule.topic, topic)).map(|rule| Arc::new(rule.clone()))
}

/// What to subscribe to, of the topics that there are. Those named are waited for.
pub(super) fn wanted<'t>(rules: &[TopicRule], there: impl IntoIterator<Item = &'t str>) -> BTreeSet<String> {
    let mut topics: BTreeSet<String> = rules
        .iter()
        .filter_map(|rule| match &rule.topic {
            TopicName::Exact(name) => Some(name.clone()),
            TopicName::Pattern(_) => None,
        })
        .collect();
    let matching = there.into_iter().filter(|topic| rules.iter().any(|rule| matches(&rule.topic, topic)));
    topics.extend(matching.map(str::to_owned));
    topics
}

/// Whether any rule needs to know which topics there are.
pub(super) fn has_patterns(rules: &[TopicRule]) -> bool {
    rules.iter().any(|rule| matches!(rule.topic, TopicName::Pattern(_)))
}

fn matches(name: &TopicName, topic: &str) -> bool {
    match name {
        TopicName::Exact(exact) => exact == topic,
        TopicName::Pattern(_) if is_dead_letter_topic(topic) || topic.starts_with("__") => false,
        TopicName::Pattern(pattern) => {
            pattern.find(topic).is_some_and(|found| found.start() == 0 && found.end() == topic.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::kafka::{Delivery, OnError};
    use crate::message::MessageFormat;

    fn rule(topic: TopicName, format: MessageFormat) -> TopicRule {
        TopicRule { topic, format, on_error: OnError::Dlq, delivery: Delivery::ExactlyOnce }
    }

    #[test]
    fn a_pattern_matches_whole_names_and_no_dead_letters() {
        let rules = [
            rule(TopicName::Exact("raw".to_owned()), MessageFormat::Influx),
            rule(TopicName::Pattern(Regex::new("^metrics-.*").expect("a pattern")), MessageFormat::Json),
        ];
        let there = ["metrics-a", "metrics-a.dlq", "old-metrics-a", "__consumer_offsets", "raw.dlq"];
        assert_eq!(wanted(&rules, there), BTreeSet::from(["metrics-a".to_owned(), "raw".to_owned()]));
        assert_eq!(rule_of(&rules, "metrics-b").map(|rule| rule.format), Some(MessageFormat::Json));
        assert_eq!(rule_of(&rules, "raw").map(|rule| rule.format), Some(MessageFormat::Influx));
        assert!(rule_of(&rules, "else").is_none());
        assert!(has_patterns(&rules) && !has_patterns(&rules[..1]));
    }
}
