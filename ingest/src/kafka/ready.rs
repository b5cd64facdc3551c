//! Which partitions have messages: what the workers take their next partition from.
//!
//! librdkafka says a queue is no longer empty ─▶ [`Ready::push`] ─▶ a worker, one at a time for each partition
//!
//! A partition stands here once at most for now and once for later, so the queue is bounded by the number of partitions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// When each of `later` is due.
    due: BTreeMap<PartitionId, Instant>,
    /// What workers have in hand, and whether it is to be looked at again afterwards.
    in_hand: BTreeMap<PartitionId, bool>,
    closed: bool,
}

impl State {
    /// Whether somebody is to be woken.
    fn push(&mut self, id: PartitionId) -> bool {
        if let Some(again) = self.in_hand.get_mut(&id) {
            *again = true;
            return false;
        }
        let new = self.queued.insert(id);
        if new {
            self.now.push_back(id);
        }
        new
    }
}

impl Ready {
    /// Says that a partition may have messages.
    pub(crate) fn push(&self, id: PartitionId) {
        if self.state.lock().push(id) {
            self.changed.notify_one();
        }
    }

    /// Says that a partition is to be looked at again after a while, or sooner if that was said before.
    pub(crate) fn push_after(&self, id: PartitionId, wait: Duration) {
        let mut state = self.state.lock();
        let due = Instant::now() + wait;
        match state.due.get(&id).copied() {
            Some(before) if before <= due => return,
            Some(before) => drop(state.later.remove(&(before, id))),
            None => {}
        }
        state.due.insert(id, due);
        state.later.insert((due, id));
        drop(state);
        self.changed.notify_one();
    }

    /// The next partition to look at, which no other worker is given until it is [`Ready::done`]; `None` at the end.
    pub(crate) fn pop(&self) -> Option<PartitionId> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            while let Some(&(due, id)) = state.later.first().filter(|(due, _)| *due <= now) {
                state.later.remove(&(due, id));
                state.due.remove(&id);
                state.push(id);
            }
            if let Some(id) = state.now.pop_front() {
                state.queued.remove(&id);
                state.in_hand.insert(id, false);
                if !state.now.is_empty() {
                    self.changed.notify_one();
                }
                return Some(id);
            }
            match state.later.first() {
                Some(&(due, _)) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Ends what [`Ready::pop`] began.
    pub(crate) fn done(&self, id: PartitionId) {
        let mut state = self.state.lock();
        if state.in_hand.remove(&id) == Some(true) && state.push(id) {
            self.changed.notify_one();
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
        ready.done(PartitionId(1));
        ready.push_after(PartitionId(3), Duration::ZERO);
        assert_eq!(ready.pop(), Some(PartitionId(3)));
        ready.close();
        ready.push(PartitionId(4));
        assert_eq!(ready.pop(), None);
    }

    #[test]
    fn a_partition_in_hand_is_given_to_nobody_else_and_comes_again_once_it_is_done() {
        let ready = Ready::default();
        ready.push(PartitionId(1));
        assert_eq!(ready.pop(), Some(PartitionId(1)));
        ready.push(PartitionId(1));
        ready.push(PartitionId(2));
        assert_eq!(ready.pop(), Some(PartitionId(2)));
        ready.done(PartitionId(1));
        assert_eq!(ready.pop(), Some(PartitionId(1)));
        ready.done(PartitionId(1));
        assert!(ready.state.lock().now.is_empty(), "it was pushed once while in hand");
    }

    #[test]
    fn a_partition_that_is_put_off_again_and_again_waits_once() {
        let ready = Ready::default();
        for wait in [60, 60, 90, 30] {
            ready.push_after(PartitionId(1), Duration::from_secs(wait));
        }
        let waiting = |state: &State| (state.later.len(), state.due.len());
        assert_eq!(waiting(&ready.state.lock()), (1, 1));
        ready.push_after(PartitionId(1), Duration::ZERO);
        assert_eq!(ready.pop(), Some(PartitionId(1)));
        assert!(ready.state.lock().later.is_empty());
    }
}
