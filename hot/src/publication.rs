//! What the store's state is, and how a new state becomes visible: whole, or not at all (MOVE-1, EPOCH-1).
//!
//! facts that change ─▶ durable ─▶ [`State`], under its lock ─▶ a snapshot ─▶ a new [`View`] replaces the old one ─▶ readers
//! follow
//!
//! A view is never changed, except that points go on arriving in the newest generation that it holds.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::db::{Db, Engine, Snapshot};
use crate::error::HotError;
use crate::facts::{Change, Facts};
use crate::head::Generation;
use crate::readers::Readers;
use crate::view::{DecodedHours, View};

/// Everything that a view is made of.
#[derive(Debug)]
pub(crate) struct State {
    facts: Facts,
    /// Generations of ended epochs whose runs are not published yet, oldest first.
    pub(crate) ended: Vec<Arc<Generation>>,
    pub(crate) active: Arc<Generation>,
}

impl State {
    pub(crate) fn new(facts: Facts, active: Arc<Generation>) -> Self {
        Self { facts, ended: Vec::new(), active }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A run goes in as its generation goes out.
    fn accept(&mut self, facts: Facts) {
        self.ended.retain(|ended| ended.epoch() > facts.checkpoint);
        self.facts = facts;
    }
}

/// The state and the newest view of it.
#[derive(Debug)]
pub(crate) struct Publication {
    db: Arc<Db>,
    state: Mutex<Numbered>,
    view: ArcSwap<View>,
    readers: Arc<Readers>,
    decoded: Arc<DecodedHours>,
}

#[derive(Debug)]
struct Numbered {
    state: State,
    /// Of the newest view.
    number: u64,
}

impl Publication {
    pub(crate) fn new(db: &Arc<Db>, state: State, decoded: DecodedHours) -> Self {
        let readers = Arc::new(Readers::default());
        let decoded = Arc::new(decoded);
        let view = View::new(Snapshot::take(db), &state, &decoded, 1, readers.enter(1));
        let state = Mutex::new(Numbered { state, number: 1 });
        Self { db: Arc::clone(db), state, view: ArcSwap::from_pointee(view), readers, decoded }
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Changes which generations there are, and publishes a view of it. Returns what `change` returns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut guard = self.state.lock();
        let result = change(&mut guard.state);
        self.publish(&mut guard);
        result
    }

    /// Changes facts: those that `propose` names, looking at the state, become durable in one synced write and then
    /// visible. Nobody else changes the state meanwhile. On an error, and when nothing is proposed, all stays as it is.
    pub(crate) fn record(
        &self,
        engine: &Engine,
        what: &'static str,
        propose: impl FnOnce(&State, &mut Change) -> Result<(), HotError>,
    ) -> Result<(), HotError> {
        let mut guard = self.state.lock();
        let mut change = Change::default();
        propose(&guard.state, &mut change)?;
        if change.is_empty() {
            return Ok(());
        }
        let facts = change.write(engine, guard.state.facts(), what)?;
        guard.state.accept(facts);
        self.publish(&mut guard);
        Ok(())
    }

    fn publish(&self, guard: &mut MutexGuard<'_, Numbered>) {
        guard.number += 1;
        let number = guard.number;
        let (snapshot, ticket) = (Snapshot::take(&self.db), self.readers.enter(number));
        let view = View::new(snapshot, &guard.state, &self.decoded, number, ticket);
        self.view.store(Arc::new(view));
    }

    /// What all views keep of the rollups that they decoded.
    pub(crate) fn decoded(&self) -> &DecodedHours {
        &self.decoded
    }

    /// The readers of all views.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }
}
