//! Which series match: matchers ─▶ sets of series ─▶ those that every matcher leaves.
//!
//! With Prometheus' meaning of absent labels: a matcher that an empty value satisfies takes away the series whose
//! value fails it; any other keeps the series whose value satisfies it.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;

use roaring::RoaringBitmap;
use schemas::series_record::Symbol;
use schemas::{LabelMatcher, MatchOp};

use super::catalog::{Catalog, LabelValues};
use super::posting::Posting;

/// The series that satisfy all matchers; all series when there is none.
pub(super) fn matching<'c>(catalog: &'c Catalog, matchers: &[LabelMatcher]) -> Cow<'c, RoaringBitmap> {
    let (takers, keepers): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.matches_absent());
    let mut kept: Vec<Kept<'c>> = Vec::with_capacity(keepers.len());
    for matcher in keepers {
        match kept_by(catalog, matcher) {
            Some(set) => kept.push(set),
            None => return Cow::Owned(RoaringBitmap::new()),
        }
    }
    kept.sort_by_key(Kept::len);
    let mut kept = kept.into_iter();
    let mut set = match kept.next() {
        Some(first) => Cow::Owned(first.into_bitmap()),
        None => Cow::Borrowed(catalog.live()),
    };
    for other in kept {
        if set.is_empty() {
            return set;
        }
        other.keep_in(set.to_mut());
    }
    for matcher in takers {
        if let Some(values) = catalog.label(matcher.name()) {
            take_away(catalog, values, matcher, &mut set);
        }
    }
    set
}

/// Series that one matcher keeps.
enum Kept<'c> {
    Posting(&'c Posting),
    Label(&'c RoaringBitmap),
    Union(RoaringBitmap),
}

impl Kept<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Posting(posting) => posting.len(),
            Self::Label(set) => set.len(),
            Self::Union(set) => set.len(),
        }
    }

    fn into_bitmap(self) -> RoaringBitmap {
        match self {
            Self::Posting(posting) => posting.to_bitmap(),
            Self::Label(set) => set.clone(),
            Self::Union(set) => set,
        }
    }

    fn keep_in(self, set: &mut RoaringBitmap) {
        match self {
            Self::Posting(posting) => posting.keep_in(set),
            Self::Label(other) => *set &= other,
            Self::Union(other) => *set &= other,
        }
    }
}

/// The series that a matcher keeps; `None` when there are none.
fn kept_by<'c>(catalog: &'c Catalog, matcher: &LabelMatcher) -> Option<Kept<'c>> {
    let values = catalog.label(matcher.name())?;
    if takes_any_value(matcher) {
        return Some(Kept::Label(&values.series));
    }
    if let Some(literals) = matcher.literals() {
        let posting = |text: &&str| values.by_value.get(&catalog.symbols.find(text)?);
        let mut found = literals.iter().filter_map(posting);
        let first = found.next()?;
        let Some(second) = found.next() else { return Some(Kept::Posting(first)) };
        let mut union = first.to_bitmap();
        std::iter::once(second).chain(found).for_each(|posting| posting.add_to(&mut union));
        return Some(Kept::Union(union));
    }
    let mut union = RoaringBitmap::new();
    for (text, symbol) in with_prefix(values, literal_prefix(matcher)) {
        if matcher.matches(text) {
            values.by_value.get(symbol)?.add_to(&mut union);
        }
    }
    (!union.is_empty()).then_some(Kept::Union(union))
}

/// Takes the series away whose value fails a matcher that an absent label satisfies.
fn take_away(catalog: &Catalog, values: &LabelValues, matcher: &LabelMatcher, set: &mut Cow<'_, RoaringBitmap>) {
    if takes_any_value(matcher) {
        return;
    }
    if takes_no_value(matcher) {
        *set.to_mut() -= &values.series;
        return;
    }
    if matcher.op() == MatchOp::NotEqual {
        if let Some(posting) = catalog.symbols.find(matcher.value()).and_then(|value| values.by_value.get(&value)) {
            posting.take_from(set.to_mut());
        }
        return;
    }
    for (text, symbol) in &values.sorted {
        if let (false, Some(posting)) = (matcher.matches(text), values.by_value.get(symbol)) {
            posting.take_from(set.to_mut());
        }
    }
}

/// Whether every value that is not empty satisfies the matcher.
fn takes_any_value(matcher: &LabelMatcher) -> bool {
    match matcher.op() {
        MatchOp::Regex => matches!(matcher.value(), ".*" | ".+"),
        MatchOp::NotEqual | MatchOp::NotRegex => matcher.value().is_empty(),
        MatchOp::Equal => false,
    }
}

/// Whether no value that is not empty satisfies the matcher.
fn takes_no_value(matcher: &LabelMatcher) -> bool {
    match matcher.op() {
        MatchOp::Equal | MatchOp::Regex => matcher.value().is_empty(),
        MatchOp::NotRegex => matches!(matcher.value(), ".*" | ".+"),
        MatchOp::NotEqual => false,
    }
}

/// The text that every value satisfying a pattern begins with; empty when there is no telling.
fn literal_prefix(matcher: &LabelMatcher) -> &str {
    let pattern = matcher.value();
    if matcher.op() != MatchOp::Regex || pattern.contains('|') {
        return "";
    }
    let special = |c: char| r"\.+*?()[]{}^$".contains(c);
    let end = pattern.find(special).unwrap_or(pattern.len());
    let prefix = &pattern[..end];
    // A quantifier belongs to the last character only, and may take it away.
    match pattern[end..].chars().next() {
        Some('*' | '?' | '{') => {
            let last = prefix.char_indices().next_back().map_or(0, |(at, _)| at);
            &prefix[..last]
        }
        _ => prefix,
    }
}

/// Values that begin with `prefix`, in order.
fn with_prefix<'c>(values: &'c LabelValues, prefix: &str) -> impl Iterator<Item = (&'c Arc<str>, &'c Symbol)> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    values.sorted.range::<str, _>(from).take_while(move |(text, _)| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_prefix_of_a_pattern_holds_for_every_match() {
        let prefix = |pattern: &str| {
            literal_prefix(&LabelMatcher::new("l", MatchOp::Regex, pattern).expect("compiles")).to_owned()
        };
        assert_eq!(prefix("api-.*"), "api-");
        assert_eq!(prefix("ab*c"), "a");
        assert_eq!(prefix("aé?c"), "a");
        assert_eq!(prefix("ab{0}c"), "a");
        assert_eq!(prefix("ab+c"), "ab");
        assert_eq!(prefix("a|b.*"), "");
        assert_eq!(prefix("(?i)abc"), "");
        assert_eq!(prefix(r"a\.b"), "a");
        assert_eq!(prefix("plain"), "plain");
    }
}
