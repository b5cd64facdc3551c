//! The merge of a seal: series by series, base ⊕ newer runs, in blocks.
//!
//! addresses ─▶ gather a block (one forward pass a source) ─▶ in parallel: decode, settle, encode, roll up ─▶ tee, output
//!
//! A series' newer runs are those newer than the through of whoever owns its raw points. The block is the unit of
//! memory: what is gathered, decoded and encoded at once.

use rayon::prelude::*;
use runtime::invariant;
use schemas::chunk::{ChunkDecoder, ChunkEncoder};
use schemas::keys::{Family, RUN_KEY_BYTES, parse_run_key, run_key};
use schemas::rollup::{Bucket, bucketize, fold_buckets};
use schemas::tier_map::{Form, Owner};
use schemas::{
    BucketStart, DurationMs, Epoch, Hour, MetricId, Points, Resolution, RetentionClass, SeriesAddress, Sid, TierMap,
    rollup_row,
};

use super::output::{Outputs, Target};
use super::{ColdBase, Tee};
use crate::cursor::{Access, Cursor};
use crate::error::HotError;
use crate::view::{ChunkReader, View};

/// Series that are in memory at once.
const BLOCK_SERIES: usize = 1_024;

/// Runs that hold points of an hour newer than the base of some owner.
fn newer_runs(view: &View, hour: Hour) -> Vec<Epoch> {
    let map = view.map();
    let newer = |epoch: Epoch, held| epoch > map.sealed_through(hour).min(crate::through::of_raw(map, held));
    let runs = view.runs().iter();
    runs.filter(|(epoch, run)| run.hour(hour).is_some_and(|held| newer(**epoch, held)))
        .map(|(&epoch, _)| epoch)
        .collect()
}

/// The metrics that newer runs hold in an hour, sorted.
pub(super) fn newer_metrics(view: &View, hour: Hour) -> Result<Vec<(RetentionClass, MetricId)>, HotError> {
    let mut metrics = Vec::new();
    for epoch in newer_runs(view, hour) {
        let Some(mut cursor) = view.run_cursor(epoch, hour, Access::Query) else { continue };
        let mut found = cursor.advance()?.map(|(key, _)| address_of(key)).transpose()?;
        while let Some(SeriesAddress { class, metric, .. }) = found {
            metrics.push((class, metric));
            // Behind the last series that the metric can have.
            let last = run_key(epoch, hour, SeriesAddress { class, metric, sid: Sid(u32::MAX) });
            let mut behind = [0; RUN_KEY_BYTES + 1];
            behind[..RUN_KEY_BYTES].copy_from_slice(&last);
            found = cursor.seek(&behind)?.map(|(key, _)| address_of(key)).transpose()?;
        }
    }
    metrics.sort_unstable();
    metrics.dedup();
    Ok(metrics)
}

