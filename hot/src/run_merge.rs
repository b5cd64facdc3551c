//! Merging runs: when too many of them hold an unsealed hour, some that lie in a row become one.
//!
//! runs in a row ─▶ per (hour, class, metric, sid): settle ─▶ new files under the newest epoch ─▶ synced
//! meta {the merged run; the others gone} ─▶ publish ─▶ the others' files go after their last reader
//!
//! The merged run has the newest epoch of these, so per hour it takes only what some base still lacks: an older value must not be
//! lifted over a newer one that a base has taken in and whose own run is gone. No run in between is left out, for the
//! same reason. Until the record, old runs and the new files say the same.

use std::collections::BTreeMap;

use runtime::crash_point;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::keys::{Family, parse_run_key, run_key};
use schemas::meta::{MetaKey, MetaRecord, RunHour, RunRecord};
use schemas::{Epoch, Hour, Points, SeriesAddress};

use crate::cursor::Access;
use crate::error::HotError;
use crate::run;
use crate::staging::{Staged, TableWriter};
use crate::store::Core;
use crate::view::View;

/// Runs that may hold an hour which they are newer than.
const RUNS_OF_AN_HOUR_MAX: usize = 8;

/// What a merge of runs did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeOutcome {
    /// No hour is held by more unsealed runs than the bound.
    Nothing,
    /// So many runs became one, with so many points.
    Merged { runs: usize, into: Epoch, points: u64 },
}

impl Core {
    /// Merges runs if some hour needs it.
    pub(crate) fn merge_runs(&self) -> Result<MergeOutcome, HotError> {
        let _no_run_is_dropped = self.runs().lock();
        let view = self.view();
        let epochs = plan(&view);
        let Some(&into) = epochs.last().filter(|_| epochs.len() > 1) else { return Ok(MergeOutcome::Nothing) };
        let (staged, record) = self.write_merged(&view, &epochs, into)?;
        let points = record.points();
        crash_point("hot.merge.written");
        self.engine().sync_wal()?;
        staged.ingest(self.engine())?;
        crash_point("hot.merge.ingested");
        self.record_merge(&epochs, record)?;
        crash_point("hot.merge.recorded");
        self.metrics().run_merges.inc();
        tracing::debug!(runs = epochs.len(), into = into.0, points, "merged runs");
        Ok(MergeOutcome::Merged { runs: epochs.len(), into, points })
    }

    fn write_merged(&self, view: &View, epochs: &[Epoch], into: Epoch) -> Result<(Staged, RunRecord), HotError> {
        let mut writer = TableWriter::new(self.staging(), self.engine(), Family::Run);
        let oldest = epochs.iter().filter_map(|epoch| view.runs().get(epoch)).map(|run| run.oldest).min();
        let mut record = RunRecord { epoch: into, oldest: oldest.unwrap_or(into), hours: Vec::new() };
        for (hour, sources) in sources_by_hour(view, epochs) {
            let mut held = RunHour { hour, points: 0, classes: Vec::new() };
            let mut merge = HourMerge::new(view, hour, &sources)?;
            while let Some((address, points, chunk)) = merge.next()? {
                writer.put(&run_key(into, hour, address), chunk)?;
                run::count(&mut held, address.class, points);
            }
            if held.points > 0 {
                record.hours.push(held);
            }
        }
        Ok((writer.finish()?, record))
    }

    fn record_merge(&self, epochs: &[Epoch], merged: RunRecord) -> Result<(), HotError> {
        self.publication().record(self.engine(), "cannot record a merge of runs", |_, change| {
            epochs.iter().for_each(|&epoch| change.forget(MetaKey::Run(epoch)));
            change.put(MetaRecord::Run(merged));
            Ok(())
        })
    }
}

