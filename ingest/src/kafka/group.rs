//! The member of the consumer group: one thread that polls, and answers what it is told.
//!
//! poll ─▶ assigned: own offset, the group's, the broker's ends ─[`start`]─▶ queues split, then fetched
//!      ─▶ revoked: workers leave ─▶ log synced ─▶ offsets committed ─▶ let go
//!      ─▶ every few seconds: log synced ─▶ offsets committed; topics looked for; lag told

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use runtime::Causes;
use schemas::TopicPartition;

use super::config::{Delivery, TopicRule};
use super::events::Event;
use super::partition::{Partition, Progress, Told, Work};
use super::start::{Start, decide};
use super::worker::add_offset;
use super::{Shared, recover, topics};
use crate::message::MessageDecoder;

/// How long one poll waits: bounds how late a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the question for the ends of a partition may take.
const ENDS_PATIENCE: Duration = Duration::from_secs(2);
/// How long one round of beginning partitions may take, since nothing is polled meanwhile.
const ROUND: Duration = Duration::from_secs(5);
/// How soon a question that failed is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Group {
    shared: Arc<Shared>,
    /// What the group was told last.
    committed: BTreeMap<TopicPartition, i64>,
    /// What it is being told.
    telling: Option<Telling>,
    subscribed: BTreeSet<String>,
    /// What is assigned and not begun, and how far it was read already by this member.
    starting: VecDeque<(TopicPartition, Option<i64>)>,
    start_due: Instant,
    commit_due: Instant,
    refresh_due: Instant,
}

/// A commit that has not ended. librdkafka tries one again that failed, and later ones may overtake it: so there is one at
/// a time. On a thread of its own, since only who waits for a commit is told how it ended.
struct Telling {
    /// Each with the offset that the group is told of.
    partitions: Vec<(Arc<Partition>, i64)>,
    ended: mpsc::Receiver<KafkaResult<()>>,
}

