//! Finds ascending keys in a family: steps where they are dense, seeks where they are sparse.

use std::cmp::Ordering;

use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions};

use crate::db::{Db, FamilyHandle, Snapshot};
use crate::error::{Context, HotError};

/// Steps that cost as much as a seek does.
const STEPS_BEFORE_SEEK: usize = 8;
/// Steps that are tried behind a key that was further away …
const HASTY_STEPS: usize = 1;
/// … for so many keys, before one is looked for at leisure again.
const HASTY_KEYS: usize = 8;
/// Read ahead for scans that read a whole range.
const READAHEAD_BYTES: usize = 2 << 20;

/// A key and its value.
pub(crate) type Entry<'a> = (&'a [u8], &'a [u8]);

/// What a cursor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A query: blocks are worth keeping.
    Query,
    /// A pass over everything, once: read ahead, and leave the cache alone.
    Pass,
}

/// Where a cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// On the key that was found last: whatever is found next lies behind.
    Found,
    Somewhere,
}

/// A position in a family, moving forward.
pub(crate) struct Cursor<'v> {
    rows: DBRawIteratorWithThreadMode<'v, Db>,
    place: Place,
    /// Keys that will be looked for in haste, since the last ones were too far away to step to them.
    hasty: usize,
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("at", &self.rows.key()).finish_non_exhaustive()
    }
}

impl<'v> Cursor<'v> {
    /// A cursor over the keys that begin with `prefix`.
    pub(crate) fn over(snapshot: &'v Snapshot, family: &FamilyHandle<'_>, prefix: &[u8], access: Access) -> Self {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix);
        if let Some(end) = prefix_end(prefix) {
            options.set_iterate_upper_bound(end);
        }
        match access {
            Access::Query => {}
            Access::Pass => {
                options.fill_cache(false);
                options.set_readahead_size(READAHEAD_BYTES);
            }
        }
        Self { rows: snapshot.iterator(family, options), place: Place::Nowhere, hasty: 0 }
    }

    /// The value of `key`, if there is one. Each key must be greater than the last.
    pub(crate) fn find(&mut self, key: &[u8]) -> Result<Option<&[u8]>, HotError> {
        debug_assert!(self.place != Place::Found || self.rows.key() < Some(key), "keys rise");
        match self.place {
            Place::Nowhere => self.rows.seek(key),
            Place::Found => self.rows.next(),
            Place::Somewhere => {}
        }
        let steps_max = if self.hasty > 0 { HASTY_STEPS } else { STEPS_BEFORE_SEEK };
        let mut steps = 0;
        let order = loop {
            let order = self.rows.key().map(|at| at.cmp(key));
            if order != Some(Ordering::Less) {
                break order;
            }
            if steps == steps_max {
                self.rows.seek(key);
            } else {
                self.rows.next();
            }
            steps += 1;
        };
        let has_sought = steps > steps_max;
        self.hasty = if has_sought { self.hasty.checked_sub(1).unwrap_or(HASTY_KEYS) } else { 0 };
        if order.is_none() {
            self.rows.status().context("cannot read a family")?;
        }
        self.place = if order == Some(Ordering::Equal) { Place::Found } else { Place::Somewhere };
        Ok(if self.place == Place::Found { self.rows.value() } else { None })
    }

    /// The first key and value at or behind `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>, HotError> {
        self.rows.seek(key);
        self.place = Place::Somewhere;
        if !self.rows.valid() {
            self.rows.status().context("cannot read a family")?;
        }
        Ok(self.rows.item())
    }

    /// The next key and value, from the first on.
    pub(crate) fn advance(&mut self) -> Result<Option<Entry<'_>>, HotError> {
        if self.place == Place::Nowhere {
            self.rows.seek_to_first();
            self.place = Place::Somewhere;
        } else {
            self.rows.next();
        }
        if !self.rows.valid() {
            self.rows.status().context("cannot read a family")?;
        }
        Ok(self.rows.item())
    }
}

/// The first key behind all that begin with `prefix`; `None` when there is none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_carries() {
        assert_eq!(prefix_end(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(prefix_end(&[1, 255]), Some(vec![2]));
        assert_eq!(prefix_end(&[255, 255]), None);
        assert_eq!(prefix_end(&[]), None);
    }
}
