//! What the store's state is, and how a new state becomes visible: whole, or not at all (MOVE-1, EPOCH-1).
//!
//! change the [`State`] under its lock ─▶ take a snapshot ─▶ a new [`View`] replaces the old one ─▶ readers follow
//!
//! Whoever changes the state has made durable, before, what the new state says. A view is never changed, except that
//! points go on arriving in the newest generation that it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use schemas::meta::RunRecord;
use schemas::{Epoch, Hour, RetentionClass, TierMap};

use crate::db::{Db, Snapshot};
use crate::head::Generation;
use crate::readers::Readers;
use crate::view::View;

/// Runs by epoch, oldest first.
pub(crate) type Runs = BTreeMap<Epoch, Arc<RunRecord>>;

/// Everything that a view is made of.
#[derive(Debug, Clone)]
pub(crate) struct State {
    map: Arc<TierMap>,
    pub(crate) runs: Arc<Runs>,
    /// Generations of ended epochs whose runs are not published yet, oldest first.
    pub(crate) ended: Vec<Arc<Generation>>,
    pub(crate) active: Arc<Generation>,
    /// Every point up to this epoch is in runs.
    pub(crate) checkpoint: Epoch,
    /// What was raised by hand; thresholds raise it further.
    pub(crate) floors: Arc<BTreeMap<RetentionClass, Hour>>,
}

impl State {
    pub(crate) fn new(map: TierMap, runs: Runs, active: Arc<Generation>, checkpoint: Epoch) -> Self {
        let (map, runs) = (Arc::new(map), Arc::new(runs));
        Self { map, runs, ended: Vec::new(), active, checkpoint, floors: Arc::default() }
    }

    pub(crate) fn map(&self) -> &Arc<TierMap> {
        &self.map
    }

    /// The map, to be changed: its version counts the changes.
    pub(crate) fn map_mut(&mut self) -> &mut TierMap {
        let map = Arc::make_mut(&mut self.map);
        map.version += 1;
        map
    }

    pub(crate) fn runs_mut(&mut self) -> &mut Runs {
        Arc::make_mut(&mut self.runs)
    }
}

/// The state and the newest view of it.
#[derive(Debug)]
pub(crate) struct Publication {
    db: Arc<Db>,
    state: Mutex<Numbered>,
    view: ArcSwap<View>,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Numbered {
    state: State,
    /// Of the newest view.
    number: u64,
}

impl Publication {
    pub(crate) fn new(db: &Arc<Db>, state: State) -> Self {
        let readers = Arc::new(Readers::default());
        let view = View::new(Snapshot::take(db), &state, 1, readers.enter(1));
        let state = Mutex::new(Numbered { state, number: 1 });
        Self { db: Arc::clone(db), state, view: ArcSwap::from_pointee(view), readers }
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Changes the state and publishes a view of it. Returns what `change` returns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut guard = self.state.lock();
        let result = change(&mut guard.state);
        self.publish(&mut guard);
        result
    }

    /// Changes the state if `record` makes durable what it is changed to. Nobody else changes it meanwhile.
    pub(crate) fn record<E>(
        &self,
        record: impl FnOnce(&State) -> Result<(), E>,
        change: impl FnOnce(&mut State),
    ) -> Result<(), E> {
        let mut guard = self.state.lock();
        record(&guard.state)?;
        change(&mut guard.state);
        self.publish(&mut guard);
        Ok(())
    }

    fn publish(&self, guard: &mut MutexGuard<'_, Numbered>) {
        guard.number += 1;
        let number = guard.number;
        let view = View::new(Snapshot::take(&self.db), &guard.state, number, self.readers.enter(number));
        self.view.store(Arc::new(view));
    }

    /// The readers of all views.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }
}
