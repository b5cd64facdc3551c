//! Removal of series whose last active day has left every tier: retention frees the index.
//!
//! drop the days ─▶ begin an era ─▶ who is inactive and held by no head or run ─▶ table, slot, postings, symbols
//!
//! The era comes first: whoever resolved the series before it is either still pinned, which its stamp shows, or has
//! applied its points, which activity and `in_use` show.

use std::sync::atomic::Ordering;

use rocksdb::WriteBatch;
use schemas::series_record::{SeriesKey, Symbol};
use schemas::{Day, MetricId, Sid};

use super::Index;
use super::series_table::shard_of;

/// Series removed under one hold of the locks.
const REMOVE_AT_ONCE: usize = 256;

impl Index {
    /// Forgets the activity before `first_kept_day`, and every series that has none from then on and that `in_use`
    /// does not claim. Deletions of activity go into `write`; those of series records into the next commit, since a
    /// series that comes back is written there. Returns the number of series removed.
    pub(crate) fn forget_inactive(
        &self,
        first_kept_day: Day,
        in_use: &dyn Fn(Sid) -> bool,
        write: &mut WriteBatch,
    ) -> u64 {
        self.activity.drop_before(first_kept_day);
        self.delete_activity_before(first_kept_day, write);
        let oldest_pinned = self.eras.advance();
        let active = self.activity.since(first_kept_day);
        let idle = self.catalog.read().live() - &active;
        let candidates: Vec<Sid> = idle.iter().map(Sid).filter(|sid| !in_use(*sid)).collect();

        let removed = candidates.chunks(REMOVE_AT_ONCE).map(|some| self.remove(some, oldest_pinned)).sum();
        if removed > 0 {
            self.activity.free_pages(self.catalog.read().live());
            self.generation.fetch_add(1, Ordering::Release);
        }
        removed
    }

    fn remove(&self, sids: &[Sid], oldest_pinned: u32) -> u64 {
        // Nobody creates meanwhile: a batch that misses a removed series waits, and gives it a new number.
        let _creation = self.creation.lock();
        let going: Vec<Sid> = {
            let catalog = self.catalog.read();
            let unpinned = |sid: &Sid| {
                let Some(hash) = catalog.slot(*sid).map(super::catalog::Slot::hash) else { return false };
                self.table.write(shard_of(hash.series_id())).remove_older(hash, oldest_pinned)
            };
            sids.iter().copied().filter(unpinned).collect()
        };
        let mut catalog = self.catalog.write();
        let mut pending = self.pending.lock();
        let mut gone: Vec<Symbol> = Vec::new();
        for &sid in &going {
            if let Some(slot) = catalog.remove(sid, &mut gone) {
                pending.removed.extend([SeriesKey::Identity(slot.hash()), SeriesKey::Labels(sid)]);
            }
        }
        for symbol in gone {
            pending.removed.push(SeriesKey::Symbol(symbol));
            let metric = MetricId(symbol.0);
            if catalog.drop_metadata(metric) {
                pending.removed.push(SeriesKey::Metadata(metric));
            }
        }
        going.len() as u64
    }
}