/// The series to visit, sorted.
pub(super) fn addresses(
    view: &View,
    hour: Hour,
    cold_series: &[SeriesAddress],
    with_base: bool,
) -> Result<Vec<SeriesAddress>, HotError> {
    let mut addresses = cold_series.to_vec();
    for epoch in newer_runs(view, hour) {
        let Some(mut cursor) = view.run_cursor(epoch, hour, Access::Pass) else { continue };
        while let Some((key, _)) = cursor.advance()? {
            addresses.push(address_of(key)?);
        }
    }
    if with_base {
        view.addresses_in(Family::Raw(hour.day()), hour, &mut addresses)?;
        view.addresses_in(Family::Raw1m(hour.day()), hour, &mut addresses)?;
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn address_of(key: &[u8]) -> Result<SeriesAddress, HotError> {
    let parsed = parse_run_key(key).map_err(|error| HotError::damaged("key", Family::Run.to_string(), key, error));
    parsed.map(|(_, _, address)| address)
}

/// Gives the points that runs hold of the first `series_max` series of a metric to `each`.
pub(super) fn sample_runs(
    view: &View,
    hour: Hour,
    (class, metric): (RetentionClass, MetricId),
    series_max: usize,
    each: &mut dyn FnMut(SeriesAddress, &Points),
) -> Result<(), HotError> {
    let mut sample = Vec::new();
    for epoch in newer_runs(view, hour) {
        let Some(mut cursor) = view.run_cursor(epoch, hour, Access::Query) else { continue };
        let first = run_key(epoch, hour, SeriesAddress { class, metric, sid: Sid(0) });
        let mut found = cursor.seek(&first)?.map(|(key, _)| address_of(key)).transpose()?;
        let mut taken = 0;
        while let Some(address) = found.filter(|at| (at.class, at.metric) == (class, metric) && taken < series_max) {
            sample.push(address);
            taken += 1;
            found = cursor.advance()?.map(|(key, _)| address_of(key)).transpose()?;
        }
    }
    sample.sort_unstable();
    sample.dedup();
    sample.truncate(series_max);
    if let Some(overlay) = view.overlay(hour, Epoch::ZERO)? {
        overlay.read(&sample, &mut |at, points| each(sample[at], points))?;
    }
    Ok(())
}

/// The base of a series.
#[derive(Debug)]
enum Base {
    None,
    Chunk(Vec<u8>),
    Points(Points),
}

/// A series as it was gathered.
#[derive(Debug)]
struct Gathered {
    address: SeriesAddress,
    base: Base,
    /// Chunks of newer runs, oldest first.
    newer: Vec<Vec<u8>>,
    target: Target,
}

/// A series as it will be stored.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) address: SeriesAddress,
    /// How many points there are.
    pub(super) len: usize,
    /// These, if somebody wants to see them: a block of histograms takes far more than its chunks.
    pub(super) points: Option<Points>,
    pub(super) target: Target,
    pub(super) chunk: Vec<u8>,
    /// Empty where no bucket has a float or a staleness marker.
    pub(super) minutes: Vec<u8>,
    pub(super) hour: Vec<u8>,
    /// Whether the hour has a base of the series, and so may have rows of it.
    pub(super) has_base: bool,
}

/// Reads all sources of an hour, by address.
#[derive(Debug)]
pub(super) struct Merger<'v> {
    map: &'v TierMap,
    hour: Hour,
    base: ChunkReader<'v>,
    runs: Vec<(Epoch, Cursor<'v>)>,
}

impl<'v> Merger<'v> {
    pub(super) fn new(view: &'v View, map: &'v TierMap, hour: Hour, access: Access) -> Self {
        let mut runs = Vec::new();
        for epoch in newer_runs(view, hour) {
            runs.extend(view.run_cursor(epoch, hour, access).map(|cursor| (epoch, cursor)));
        }
        Self { map, hour, base: ChunkReader::new(view, hour, access), runs }
    }

    pub(super) fn run(
        &mut self,
        addresses: &[SeriesAddress],
        mut cold: Option<ColdBase<'_>>,
        mut tee: Option<Tee<'_>>,
        output: &mut Outputs<'_>,
    ) -> Result<(), HotError> {
        for block in addresses.chunks(BLOCK_SERIES) {
            let mut gathered = Vec::with_capacity(block.len());
            for &address in block {
                gathered.extend(self.gather(address, &mut cold)?);
            }
            let (hour, keep) = (self.hour, tee.is_some());
            let merged: Result<Vec<Merged>, HotError> = gathered
                .into_par_iter()
                .map_init(Scratch::default, |scratch, series| scratch.merge(hour, series, keep))
                .collect();
            for series in merged? {
                if let (Some(tee), Some(points)) = (&mut tee, &series.points) {
                    tee(series.address, points).map_err(|source| HotError::Caller { source })?;
                }
                output.put(&series)?;
            }
        }
        Ok(())
    }

    /// `None` for a series whose raw points no tier keeps any more.
    fn gather(
        &mut self,
        address: SeriesAddress,
        cold: &mut Option<ColdBase<'_>>,
    ) -> Result<Option<Gathered>, HotError> {
        let (class, metric, hour) = (address.class, address.metric, self.hour);
        let form = self.map.form(class, metric, hour.day());
        let owner = self.map.owner(class, form, Resolution::Raw, hour);
        let base = match owner {
            Owner::Local => match self.base.find(address)? {
                Some(chunk) => Base::Chunk(chunk.to_vec()),
                None => Base::None,
            },
            Owner::Cold => {
                let Some(cold) = cold else { return Err(HotError::ColdBaseMissing { hour, address }) };
                Base::Points(cold(address).map_err(|source| HotError::Caller { source })?)
            }
            Owner::Expired => {
                tracing::warn!(%hour, sid = address.sid.0, "points of an hour that no tier keeps are left out");
                return Ok(None);
            }
        };
        let through = self.map.owner_through(class, form, Resolution::Raw, hour);
        let mut newer = Vec::new();
        for (epoch, cursor) in &mut self.runs {
            let chunk = cursor.find(&run_key(*epoch, hour, address))?;
            newer.extend(chunk.filter(|_| *epoch > through).map(<[u8]>::to_vec));
        }
        // What nothing newer touches lies in its families already.
        let target = if newer.is_empty() { Target::NOTHING } else { self.target(address, form) };
        Ok(Some(Gathered { address, base, newer, target }))
    }

    /// What of a series RocksDB owns, and so is written.
    fn target(&self, address: SeriesAddress, form: Form) -> Target {
        let local = |resolution| self.map.owner(address.class, form, resolution, self.hour) == Owner::Local;
        let serves_minutes = form == Form::Raw1m && local(Resolution::Minute);
        Target {
            chunk: (local(Resolution::Raw) || serves_minutes).then_some(form),
            minutes: form == Form::Raw && local(Resolution::Minute),
            hour: local(Resolution::Hour),
        }
    }
}

#[derive(Default)]
struct Scratch {
    decoder: ChunkDecoder,
    encoder: ChunkEncoder,
    newer: Points,
}

impl Scratch {
    /// `keep`: the points are wanted when they are encoded.
    fn merge(&mut self, hour: Hour, series: Gathered, keep: bool) -> Result<Merged, HotError> {
        let Gathered { address, base, mut newer, target } = series;
        let only_chunk = matches!(base, Base::None) && newer.len() == 1;
        let (points, before) = self.settled(hour, address, base, &newer)?;
        invariant!(
            "SEAL-1",
            points.len() >= before,
            "hour {hour} has {} points of a series after sealing, but {before} before",
            points.len()
        );
        let mut merged = Merged {
            address,
            len: points.len(),
            points: None,
            target: if points.is_empty() { Target::NOTHING } else { target },
            chunk: Vec::new(),
            minutes: Vec::new(),
            hour: Vec::new(),
            has_base: before > 0,
        };
        if merged.target.chunk.is_some() {
            match newer.pop() {
                // The same points give the same bytes: what one run holds alone needs no encoding.
                Some(chunk) if only_chunk => merged.chunk = chunk,
                _ => self.encoder.encode_points(&points, 0..points.len(), &mut merged.chunk),
            }
        }
        roll_up(hour, &points, &mut merged);
        merged.points = keep.then_some(points);
        Ok(merged)
    }

    /// The points of a series, settled, and how many its base had.
    fn settled(
        &mut self,
        hour: Hour,
        address: SeriesAddress,
        base: Base,
        newer: &[Vec<u8>],
    ) -> Result<(Points, usize), HotError> {
        let damaged = |error| {
            let key = run_key(Epoch::ZERO, hour, address);
            HotError::damaged("chunk of an hour that is sealed", "base or run", &key, error)
        };
        let mut points = match base {
            Base::None => Points::default(),
            Base::Points(points) => points,
            Base::Chunk(chunk) => {
                let mut points = Points::default();
                self.decoder.decode(&chunk, &mut points).map_err(damaged)?;
                points
            }
        };
        let before = points.len();
        for chunk in newer {
            if points.is_empty() {
                self.decoder.decode(chunk, &mut points).map_err(damaged)?;
                continue;
            }
            self.newer.clear();
            self.decoder.decode(chunk, &mut self.newer).map_err(damaged)?;
            points = points.overlaid_with(&self.newer);
        }
        Ok((points, before))
    }
}

/// Encodes the rollups that are wanted of a series: of its floats. Native histograms alone give no row.
fn roll_up(hour: Hour, points: &Points, merged: &mut Merged) {
    let Merged { target, minutes, hour: hour_row, .. } = merged;
    let (timestamps, values) = (&points.timestamps, &points.values);
    let start = BucketStart::containing(hour.start(), DurationMs::HOUR);
    let of_hour = match (target.minutes, target.hour) {
        (true, wants_hour) => {
            let mut buckets: Vec<Bucket> = Vec::new();
            bucketize(timestamps, values, DurationMs::MINUTE, |bucket| buckets.push(bucket));
            if buckets.is_empty() {
                return;
            }
            rollup_row::encode_buckets(DurationMs::MINUTE, hour.start(), &buckets, true, minutes);
            let whole = wants_hour.then(|| fold_buckets(start, &buckets));
            if let Some(whole) = &whole {
                let count: u64 = buckets.iter().map(|bucket| bucket.moments().closed().count).sum();
                invariant!("ROLL-1", whole.moments().closed().count == count, "hour {hour} counts unlike its minutes");
            }
            whole
        }
        (false, true) => {
            let mut whole = None;
            bucketize(timestamps, values, DurationMs::HOUR, |bucket| whole = Some(bucket));
            whole
        }
        (false, false) => None,
    };
    if let Some(bucket) = of_hour {
        rollup_row::encode_buckets(DurationMs::HOUR, hour.start(), std::slice::from_ref(&bucket), true, hour_row);
    }
}
