//! After a lost disk: what the lost one had read and not archived is read again, before the group is joined.
//!
//! positions of the lost disk ─▶ per partition `[start, the group's offset)` ─▶ points that the archive lacks ─▶ store, with offsets
//!
//! Every partition of the topics is read, whoever has it now: what the lost disk took in before it was handed over is on no
//! other. What lies behind the group's offset nobody has read yet, or its owner reads it as always. Dead letters of the
//! range were written then. A crash begins again at the offsets that are stored. Not here: what the archive has (`cold`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use runtime::Causes;
use schemas::{Hour, Offsets, PointBatch, TimestampMs, TopicPartition};

use super::config::TopicRule;
use super::events::Context;
use super::{Shared, ask, client, topics};
use crate::decode::Scope;
use crate::intake::SinkError;
use crate::message::{Message, MessageDecoder, MessageError};

/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// Points after which they are stored.
const POINTS_MAX: usize = 64 << 10;

/// From where a node without its disk goes on.
pub struct Recover {
    /// Per partition the first message that may not be archived; a partition that is missing is read from its beginning.
    pub start: Offsets,
    /// By hour, how far each partition is in the archive.
    pub archived: BTreeMap<Hour, Offsets>,
    /// Everything before is archived; for what is told of messages that are gone.
    pub archived_until: TimestampMs,
    /// Called when everything has been read again.
    pub done: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Recover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recover").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Recover {
    fn has(&self, timestamp: i64, of: &TopicPartition, offset: i64) -> bool {
        let hour = Hour::containing(TimestampMs(timestamp));
        self.archived.get(&hour).and_then(|ends| ends.get(of)).is_some_and(|end| offset < end)
    }
}

/// A partition, and what of it is to be read: offsets `[start, end)`.
struct Range {
    of: TopicPartition,
    rule: Arc<TopicRule>,
    start: i64,
    end: i64,
}

/// Reads everything again. `false` if it was told to stop.
pub(super) fn run(shared: &Shared, recover: &Recover) -> bool {
    let Some(ranges) = ask(shared, "asking what there is to read again", || plan(shared, recover)) else {
        return false;
    };
    let messages: i64 = ranges.iter().map(|range| range.end - range.start).sum();
    tracing::info!(partitions = ranges.len(), messages, "reading again what the lost disk had and the archive has not");
    let queue = Mutex::new(VecDeque::from(ranges));
    let whole = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..shared.config.threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let Some(range) = queue.lock().pop_front() else { return true };
                        if !read_again(shared, recover, &range) {
                            return false;
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().all(|worker| worker.join().unwrap_or(false))
    });
    if whole {
        (recover.done)();
        tracing::info!("everything that the lost disk had and Kafka still has is read again");
    }
    whole
}

/// All partitions of the topics with something to read again. Tells what the brokers have dropped.
fn plan(shared: &Shared, recover: &Recover) -> KafkaResult<Vec<Range>> {
    let metadata = shared.consumer.fetch_metadata(None, PATIENCE)?;
    let wanted = topics::wanted(&shared.config.topics, metadata.topics().iter().map(|topic| topic.name()));
    let own = shared.parts.sink.offsets();
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| wanted.contains(topic.name())) {
        for partition in topic.partitions() {
            list.add_partition(topic.name(), partition.id());
        }
    }
    let mut ranges = Vec::new();
    for element in shared.consumer.committed_offsets(list, PATIENCE)?.elements() {
        let of = TopicPartition::new(element.topic(), element.partition());
        let Some(rule) = topics::rule_of(&shared.config.topics, &of.topic) else { continue };
        // What nobody has read is no loss.
        let Offset::Offset(read) = element.offset() else { continue };
        let (low, high) = shared.consumer.fetch_watermarks(&of.topic, of.partition, PATIENCE)?;
        let wanted = own.get(&of).max(recover.start.get(&of)).unwrap_or(0);
        let (start, end) = (wanted.max(low), read.min(high));
        if wanted < low.min(read) {
            tell_missing(shared, recover, &of, (wanted, low.min(read)));
        }
        if start < end {
            ranges.push(Range { of, rule, start, end });
        }
    }
    Ok(ranges)
}

/// From when to when points may be missing, as well as it can be known.
fn tell_missing(shared: &Shared, recover: &Recover, of: &TopicPartition, (from, to): (i64, i64)) {
    shared.parts.metrics.missing(&of.topic, to - from);
    let first_there_ms = first_timestamp(shared, of, to);
    tracing::error!(
        partition = %of, from_offset = from, to_offset = to,
        from = %told(recover.archived_until.0),
        to = %first_there_ms.map_or_else(|| "now".to_owned(), told),
        "messages that were read and not archived are missing: the brokers no longer have them"
    );
}