/// The runs to merge, oldest first, none in between left out: of the hour that most runs hold, the half of these runs,
/// in a row, with the fewest points. So a run is rewritten a few times at most, however many there are.
fn plan(view: &View) -> Vec<Epoch> {
    let mut newer: BTreeMap<Hour, Vec<Epoch>> = BTreeMap::new();
    for (&epoch, run) in view.runs() {
        for held in run.hours.iter().filter(|held| epoch > crate::through::of_all(view.map(), held)) {
            newer.entry(held.hour).or_default().push(epoch);
        }
    }
    let fullest = newer.into_values().max_by_key(Vec::len).unwrap_or_default();
    if fullest.len() <= RUNS_OF_AN_HOUR_MAX {
        return Vec::new();
    }
    let between = |row: &[Epoch]| -> Option<std::ops::RangeInclusive<Epoch>> { Some(*row.first()?..=*row.last()?) };
    let points =
        |range: std::ops::RangeInclusive<Epoch>| -> u64 { view.runs().range(range).map(|(_, run)| run.points()).sum() };
    let rows = fullest.windows(fullest.len() / 2 + 1).filter_map(between);
    let cheapest = rows.min_by_key(|row| points(row.clone()));
    cheapest.map(|row| view.runs().range(row).map(|(&epoch, _)| epoch).collect()).unwrap_or_default()
}

/// What goes into the merged run: per hour, the runs that some base lacks.
fn sources_by_hour(view: &View, epochs: &[Epoch]) -> BTreeMap<Hour, Vec<Epoch>> {
    let mut sources: BTreeMap<Hour, Vec<Epoch>> = BTreeMap::new();
    for epoch in epochs {
        for held in view.runs().get(epoch).into_iter().flat_map(|run| &run.hours) {
            if *epoch > crate::through::of_all(view.map(), held) {
                sources.entry(held.hour).or_default().push(*epoch);
            }
        }
    }
    sources
}

/// A source of a merge, standing at its next key.
struct Source<'v> {
    cursor: crate::cursor::Cursor<'v>,
    at: Option<SeriesAddress>,
    chunk: Vec<u8>,
}

impl Source<'_> {
    fn step(&mut self) -> Result<(), HotError> {
        self.at = None;
        self.chunk.clear();
        if let Some((key, value)) = self.cursor.advance()? {
            let parsed = parse_run_key(key);
            let (_, _, address) =
                parsed.map_err(|error| HotError::damaged("key", Family::Run.to_string(), key, error))?;
            self.at = Some(address);
            self.chunk.extend_from_slice(value);
        }
        Ok(())
    }
}

/// A series with its number of points and its chunk.
type MergedChunk<'a> = (SeriesAddress, u64, &'a [u8]);

/// Merges one hour of several runs, by address.
struct HourMerge<'v> {
    hour: Hour,
    /// Oldest first.
    sources: Vec<Source<'v>>,
    decoder: ChunkDecoder,
    encoder: ChunkEncoder,
    points: Points,
    chunk: Vec<u8>,
}

impl<'v> HourMerge<'v> {
    fn new(view: &'v View, hour: Hour, epochs: &[Epoch]) -> Result<Self, HotError> {
        let mut sources = Vec::with_capacity(epochs.len());
        for &epoch in epochs {
            if let Some(cursor) = view.run_cursor(epoch, hour, Access::Pass) {
                let mut source = Source { cursor, at: None, chunk: Vec::new() };
                source.step()?;
                sources.push(source);
            }
        }
        let (decoder, encoder) = (ChunkDecoder::default(), ChunkEncoder::default());
        Ok(Self { hour, sources, decoder, encoder, points: Points::default(), chunk: Vec::new() })
    }

    /// The next series with its number of points and its chunk.
    fn next(&mut self) -> Result<Option<MergedChunk<'_>>, HotError> {
        let Some(address) = self.sources.iter().filter_map(|source| source.at).min() else { return Ok(None) };
        self.points.clear();
        for source in self.sources.iter_mut().filter(|source| source.at == Some(address)) {
            self.decoder.decode(&source.chunk, &mut self.points).map_err(|error| {
                let key = run_key(Epoch::ZERO, self.hour, address);
                HotError::damaged("chunk of a run that is merged", Family::Run.to_string(), &key, error)
            })?;
            source.step()?;
        }
        self.points.settle();
        self.chunk.clear();
        self.encoder.encode_points(&self.points, 0..self.points.len(), &mut self.chunk);
        Ok(Some((address, self.points.len() as u64, &self.chunk)))
    }
}
