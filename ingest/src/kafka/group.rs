//! The member of the consumer group: one thread that polls, and answers what it is told.
//!
//! poll ─▶ assigned: own offset, the group's, the broker's ends ─[`start`]─▶ queues split, then fetched
//!      ─▶ revoked: workers leave ─▶ log synced ─▶ offsets committed ─▶ let go
//!      ─▶ every few seconds: log synced ─▶ offsets committed; topics looked for; lag told

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use runtime::Causes;
use schemas::TopicPartition;

use super::config::{Delivery, TopicRule};
use super::events::Event;
use super::partition::{Partition, Progress, Work};
use super::start::{Start, decide};
use super::worker::add_offset;
use super::{Shared, ask, recover, topics};
use crate::message::MessageDecoder;

/// How long one poll waits: bounds how late a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon a question that failed is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Group {
    shared: Arc<Shared>,
    /// What the group was told last.
    committed: BTreeMap<TopicPartition, i64>,
    subscribed: BTreeSet<String>,
    commit_due: Instant,
    refresh_due: Instant,
}

impl Group {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let commit_due = now + shared.config.commit_every;
        Self { shared, committed: BTreeMap::new(), subscribed: BTreeSet::new(), commit_due, refresh_due: now }
    }

    /// Polls until the consumer stops, then leaves the group.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        if let Some(from) = &shared.parts.recover {
            recover::run(&shared, from);
        }
        while !self.shared.is_stopping() {
            self.subscribe_if_due();
            self.poll(POLL);
            self.tell_lag();
            if self.commit_due <= Instant::now() {
                self.commit_due = Instant::now() + self.shared.config.commit_every;
                self.commit(&self.shared.partitions.all(), CommitMode::Async);
            }
        }
        self.leave();
    }

    fn poll(&mut self, patience: Duration) {
        let shared = Arc::clone(&self.shared);
        match shared.consumer.poll(patience) {
            None => {}
            Some(Ok(message)) => self.seek_back(message.topic(), message.partition(), message.offset()),
            Some(Err(error)) => tracing::warn!(error = %Causes(&error), "kafka"),
        }
        while let Some(event) = shared.consumer.context().next_event() {
            match event {
                Event::Assigned(partitions) => self.assigned(&partitions),
                Event::Revoked(partitions) => self.revoked(&partitions),
                Event::Committed(Ok(())) => {}
                Event::Committed(Err(error)) => {
                    // Offsets are stored with the points; the group's follow with the next commit.
                    self.committed.clear();
                    tracing::debug!(error = %Causes(&error), "the group did not take offsets");
                }
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
                    tracing::warn!(error = %Causes(&error), "topics cannot be listed; tried again");
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

    /// Begins to read partitions.
    fn assigned(&mut self, list: &TopicPartitionList) {
        let Some(group) = self.group_offsets(list) else { return };
        let own = self.shared.parts.sink.offsets();
        let mut starts = TopicPartitionList::with_capacity(list.count());
        for element in group.elements() {
            let of = TopicPartition::new(element.topic(), element.partition());
            let Some(rule) = topics::rule_of(&self.shared.config.topics, &of.topic) else { continue };
            let own = own.get(&of).filter(|_| rule.delivery.stores_offsets());
            let group = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let Some(ends) = self.ends_of(&of) else { return };
            let start = decide(own, group, self.shared.config.reset, ends);
            self.tell_start(&of, start);
            if let Some(offset) = group {
                self.committed.insert(of.clone(), offset);
            }
            let offset = start.offset().map_or(Offset::Invalid, Offset::Offset);
            if let Err(error) = starts.add_partition_offset(&of.topic, of.partition, offset) {
                tracing::error!(partition = %of, error = %Causes(&error), "kafka");
            }
            self.begin(of, rule, Progress::new(start.offset(), ends));
        }
        if let Err(error) = self.shared.consumer.incremental_assign(&starts) {
            tracing::error!(error = %Causes(&error), "an assignment was not taken");
        }
        self.shared.parts.metrics.rebalanced("assigned", self.shared.partitions.all().len());
    }

    /// The queue is split off before anything is fetched, so that no message goes past it.
    fn begin(&self, of: TopicPartition, rule: Arc<TopicRule>, progress: Progress) {
        let Some(mut queue) = self.shared.consumer.split_partition_queue(&of.topic, of.partition) else {
            tracing::error!(partition = %of, "a partition has no queue");
            return;
        };
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
        let work = Work { queue: Some(queue), decoder, slice: Default::default(), again: None, paused: false };
        self.shared.partitions.insert(Partition::new(id, of, rule, progress, work));
        self.shared.ready.push(id);
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

    /// What the group has committed of partitions; `None` at a stop.
    fn group_offsets(&self, list: &TopicPartitionList) -> Option<TopicPartitionList> {
        ask(&self.shared, "the group's offsets", || self.shared.consumer.committed_offsets(list.clone(), PATIENCE))
    }

    /// The first offset of a partition, and the one after its last; `None` at a stop.
    fn ends_of(&self, of: &TopicPartition) -> Option<(i64, i64)> {
        ask(&self.shared, "the ends of a partition", || {
            self.shared.consumer.fetch_watermarks(&of.topic, of.partition, PATIENCE)
        })
    }

    /// Lets partitions go, once what was taken of them is stored and the group knows.
    fn revoked(&mut self, list: &TopicPartitionList) {
        // Somebody else may have them already, and may have committed more than we did.
        let lost = self.shared.consumer.assignment_lost();
        let mut left = Vec::new();
        for element in list.elements() {
            if let Some(partition) = self.shared.partitions.remove(element.topic(), element.partition()) {
                partition.leave();
                self.shared.parts.metrics.left(&partition);
                left.push(partition);
            }
        }
        tracing::info!(partitions = left.len(), lost, "revoked");
        if !lost {
            self.commit(&left, CommitMode::Sync);
        }
        for partition in &left {
            self.committed.remove(&partition.of);
        }
        if let Err(error) = self.shared.consumer.incremental_unassign(list) {
            tracing::error!(error = %Causes(&error), "a revocation was not taken");
        }
        self.shared.parts.metrics.rebalanced("revoked", self.shared.partitions.all().len());
    }

    /// Tells the group what is stored, once it survives a power loss.
    fn commit(&mut self, partitions: &[Arc<Partition>], mode: CommitMode) {
        let mut offsets = TopicPartitionList::new();
        let mut told = Vec::new();
        for partition in partitions.iter().filter(|held| held.rule.delivery != Delivery::AtMostOnce) {
            let Some(next) = partition.progress.next() else { continue };
            if self.committed.get(&partition.of) != Some(&next)
                && add_offset(&mut offsets, &partition.of, next, &self.shared.config.node).is_ok()
            {
                told.push((partition.of.clone(), next));
            }
        }
        if told.is_empty() {
            return;
        }
        if let Err(error) = self.shared.parts.sink.sync() {
            tracing::warn!(%error, "the log cannot be synced; the group's offsets wait");
            return;
        }
        match self.shared.consumer.commit(&offsets, mode) {
            Ok(()) => self.committed.extend(told),
            // A rebalance is under way: the partitions are revoked next, or ours again.
            Err(ClientError::ConsumerCommit(code)) => tracing::debug!(%code, "the group did not take offsets"),
            Err(error) => tracing::warn!(error = %Causes(&error), "the group did not take offsets"),
        }
    }

    fn tell_lag(&self) {
        let Some(statistics) = self.shared.consumer.context().take_statistics() else { return };
        for (topic, of_topic) in &statistics.topics {
            for (number, told) in &of_topic.partitions {
                let Some(partition) = self.shared.partitions.find(topic, *number) else { continue };
                let end = told.ls_offset.max(told.hi_offset);
                if end >= 0 {
                    partition.progress.ends_at(end);
                }
            }
        }
        let now_ms = self.shared.parts.clock.now_ms();
        for partition in self.shared.partitions.all() {
            // What is paused is not fetched, so librdkafka does not learn how it grows.
            if partition.progress.waits.lock().is_some()
                && let Ok((_, end)) =
                    self.shared.consumer.fetch_watermarks(&partition.of.topic, partition.of.partition, RETRY_AFTER)
            {
                partition.progress.ends_at(end);
            }
            self.shared.parts.metrics.lags(&partition, now_ms);
        }
    }

    /// Stores what is in hand, commits, and closes.
    fn leave(&mut self) {
        let all = self.shared.partitions.all();
        all.iter().for_each(|partition| partition.leave());
        self.commit(&all, CommitMode::Sync);
        self.shared.ready.close();
        for partition in &all {
            self.shared.partitions.remove(&partition.of.topic, partition.of.partition);
        }
        if let Err(error) = self.shared.consumer.close_queue() {
            tracing::warn!(error = %Causes(&error), "leaving the group failed; it will notice");
            return;
        }
        while !self.shared.consumer.closed() {
            self.poll(POLL);
        }
        tracing::info!(group = self.shared.config.group, "left the group");
    }
}
