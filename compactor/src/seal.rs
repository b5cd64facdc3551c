//! Seals one hour, whoever owns its raw points.
//!
//! All local: base ⊕ runs ─▶ SSTs ─▶ sealed_through.
//! Some of it Delta's (an old hour): table rows ⊕ local base ⊕ runs ─▶ Delta commit ─▶ warm rollups ─▶ both throughs at once
//! (rule 6).
//!
//! A commit replaces all rows that the table has of the hour, by the same rows with ours laid over them: series that nothing
//! newer touches pass from the table into the table, and so do those that only other nodes know. Raw chunks of one form leave
//! RocksDB before those of the other, so an hour may be half local and half Delta's.

use std::collections::BTreeMap;
use std::sync::Arc;

use cold::{Archive, ArchivedSeries, HourBase, HourWriter, ReadCounters};
use futures::TryStreamExt;
use hot::{BoxError, HourSeal, SealStats, SeriesInfo, Store};
use runtime::CpuPool;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::tier_map::Owner;
use schemas::{Hour, Points, RetentionClass, SeriesAddress};

use crate::bases::Bases;
use crate::error::CompactorError;
use crate::order;

/// What sealing an hour came to.
#[derive(Debug)]
pub(crate) enum Sealed {
    Done(SealStats),
    /// Nothing newer than its base, or another job holds the hour, or its raw points are kept nowhere any more.
    NothingToDo,
}

/// The parts that a seal works with.
#[derive(Debug, Clone)]
pub(crate) struct Sealer {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
}

/// The settled points of an hour by series, packed as chunks: memory holds one or two bytes a point instead of
/// sixteen.
#[derive(Debug, Default)]
struct PackedHour {
    chunks: BTreeMap<SeriesAddress, Vec<u8>>,
    encoder: ChunkEncoder,
    decoder: ChunkDecoder,
}

impl PackedHour {
    fn put(&mut self, address: SeriesAddress, points: &Points) {
        if points.is_empty() {
            return;
        }
        let mut chunk = Vec::new();
        self.encoder.encode_points(points, 0..points.len(), &mut chunk);
        self.chunks.insert(address, chunk);
    }

    /// The points of a series; none of a series that is not here.
    fn get(&mut self, address: SeriesAddress) -> Result<Points, BoxError> {
        let mut points = Points::default();
        if let Some(chunk) = self.chunks.get(&address) {
            self.decoder.decode(chunk, &mut points)?;
        }
        Ok(points)
    }
}

impl Sealer {
    pub(crate) async fn seal(&self, hour: Hour) -> Result<Sealed, CompactorError> {
        let store = Arc::clone(&self.store);
        let Some(seal) = self.pool.run(move || store.begin_seal(hour)).await? else {
            return Ok(Sealed::NothingToDo);
        };
        match order::farthest_raw_owner(seal.view().map(), RetentionClass::DEFAULT, hour) {
            Owner::Local => Ok(Sealed::Done(self.pool.run(move || seal_local(seal)).await?)),
            Owner::Cold => self.seal_archived(seal).await.map(Sealed::Done),
            Owner::Expired => Ok(Sealed::NothingToDo),
        }
    }

    /// An hour some of whose raw points Delta owns. Memory holds the hour's points packed, twice: such hours are old,
    /// and only late data brings them here.
    async fn seal_archived(&self, mut seal: HourSeal) -> Result<SealStats, CompactorError> {
        let (hour, through, class) = (seal.hour(), seal.through(), RetentionClass::DEFAULT);
        let mut bases = Bases::of(&self.archive, hour, class);
        let commit = loop {
            let base = bases.next().await?;
            let mut held = self.read_base(&base).await?;
            let merging = self.pool.run(move || write_with_base(&mut seal, &mut held).map(|merged| (seal, merged)));
            let (back, merged) = merging.await?;
            seal = back;
            let offsets = self.store.kafka_offsets_through(through);
            let writer = self.archive.hour_writer(hour, class, through).with_offsets(offsets);
            let (writer, feed) = writer.over(&base).await?;
            let store = Arc::clone(&self.store);
            let (writer, ()) = futures::join!(self.pool.run(move || push_all(&store, hour, merged, writer)), feed);
            match writer?.commit().await {
                Err(error) if bases.begins_anew(&error) => {}
                committed => break committed?,
            }
        };
        Ok(self.pool.run(move || seal.finish(Some((class, commit.versions)))).await?)
    }

    /// The rows that Delta holds of the hour, of series that this node knows.
    async fn read_base(&self, base: &HourBase) -> Result<PackedHour, CompactorError> {
        let mut held = PackedHour::default();
        let mut rows = self.archive.scan_hour(base, &ReadCounters::default()).await?;
        while let Some((series_id, points)) = rows.try_next().await? {
            if let Some(info) = self.store.index().by_series_id(series_id) {
                held.put(info.address, &points);
            }
        }
        Ok(held)
    }
}

fn seal_local(mut seal: HourSeal) -> Result<SealStats, CompactorError> {
    seal.write(None, &[], None)?;
    Ok(seal.finish(None)?)
}

/// Writes the local part of an old hour, and returns for the archive the merged points of every series that newer runs touch
/// or that has a local base.
fn write_with_base(seal: &mut HourSeal, held: &mut PackedHour) -> Result<PackedHour, CompactorError> {
    let mut merged = PackedHour::default();
    let mut given = |address: SeriesAddress| held.get(address);
    let mut keep = |address: SeriesAddress, points: &Points| {
        merged.put(address, points);
        Ok(())
    };
    seal.write(Some(&mut given), &[], Some(&mut keep))?;
    Ok(merged)
}

/// Gives merged points to the archive, in the order of the Delta tables.
fn push_all(
    store: &Store,
    hour: Hour,
    mut merged: PackedHour,
    mut writer: HourWriter,
) -> Result<HourWriter, CompactorError> {
    let addresses: Vec<SeriesAddress> = merged.chunks.keys().copied().collect();
    for info in in_table_order(store, hour, &addresses)? {
        let points = merged.get(info.address).map_err(|source| CompactorError::Repack { hour, source })?;
        writer.push(&ArchivedSeries { series_id: info.series_id, labels: &info.labels }, &points)?;
    }
    writer.finish_columns()?;
    Ok(writer)
}

/// Series in the order of the Delta tables: metric name, then series id.
pub(crate) fn in_table_order(
    store: &Store,
    hour: Hour,
    addresses: &[SeriesAddress],
) -> Result<Vec<SeriesInfo>, CompactorError> {
    let named = |&address: &SeriesAddress| {
        let info = store.index().info(address.sid);
        info.ok_or(CompactorError::UnknownSeries { hour, sid: address.sid.0 })
    };
    let mut series: Vec<SeriesInfo> = addresses.iter().map(named).collect::<Result<_, _>>()?;
    series.sort_by(|a, b| (a.labels.metric(), a.series_id).cmp(&(b.labels.metric(), b.series_id)));
    Ok(series)
}
