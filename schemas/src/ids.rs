//! Identifiers. Each is its own type, so that none can stand in for another.

use std::fmt;

/// A series inside one node: dense, never reused. Its labels are in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(pub u32);

/// A metric name inside one node: the symbol of the name in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub u32);

/// xxh3-128 of a series' canonical label bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesHash(pub u128);

impl SeriesHash {
    /// The series' name outside this node.
    pub fn series_id(self) -> SeriesId {
        let top = u64::try_from(self.0 >> 65).expect("63 bits fit");
        SeriesId(i64::try_from(top).expect("63 bits are not negative"))
    }
}

/// A series in Delta and in answers: the top 63 bits of its hash, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub i64);

/// One life of the log (EPOCH-1): never reused, and later epochs hold later arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Before the first epoch: nothing is through it.
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("an epoch a second lasts 136 years"))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which retention rule a series follows. Policies map matchers to classes; `DEFAULT` has the global durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RetentionClass(pub u8);

impl RetentionClass {
    pub const DEFAULT: Self = Self(0);

    /// The name in partitions and answers.
    pub fn name(self) -> String {
        if self == Self::DEFAULT { "default".to_owned() } else { format!("class{}", self.0) }
    }
}

/// Where a series' data lies inside a node: the order of every key of sealed data, runs and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesAddress {
    pub class: RetentionClass,
    pub metric: MetricId,
    pub sid: Sid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_id_is_the_top_63_bits() {
        assert_eq!(SeriesHash(u128::MAX).series_id(), SeriesId(i64::MAX));
        assert_eq!(SeriesHash(1 << 65).series_id(), SeriesId(1));
        assert_eq!(SeriesHash((1 << 65) - 1).series_id(), SeriesId(0));
    }
}
