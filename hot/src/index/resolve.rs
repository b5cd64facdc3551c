//! Turns the series of a batch into addresses, and creates the ones that are new.
//!
//! batch ─▶ pin an era ─▶ sort by shard ─▶ probe (one read lock a shard) ─▶ what is missing ─▶ plan ─▶ limits ─▶ create
//!
//! Only one batch creates at a time. Its plan is whole before anything is created, so a refused batch leaves no trace.
//! Order within a creation: catalog, then pending records, then the hash table; so whoever finds a series finds its
//! labels too, and its records are in the queue that the next commit empties.

use std::fmt::Write as _;

use hashbrown::HashMap;
use schemas::labels::{METRIC_NAME, iter_canonical};
use schemas::{Day, PointBatch, RejectReason, RetentionClass, SeriesAddress, SeriesHash, SeriesId, TimestampMs};

use super::Index;
use super::catalog::Catalog;
use super::eras::EraPin;
use super::limits::{DayCount, TokenBucket, TooManyNewSeries};
use super::series_table::{SHARDS, TableEntry, shard_of};

/// Series created under one hold of the catalog's lock; readers get in between.
const CREATE_AT_ONCE: usize = 256;

/// What the series of a batch are. Reused from batch to batch; kept until the batch is in the head or given up, since
/// it keeps its series from being forgotten.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// By series of the batch; `None` for the rejected ones.
    pub(crate) addresses: Vec<Option<SeriesAddress>>,
    /// Series of the batch that were not taken, ascending.
    pub(crate) rejected: Vec<(u32, RejectReason)>,
    /// Series that this batch created.
    pub(crate) created: u64,
    pin: Option<EraPin>,
    by_shard: Vec<u32>,
    missing: Vec<u32>,
}

/// What creation remembers from batch to batch.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) rate: TokenBucket,
    pub(super) today: DayCount,
}

/// A series to be created.
struct NewSeries<'b> {
    hash: SeriesHash,
    canonical: &'b [u8],
}

/// What becomes of a series that was not found.
#[derive(Clone)]
enum Planned {
    /// By position in the plan.
    New(usize),
    Rejected(RejectReason),
}

/// What a batch creates. Made without changing anything.
struct Plan<'b> {
    new: Vec<NewSeries<'b>>,
    /// Series of the batch with their position in `new`.
    assign: Vec<(u32, usize)>,
}

impl Index {
    /// Resolves every series of a batch, creating what is new. On an error nothing was created.
    pub(crate) fn resolve(&self, batch: &PointBatch, now_ms: i64, out: &mut Resolved) -> Result<(), TooManyNewSeries> {
        let count = u32::try_from(batch.series_len()).expect("a batch counts its series in 32 bits");
        self.resolve_series(count, |index| batch.series(index), now_ms, out)
    }

    /// As [`resolve`](Self::resolve), with hash and canonical labels from anywhere.
    pub(super) fn resolve_series<'b>(
        &self,
        count: u32,
        series: impl Fn(u32) -> (SeriesHash, &'b [u8]),
        now_ms: i64,
        out: &mut Resolved,
    ) -> Result<(), TooManyNewSeries> {
        let pin = self.eras.pin();
        let era = pin.number();
        out.begin(count, pin);
        let ends = sort_by_shard(count, &mut out.by_shard, |index| shard_of(series(index).0.series_id()));
        let mut start = 0;
        for (shard, &end) in ends.iter().enumerate() {
            if start < end {
                let table = self.table.read(shard);
                for &index in &out.by_shard[start..end] {
                    match table.find(series(index).0) {
                        Some(entry) => {
                            entry.touch(era);
                            out.addresses[index as usize] = Some(entry.address());
                        }
                        None => out.missing.push(index),
                    }
                }
            }
            start = end;
        }
        if out.missing.is_empty() {
            return Ok(());
        }
        out.missing.sort_unstable();
        self.create_missing(series, now_ms, era, out)
    }

    fn create_missing<'b>(
        &self,
        series: impl Fn(u32) -> (SeriesHash, &'b [u8]),
        now_ms: i64,
        era: u32,
        out: &mut Resolved,
    ) -> Result<(), TooManyNewSeries> {
        let mut creation = self.creation.lock();
        let created_today = creation.today.on(now_ms);
        let plan = self.plan(series, created_today, era, out);
        creation.rate.take(plan.new.len() as u64, now_ms)?;

        let day = Day::containing(TimestampMs(now_ms));
        let mut addresses = Vec::with_capacity(plan.new.len());
        for some in plan.new.chunks(CREATE_AT_ONCE) {
            self.create(some, day, era, &mut addresses);
        }
        for (index, position) in plan.assign {
            out.addresses[index as usize] = Some(addresses[position]);
        }
        out.created = addresses.len() as u64;
        creation.today.add(out.created);
        Ok(())
    }

