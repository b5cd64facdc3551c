//! Label sets made one after the other, from pairs or from parts of other sets.

use super::{Labels, RawIter, RawLabel, split_label, write_label};

/// Builds label sets in memory that it keeps in between. Labels come in canonical order: sorted by name, unique, none empty.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    bytes: Vec<u8>,
}

impl LabelsBuilder {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Begins a new set.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds a label behind those so far.
    pub fn push(&mut self, name: &str, value: &str) {
        write_label(&mut self.bytes, name.as_bytes(), value.as_bytes());
    }

    /// Adds a label of another set behind those so far.
    pub fn copy(&mut self, label: RawLabel<'_>) {
        self.bytes.extend_from_slice(label.canonical);
    }

    /// The canonical bytes of the set so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The set so far, which stays.
    pub fn build(&self) -> Labels {
        debug_assert!(self.is_canonical(), "labels are sorted and unique");
        Labels(self.bytes.as_slice().into())
    }

    /// The labels of a set whose names pass.
    pub fn filtered(&mut self, labels: &Labels, keep: impl Fn(&[u8]) -> bool) -> Labels {
        self.clear();
        labels.raw().filter(|label| keep(label.name)).for_each(|label| self.copy(label));
        if self.bytes.len() == labels.as_bytes().len() { labels.clone() } else { self.build() }
    }

    /// A set with one label more, or another value of it; an empty value takes it away.
    pub fn with(&mut self, labels: &Labels, name: &str, value: &str) -> Labels {
        let all = labels.as_bytes();
        let mut rest = all;
        while let Some((_, behind)) = split_label(rest).filter(|(label, _)| label.name < name.as_bytes()) {
            rest = behind;
        }
        let before = &all[..all.len() - rest.len()];
        let replaced = split_label(rest).filter(|(label, _)| label.name == name.as_bytes());
        let (old_value, behind) = replaced.map_or((&[][..], rest), |(label, behind)| (label.value, behind));
        if old_value == value.as_bytes() {
            return labels.clone();
        }
        self.clear();
        self.bytes.extend_from_slice(before);
        if !value.is_empty() {
            self.push(name, value);
        }
        self.bytes.extend_from_slice(behind);
        self.build()
    }

    fn is_canonical(&self) -> bool {
        RawIter { rest: &self.bytes }.map(|label| label.name).is_sorted_by(|a, b| a < b)
    }
}

impl<'a> Extend<(&'a str, &'a str)> for LabelsBuilder {
    fn extend<T: IntoIterator<Item = (&'a str, &'a str)>>(&mut self, pairs: T) {
        pairs.into_iter().for_each(|(name, value)| self.push(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_sorted(pairs.iter().copied())
    }

    #[test]
    fn a_label_is_put_replaced_and_taken_away_in_its_place() {
        let (mut builder, long) = (LabelsBuilder::default(), "v".repeat(300));
        let before = labels(&[("b", "1"), ("d", &long)]);
        for (name, value, after) in [
            ("a", "x", labels(&[("a", "x"), ("b", "1"), ("d", &long)])),
            ("c", "x", labels(&[("b", "1"), ("c", "x"), ("d", &long)])),
            ("e", "x", labels(&[("b", "1"), ("d", &long), ("e", "x")])),
            ("b", "x", labels(&[("b", "x"), ("d", &long)])),
            ("d", "x", labels(&[("b", "1"), ("d", "x")])),
            ("b", "", labels(&[("d", &long)])),
            ("d", "", labels(&[("b", "1")])),
            ("c", "", before.clone()),
            ("b", "1", before.clone()),
        ] {
            assert_eq!(builder.with(&before, name, value), after, "{name}={value}");
        }
        assert_eq!(builder.with(&Labels::default(), "a", "x"), labels(&[("a", "x")]));
    }

    #[test]
    fn what_passes_is_kept_in_order() {
        let mut builder = LabelsBuilder::default();
        let before = labels(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(builder.filtered(&before, |name| name != b"b"), labels(&[("a", "1"), ("c", "3")]));
        assert_eq!(builder.filtered(&before, |_| true), before);
        assert_eq!(builder.filtered(&before, |_| false), Labels::default());
    }

    #[test]
    fn sets_that_did_not_change_are_shared() {
        let mut builder = LabelsBuilder::default();
        let before = labels(&[("a", "1"), ("b", "2")]);
        for same in
            [builder.filtered(&before, |_| true), builder.with(&before, "b", "2"), builder.with(&before, "c", "")]
        {
            assert_eq!(same.as_bytes().as_ptr(), before.as_bytes().as_ptr());
        }
    }
}
