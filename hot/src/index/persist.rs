//! The index on disk: what is not yet written, and how all of it is read again.
//!
//! created, described, removed ─▶ pending ─drain─▶ the next commit's write batch ─▶ CF `series`   (failed: restore)
//! CF `series`, `act` ─load─▶ symbols ─▶ series ─▶ postings, hash table ─▶ activity
//!
//! A series is in `pending` before it can be found, and every commit drains `pending` into the write that also holds
//! its log records: so no record on disk uses a series that is not. Removals go the same way and precede new series
//! in a write, since a series that comes back has the same identity key.

use std::collections::BTreeSet;
use std::sync::Arc;

use rocksdb::{BlockBasedOptions, DBCompressionType, DBRawIteratorWithThreadMode, Options, ReadOptions, WriteBatch};
use schemas::labels::METRIC_NAME;
use schemas::series_record::{
    ActivityKey, ClassFrom, CountersRecord, IdentityRecord, SeriesKey, SeriesKind, Symbol, decode_labels,
    decode_metadata, decode_symbol, encode_labels, encode_metadata, encode_symbol,
};
use schemas::{Day, Hour, MetricId, SeriesAddress, SeriesHash, Sid};

use super::activity::{Activity, PersistedActivity};
use super::catalog::Catalog;
use super::limits::DayCount;
use super::series_table::{SeriesTable, TableEntry, shard_of};
use super::{Index, Parts};
use crate::config::SeriesLimits;
use crate::db::Db;
use crate::error::{Context as _, HotError};

/// The column family of series records.
pub(crate) const SERIES_FAMILY: &str = "series";
/// The column family of activity.
pub(crate) const ACTIVITY_FAMILY: &str = "act";

/// Records that are in memory and not yet in a write.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) symbols: Vec<Symbol>,
    pub(super) series: Vec<(Sid, Day)>,
    pub(super) metadata: BTreeSet<MetricId>,
    pub(super) removed: Vec<SeriesKey>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.symbols.is_empty() && self.series.is_empty() && self.metadata.is_empty() && self.removed.is_empty()
    }
}

/// What [`Index::drain_unpersisted`] put into a write, to be handed back if the write fails.
#[derive(Debug, Default)]
pub(crate) struct Drained(Pending);

impl Index {
    /// The column families of the index with their options; the caller adds what all families share.
    pub(crate) fn families() -> Vec<(&'static str, Options)> {
        let options = |write_buffer: usize| {
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_size(16 << 10);
            blocks.set_format_version(5);
            let mut options = Options::default();
            options.set_compression_type(DBCompressionType::Zstd);
            options.set_write_buffer_size(write_buffer);
            options.set_block_based_table_factory(&blocks);
            options
        };
        vec![(SERIES_FAMILY, options(16 << 20)), (ACTIVITY_FAMILY, options(4 << 20))]
    }

    /// Adds the records of everything that is not yet written; called by the one committer, for every write.
    pub(crate) fn drain_unpersisted(&self, write: &mut WriteBatch) -> Drained {
        let pending = std::mem::take(&mut *self.pending.lock());
        if pending.is_empty() {
            return Drained(pending);
        }
        let family = self.family(SERIES_FAMILY);
        let catalog = self.catalog.read();
        for key in &pending.removed {
            write.delete_cf(&family, key.encode());
        }
        for &symbol in &pending.symbols {
            if let Some(text) = catalog.symbols.text(symbol) {
                write.put_cf(&family, SeriesKey::Symbol(symbol).encode(), encode_symbol(text));
            }
        }
        for &(sid, created) in &pending.series {
            let Some(slot) = catalog.slot(sid) else { continue };
            write.put_cf(&family, SeriesKey::Labels(sid).encode(), encode_labels(slot.labels()));
            let classes = vec![ClassFrom { from: Hour(0), class: slot.class() }];
            let identity = IdentityRecord { sid, metric: slot.metric(), created, kind: SeriesKind::Float, classes };
            write.put_cf(&family, SeriesKey::Identity(slot.hash()).encode(), identity.encode());
        }
        for &metric in &pending.metadata {
            if let Some(said) = catalog.metadata(metric) {
                write.put_cf(&family, SeriesKey::Metadata(metric).encode(), encode_metadata(said));
            }
        }
        let counters = CountersRecord { next_sid: catalog.next_sid(), next_symbol: catalog.symbols.next() };
        write.put_cf(&family, SeriesKey::Counters.encode(), counters.encode());
        Drained(pending)
    }

