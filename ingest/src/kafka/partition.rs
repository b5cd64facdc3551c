//! The partitions that this member has.
//!
//! assigned ─▶ [`Partition`]: its queue, its decoder, its slice ─ a worker at a time ─▶ revoked: [`Partition::leave`]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::message::OwnedMessage;
use schemas::TopicPartition;

use super::config::TopicRule;
use super::events::Context;
use super::ready::PartitionId;
use super::slice::Slice;
use crate::message::MessageDecoder;

/// An offset that is not known yet.
const UNKNOWN: i64 = -1;

/// One assigned partition, from its assignment to its revocation.
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) of: TopicPartition,
    pub(super) rule: Arc<TopicRule>,
    /// Whoever holds it is the only one who reads the partition.
    pub(super) work: Mutex<Work>,
    pub(super) progress: Progress,
    left: AtomicBool,
}

/// What a worker has in hand.
pub(super) struct Work {
    /// `None` once the partition is left.
    pub(super) queue: Option<PartitionQueue<Context>>,
    pub(super) decoder: MessageDecoder,
    /// Messages that were taken from the queue and are not stored yet.
    pub(super) slice: Slice,
    /// A message that could not be decoded for now (the registry is away): the first of the next slice.
    pub(super) again: Option<OwnedMessage>,
    pub(super) paused: bool,
    /// The brokers do not have the next message any more, whichever that is: the partition is to begin anew.
    pub(super) astray: bool,
}

/// What others may know of a partition.
#[derive(Debug)]
pub(super) struct Progress {
    /// Everything before is stored; [`UNKNOWN`] before the first message of a partition that nobody has read.
    next: AtomicI64,
    /// The broker's first offset when it was assigned: where a partition begins that nobody has read.
    first: i64,
    /// The broker's end of the partition.
    end: AtomicI64,
    /// When the last message that was stored was written, ms.
    written_ms: AtomicI64,
    pub(super) waits: Mutex<Option<String>>,
    pub(super) halted: AtomicBool,
    /// A transaction tells the group of an offset that is not [`Progress::next`] yet.
    burying: AtomicBool,
    /// A commit tells the group of an offset that may not be [`Progress::next`] any more.
    telling: Mutex<bool>,
    /// Says that no commit does so any more.
    told: Condvar,
}

impl Progress {
    /// `first`, `end`: the broker's first offset, and the one after its last.
    pub(super) fn new(next: Option<i64>, (first, end): (i64, i64)) -> Self {
        Self {
            next: AtomicI64::new(next.unwrap_or(UNKNOWN)),
            first,
            end: AtomicI64::new(end),
            written_ms: AtomicI64::new(0),
            waits: Mutex::default(),
            halted: AtomicBool::new(false),
            burying: AtomicBool::new(false),
            telling: Mutex::default(),
            told: Condvar::default(),
        }
    }

    pub(super) fn next(&self) -> Option<i64> {
        Some(self.next.load(Ordering::Acquire)).filter(|next| *next != UNKNOWN)
    }

    /// `written_ms`: when the last of the stored messages was written.
    pub(super) fn stored(&self, next: i64, written_ms: Option<i64>) {
        self.next.store(next, Ordering::Release);
        if let Some(written_ms) = written_ms {
            self.written_ms.store(written_ms, Ordering::Relaxed);
        }
    }

    // Who tells the group of an offset says so before looking whether the other way of telling is in use: both are seen in one
    // order, so of the two at least one looks in vain.

    pub(super) fn buries(&self, burying: bool) {
        self.burying.store(burying, Ordering::SeqCst);
    }

    pub(super) fn is_burying(&self) -> bool {
        self.burying.load(Ordering::SeqCst)
    }

    pub(super) fn tells(&self, telling: bool) {
        *self.telling.lock() = telling;
        self.told.notify_all();
    }

    /// Whether no commit is under way, or ends within `patience`.
    pub(super) fn has_told(&self, patience: Duration) -> bool {
        let mut telling = self.telling.lock();
        !self.told.wait_while_for(&mut telling, |telling| *telling, patience).timed_out()
    }

    pub(super) fn ends_at(&self, end: i64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// What librdkafka tells of the partition. The last offsets may be those of markers or of messages that were aborted,
    /// which nobody is given: if it has asked for all there is, and neither it nor we have any in hand, we are at the end.
    pub(super) fn is_told(&self, told: &Told, in_hand: bool) {
        let end = told.high.max(told.stable);
        if end < 0 {
            return;
        }
        let next = self.next().filter(|_| told.asked >= end && told.waiting == 0 && !in_hand);
        self.ends_at(next.map_or(end, |next| next.min(end)));
    }

    /// Messages that are not stored yet, as of the last word of the broker.
    pub(super) fn lag(&self) -> i64 {
        (self.end.load(Ordering::Relaxed) - self.next().unwrap_or(self.first)).max(0)
    }

    /// How far behind it is in time: the age of the last stored message, where there are more.
    pub(super) fn lag_seconds(&self, now_ms: i64) -> Option<f64> {
        if self.lag() == 0 {
            return Some(0.0);
        }
        let written = Some(self.written_ms.load(Ordering::Relaxed)).filter(|written| *written > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "an age in ms is far below 2^52")]
        let seconds = (now_ms - written).max(0) as f64 / 1_000.0;
        Some(seconds)
    }
}

/// What the statistics of librdkafka say of a partition. Offsets are -1001 where they are not known.
pub(super) struct Told {
    /// The end, and the end of what is not in an open transaction.
    pub(super) high: i64,
    pub(super) stable: i64,
    /// The next offset that it asks the broker for.
    pub(super) asked: i64,
    /// Messages that it has for us.
    pub(super) waiting: i64,
}

