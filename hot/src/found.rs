//! A store that begins where an archive ends: for a node that lost its disk.
//!
//! series and last hour of the archive ─▶ a store in a directory beside ─▶ series, their days, thresholds, offsets ─▶ synced ─▶
//! the caller is told the incarnation ─▶ renamed into place
//!
//! The new store owns nothing that is archived: every hour up to the last one is Delta's (MAP-1), and what arrives for one of them
//! overlays it like any late point. The directory appears whole or not at all; what a crash left beside it goes at the
//! next try. Not here: what the archive has, and from where Kafka is read again (`cold`, `ingest`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::WriteBatch;
use runtime::{Clock, crash_point};
use schemas::meta::MetaRecord;
use schemas::tier_map::{DeltaVersions, Form, Thresholds};
use schemas::{Day, Epoch, Hour, Labels, Offsets, PointBatch, Resolution, RetentionClass, Sid};

use crate::config::{SeriesLimits, StoreConfig};
use crate::error::{BoxError, Context, HotError};
use crate::index::Resolved;
use crate::offsets::SourceOffsets;
use crate::store::{Core, Store};

/// Series that are created at once.
const SERIES_AT_ONCE: usize = 16 << 10;

/// What a store begins with.
#[derive(Debug, Clone, Default)]
pub struct Founding {
    /// The first hour that the store owns: the one behind the last that is archived.
    pub first_hour: Hour,
    /// What of the archive the tier map speaks of.
    pub versions: DeltaVersions,
    pub series: Vec<FoundSeries>,
    /// From where Kafka is read again: kept like the offsets of points that are in.
    pub start: Offsets,
}

/// A series of the archive.
#[derive(Debug, Clone)]
pub struct FoundSeries {
    pub labels: Labels,
    /// Days between which the archive may have data of it, inclusive.
    pub first: Day,
    pub last: Day,
}

impl Store {
    /// Founds a store in a directory that does not exist, or is empty. `told` is called with its incarnation when all of it is
    /// on the disk and before the directory appears: if that fails, it does not. Open the store as usual afterwards.
    pub fn found_on_archive(
        config: &StoreConfig,
        clock: Arc<dyn Clock>,
        founding: &Founding,
        told: &mut dyn FnMut(&str) -> Result<(), BoxError>,
    ) -> Result<(), HotError> {
        check_free(&config.dir)?;
        let beside = beside(&config.dir);
        if beside.exists() {
            std::fs::remove_dir_all(&beside).context("cannot remove what an earlier try to found a store left")?;
        }
        // What the archive has was taken in once: no bound on what is new holds for it.
        let limits = SeriesLimits { new_per_second: u32::MAX, new_per_day: u64::MAX, series_per_metric: u64::MAX };
        let founded = StoreConfig { dir: beside.clone(), limits, background_flush: false, ..config.clone() };
        let store = Self::open(founded, clock)?;
        store.core().found(founding)?;
        let incarnation = store.incarnation().to_owned();
        store.close()?;
        drop(store);
        crash_point("hot.found.written");
        told(&incarnation).map_err(|source| HotError::Caller { source })?;
        crash_point("hot.found.told");
        put_in_place(&beside, &config.dir)?;
        tracing::info!(
            dir = %config.dir.display(),
            incarnation,
            series = founding.series.len(),
            first_hour = %founding.first_hour,
            "founded a hot store on the archive"
        );
        Ok(())
    }
}

impl Core {
    fn found(&self, founding: &Founding) -> Result<(), HotError> {
        self.found_series(founding)?;
        let start = SourceOffsets { next: founding.start.clone(), archived: true };
        self.publication().record(self.engine(), "cannot found a store on the archive", |_, change| {
            let thresholds = Thresholds { hot_lo: founding.first_hour, cold_lo: Hour(0) };
            for form in Form::ALL {
                for resolution in Resolution::ALL {
                    change.put(MetaRecord::Thresholds(RetentionClass::DEFAULT, form, resolution, thresholds));
                }
            }
            change.put(MetaRecord::Delta(founding.versions));
            start.put(Epoch::ZERO, &self.engine().meta(), change.batch());
            let _cannot_be_tried_again = self.index().persist_active(change.batch());
            Ok(())
        })?;
        self.offsets().learn_all(Epoch::ZERO, &start);
        self.engine().flush_small_families()
    }

    /// Creates series, oldest first, and marks their days.
    fn found_series(&self, founding: &Founding) -> Result<(), HotError> {
        let mut order: Vec<&FoundSeries> = founding.series.iter().collect();
        order.sort_by_key(|series| (series.first, series.last));
        for same_first in order.chunk_by(|a, b| a.first == b.first) {
            for some in same_first.chunks(SERIES_AT_ONCE) {
                let mut batch = PointBatch::new();
                for series in some {
                    batch.add_canonical(series.labels.as_bytes());
                }
                let mut resolved = Resolved::default();
                let created_ms = some[0].first.hours().start.start().0;
                let created = self.index().resolve(&batch, created_ms, &mut resolved);
                created.expect("a store that is founded has no bound on what is new");
                for (index, reason) in &resolved.rejected {
                    let series = &some[*index as usize].labels;
                    tracing::warn!(%series, %reason, "a series of the archive is left out of the index");
                }
                self.mark_days(some, &resolved, founding.first_hour.day());
                let mut write = WriteBatch::default();
                let _cannot_be_tried_again = self.index().drain_unpersisted(&mut write);
                self.engine().write_synced(write, "cannot write the series of the archive")?;
            }
        }
        Ok(())
    }

    /// Up to the day on which the archive ends, whatever a row says.
    fn mark_days(&self, series: &[&FoundSeries], resolved: &Resolved, end: Day) {
        let sids: Vec<Option<Sid>> = resolved.addresses.iter().map(|found| found.map(|address| address.sid)).collect();
        let mut at = 0;
        for alike in series.chunk_by(|a, b| a.last == b.last) {
            let sids = &sids[at..at + alike.len()];
            at += alike.len();
            for day in alike[0].first.0..=alike[0].last.min(end).0 {
                self.index().mark_active(Day(day), sids.iter().copied().flatten());
            }
        }
    }
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".founding");
    dir.with_file_name(name)
}

/// A store is founded where there is none.
fn check_free(dir: &Path) -> Result<(), HotError> {
    let is_free = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(source) => return Err(HotError::Io { context: "cannot look into the directory of the new store", source }),
    };
    if is_free {
        return Ok(());
    }
    let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, format!("{} has a store", dir.display()));
    Err(HotError::Io { context: "a store is founded on an archive only where there is none", source })
}

fn put_in_place(from: &Path, to: &Path) -> Result<(), HotError> {
    // An empty directory may be there.
    std::fs::rename(from, to).context("cannot put the founded store in its place")?;
    let Some(parent) = to.parent() else { return Ok(()) };
    let synced = std::fs::File::open(parent).and_then(|parent| parent.sync_all());
    synced.context("cannot sync the directory of the founded store")
}
