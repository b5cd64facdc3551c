//! Places in Kafka: a partition of a topic, and how far each one has been taken in.
//!
//! message (topic, partition, offset) ─▶ [`Offsets`]: per partition the offset of the *next* message
//!
//! An offset here is always the next one: everything before it is in, nothing from it on is. Taking in again what is in
//! changes nothing (SET-1), so of two offsets the larger is the truth.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    /// Never negative.
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    /// `topic/3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Per partition the offset of the next message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<TopicPartition, i64>);

impl Offsets {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self, of: &TopicPartition) -> Option<i64> {
        self.0.get(of).copied()
    }

    /// Says that everything before `next` is in; a smaller offset changes nothing.
    pub fn advance(&mut self, of: TopicPartition, next: i64) {
        self.0.entry(of).and_modify(|known| *known = next.max(*known)).or_insert(next);
    }

    /// Advances every partition that `other` has.
    pub fn advance_all(&mut self, other: &Self) {
        for (of, next) in other.iter() {
            self.advance(of.clone(), next);
        }
    }

    /// For each partition that either has, the smaller offset; one that only one of them has stays as it is.
    #[must_use]
    pub fn least(mut self, other: &Self) -> Self {
        for (of, next) in other.iter() {
            self.0.entry(of.clone()).and_modify(|known| *known = next.min(*known)).or_insert(next);
        }
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.0.iter().map(|(of, next)| (of, *next))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(TopicPartition, i64)> for Offsets {
    /// Of several offsets of a partition the largest counts.
    fn from_iter<I: IntoIterator<Item = (TopicPartition, i64)>>(offsets: I) -> Self {
        let mut out = Self::new();
        for (of, next) in offsets {
            out.advance(of, next);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(of: &[(&str, i32, i64)]) -> Offsets {
        of.iter().map(|&(topic, partition, next)| (TopicPartition::new(topic, partition), next)).collect()
    }

    #[test]
    fn offsets_only_advance() {
        let mut known = offsets(&[("a", 0, 5), ("a", 1, 7)]);
        known.advance_all(&offsets(&[("a", 0, 3), ("a", 1, 9), ("b", 0, 1)]));
        assert_eq!(known, offsets(&[("a", 0, 5), ("a", 1, 9), ("b", 0, 1)]));
        assert_eq!(known.get(&TopicPartition::new("c", 0)), None);
    }

    #[test]
    fn the_least_of_two_is_taken_by_partition() {
        let least = offsets(&[("a", 0, 5), ("a", 1, 7)]).least(&offsets(&[("a", 0, 3), ("b", 0, 1)]));
        assert_eq!(least, offsets(&[("a", 0, 3), ("a", 1, 7), ("b", 0, 1)]));
        assert_eq!(TopicPartition::new("metrics", 3).to_string(), "metrics/3");
    }
}
