//! What the store's threads share: the word to end or to look again, and what becomes of the store when one dies.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::committer::CommitQueue;

/// Held by a thread that the store cannot do without: its panic closes the queue, so that the store takes no more points
/// and says so.
#[derive(Debug)]
pub(crate) struct Vital<'a> {
    pub(crate) name: &'static str,
    pub(crate) queue: &'a CommitQueue,
}

impl Drop for Vital<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(thread = self.name, "a thread of the hot store died: no more points are taken");
            self.queue.close();
        }
    }
}

/// Tells background threads to end, or to look again before their tick.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    state: Mutex<StopState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct StopState {
    stopped: bool,
    /// Counts wakes, so that a wake between two waits is not missed.
    wakes: u64,
}

impl Stop {
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn wake(&self) {
        self.state.lock().wakes += 1;
        self.changed.notify_all();
    }

    /// Waits for a stop, a wake that was not `seen`, or the end of `tick`; `true` for a stop.
    pub(crate) fn wait(&self, tick: Duration, seen: &mut u64) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.stopped && state.wakes == *seen, tick);
        *seen = state.wakes;
        state.stopped
    }
}
