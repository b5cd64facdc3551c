//! Archives one sealed hour: reads its base in table order, commits it to the four Delta tables, records it.
//!
//! local base (⊕ rows of the table, where others have some of the hour) ─▶ commit ─▶ recorded; overtaken ─▶ again
//!
//! An hour that only this incarnation has written is written from the local base alone: nothing is read back. Where the
//! assignment of partitions changed within the hour, or the disk is another one, the table's rows are united with ours.

use std::sync::Arc;

use cold::{Archive, ArchivedSeries, HourCommit, HourWriter};
use futures::FutureExt;
use hot::{SeriesInfo, Store, View};
use runtime::{CpuPool, invariant};
use schemas::tier_map::Owner;
use schemas::time::HourRange;
use schemas::{Epoch, Hour, Points, RetentionClass, SeriesAddress};

use crate::bases::Bases;
use crate::error::CompactorError;
use crate::order;
use crate::seal::in_table_order;

/// Series whose points are in memory at a time: at one point a second, 256 series × 3,600 points × 16 B = 15 MB.
const SERIES_AT_ONCE: usize = 256;

/// What archiving an hour came to.
#[derive(Debug)]
pub(crate) enum Archived {
    Committed(HourCommit),
    /// Every table already holds what the seal holds, or the hour's own seal commits it (rule 6).
    Unchanged,
    /// Another job holds the hour.
    Busy,
}

/// The parts that archiving works with.
#[derive(Debug, Clone)]
pub(crate) struct Archiver {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
}

impl Archiver {
    pub(crate) async fn archive(&self, hour: Hour, class: RetentionClass) -> Result<Archived, CompactorError> {
        let hours = HourRange { start: hour, end: hour.next() };
        let Some(guard) = self.store.lock_hours(hours) else { return Ok(Archived::Busy) };
        let view = self.store.view();
        let through = view.map().sealed_through(hour);
        let is_local = order::farthest_raw_owner(view.map(), class, hour) == Owner::Local;
        if through == Epoch::ZERO || !is_local || view.map().is_archived(class, hour) {
            return Ok(Archived::Unchanged);
        }
        let commit = self.commit(&view, hour, class, through).await?;
        runtime::crash_point("compactor.archive.committed");
        let (store, versions) = (Arc::clone(&self.store), commit.versions);
        self.pool.run(move || store.record_archived(hour, class, through, versions, &guard)).await?;
        runtime::crash_point("compactor.archive.recorded");
        Ok(if commit.unchanged { Archived::Unchanged } else { Archived::Committed(commit) })
    }

    async fn commit(
        &self,
        view: &Arc<View>,
        hour: Hour,
        class: RetentionClass,
        through: Epoch,
    ) -> Result<HourCommit, CompactorError> {
        let mut bases = Bases::of(&self.archive, hour, class);
        loop {
            let base = bases.next().await?;
            let offsets = self.store.kafka_offsets_through(through);
            let writer = self.archive.hour_writer(hour, class, through).with_offsets(offsets);
            let (writer, feed) =
                if base.is_shared() { writer.over(&base).await? } else { (writer, futures::future::ready(()).boxed()) };
            let (store, view) = (Arc::clone(&self.store), Arc::clone(view));
            let writing = self.pool.run(move || -> Result<HourWriter, CompactorError> {
                let mut writer = writer;
                write_hour(&store, &view, hour, class, &mut writer)?;
                writer.finish_columns()?;
                Ok(writer)
            });
            let (writer, ()) = futures::join!(writing, feed);
            match writer?.commit().await {
                Err(error) if bases.begins_anew(&error) => {}
                committed => return Ok(committed?),
            }
        }
    }
}

/// Pushes all base series of the hour, in the order of the Delta tables.
fn write_hour(
    store: &Store,
    view: &View,
    hour: Hour,
    class: RetentionClass,
    writer: &mut HourWriter,
) -> Result<(), CompactorError> {
    let of_class: Vec<SeriesAddress> =
        view.base_addresses(hour)?.into_iter().filter(|address| address.class == class).collect();
    let series = in_table_order(store, hour, &of_class)?;
    for group in series.chunks(SERIES_AT_ONCE) {
        let mut points = read_points(view, hour, group)?;
        for (info, points) in group.iter().zip(points.drain(..)) {
            invariant!("ROLL-1", points.is_sorted_unique(), "hour {hour}: series {} is not settled", info.labels);
            writer.push(&ArchivedSeries { series_id: info.series_id, labels: &info.labels }, &points)?;
        }
    }
    Ok(())
}

/// The base points of `group`, in its order.
fn read_points(view: &View, hour: Hour, group: &[SeriesInfo]) -> Result<Vec<Points>, CompactorError> {
    let mut order: Vec<usize> = (0..group.len()).collect();
    order.sort_by_key(|&i| group[i].address);
    let addresses: Vec<SeriesAddress> = order.iter().map(|&i| group[i].address).collect();
    let mut points = vec![Points::default(); group.len()];
    view.scan_points(hour, &addresses, &mut |at, found| points[order[at]] = found.clone())?;
    Ok(points)
}
