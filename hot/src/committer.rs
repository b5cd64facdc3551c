//! Group commit: one thread writes what all appenders wait for, applies it to the head, and switches epochs.
//!
//! append ─▶ [`CommitQueue`] (bounded) ─▶ one write batch {log records, offsets, new series} ─▶ head, in log order ─▶ answer
//!
//! Durable before visible, visible before answered (ACK-1). Since one thread does both, the switch to the next
//! generation and to the next log is one step between two commits (EPOCH-1). While a write is on its way, others
//! queue and share the next: a group forms by itself, and nobody waits when nobody else writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use parking_lot::{Condvar, Mutex};
use rocksdb::{WriteBatch, WriteOptions};
use runtime::crash_point;
use schemas::keys::{Family, log_key};

use crate::config::Durability;
use crate::error::Context;
use crate::head::{Generation, HeadBatch};
use crate::offsets::SourceOffsets;
use crate::store::Core;
use crate::writable::Unwritable;

/// Points that may wait for the committer.
const QUEUE_POINTS_MAX: usize = 2 << 20;
/// Bytes that may wait for the committer.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Points that one write takes from the queue.
const GROUP_POINTS: usize = 64 << 10;

/// One append, ready to be written.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The log record; empty to write no more than what the index has pending.
    pub(crate) record: Vec<u8>,
    pub(crate) batch: HeadBatch,
    /// How far Kafka's partitions are in with these points.
    pub(crate) offsets: SourceOffsets,
    pub(crate) done: SyncSender<Result<(), Unwritable>>,
}

impl Commit {
    fn bytes(&self) -> usize {
        self.record.len() + self.batch.bytes() + self.offsets.bytes()
    }
}

/// An order to begin the next epoch.
#[derive(Debug)]
pub(crate) struct Switch {
    /// Its log family exists already.
    pub(crate) next: Arc<Generation>,
    pub(crate) done: SyncSender<()>,
}

/// What the committer does next.
#[derive(Debug)]
enum Job {
    Commits(Vec<Commit>),
    Switch(Switch),
    End,
}

/// Why the queue did not take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// What waits for the committer.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    commits: VecDeque<Commit>,
    points: usize,
    bytes: usize,
    switch: Option<Switch>,
    closed: bool,
}

impl CommitQueue {
    pub(crate) fn push(&self, commit: Commit) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        let (points, bytes) = (commit.batch.len(), commit.bytes());
        // A batch larger than the bound goes alone.
        let full = waiting.points + points > QUEUE_POINTS_MAX || waiting.bytes + bytes > QUEUE_BYTES_MAX;
        if full && !waiting.commits.is_empty() {
            return Err(Refused::Full);
        }
        waiting.points += points;
        waiting.bytes += bytes;
        waiting.commits.push_back(commit);
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Orders a switch. Only a flush does, and there is one at a time.
    pub(crate) fn switch(&self, switch: Switch) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        debug_assert!(waiting.switch.is_none(), "flushes are serialised");
        waiting.switch = Some(switch);
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// Takes no more; the committer finishes what waits and ends.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.ready.notify_one();
    }

    /// Takes no more and gives up what waits: its appenders learn that nobody will answer.
    fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
    }

    pub(crate) fn points(&self) -> usize {
        self.waiting.lock().points
    }

    /// Whether nobody will take anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    fn next(&self) -> Job {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(switch) = waiting.switch.take() {
                return Job::Switch(switch);
            }
            if !waiting.commits.is_empty() {
                return Job::Commits(waiting.take_group());
            }
            if waiting.closed {
                return Job::End;
            }
            self.ready.wait(&mut waiting);
        }
    }
}

impl Waiting {
    fn take_group(&mut self) -> Vec<Commit> {
        let mut group = Vec::new();
        let mut points = 0;
        while let Some(commit) = self.commits.front() {
            if !group.is_empty() && points + commit.batch.len() > GROUP_POINTS {
                break;
            }
            points += commit.batch.len();
            self.points -= commit.batch.len();
            self.bytes -= commit.bytes();
            group.extend(self.commits.pop_front());
        }
        group
    }
}

/// Runs until the queue is closed and empty.
pub(crate) fn run(core: &Core) {
    // Nobody but the committer switches, so this is the newest generation.
    let active = Arc::clone(core.view().generations().last().expect("a view has an active generation"));
    let mut committer = Committer { active, sequence: 0, core };
    loop {
        match core.queue().next() {
            Job::Commits(group) => committer.commit(group),
            Job::Switch(switch) => committer.switch(switch),
            Job::End => return,
        }
    }
}

struct Committer<'a> {
    core: &'a Core,
    active: Arc<Generation>,
    /// The next record's number in this epoch.
    sequence: u64,
}

impl Drop for Committer<'_> {
    /// Also when the thread panics: nobody may wait for a committer that is gone.
    fn drop(&mut self) {
        self.core.queue().abandon();
    }
}

impl Committer<'_> {
    fn commit(&mut self, group: Vec<Commit>) {
        let written = self.write(&group).context("cannot write the log");
        self.core.commit_writes().note(&written);
        match written {
            Ok(()) => {
                crash_point("hot.append.written");
                let now_ms = self.core.now_ms();
                for Commit { record, batch, offsets, done } in group {
                    if !record.is_empty() {
                        self.active.apply(&batch, record.len(), now_ms);
                    }
                    self.core.offsets().learn_all(self.active.epoch(), &offsets);
                    // The appender may have given up waiting (its thread was told to end): the points are in.
                    done.send(Ok(())).ok();
                }
                self.core.wake_flusher_if_due(&self.active);
            }
            Err(error) => {
                tracing::debug!(%error, appends = group.len(), "a group commit failed, nothing of it was applied");
                let why = self.core.commit_writes().trouble().unwrap_or(Unwritable::Failing);
                for commit in group {
                    commit.done.send(Err(why)).ok();
                }
            }
        }
    }

    /// Makes a group durable: its records, and every series that any record so far uses.
    fn write(&mut self, group: &[Commit]) -> Result<(), rocksdb::Error> {
        let engine = self.core.engine();
        let family = engine
            .family(Family::Log(self.active.epoch()))
            .expect("an epoch's log is made before the epoch and dropped after it");
        let mut batch = WriteBatch::default();
        for commit in group.iter().filter(|commit| !commit.record.is_empty()) {
            batch.put_cf(&family, log_key(self.sequence), &commit.record);
            // Also after a failure: a number that may have reached the disk is not given out again.
            self.sequence += 1;
        }
        let meta = engine.meta();
        for commit in group {
            commit.offsets.put(self.active.epoch(), &meta, &mut batch);
        }
        let drained = self.core.index().drain_unpersisted(&mut batch);
        let mut options = WriteOptions::default();
        options.set_sync(self.core.config().durability == Durability::Sync);
        let written = engine.db().write_opt(batch, &options);
        if written.is_err() {
            self.core.index().restore(drained);
        }
        written
    }

    fn switch(&mut self, switch: Switch) {
        let Switch { next, done } = switch;
        runtime::invariant!(
            "EPOCH-1",
            next.epoch() > self.active.epoch(),
            "epoch {} follows {}",
            next.epoch(),
            self.active.epoch()
        );
        self.core.publication().change(|state| {
            let ended = std::mem::replace(&mut state.active, Arc::clone(&next));
            state.ended.push(ended);
        });
        self.active = next;
        self.sequence = 0;
        done.send(()).ok();
    }
}