fn told(timestamp_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(timestamp_ms)
        .map_or_else(|| timestamp_ms.to_string(), |at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// When the first message was written that is still there.
fn first_timestamp(shared: &Shared, of: &TopicPartition, offset: i64) -> Option<i64> {
    let consumer = consumer_at(shared, of, offset).ok()?;
    let message = consumer.poll(Duration::from_secs(1))?.ok()?;
    message.timestamp().to_millis()
}

fn consumer_at(shared: &Shared, of: &TopicPartition, offset: i64) -> KafkaResult<BaseConsumer<Context>> {
    let mut config = client::consumer(&shared.config);
    // It reads by offset, and is no member of the group.
    config.remove("group.instance.id").set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer<Context> = config.create_with_context(Context::default())?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&of.topic, of.partition, Offset::Offset(offset))?;
    consumer.assign(&list)?;
    Ok(consumer)
}

/// What was read and is not stored yet.
struct Reading {
    decoder: MessageDecoder,
    batch: PointBatch,
    /// One message.
    scratch: PointBatch,
    next: i64,
}

/// `false` if it was told to stop.
fn read_again(shared: &Shared, recover: &Recover, range: &Range) -> bool {
    let consumer = ask(shared, "opening a partition to read it again", || consumer_at(shared, &range.of, range.start));
    let Some(consumer) = consumer else { return false };
    let decoder = MessageDecoder::new(range.rule.format, shared.parts.schemas.clone());
    let (batch, scratch) = (PointBatch::new(), PointBatch::new());
    let mut reading = Reading { decoder, batch, scratch, next: range.start };
    while reading.next < range.end && !shared.is_stopping() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) if message.offset() >= range.end => reading.next = range.end,
            Some(Ok(message)) => {
                if !take(shared, recover, &range.of, &mut reading, &message) {
                    return false;
                }
                reading.next = message.offset() + 1;
            }
            // Behind the last message there may be markers of transactions.
            Some(Err(KafkaError::PartitionEOF(_))) => reading.next = range.end,
            Some(Err(error)) => tracing::warn!(partition = %range.of, error = %Causes(&error), "kafka"),
        }
        let done = reading.next >= range.end;
        if (done || reading.batch.len() >= POINTS_MAX) && !store(shared, range, &mut reading) {
            return false;
        }
    }
    !shared.is_stopping()
}

/// Takes the points of a message that the archive lacks. `false` at a stop.
fn take(
    shared: &Shared,
    recover: &Recover,
    of: &TopicPartition,
    reading: &mut Reading,
    message: &BorrowedMessage<'_>,
) -> bool {
    let Some(payload) = message.payload() else { return true };
    let parts = &shared.parts;
    let timestamp_ms = message.timestamp().to_millis().filter(|timestamp| *timestamp > 0);
    while !shared.is_stopping() {
        let scope = Scope { now_ms: parts.clock.now_ms(), window: parts.sink.intake_window(), limits: &parts.limits };
        reading.scratch.clear();
        let sent = Message { payload, key: message.key(), timestamp_ms };
        match reading.decoder.decode(sent, scope, &mut reading.scratch) {
            Ok(_) => break,
            // It is a dead letter already, or was passed over.
            Err(MessageError::Poison { .. }) => return true,
            Err(MessageError::Unavailable { why, .. }) => {
                shared.tell_wait(&format!("reading {of} again"), &why);
                shared.pause(RETRY_AFTER);
            }
        }
    }
    let scratch = &reading.scratch;
    let mut last = None;
    for ((&series, &timestamp), &value) in scratch.series_of().iter().zip(scratch.timestamps()).zip(scratch.values()) {
        if recover.has(timestamp, of, message.offset()) {
            continue;
        }
        let known = last.filter(|(before, _)| *before == series).map(|(_, here)| here);
        let here = known.unwrap_or_else(|| reading.batch.add_canonical(scratch.series(series).1));
        last = Some((series, here));
        reading.batch.push(here, timestamp, value);
    }
    true
}

/// Stores what was read. `false` at a stop.
fn store(shared: &Shared, range: &Range, reading: &mut Reading) -> bool {
    let controlled = shared.parts.controls.apply(&mut reading.batch);
    let delivery = range.rule.delivery;
    let mut offsets = Offsets::new();
    if delivery.stores_offsets() {
        offsets.advance(range.of.clone(), reading.next);
    }
    while !shared.is_stopping() {
        match shared.parts.sink.append_from(&reading.batch, &offsets, delivery.tells_archive()) {
            Ok(appended) => {
                tracing::debug!(partition = %range.of, next = reading.next, points = appended.accepted, "read again");
                controlled.count();
                reading.batch.clear();
                return true;
            }
            Err(SinkError::Busy { why, retry_after } | SinkError::Unwritable { why, retry_after }) => {
                shared.tell_wait(&format!("reading {} again", range.of), &why);
                shared.pause(retry_after.min(RETRY_AFTER));
            }
        }
    }
    false
}