    /// Takes back what a failed write held, for the next one.
    pub(crate) fn restore(&self, unwritten: Drained) {
        let mut pending = self.pending.lock();
        let Drained(Pending { symbols, series, metadata, removed }) = unwritten;
        pending.symbols.splice(0..0, symbols);
        pending.series.splice(0..0, series);
        pending.metadata.extend(metadata);
        pending.removed.splice(0..0, removed);
    }

    /// Adds the activity that changed since it was last persisted; at each flush, before the log is dropped.
    pub(crate) fn persist_active(&self, write: &mut WriteBatch) -> PersistedActivity {
        let family = self.family(ACTIVITY_FAMILY);
        self.activity.persist(|key, value| write.put_cf(&family, key.encode(), value))
    }

    /// Takes back the activity that a failed write held.
    pub(crate) fn restore_active(&self, unwritten: PersistedActivity) {
        self.activity.restore(unwritten);
    }

    /// Deletes the persisted activity of the days before `first_kept`.
    pub(super) fn delete_activity_before(&self, first_kept: Day, write: &mut WriteBatch) {
        let (first, end) = (ActivityKey::first_of(Day(0)), ActivityKey::first_of(first_kept));
        write.delete_range_cf(&self.family(ACTIVITY_FAMILY), first.encode(), end.encode());
    }

    fn family(&self, name: &str) -> Arc<rocksdb::BoundColumnFamily<'_>> {
        self.db.cf_handle(name).expect("the families of the index are opened with the store")
    }

    /// Reads the index of an open database.
    pub(crate) fn load(db: &Arc<Db>, limits: SeriesLimits) -> Result<Self, HotError> {
        let mut catalog = Catalog::default();
        load_symbols(db, &mut catalog)?;
        let identities = load_identities(db)?;
        let table = load_series(db, &identities, &mut catalog)?;
        load_metadata(db, &mut catalog)?;
        // The log tells of creations in the order of sids, so the last series has the last day.
        let today = identities.last().map_or(Day(0), |newest| newest.created);
        let created_today = identities.iter().filter(|identity| identity.created == today).count() as u64;
        let unheld = catalog.symbols.unheld();
        let removed = unheld.into_iter().filter(|symbol| catalog.symbols.release(*symbol)).map(SeriesKey::Symbol);
        let pending = Pending { removed: removed.collect(), ..Pending::default() };
        let activity = load_activity(db)?;
        let today = DayCount::new(today, created_today);
        Ok(Self::from_parts(Parts { db: Arc::clone(db), limits, catalog, table, activity, pending, today }))
    }
}

/// An identity record with the hash that it stands under.
struct Identity {
    hash: SeriesHash,
    address: SeriesAddress,
    created: Day,
}

/// Calls `each` for every record of a family whose key begins with `prefix`, in key order.
fn scan(
    db: &Db,
    family: &'static str,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), HotError>,
) -> Result<(), HotError> {
    let handle = db.cf_handle(family).ok_or(HotError::Closed)?;
    let mut options = ReadOptions::default();
    options.set_readahead_size(2 << 20);
    options.fill_cache(false);
    let mut rows: DBRawIteratorWithThreadMode<'_, Db> = db.raw_iterator_cf_opt(&handle, options);
    rows.seek(prefix);
    while let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(prefix)) {
        each(key, value)?;
        rows.next();
    }
    rows.status().context("reading the series index")
}

fn damaged(family: &'static str, key: &[u8], reason: impl std::fmt::Display) -> HotError {
    HotError::damaged("record of the series index", family, key, reason)
}

