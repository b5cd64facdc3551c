//! The bins of one sign: sorted, only those in use.

/// A bin that holds at least one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bin {
    index: i32,
    count: u64,
}

/// Bins by rising index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bins(Vec<Bin>);

impl Bins {
    pub(super) fn with_capacity(bins: usize) -> Self {
        Self(Vec::with_capacity(bins))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|bin| bin.count).sum()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + ExactSizeIterator + '_ {
        self.0.iter().map(|bin| (bin.index, bin.count))
    }

    pub(super) fn add(&mut self, index: i32, count: u64) {
        match self.0.binary_search_by_key(&index, |bin| bin.index) {
            Ok(at) => self.0[at].count += count,
            Err(at) => self.0.insert(at, Bin { index, count }),
        }
    }

    /// Takes one from a bin; false if it is not in use.
    pub(super) fn remove(&mut self, index: i32) -> bool {
        let Ok(at) = self.0.binary_search_by_key(&index, |bin| bin.index) else { return false };
        self.0[at].count -= 1;
        if self.0[at].count == 0 {
            self.0.remove(at);
        }
        true
    }

    /// Adds to the last bin, or opens a new one behind it; `index` must not lie before the last.
    pub(super) fn push(&mut self, index: i32, count: u64) {
        match self.0.last_mut() {
            Some(last) if last.index == index => last.count += count,
            last => {
                debug_assert!(last.is_none_or(|last| last.index < index), "bins are pushed in order");
                self.0.push(Bin { index, count });
            }
        }
    }

    /// Halves the resolution `halvings` times: bins `2k` and `2k + 1` become bin `k`.
    pub(super) fn coarsen(&mut self, halvings: u32) {
        for bin in &mut self.0 {
            bin.index >>= halvings;
        }
        self.0.dedup_by(|next, kept| {
            let same = next.index == kept.index;
            if same {
                kept.count += next.count;
            }
            same
        });
    }

    /// Adds the bins of `other` after halving their resolution `halvings` times.
    pub(super) fn merge(&mut self, other: &Self, halvings: u32) {
        if other.0.is_empty() {
            return;
        }
        let mut merged = Self::with_capacity(self.len() + other.len());
        let mut ours = self.0.iter().peekable();
        let mut theirs = other.0.iter().map(|bin| Bin { index: bin.index >> halvings, ..*bin }).peekable();
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(our), Some(their)) if their.index < our.index => theirs.next(),
                (Some(_), _) => ours.next().copied(),
                (None, _) => theirs.next(),
            };
            match next {
                Some(bin) => merged.push(bin.index, bin.count),
                None => break,
            }
        }
        *self = merged;
    }
}
