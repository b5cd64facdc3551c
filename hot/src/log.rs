//! The log: one column family an epoch, one record an append, dropped whole once the epoch is a run.
//!
//! start: families `log_<epoch>` ─▶ at or below the checkpoint, or empty: drop · else replay, oldest first ─▶ generation
//!
//! A record is written in the same write as the series that it uses, so replaying finds every series in the index.
//! Replayed epochs keep their number (EPOCH-1); what arrives next goes to a number that no log ever had.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use rocksdb::ReadOptions;
use runtime::invariant;
use schemas::histogram::Histogram;
use schemas::keys::Family;
use schemas::log_record::{self, LogPoints};
use schemas::points::is_histogram;
use schemas::{Day, Epoch, SeriesAddress, Sid, TimestampMs};

use crate::db::Engine;
use crate::error::{Context, HotError};
use crate::head::{Generation, HeadBatch};
use crate::index::Index;

/// The logs that were found at a start.
#[derive(Debug)]
pub(crate) struct Logs {
    /// Epochs whose points are in no run, oldest first.
    pub(crate) outstanding: Vec<Epoch>,
    /// The newest epoch that a log was ever made for.
    pub(crate) newest: Epoch,
}

/// Finds the logs whose points are in no run, and drops the others.
pub(crate) fn find(engine: &Engine, checkpoint: Epoch) -> Result<Logs, HotError> {
    let mut logs = Logs { outstanding: Vec::new(), newest: checkpoint };
    for family in engine.point_families() {
        let Family::Log(epoch) = family else { continue };
        logs.newest = logs.newest.max(epoch);
        // An empty one was made ahead, and never written to.
        if epoch <= checkpoint || is_empty(engine, family)? {
            engine.drop_family(family)?;
        } else {
            logs.outstanding.push(epoch);
        }
    }
    Ok(logs)
}

fn is_empty(engine: &Engine, family: Family) -> Result<bool, HotError> {
    let Some(handle) = engine.family(family) else { return Ok(true) };
    let mut rows = engine.db().raw_iterator_cf(&handle);
    rows.seek_to_first();
    rows.status().context("cannot read a log")?;
    Ok(!rows.valid())
}

/// Reads the log of an epoch.
pub(crate) fn replay(engine: &Engine, index: &Index, epoch: Epoch, now_ms: i64) -> Result<Generation, HotError> {
    let started = Instant::now();
    let generation = Generation::new(epoch);
    let name = Family::Log(epoch).to_string();
    let family = engine.family(Family::Log(epoch)).ok_or(HotError::Closed)?;
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(2 << 20);
    let mut rows = engine.db().raw_iterator_cf_opt(&family, options);
    let mut columns = LogPoints::default();
    let mut known = HashMap::new();
    rows.seek_to_first();
    while let Some((key, record)) = rows.item() {
        log_record::decode(record, &mut columns)
            .map_err(|error| HotError::damaged("log record", name.as_str(), key, error))?;
        let batch = batch_of(&columns, index, &mut known);
        generation.apply(&batch, record.len(), now_ms);
        rows.next();
    }
    rows.status().context("cannot read a log")?;
    tracing::info!(
        epoch = epoch.0,
        records = generation.log_records(),
        points = generation.points(),
        elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "replayed a log"
    );
    Ok(generation)
}

/// The points of a record by series, which are marked active again: activity is persisted at the flush that the crash
/// prevented.
fn batch_of(columns: &LogPoints, index: &Index, known: &mut HashMap<Sid, Option<SeriesAddress>>) -> HeadBatch {
    let mut addresses: Vec<SeriesAddress> = Vec::new();
    let mut entry_of: HashMap<Sid, u32> = HashMap::new();
    let mut points: Vec<(u32, i64, f64)> = Vec::with_capacity(columns.len());
    let mut histograms: Vec<Arc<Histogram>> = Vec::new();
    let mut of_stand_ins = columns.histograms.iter();
    let mut days: BTreeMap<Day, Vec<Sid>> = BTreeMap::new();
    for ((&sid, &timestamp), &value) in columns.sids.iter().zip(&columns.timestamps).zip(&columns.values) {
        let address = *known.entry(sid).or_insert_with(|| index.info(sid).map(|info| info.address));
        invariant!("ACK-1", address.is_some(), "the log has points of series {}, which the index lacks", sid.0);
        let histogram = if is_histogram(value) { of_stand_ins.next() } else { None };
        let Some(address) = address else { continue };
        histograms.extend(histogram.cloned());
        let entry = *entry_of.entry(sid).or_insert_with(|| {
            addresses.push(address);
            u32::try_from(addresses.len() - 1).expect("a record has fewer series than points, which are bounded")
        });
        points.push((entry, timestamp, value));
        let of_day = days.entry(Day::containing(TimestampMs(timestamp))).or_default();
        if of_day.last() != Some(&sid) {
            of_day.push(sid);
        }
    }
    for (day, sids) in days {
        index.mark_active(day, sids.into_iter());
    }
    HeadBatch::new(addresses, points.into_iter(), &histograms)
}