fn series_damaged(key: SeriesKey, reason: impl std::fmt::Display) -> HotError {
    damaged(SERIES_FAMILY, &key.encode(), reason)
}

/// Scans the records of one kind in `series`, which all keys of the kind of `sample` share their first byte with.
fn scan_series(
    db: &Db,
    sample: SeriesKey,
    mut each: impl FnMut(SeriesKey, &[u8]) -> Result<(), HotError>,
) -> Result<(), HotError> {
    scan(db, SERIES_FAMILY, &sample.encode()[..1], |key, value| {
        each(SeriesKey::decode(key).map_err(|error| damaged(SERIES_FAMILY, key, error))?, value)
    })
}

fn load_symbols(db: &Db, catalog: &mut Catalog) -> Result<(), HotError> {
    scan_series(db, SeriesKey::Counters, |key, value| {
        let counters = CountersRecord::decode(value).map_err(|error| series_damaged(key, error))?;
        catalog.reserve_below(counters.next_sid);
        catalog.symbols.reserve_below(counters.next_symbol);
        Ok(())
    })?;
    scan_series(db, SeriesKey::Symbol(Symbol(0)), |key, value| {
        let text = decode_symbol(value).map_err(|error| series_damaged(key, error))?;
        let restored = matches!(key, SeriesKey::Symbol(symbol) if catalog.symbols.restore(symbol, text));
        if restored { Ok(()) } else { Err(series_damaged(key, "another symbol has this text")) }
    })
}

/// All identities, by sid.
fn load_identities(db: &Db) -> Result<Vec<Identity>, HotError> {
    let mut identities = Vec::new();
    scan_series(db, SeriesKey::Identity(SeriesHash(0)), |key, value| {
        let record = IdentityRecord::decode(value).map_err(|error| series_damaged(key, error))?;
        if let SeriesKey::Identity(hash) = key {
            let address = SeriesAddress { class: record.class(), metric: record.metric, sid: record.sid };
            identities.push(Identity { hash, address, created: record.created });
        }
        Ok(())
    })?;
    identities.sort_unstable_by_key(|identity| identity.address.sid);
    Ok(identities)
}

/// Joins the identities with their labels, both by sid.
fn load_series(db: &Db, identities: &[Identity], catalog: &mut Catalog) -> Result<SeriesTable, HotError> {
    let table = SeriesTable::default();
    table.reserve(identities.len());
    let mut expected = identities.iter();
    scan_series(db, SeriesKey::Labels(Sid(0)), |key, value| {
        let labels = decode_labels(value).map_err(|error| series_damaged(key, error))?;
        let identity = expected.next().filter(|identity| SeriesKey::Labels(identity.address.sid) == key);
        let Some(Identity { hash, address, .. }) = identity else {
            return Err(series_damaged(key, "identity records and label records do not pair up"));
        };
        catalog.restore(*hash, *address, labels).map_err(|error| series_damaged(key, error))?;
        table.write(shard_of(hash.series_id())).insert(TableEntry::new(*hash, *address, 0));
        Ok(())
    })?;
    match expected.next() {
        None => Ok(table),
        Some(alone) => Err(series_damaged(SeriesKey::Identity(alone.hash), "the series has no labels")),
    }
}

fn load_metadata(db: &Db, catalog: &mut Catalog) -> Result<(), HotError> {
    scan_series(db, SeriesKey::Metadata(MetricId(0)), |key, value| {
        let said = decode_metadata(value).map_err(|error| series_damaged(key, error))?;
        if let SeriesKey::Metadata(metric) = key {
            let known = catalog.label(METRIC_NAME).is_some_and(|names| names.by_value.contains_key(&Symbol(metric.0)));
            if known {
                catalog.set_metadata(metric, said);
            }
        }
        Ok(())
    })
}

fn load_activity(db: &Db) -> Result<Activity, HotError> {
    let activity = Activity::default();
    scan(db, ACTIVITY_FAMILY, &[], |key, value| {
        activity.load(key, value).map_err(|reason| damaged(ACTIVITY_FAMILY, key, reason))
    })?;
    Ok(activity)
}