impl Group {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let commit_due = now + shared.config.commit_every;
        let (committed, subscribed, starting) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Self { shared, committed, telling: None, subscribed, starting, start_due: now, commit_due, refresh_due: now }
    }

    /// Polls until the consumer stops, then leaves the group.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Some(from) = &shared.parts.recover
            && !recover::run(&shared, from)
        {
            // Behind what was not read again, our own offsets would pass it over for ever.
            while !shared.is_stopping() {
                shared.tell_wait("joining the group", "not everything was read again, the log says why: restart");
                shared.pause(RETRY_AFTER);
            }
        }
        while !self.shared.is_stopping() {
            self.subscribe_if_due();
            self.poll(POLL);
            self.restart_astray();
            if !self.starting.is_empty() && self.start_due <= Instant::now() {
                self.start_some();
            }
            self.tell_lag();
            if self.commit_due <= Instant::now() {
                self.commit_due = Instant::now() + self.shared.config.commit_every;
                self.commit();
            }
        }
        self.leave();
    }

    fn poll(&mut self, patience: Duration) {
        let shared = Arc::clone(&self.shared);
        match shared.consumer.poll(patience) {
            None => {}
            Some(Ok(message)) => self.seek_back(message.topic(), message.partition(), message.offset()),
            Some(Err(error)) => {
                shared.consumer.context().tell(&error);
                if let ClientError::MessageConsumptionFatal(code) = error {
                    for partition in shared.partitions.all() {
                        *partition.progress.waits.lock() = Some(format!("the consumer has ended: {code}"));
                    }
                }
            }
        }
        while let Some(event) = shared.consumer.context().next_event() {
            match event {
                Event::Assigned(partitions) => self.assigned(&partitions),
                Event::Revoked(partitions) => self.revoked(&partitions),
            }
        }
    }

    /// A message that came past its partition's queue is read again, by that queue.
    fn seek_back(&self, topic: &str, partition: i32, offset: i64) {
        let back = self.shared.consumer.seek(topic, partition, Offset::Offset(offset), PATIENCE);
        tracing::debug!(topic, partition, offset, ?back, "a message came past its queue");
    }

    fn subscribe_if_due(&mut self) {
        if self.refresh_due > Instant::now() {
            return;
        }
        self.refresh_due = Instant::now() + self.shared.config.refresh_every;
        let rules = &self.shared.config.topics;
        let there = if topics::has_patterns(rules) {
            match self.shared.consumer.fetch_metadata(None, PATIENCE) {
                Ok(metadata) => metadata.topics().iter().map(|topic| topic.name().to_owned()).collect(),
                Err(error) => {
                    if self.shared.consumer.context().is_news(&error.to_string()) {
                        tracing::warn!(error = %Causes(&error), "topics cannot be listed; tried again");
                    }
                    self.refresh_due = Instant::now() + RETRY_AFTER;
                    return;
                }
            }
        } else {
            Vec::new()
        };
        let wanted = topics::wanted(rules, there.iter().map(String::as_str));
        if wanted == self.subscribed || wanted.is_empty() {
            return;
        }
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        match self.shared.consumer.subscribe(&names) {
            Ok(()) => {
                tracing::info!(topics = names.join(","), group = self.shared.config.group, "subscribed");
                self.subscribed = wanted;
            }
            Err(error) => tracing::warn!(error = %Causes(&error), "subscribing failed; tried again"),
        }
    }

    /// Takes partitions, and begins to read those of which the brokers tell where.
    fn assigned(&mut self, list: &TopicPartitionList) {
        for element in list.elements() {
            self.starting.push_back((TopicPartition::new(element.topic(), element.partition()), None));
        }
        // The assignment is answered in any case: librdkafka does nothing else before.
        self.start_some();
        self.shared.parts.metrics.rebalanced("assigned", self.shared.partitions.all().len());
    }

    /// Begins to read what was assigned and has not begun, one round of it. A partition whose leader is away does not keep
    /// the others waiting.
    fn start_some(&mut self) {
        let mut starts = TopicPartitionList::with_capacity(self.starting.len());
        let whole = self.find_starts(&mut starts);
        self.start_due = Instant::now() + if whole { Duration::ZERO } else { RETRY_AFTER };
        self.tell_untold();
        if let Err(error) = self.shared.consumer.incremental_assign(&starts) {
            tracing::error!(error = %Causes(&error), "an assignment was not taken");
            for element in starts.elements() {
                if let Some(partition) = self.shared.partitions.remove(element.topic(), element.partition()) {
                    partition.leave();
                    self.starting.push_back((partition.of.clone(), partition.progress.next()));
                }
            }
            self.start_due = Instant::now() + RETRY_AFTER;
        }
    }

    fn tell_untold(&self) {
        self.shared.partitions.wait_for(self.starting.iter().map(|(of, _)| of.clone()).collect());
    }

    /// Whether nothing failed; what is left stays in `starting`.
    fn find_starts(&mut self, starts: &mut TopicPartitionList) -> bool {
        if self.starting.is_empty() {
            return true;
        }
        let deadline = Instant::now() + ROUND;
        let mut list = TopicPartitionList::with_capacity(self.starting.len());
        for (of, _) in &self.starting {
            list.add_partition(&of.topic, of.partition);
        }
        let group = match self.shared.consumer.committed_offsets(list, PATIENCE) {
            Ok(group) => group,
            Err(error) => {
                if self.shared.consumer.context().is_news(&error.to_string()) {
                    tracing::warn!(error = %Causes(&error), "the brokers do not tell the group's offsets; asked again");
                }
                return false;
            }
        };
        let own = self.shared.parts.sink.offsets();
        let mut whole = true;
        for _ in 0..self.starting.len() {
            if Instant::now() > deadline || self.shared.is_stopping() {
                break;
            }
            let Some((of, known)) = self.starting.pop_front() else { break };
            let told = group.find_partition(&of.topic, of.partition).ok_or(ClientError::Canceled);
            let told = told.and_then(|element| element.error().map(|()| element.offset()));
            let own = own.get(&of).max(known);
            if let Err(error) = told.and_then(|offset| self.start(&of, own, known, offset, starts)) {
                if self.shared.consumer.context().is_news(&format!("{of} {error}")) {
                    let error = Causes(&error);
                    tracing::warn!(partition = %of, %error, "the brokers do not tell where a partition begins; asked again");
                }
                self.starting.push_back((of, known));
                whole = false;
            }
        }
        whole
    }

    /// Begins one partition at what is the larger of our own offset and the group's. `known`: how far it was read already.
    fn start(
        &mut self,
        of: &TopicPartition,
        own: Option<i64>,
        known: Option<i64>,
        group: Offset,
        starts: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        // Only topics of a rule are subscribed to.
        let Some(rule) = topics::rule_of(&self.shared.config.topics, &of.topic) else { return Ok(()) };
        let own = if rule.delivery.stores_offsets() { own } else { known };
        let group = match group {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let (low, high) = self.shared.consumer.fetch_watermarks(&of.topic, of.partition, ENDS_PATIENCE)?;
        let start = decide(own, group, self.shared.config.reset, (low, high));
        let at = start.offset().unwrap_or(if self.shared.config.begins_at_end() { high } else { low });
        starts.add_partition_offset(&of.topic, of.partition, Offset::Offset(at))?;
        self.tell_start(of, start);
        if let Some(offset) = group {
            self.committed.insert(of.clone(), offset);
        }
        self.begin(of.clone(), rule, Progress::new(start.offset(), (at, high)))
    }

    /// Lets partitions go whose next message the brokers do not have, and begins them anew.
    fn restart_astray(&mut self) {
        for id in self.shared.partitions.take_astray() {
            let Some(partition) = self.shared.partitions.get(id) else { continue };
            let of = &partition.of;
            self.shared.partitions.remove(&of.topic, of.partition);
            partition.leave();
            let mut list = TopicPartitionList::with_capacity(1);
            list.add_partition(&of.topic, of.partition);
            if let Err(error) = self.shared.consumer.incremental_unassign(&list) {
                tracing::error!(partition = %of, error = %Causes(&error), "a partition cannot begin anew");
            }
            self.starting.push_back((of.clone(), partition.progress.next()));
            self.start_due = Instant::now() + RETRY_AFTER;
        }
    }

    /// The queue is split off before anything is fetched, so that no message goes past it.
    fn begin(&self, of: TopicPartition, rule: Arc<TopicRule>, progress: Progress) -> KafkaResult<()> {
        let queue = self.shared.consumer.split_partition_queue(&of.topic, of.partition);
        let mut queue = queue.ok_or(ClientError::MessageConsumption(RDKafkaErrorCode::UnknownPartition))?;
        // What was begun before and never revoked (it cannot be) would be read twice.
        if let Some(stale) = self.shared.partitions.remove(&of.topic, of.partition) {
            stale.leave();
        }
        let id = self.shared.partitions.next_id();
        let shared = Arc::downgrade(&self.shared);
        queue.set_nonempty_callback(move || {
            if let Some(shared) = shared.upgrade() {
                shared.ready.push(id);
            }
        });
        let decoder = MessageDecoder::new(rule.format, self.shared.parts.schemas.clone());
        let work =
            Work { queue: Some(queue), decoder, slice: Default::default(), again: None, paused: false, astray: false };
        self.shared.partitions.insert(Partition::new(id, of, rule, progress, work));
        self.shared.ready.push(id);
        Ok(())
    }

    fn tell_start(&self, of: &TopicPartition, start: Start) {
        match start {
            Start::New => tracing::info!(partition = %of, "assigned, and never read before"),
            Start::At(offset) => tracing::info!(partition = %of, offset, "assigned"),
            Start::Missing { from, to } => {
                self.shared.parts.metrics.missing(&of.topic, to - from);
                tracing::error!(
                    partition = %of, from, to, messages = to - from,
                    "the brokers have dropped messages that were never read: their retention is shorter than this group was away"
                );
            }
            Start::Recreated { was, low } => tracing::error!(
                partition = %of, was, low,
                "the brokers' newest offset is before ours: the topic was made anew, or its newest messages were lost; reading from its beginning"
            ),
        }
    }

    /// Lets partitions go, once what was taken of them is stored and the group knows.
    fn revoked(&mut self, list: &TopicPartitionList) {
        // Somebody else may have them already, and may have committed more than we did.
        let lost = self.shared.consumer.assignment_lost();
        let mut left = Vec::new();
        let mut begun = TopicPartitionList::with_capacity(list.count());
        for element in list.elements() {
            let (topic, number) = (element.topic(), element.partition());
            self.starting.retain(|(of, _)| (&*of.topic, of.partition) != (topic, number));
            if let Some(partition) = self.shared.partitions.remove(element.topic(), element.partition()) {
                partition.leave();
                self.shared.parts.metrics.left(&partition);
                begun.add_partition(topic, number);
                left.push(partition);
            }
        }
        tracing::info!(partitions = left.len(), lost, "revoked");
        if !lost {
            self.commit_now(&left);
        }
        self.tell_untold();
        for partition in &left {
            self.committed.remove(&partition.of);
        }
        if let Err(error) = self.shared.consumer.incremental_unassign(&begun) {
            tracing::error!(error = %Causes(&error), "a revocation was not taken");
        }
        self.shared.parts.metrics.rebalanced("revoked", self.shared.partitions.all().len());
    }

    /// Tells the group what is stored, once it survives a power loss, and goes on meanwhile.
    fn commit(&mut self) {
        if !self.is_told(Duration::ZERO) {
            return;
        }
        let (partitions, offsets) = self.untold(&self.shared.partitions.all());
        if partitions.is_empty() {
            return;
        }
        let (end, ended) = mpsc::sync_channel(1);
        let consumer = Arc::clone(&self.shared.consumer);
        let commit = move || {
            // Nobody listens once this member has left.
            let _ = end.send(consumer.commit(&offsets, CommitMode::Sync));
        };
        match std::thread::Builder::new().name("kafka-commit".to_owned()).spawn(commit) {
            Ok(_) => self.telling = Some(Telling { partitions, ended }),
            Err(error) => {
                tracing::warn!(%error, "no thread to tell the group of offsets; tried again");
                told(&partitions);
            }
        }
    }

    /// The same of partitions that are let go, and waits until the group knows.
    fn commit_now(&mut self, partitions: &[Arc<Partition>]) {
        if !self.is_told(PATIENCE) {
            tracing::warn!("the brokers do not answer; the group is not told how far its partitions were read");
            return;
        }
        let (partitions, offsets) = self.untold(partitions);
        if !partitions.is_empty() {
            let result = self.shared.consumer.commit(&offsets, CommitMode::Sync);
            self.ended(&partitions, result);
        }
    }

    /// Whether no commit is under way, or ends within `patience`.
    fn is_told(&mut self, patience: Duration) -> bool {
        let Some(Telling { partitions, ended }) = self.telling.take() else { return true };
        match ended.recv_timeout(patience) {
            Ok(result) => self.ended(&partitions, result),
            Err(mpsc::RecvTimeoutError::Disconnected) => told(&partitions),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.telling = Some(Telling { partitions, ended });
                return false;
            }
        }
        true
    }

    fn ended(&mut self, partitions: &[(Arc<Partition>, i64)], result: KafkaResult<()>) {
        told(partitions);
        match result {
            Ok(()) => {
                self.committed.extend(partitions.iter().map(|(partition, next)| (partition.of.clone(), *next)));
            }
            // Offsets are stored with the points; the group's follow with the next commit. A rebalance is under way: the
            // partitions are revoked next, or ours again.
            Err(ClientError::ConsumerCommit(code)) => tracing::debug!(%code, "the group did not take offsets"),
            Err(error) => tracing::warn!(error = %Causes(&error), "the group did not take offsets"),
        }
    }

    /// What the group does not know of some partitions, which count as being told until [`told`].
    fn untold(&self, partitions: &[Arc<Partition>]) -> (Vec<(Arc<Partition>, i64)>, TopicPartitionList) {
        let is_ours =
            |held: &&Arc<Partition>| held.rule.delivery != Delivery::AtMostOnce && !held.progress.is_burying();
        let is_news = |(held, next): &(Arc<Partition>, i64)| self.committed.get(&held.of) != Some(next);
        let ours = partitions.iter().filter(is_ours);
        let mut untold: Vec<_> = ours.filter_map(|held| Some((Arc::clone(held), held.progress.next()?))).collect();
        untold.retain(is_news);
        let mut offsets = TopicPartitionList::new();
        if untold.is_empty() {
            return (untold, offsets);
        }
        if let Err(error) = self.shared.parts.sink.sync() {
            tracing::warn!(%error, "the log cannot be synced; the group's offsets wait");
            return (Vec::new(), offsets);
        }
        // The sync took its time: what tells the group by a transaction since then is not to be undone.
        untold.retain(|(partition, next)| {
            partition.progress.tells(true);
            let tells = !partition.progress.is_burying()
                && add_offset(&mut offsets, &partition.of, *next, &self.shared.config.node).is_ok();
            partition.progress.tells(tells);
            tells
        });
        (untold, offsets)
    }

    fn tell_lag(&self) {
        let Some(statistics) = self.shared.consumer.context().take_statistics() else { return };
        for (topic, of_topic) in &statistics.topics {
            for (number, told) in &of_topic.partitions {
                let Some(partition) = self.shared.partitions.find(topic, *number) else { continue };
                let (high, stable) = (told.hi_offset, told.ls_offset);
                let told = Told { high, stable, asked: told.next_offset, waiting: told.fetchq_cnt };
                partition.progress.is_told(&told, partition.has_in_hand());
            }
        }
        let now_ms = self.shared.parts.clock.now_ms();
        // Brokers that do not answer once are not asked for each partition.
        let mut answer = true;
        for partition in self.shared.partitions.all() {
            // What is paused is not fetched, so librdkafka does not learn how it grows.
            if answer && partition.progress.waits.lock().is_some() && !self.shared.is_stopping() {
                let (topic, number) = (&partition.of.topic, partition.of.partition);
                match self.shared.consumer.fetch_watermarks(topic, number, RETRY_AFTER) {
                    Ok((_, end)) => partition.progress.ends_at(end),
                    Err(_) => answer = false,
                }
            }
            self.shared.parts.metrics.lags(&partition, now_ms);
        }
    }

    /// Stores what is in hand, commits, and closes.
    fn leave(&mut self) {
        let all = self.shared.partitions.all();
        all.iter().for_each(|partition| partition.leave());
        self.commit_now(&all);
        self.shared.ready.close();
        for partition in &all {
            self.shared.partitions.remove(&partition.of.topic, partition.of.partition);
        }
        if let Err(error) = self.shared.consumer.close_queue() {
            tracing::warn!(error = %Causes(&error), "leaving the group failed; it will notice");
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.shared.consumer.closed() {
            self.poll(POLL);
            if Instant::now() > deadline {
                tracing::warn!("the brokers do not answer; the group will notice that this member is gone");
                // To drop it would wait for them without end.
                std::mem::forget(Arc::clone(&self.shared.consumer));
                return;
            }
        }
        tracing::info!(group = self.shared.config.group, "left the group");
    }
}

/// No commit tells the group of these any more.
fn told(partitions: &[(Arc<Partition>, i64)]) {
    partitions.iter().for_each(|(partition, _)| partition.progress.tells(false));
}