    /// Decides what becomes of each missing series, in the order of the batch.
    fn plan<'b>(
        &self,
        series: impl Fn(u32) -> (SeriesHash, &'b [u8]),
        created_today: u64,
        era: u32,
        out: &mut Resolved,
    ) -> Plan<'b> {
        let catalog = self.catalog.read();
        let mut planner = Planner {
            index: self,
            catalog: &catalog,
            created_today,
            per_metric: HashMap::new(),
            seen: HashMap::new(),
            symbols: 0,
            new: Vec::new(),
        };
        let mut assign = Vec::with_capacity(out.missing.len());
        for &index in &out.missing {
            let (hash, canonical) = series(index);
            // Another batch may have created it since the probe.
            if let Some(entry) = self.table.read(shard_of(hash.series_id())).find(hash) {
                entry.touch(era);
                out.addresses[index as usize] = Some(entry.address());
                continue;
            }
            match planner.decide(hash, canonical) {
                Planned::New(position) => assign.push((index, position)),
                Planned::Rejected(reason) => out.rejected.push((index, reason)),
            }
        }
        Plan { new: planner.new, assign }
    }

    fn create(&self, new: &[NewSeries<'_>], day: Day, era: u32, addresses: &mut Vec<SeriesAddress>) {
        let first = addresses.len();
        {
            let mut catalog = self.catalog.write();
            let mut pending = self.pending.lock();
            for one in new {
                let address = catalog.add(one.hash, RetentionClass::DEFAULT, one.canonical, &mut pending.symbols);
                pending.series.push((address.sid, day));
                addresses.push(address);
            }
        }
        let created = &addresses[first..];
        for shard in 0..SHARDS {
            let here = |one: &NewSeries<'_>| shard_of(one.hash.series_id()) == shard;
            let mut table = None;
            for (one, address) in new.iter().zip(created).filter(|(one, _)| here(one)) {
                let table = table.get_or_insert_with(|| self.table.write(shard));
                table.insert(TableEntry::new(one.hash, *address, era));
            }
        }
    }
}

impl Resolved {
    fn begin(&mut self, count: u32, pin: EraPin) {
        self.addresses.clear();
        self.addresses.resize(count as usize, None);
        self.rejected.clear();
        self.missing.clear();
        self.created = 0;
        self.pin = Some(pin);
    }
}

/// Sorts `0..count` by shard into `order`; returns where each shard ends.
fn sort_by_shard(count: u32, order: &mut Vec<u32>, shard: impl Fn(u32) -> usize) -> [usize; SHARDS] {
    let mut ends = [0_usize; SHARDS];
    for index in 0..count {
        ends[shard(index)] += 1;
    }
    let mut next = [0_usize; SHARDS];
    let mut sum = 0;
    for (next, end) in next.iter_mut().zip(&mut ends) {
        *next = sum;
        sum += *end;
        *end = sum;
    }
    order.clear();
    order.resize(count as usize, 0);
    for index in 0..count {
        let place = &mut next[shard(index)];
        order[*place] = index;
        *place += 1;
    }
    ends
}

struct Planner<'p, 'b> {
    index: &'p Index,
    catalog: &'p Catalog,
    created_today: u64,
    /// Series of a metric: those there are and those planned.
    per_metric: HashMap<&'b str, u64>,
    /// Series of this batch that were decided on, by id.
    seen: HashMap<SeriesId, Vec<(SeriesHash, Planned)>>,
    /// An upper bound of the symbols that the plan needs.
    symbols: u64,
    new: Vec<NewSeries<'b>>,
}

impl<'b> Planner<'_, 'b> {
    fn decide(&mut self, hash: SeriesHash, canonical: &'b [u8]) -> Planned {
        let id = hash.series_id();
        if let Some(again) = self.seen.get(&id).and_then(|same| same.iter().find(|(other, _)| *other == hash)) {
            return again.1.clone();
        }
        let decision = match self.objection(id, canonical) {
            Some(reason) => Planned::Rejected(reason),
            None => {
                self.new.push(NewSeries { hash, canonical });
                Planned::New(self.new.len() - 1)
            }
        };
        self.seen.entry(id).or_default().push((hash, decision.clone()));
        decision
    }

    /// Why a series cannot be created; counts it as planned when it can.
    fn objection(&mut self, id: SeriesId, canonical: &'b [u8]) -> Option<RejectReason> {
        if let Some(series) = self.holder_of(id) {
            return Some(RejectReason::HashCollision { series });
        }
        let limits = self.index.limits;
        if self.created_today + self.new.len() as u64 >= limits.new_per_day {
            return Some(RejectReason::NewSeriesPerDay { limit: limits.new_per_day });
        }
        let metric = iter_canonical(canonical).find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let catalog = self.catalog;
        let of_metric = self.per_metric.entry(metric).or_insert_with(|| catalog.series_of_metric(metric));
        if *of_metric >= limits.series_per_metric {
            return Some(RejectReason::SeriesPerMetric { metric: metric.to_owned(), limit: limits.series_per_metric });
        }
        let symbols = self.symbols + 2 * iter_canonical(canonical).count() as u64;
        let numbers = u64::from(u32::MAX);
        if u64::from(catalog.next_sid()) + self.new.len() as u64 >= numbers
            || u64::from(catalog.symbols.next()) + symbols >= numbers
        {
            return Some(RejectReason::NumbersExhausted);
        }
        *of_metric += 1;
        self.symbols = symbols;
        None
    }

    /// The labels of the series that has this id, here or in the plan.
    fn holder_of(&self, id: SeriesId) -> Option<String> {
        let planned = self.seen.get(&id).into_iter().flatten().find_map(|(_, decision)| match decision {
            Planned::New(position) => Some(display_canonical(self.new[*position].canonical)),
            Planned::Rejected(_) => None,
        });
        planned.or_else(|| {
            let sid = self.index.table.read(shard_of(id)).find_id(id)?.address().sid;
            self.catalog.info(sid).map(|info| info.labels.to_string())
        })
    }
}

/// Canonical labels as Prometheus writes a series.
fn display_canonical(canonical: &[u8]) -> String {
    let mut text = String::new();
    for (name, value) in iter_canonical(canonical) {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{name}={value:?}").expect("a string takes any text");
    }
    format!("{{{text}}}")
}