/// A partition for the eyes of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionStatus {
    pub of: TopicPartition,
    /// The offset of the next message.
    pub next: Option<i64>,
    pub lag: i64,
    pub lag_seconds: Option<f64>,
    /// Why nothing is read now.
    pub waits: Option<String>,
    /// It stopped at a message that cannot be read.
    pub halted: bool,
}

impl Partition {
    pub(super) fn new(
        id: PartitionId,
        of: TopicPartition,
        rule: Arc<TopicRule>,
        progress: Progress,
        work: Work,
    ) -> Self {
        Self { id, of, rule, work: Mutex::new(work), progress, left: AtomicBool::new(false) }
    }

    /// Whether what is in hand is to be given up.
    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Whether messages were taken from its queue that are not stored.
    pub(super) fn has_in_hand(&self) -> bool {
        self.work.try_lock().is_none_or(|work| !work.slice.is_empty() || work.again.is_some())
    }

    /// Waits until no worker has it in hand; nothing more is stored of it.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        let mut work = self.work.lock();
        work.queue = None;
        work.slice.clear();
        work.again = None;
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Partitions {
    by_id: Mutex<HashMap<PartitionId, Arc<Partition>>>,
    ids: AtomicU64,
    /// Those that are to begin anew, since the brokers do not have their next message.
    astray: Mutex<Vec<PartitionId>>,
    /// Those that are ours, and of which the brokers do not tell where they begin.
    untold: Mutex<Vec<TopicPartition>>,
}

impl Partitions {
    pub(super) fn next_id(&self) -> PartitionId {
        PartitionId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn insert(&self, partition: Partition) {
        self.by_id.lock().insert(partition.id, Arc::new(partition));
    }

    pub(super) fn get(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.by_id.lock().get(&id).map(Arc::clone)
    }

    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let all = self.by_id.lock();
        all.values().find(|held| held.of.partition == partition && *held.of.topic == *topic).map(Arc::clone)
    }

    /// Takes one out.
    pub(super) fn remove(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let found = self.find(topic, partition)?;
        self.by_id.lock().remove(&found.id)
    }

    pub(super) fn wait_for(&self, untold: Vec<TopicPartition>) {
        *self.untold.lock() = untold;
    }

    pub(super) fn went_astray(&self, id: PartitionId) {
        self.astray.lock().push(id);
    }

    pub(super) fn take_astray(&self) -> Vec<PartitionId> {
        std::mem::take(&mut *self.astray.lock())
    }

    pub(super) fn all(&self) -> Vec<Arc<Partition>> {
        let mut all: Vec<_> = self.by_id.lock().values().map(Arc::clone).collect();
        all.sort_by(|a, b| a.of.cmp(&b.of));
        all
    }

    pub(super) fn status(&self, now_ms: i64) -> Vec<PartitionStatus> {
        let status = |held: Arc<Partition>| PartitionStatus {
            of: held.of.clone(),
            next: held.progress.next(),
            lag: held.progress.lag(),
            lag_seconds: held.progress.lag_seconds(now_ms),
            waits: held.progress.waits.lock().clone(),
            halted: held.progress.halted.load(Ordering::Relaxed),
        };
        let untold = |of: &TopicPartition| PartitionStatus {
            of: of.clone(),
            next: None,
            lag: 0,
            lag_seconds: None,
            waits: Some("the brokers do not tell where it begins".to_owned()),
            halted: false,
        };
        let untold: Vec<_> = self.untold.lock().iter().map(untold).collect();
        let mut all: Vec<_> = self.all().into_iter().map(status).chain(untold).collect();
        all.sort_by(|a, b| a.of.cmp(&b.of));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_from_the_first_message_until_one_is_stored() {
        let progress = Progress::new(None, (10, 50));
        assert_eq!((progress.next(), progress.lag(), progress.lag_seconds(10_500)), (None, 40, None));
        progress.ends_at(100);
        progress.stored(40, Some(9_000));
        assert_eq!((progress.lag(), progress.lag_seconds(10_500)), (60, Some(1.5)));
        progress.stored(100, Some(9_500));
        assert_eq!((progress.lag(), progress.lag_seconds(20_000)), (0, Some(0.0)));
        assert_eq!(Progress::new(None, (7, 7)).lag(), 0);
    }

    #[test]
    fn who_buries_waits_for_a_commit_that_is_under_way() {
        let progress = Progress::new(Some(1), (0, 1));
        assert!(progress.has_told(Duration::ZERO));
        progress.tells(true);
        assert!(!progress.has_told(Duration::ZERO));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| progress.has_told(Duration::from_secs(60)));
            progress.tells(false);
            assert!(waits.join().expect("no panic"));
        });
    }

    #[test]
    fn markers_of_transactions_at_the_end_are_no_lag() {
        let progress = Progress::new(Some(40), (10, 50));
        let told = |waiting| Told { high: 52, stable: 52, asked: 52, waiting };
        progress.is_told(&told(3), false);
        assert_eq!(progress.lag(), 12);
        progress.stored(50, Some(1));
        progress.is_told(&told(0), true);
        assert_eq!(progress.lag(), 2, "one is in hand");
        progress.stored(51, Some(1));
        progress.is_told(&told(0), false);
        assert_eq!((progress.lag(), progress.lag_seconds(9_999)), (0, Some(0.0)));
        progress.is_told(&Told { high: 60, stable: 52, asked: 52, waiting: 0 }, false);
        assert_eq!(progress.lag(), 9, "a transaction is open");
    }
}
