//! Seals one hour, whoever owns its raw points.
//!
//! All local: base ⊕ runs ─▶ SSTs ─▶ sealed_through.
//! Some of it Delta's (an old hour): table rows ⊕ local base ⊕ runs ─▶ Delta commit ─▶ warm rollups ─▶ both throughs at once
//! (rule 6).
//!
//! A commit replaces all rows that the table has of the hour, so it is given all series of the hour: those that nothing
//! newer touches too, whoever owns them. Raw chunks of one form leave RocksDB before those of the other, so an hour may
//! be half local and half Delta's.

use std::collections::BTreeMap;
use std::sync::Arc;

use cold::{Archive, ArchivedSeries, ColdSelection, HourWriter, ReadCounters};
use futures::TryStreamExt;
use hot::{BoxError, HourSeal, SealStats, SeriesInfo, Store};
use runtime::CpuPool;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::tier_map::{DeltaVersions, Owner};
use schemas::{Hour, Points, RetentionClass, SeriesAddress};

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
        let mut chunk = Vec::new();
        self.encoder.encode(&points.timestamps, &points.values, &mut chunk);
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
        let (hour, through) = (seal.hour(), seal.through());
        let held = seal.view().map().delta;
        let mut base = self.read_base(&seal, &held).await?;
        let (seal, merged) = self
            .pool
            .run(move || -> Result<_, CompactorError> {
                let merged = write_with_base(&mut seal, &mut base)?;
                Ok((seal, merged))
            })
            .await?;
        let writer = self.archive.hour_writer(hour, RetentionClass::DEFAULT, through).including(held);
        let store = Arc::clone(&self.store);
        let writer = self.pool.run(move || push_all(&store, hour, merged, writer)).await?;
        let commit = writer.commit().await?;
        let versions = commit.versions;
        let stats = self.pool.run(move || seal.finish(Some((RetentionClass::DEFAULT, versions)))).await?;
        Ok(stats)
    }

    /// The rows that Delta holds of the hour. Those of series whose base is local are not used.
    async fn read_base(&self, seal: &HourSeal, held: &DeltaVersions) -> Result<PackedHour, CompactorError> {
        let of_hour = ColdSelection { class: Some(RetentionClass::DEFAULT), ..ColdSelection::all(seal.hour().range()) };
        let mut base = PackedHour::default();
        let mut rows = self.archive.scan_points(held, &of_hour, &ReadCounters::default()).await?;
        while let Some((series_id, points)) = rows.try_next().await? {
            let known = self.store.index().by_series_id(series_id);
            let info = known.ok_or(CompactorError::UnknownSeriesId { hour: seal.hour(), series_id })?;
            base.put(info.address, &points);
        }
        Ok(base)
    }
}

fn seal_local(mut seal: HourSeal) -> Result<SealStats, CompactorError> {
    seal.write(None, &[], None)?;
    Ok(seal.finish(None)?)
}

/// Writes the local part of an old hour, and returns all of its merged points for the archive.
fn write_with_base(seal: &mut HourSeal, base: &mut PackedHour) -> Result<PackedHour, CompactorError> {
    let addresses: Vec<SeriesAddress> = base.chunks.keys().copied().collect();
    let mut merged = PackedHour::default();
    let mut given = |address: SeriesAddress| base.get(address);
    let mut keep = |address: SeriesAddress, points: &Points| {
        merged.put(address, points);
        Ok(())
    };
    seal.write(Some(&mut given), &addresses, Some(&mut keep))?;
    Ok(merged)
}

/// Gives a whole hour to the archive, in the order of the Delta tables.
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
