//! Strings of the index by number: each label name and value is kept once, however many series carry it.
//!
//! A symbol lives as long as somebody holds it (a label name by its postings, a label value by its posting) and its
//! number is never given out again: metric numbers stand in the keys of data.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use schemas::series_record::Symbol;

use super::paged::Paged;

#[derive(Debug)]
struct Entry {
    text: Arc<str>,
    /// Holders; an entry with none is only there between being made and being held.
    holders: u32,
}

#[derive(Debug, Default)]
pub(super) struct Symbols {
    entries: Paged<Entry>,
    by_text: HashTable<Symbol>,
    hasher: DefaultHashBuilder,
    next: u32,
    text_bytes: usize,
}

impl Symbols {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number that the next new text gets.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Never gives out a number below this.
    pub(super) fn reserve_below(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    pub(super) fn text(&self, symbol: Symbol) -> Option<&Arc<str>> {
        self.entries.get(symbol.0).map(|entry| &entry.text)
    }

    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        let entries = &self.entries;
        let same = |symbol: &Symbol| entries.get(symbol.0).is_some_and(|entry| &*entry.text == text);
        self.by_text.find(self.hasher.hash_one(text), same).copied()
    }

    /// The symbol of a text, made if there is none yet; numbers made are appended to `fresh`.
    pub(super) fn intern(&mut self, text: &str, fresh: &mut Vec<Symbol>) -> Symbol {
        if let Some(symbol) = self.find(text) {
            return symbol;
        }
        let symbol = Symbol(self.next);
        self.put(symbol, text);
        fresh.push(symbol);
        symbol
    }

    /// Puts a symbol as it was persisted. False: the number or the text is taken.
    pub(super) fn restore(&mut self, symbol: Symbol, text: &str) -> bool {
        let free = self.entries.get(symbol.0).is_none() && self.find(text).is_none();
        if free {
            self.put(symbol, text);
        }
        free
    }

    fn put(&mut self, symbol: Symbol, text: &str) {
        self.entries.insert(symbol.0, Entry { text: text.into(), holders: 0 });
        self.text_bytes += text.len();
        self.next = self.next.max(symbol.0.saturating_add(1));
        let Self { entries, by_text, hasher, .. } = self;
        by_text.insert_unique(hasher.hash_one(text), symbol, |other| {
            hasher.hash_one(&*entries.get(other.0).expect("the table lists live symbols").text)
        });
    }

    pub(super) fn hold(&mut self, symbol: Symbol) {
        if let Some(entry) = self.entries.get_mut(symbol.0) {
            entry.holders += 1;
        }
    }

    /// Gives up one hold; true when the symbol went with it.
    pub(super) fn release(&mut self, symbol: Symbol) -> bool {
        let Some(entry) = self.entries.get_mut(symbol.0) else { return false };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders > 0 {
            return false;
        }
        let hash = self.hasher.hash_one(&*entry.text);
        self.text_bytes -= entry.text.len();
        if let Ok(found) = self.by_text.find_entry(hash, |other| *other == symbol) {
            found.remove();
        }
        self.entries.remove(symbol.0);
        true
    }

    /// Symbols that nobody holds, as a load may leave them.
    pub(super) fn unheld(&self) -> Vec<Symbol> {
        let idle = |symbol: &&Symbol| self.entries.get(symbol.0).is_some_and(|entry| entry.holders == 0);
        self.by_text.iter().filter(idle).copied().collect()
    }

    /// Bytes held (allocator overhead of about a word a string included).
    pub(super) fn memory_bytes(&self) -> usize {
        let heap = 3 * size_of::<usize>();
        self.entries.memory_bytes() + self.by_text.allocation_size() + self.text_bytes + self.len() * heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_its_number_is_never_reused() {
        let (mut symbols, mut fresh) = (Symbols::default(), Vec::new());
        let a = symbols.intern("a", &mut fresh);
        assert_eq!(symbols.intern("a", &mut fresh), a);
        assert_eq!((symbols.len(), fresh.as_slice()), (1, &[a][..]));
        symbols.hold(a);
        symbols.hold(a);
        assert!(!symbols.release(a));
        assert!(symbols.release(a));
        assert_eq!((symbols.find("a"), symbols.text(a), symbols.len()), (None, None, 0));
        assert_ne!(symbols.intern("a", &mut fresh), a);
    }

    #[test]
    fn a_restored_symbol_must_be_free() {
        let mut symbols = Symbols::default();
        assert!(symbols.restore(Symbol(7), "a"));
        assert!(!symbols.restore(Symbol(7), "b"));
        assert!(!symbols.restore(Symbol(8), "a"));
        assert_eq!(symbols.next(), 8);
        assert_eq!(symbols.unheld(), vec![Symbol(7)]);
    }
}
