//! How far the archive has everything: what a node that lost its disk need not read from Kafka again.
//!
//! runs and head (epochs, hours) + what is sealed and archived ─[`archived_epoch`]─▶ epoch ─▶ offsets through it ─▶ position
//! (POS-1)
//!
//! An epoch counts if every hour that it has points of is in every table through it or a later one; all before it count
//! too. What is in no run any more is in a sealed base: where that is not archived, only what the archive had of the hour
//! before is certain. Positions only advance (`cold`), so an answer that is too small costs reading, and never a point.

use hot::EpochHours;
use runtime::Causes;
use schemas::tier_map::ColdTable;
use schemas::{Epoch, Hour, RetentionClass, TierMap};

use crate::archive::Archiver;

impl Archiver {
    /// Tells the archive from where Kafka would have to be read again without this disk. Where it cannot be told, an older
    /// position stands, and the next round tells it.
    pub(crate) async fn tell_position(&self, class: RetentionClass) {
        let view = self.store.view();
        let through = archived_epoch(view.map(), class, &view.epochs(), view.checkpoint());
        drop(view);
        let offsets = self.store.kafka_offsets_through(through);
        if offsets.is_empty() {
            return;
        }
        match self.archive.record_position(&offsets).await {
            Ok(is_new) => tracing::debug!(through = through.0, is_new, "position told"),
            Err(error) => {
                let error = Causes(&error);
                tracing::warn!(%error, "the archive could not be told a position; the next archive round tries again");
            }
        }
    }
}

/// The last epoch such that the archive has every point that came in it or before. `epochs`: the runs and the head, of one
/// view with the map; `checkpoint`: everything up to it is in runs. Pure.
pub(crate) fn archived_epoch(map: &TierMap, class: RetentionClass, epochs: &[EpochHours], checkpoint: Epoch) -> Epoch {
    let archived = |hour: Hour| {
        let of_tables = ColdTable::DATA.into_iter().map(|table| map.archived_through(table, class, hour));
        of_tables.min().unwrap_or_default()
    };
    let waiting = epochs.iter().filter(|held| held.hours.iter().any(|&hour| archived(hour) < held.epoch));
    let before_waiting = waiting.map(|held| Epoch(held.oldest.0.saturating_sub(1)));
    let sealed = map.sealed_through.iter().map(|(&hour, &through)| (archived(hour), through));
    let of_sealed = sealed.filter(|(archived, through)| archived < through).map(|(archived, _)| archived);
    before_waiting.chain(of_sealed).min().unwrap_or(checkpoint).min(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: RetentionClass = RetentionClass::DEFAULT;

    fn map(sealed: &[(u32, u32)], archived: &[(u32, u32)]) -> TierMap {
        let mut map = TierMap::default();
        map.sealed_through = sealed.iter().map(|&(hour, through)| (Hour(hour), Epoch(through))).collect();
        let archived = archived.iter().map(|&(hour, through)| (Hour(hour), Epoch(through)));
        for table in ColdTable::DATA {
            map.archived_through.insert((table, CLASS), archived.clone().collect());
        }
        map
    }

    fn held(oldest: u32, epoch: u32, hours: &[u32]) -> EpochHours {
        EpochHours { oldest: Epoch(oldest), epoch: Epoch(epoch), hours: hours.iter().map(|&hour| Hour(hour)).collect() }
    }

    fn epoch(map: &TierMap, epochs: &[EpochHours], checkpoint: u32) -> u32 {
        archived_epoch(map, CLASS, epochs, Epoch(checkpoint)).0
    }

    #[test]
    fn nothing_outstanding_means_all_that_is_in_runs() {
        assert_eq!(epoch(&map(&[(5, 9)], &[(5, 9)]), &[], 9), 9);
        assert_eq!(epoch(&map(&[], &[]), &[held(10, 10, &[5])], 9), 9, "the head is newer than any run");
    }

    #[test]
    fn the_first_run_with_an_hour_that_is_not_archived_ends_it() {
        let map = map(&[(5, 7)], &[(5, 7)]);
        let epochs = [held(6, 6, &[5]), held(7, 7, &[5, 6]), held(8, 8, &[6]), held(9, 9, &[])];
        assert_eq!(epoch(&map, &epochs, 8), 6);
        assert_eq!(epoch(&map, &epochs[..1], 6), 6, "it holds only hours that are through it");
    }

    #[test]
    fn a_merged_run_counts_from_its_oldest_epoch_on() {
        let map = map(&[(5, 2)], &[(5, 2)]);
        assert_eq!(epoch(&map, &[held(3, 8, &[5])], 8), 2);
    }

    #[test]
    fn what_only_a_sealed_base_holds_is_not_archived() {
        assert_eq!(epoch(&map(&[(4, 9), (5, 9)], &[(4, 9), (5, 6)]), &[], 9), 6);
        assert_eq!(epoch(&map(&[(4, 9), (5, 9)], &[(4, 9)]), &[], 9), 0, "nobody can tell when its first point came");
    }

    #[test]
    fn a_table_that_lacks_an_hour_counts_for_all() {
        let mut map = map(&[(5, 9)], &[(5, 9)]);
        map.archived_through.remove(&(ColdTable::Rollup1h, CLASS));
        assert_eq!(epoch(&map, &[], 9), 0);
    }
}
