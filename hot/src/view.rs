//! One consistent state of the store, as a query reads it.
//!
//! snapshot of RocksDB · runs · head generations · tier map ─▶ base of an hour ([`View::scan_points`] and kin) and
//! what is newer than a base ([`View::overlay`])
//!
//! Who owns an hour is in the map, and the reader follows it: base of the owner ⊕ everything newer than the *through*
//! of that owner. The snapshot keeps an old view whole while hours are sealed again under it; dropping waits for its
//! readers (GC-1). Only the head goes on growing under a view. Not here: choosing tiers, merging tiers (`query`).

mod contents;
mod decoded;
mod overlay;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::keys::Family;
use schemas::{Epoch, Hour, RetentionClass, TierMap, TimestampMs};

pub use contents::Contents;
pub(crate) use decoded::DecodedHours;
pub use overlay::Overlay;
pub(crate) use scan::ChunkReader;
pub use scan::{ScanStats, Timed};

use crate::cursor::{Access, Cursor};
use crate::db::Snapshot;
use crate::facts::Runs;
use crate::head::Generation;
use crate::publication::State;
use crate::readers::Ticket;

/// Points that came in some epochs, by hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochHours {
    /// None came before this epoch …
    pub oldest: Epoch,
    /// … and none after this one.
    pub epoch: Epoch,
    pub hours: Vec<Hour>,
}

/// See the module.
#[derive(Debug)]
pub struct View {
    snapshot: Snapshot,
    map: Arc<TierMap>,
    runs: Arc<Runs>,
    /// Oldest first; the last is the one that points arrive in.
    generations: Vec<Arc<Generation>>,
    checkpoint: Epoch,
    floors: Arc<BTreeMap<RetentionClass, Hour>>,
    decoded: Arc<DecodedHours>,
    number: u64,
    _ticket: Ticket,
}

impl View {
    pub(crate) fn new(
        snapshot: Snapshot,
        state: &State,
        decoded: &Arc<DecodedHours>,
        number: u64,
        ticket: Ticket,
    ) -> Self {
        let generations = state.ended.iter().chain(std::iter::once(&state.active)).map(Arc::clone).collect();
        Self {
            snapshot,
            map: Arc::clone(&state.facts().map),
            runs: Arc::clone(&state.facts().runs),
            generations,
            checkpoint: state.facts().checkpoint,
            floors: Arc::clone(&state.facts().floors),
            decoded: Arc::clone(decoded),
            number,
            _ticket: ticket,
        }
    }

    /// Who owns what.
    pub fn map(&self) -> &TierMap {
        &self.map
    }

    pub(crate) fn map_arc(&self) -> &Arc<TierMap> {
        &self.map
    }

    /// Hours with points newer than their base, with the newest epoch that has such points.
    pub fn overlay_hours(&self) -> Vec<(Hour, Epoch)> {
        let mut newest: BTreeMap<Hour, Epoch> = BTreeMap::new();
        for (&epoch, run) in self.runs.iter() {
            for held in &run.hours {
                if epoch > self.map.sealed_through(held.hour) || epoch > crate::through::of_raw(&self.map, held) {
                    newest.insert(held.hour, epoch);
                }
            }
        }
        for generation in &self.generations {
            newest.extend(generation.hours().into_keys().map(|hour| (hour, generation.epoch())));
        }
        newest.into_iter().collect()
    }

    /// What is not in every base yet, oldest first: of each run the oldest epoch that it may have points of, its own, and its
    /// hours; behind them the same of each head generation that has points.
    pub fn epochs(&self) -> Vec<EpochHours> {
        let hours = |run: &schemas::meta::RunRecord| run.hours.iter().map(|held| held.hour).collect();
        let of_runs =
            self.runs.values().map(|run| EpochHours { oldest: run.oldest, epoch: run.epoch, hours: hours(run) });
        let of_heads = self.generations.iter().map(|generation| {
            let (epoch, hours) = (generation.epoch(), generation.hours().into_keys().collect());
            EpochHours { oldest: epoch, epoch, hours }
        });
        of_runs.chain(of_heads.filter(|head| !head.hours.is_empty())).collect()
    }

    /// Hours that some head generation holds points of.
    pub(crate) fn head_hours(&self) -> BTreeSet<Hour> {
        self.generations.iter().flat_map(|generation| generation.hours().into_keys()).collect()
    }

    /// Older points of a class are refused.
    pub fn intake_floor(&self, class: RetentionClass) -> TimestampMs {
        let raised = self.floors.get(&class).copied().unwrap_or_default();
        raised.max(self.map.intake_floor(class)).start()
    }

    /// Everything up to this epoch is in runs.
    pub fn checkpoint(&self) -> Epoch {
        self.checkpoint
    }

    /// The epoch that points arrive in.
    pub fn active_epoch(&self) -> Epoch {
        self.generations.last().map_or(Epoch::ZERO, |active| active.epoch())
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    pub(crate) fn generations(&self) -> &[Arc<Generation>] {
        &self.generations
    }

    pub(crate) fn floors(&self) -> &BTreeMap<RetentionClass, Hour> {
        &self.floors
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A cursor over the keys of a family that begin with `prefix`; `None` when there is no such family.
    pub(crate) fn cursor(&self, family: Family, prefix: &[u8], access: Access) -> Option<Cursor<'_>> {
        let handle = self.snapshot.db().cf_handle(&family.to_string())?;
        Some(Cursor::over(&self.snapshot, &handle, prefix, access))
    }
}
