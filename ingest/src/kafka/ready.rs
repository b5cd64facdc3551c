//! Which partitions have messages: what the workers take their next partition from.
//!
//! librdkafka says a queue is no longer empty ─▶ [`Ready::push`] ─▶ a worker, one at a time for each partition
//!
//! A partition stands here once at most, so the queue is bounded by the number of partitions.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A partition as the workers know it: a number that no other partition of this process ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionId(pub(crate) u64);

#[derive(Debug, Default)]
pub(crate) struct Ready {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: VecDeque<PartitionId>,
    queued: BTreeSet<PartitionId>,
    later: BTreeSet<(Instant, PartitionId)>,
    closed: bool,
}

impl Ready {
    /// Says that a partition may have messages.
    pub(crate) fn push(&self, id: PartitionId) {
        let mut state = self.state.lock();
        if state.queued.insert(id) {
            state.now.push_back(id);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Says that a partition is to be looked at again after a while.
    pub(crate) fn push_after(&self, id: PartitionId, wait: Duration) {
        self.state.lock().later.insert((Instant::now() + wait, id));
        self.changed.notify_one();
    }

    /// The next partition to look at; `None` at the end.
    pub(crate) fn pop(&self) -> Option<PartitionId> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            while let Some(&(due, id)) = state.later.first().filter(|(due, _)| *due <= now) {
                state.later.remove(&(due, id));
                if state.queued.insert(id) {
                    state.now.push_back(id);
                }
            }
            if let Some(id) = state.now.pop_front() {
                state.queued.remove(&id);
                return Some(id);
            }
            match state.later.first() {
                Some(&(due, _)) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Ends every wait.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_waits_once_and_in_its_turn() {
        let ready = Ready::default();
        for id in [1, 2, 1, 1] {
            ready.push(PartitionId(id));
        }
        assert_eq!([ready.pop(), ready.pop()], [Some(PartitionId(1)), Some(PartitionId(2))]);
        ready.push_after(PartitionId(3), Duration::ZERO);
        assert_eq!(ready.pop(), Some(PartitionId(3)));
        ready.close();
        ready.push(PartitionId(4));
        assert_eq!(ready.pop(), None);
    }
}
