//! Seals one hour, whoever owns its raw points.
//!
//! Locally owned: base ⊕ runs ─▶ SSTs ─▶ sealed_through.
//! Owned by Delta (an old hour): table rows ⊕ runs ─▶ Delta commit ─▶ warm rollups ─▶ both throughs at once (rule 6).

use std::collections::BTreeMap;
use std::sync::Arc;

use cold::{Archive, ArchivedSeries, ColdSelection, ReadCounters};
use futures::TryStreamExt;
use hot::{HourSeal, SealStats, SeriesInfo, Store};
use runtime::CpuPool;
use schemas::tier_map::DeltaVersions;
use schemas::{Hour, Points, RetentionClass, SeriesAddress};

use crate::error::CompactorError;

/// What sealing an hour came to.
#[derive(Debug)]
pub(crate) enum Sealed {
    Done(SealStats),
    /// Nothing newer than its base, or another job holds the hour.
    NothingToDo,
}

/// The parts that a seal works with.
#[derive(Debug, Clone)]
pub(crate) struct Sealer {
    pub(crate) store: Arc<Store>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) pool: CpuPool,
}

/// An old hour as it will be committed: settled points by series.
type MergedHour = BTreeMap<SeriesAddress, Points>;

impl Sealer {
    pub(crate) async fn seal(&self, hour: Hour) -> Result<Sealed, CompactorError> {
        let store = Arc::clone(&self.store);
        let Some(seal) = self.pool.run(move || store.begin_seal(hour)).await? else {
            return Ok(Sealed::NothingToDo);
        };
        if seal.cold_metrics().is_empty() {
            let stats = self.pool.run(move || seal_local(seal)).await?;
            return Ok(Sealed::Done(stats));
        }
        self.seal_archived(seal).await.map(Sealed::Done)
    }

    /// An hour some of whose raw points Delta owns. Memory holds the hour's points once: such hours are old, and
    /// only late data brings them here.
    async fn seal_archived(&self, mut seal: HourSeal) -> Result<SealStats, CompactorError> {
        let (hour, through) = (seal.hour(), seal.through());
        let versions = self.store.view().map().delta;
        let base = self.read_base(&seal, &versions).await?;
        let (seal, merged) = self
            .pool
            .run(move || -> Result<_, CompactorError> {
                let merged = write_with_base(&mut seal, &base)?;
                Ok((seal, merged))
            })
            .await?;
        let writer = self.archive.hour_writer(hour, RetentionClass::DEFAULT, through);
        let mut writer = writer.including(versions);
        let series = in_table_order(&self.store, hour, merged)?;
        let writer = self
            .pool
            .run(move || -> Result<_, CompactorError> {
                for (info, points) in &series {
                    writer.push(&ArchivedSeries { series_id: info.series_id, labels: &info.labels }, points)?;
                }
                writer.finish_columns()?;
                Ok(writer)
            })
            .await?;
        let commit = writer.commit().await?;
        let versions = commit.versions;
        let stats = self.pool.run(move || seal.finish(Some((RetentionClass::DEFAULT, versions)))).await?;
        Ok(stats)
    }

    /// The rows that Delta holds of the hour, for the metrics whose base it owns.
    async fn read_base(&self, seal: &HourSeal, versions: &DeltaVersions) -> Result<MergedHour, CompactorError> {
        let mut base = MergedHour::new();
        for (class, metric) in seal.cold_metrics() {
            let Some(name) = self.store.index().metric_name(metric) else { continue };
            let selection = ColdSelection {
                class: Some(class),
                metric: Some(name.to_string()),
                series: None,
                range: seal.hour().range(),
            };
            let mut rows = self.archive.scan_points(versions, &selection, &ReadCounters::default()).await?;
            while let Some((series_id, points)) = rows.try_next().await? {
                let known = self.store.index().by_series_id(series_id);
                let info = known.ok_or(CompactorError::UnknownSeries { hour: seal.hour(), sid: 0 })?;
                base.insert(info.address, points);
            }
        }
        Ok(base)
    }
}

fn seal_local(mut seal: HourSeal) -> Result<SealStats, CompactorError> {
    seal.write(None, &[], None)?;
    Ok(seal.finish(None)?)
}

/// Writes the warm rollups of an old hour, and returns its merged points for the archive.
fn write_with_base(seal: &mut HourSeal, base: &MergedHour) -> Result<MergedHour, CompactorError> {
    let addresses: Vec<SeriesAddress> = base.keys().copied().collect();
    let mut merged = MergedHour::new();
    let mut given = |address: SeriesAddress| Ok(base.get(&address).cloned().unwrap_or_default());
    let mut keep = |address: SeriesAddress, points: &Points| {
        merged.insert(address, points.clone());
        Ok(())
    };
    seal.write(Some(&mut given), &addresses, Some(&mut keep))?;
    Ok(merged)
}

/// Series in the order of the Delta tables: metric name, then series id.
fn in_table_order(store: &Store, hour: Hour, merged: MergedHour) -> Result<Vec<(SeriesInfo, Points)>, CompactorError> {
    let mut series = Vec::with_capacity(merged.len());
    for (address, points) in merged {
        let info = store.index().info(address.sid);
        series.push((info.ok_or(CompactorError::UnknownSeries { hour, sid: address.sid.0 })?, points));
    }
    series.sort_by(|(a, _), (b, _)| (a.labels.metric(), a.series_id).cmp(&(b.labels.metric(), b.series_id)));
    Ok(series)
}
