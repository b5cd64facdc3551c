//! A worker: takes partitions that have messages, one slice at a time, and stores it.
//!
//! ready partition ─▶ messages until the slice is full or the queue empty ─▶ points with their offset, one write ─▶
//! dead letters ─▶ next
//!
//! A slice that cannot be stored for now stays in hand, and its partition is paused: librdkafka drops what it has fetched,
//! and fetches it again when the partition goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use runtime::{Causes, crash_point};
use schemas::{Offsets, PointBatch, TopicPartition};

use super::config::Delivery;
use super::partition::{Partition, Work};
use super::slice::{Slice, Taken};
use super::{Consumer, Shared};
use crate::decode::Scope;
use crate::intake::SinkError;

/// How soon what is away is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How soon a partition is looked at again that another worker has in hand.
const BUSY_AFTER: Duration = Duration::from_millis(1);

/// What to do with a partition next.
enum Next {
    /// Its queue will say when there is more.
    Idle,
    More,
    Later(Duration),
}

/// Why a slice or a message waits.
struct Wait {
    why: String,
    retry_after: Duration,
}

/// How a slice was filled.
enum Filled {
    /// The queue is empty.
    Drained,
    Full,
    Wait(Wait),
    Halted(String),
}

/// Runs until the queue of ready partitions is closed.
pub(super) fn run(shared: &Shared) {
    while let Some(id) = shared.ready.pop() {
        let Some(partition) = shared.partitions.get(id) else { continue };
        match step(shared, &partition) {
            Next::Idle => {}
            Next::More => shared.ready.push(id),
            Next::Later(wait) => shared.ready.push_after(id, wait),
        }
    }
}

/// Fills one slice and stores it.
fn step(shared: &Shared, partition: &Partition) -> Next {
    let Some(mut work) = partition.work.try_lock() else { return Next::Later(BUSY_AFTER) };
    if partition.is_left() || partition.progress.halted.load(Ordering::Relaxed) {
        return Next::Idle;
    }
    // What is in hand from the last time goes first.
    let filled = if work.slice.is_empty() { fill(shared, partition, &mut work) } else { Filled::Full };
    if !work.slice.is_empty() {
        if let Err(wait) = store(shared, partition, &mut work.slice) {
            return hold(shared, partition, &mut work, wait);
        }
        work.slice.clear();
    }
    match filled {
        Filled::Drained => release(shared, partition, &mut work, Next::Idle),
        Filled::Full => release(shared, partition, &mut work, Next::More),
        Filled::Wait(wait) => hold(shared, partition, &mut work, wait),
        Filled::Halted(why) => {
            halt(shared, partition, &mut work, why);
            Next::Idle
        }
    }
}

fn fill(shared: &Shared, partition: &Partition, work: &mut Work) -> Filled {
    let parts = &shared.parts;
    let scope = Scope { now_ms: parts.clock.now_ms(), window: parts.sink.intake_window(), limits: &parts.limits };
    let on_error = partition.rule.on_error;
    let Work { queue: Some(queue), decoder, slice, again, .. } = work else { return Filled::Drained };
    if let Some(message) = again.take() {
        match slice.take(&message, decoder, scope, on_error) {
            Taken::In => {}
            Taken::Unavailable { why } => {
                *again = Some(message);
                return Filled::Wait(Wait { why, retry_after: RETRY_AFTER });
            }
            Taken::Halt { why } => return Filled::Halted(why),
        }
    }
    while !slice.is_full() {
        let message = match queue.poll(Duration::ZERO) {
            None => return Filled::Drained,
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                tracing::warn!(partition = %partition.of, error = %Causes(&error), "kafka");
                continue;
            }
        };
        // After a pause some messages come again.
        if slice.next.or(partition.progress.next()).is_some_and(|next| message.offset() < next) {
            continue;
        }
        match slice.take(&message, decoder, scope, on_error) {
            Taken::In => {}
            Taken::Unavailable { why } => {
                *again = Some(message.detach());
                return Filled::Wait(Wait { why, retry_after: RETRY_AFTER });
            }
            Taken::Halt { why } => return Filled::Halted(why),
        }
    }
    Filled::Full
}

/// Stores a slice as its delivery level says.
fn store(shared: &Shared, partition: &Partition, slice: &mut Slice) -> Result<(), Wait> {
    let Some(next) = slice.next else { return Ok(()) };
    if slice.controlled.is_none() {
        slice.controlled = Some(shared.parts.controls.apply(&mut slice.batch));
    }
    let delivery = partition.rule.delivery;
    if delivery == Delivery::AtMostOnce {
        commit(shared, &partition.of, next)?;
    }
    append(shared, partition, &slice.batch, slice.first_dead().unwrap_or(next))?;
    crash_point("kafka.slice.stored");
    if !slice.dead.is_empty() {
        bury(shared, partition, slice, next)?;
    }
    partition.progress.stored(next, slice.written_ms);
    if let Some(controlled) = &slice.controlled {
        controlled.count();
    }
    let metrics = &shared.parts.metrics;
    metrics.stored(partition, slice.messages, slice.dead.len() as u64, slice.skipped, slice.points);
    metrics.rejected(partition, &slice.rejections, slice.dropped);
    Ok(())
}

fn append(shared: &Shared, partition: &Partition, batch: &PointBatch, next: i64) -> Result<(), Wait> {
    let delivery = partition.rule.delivery;
    let mut offsets = Offsets::new();
    if delivery.stores_offsets() {
        offsets.advance(partition.of.clone(), next);
    }
    if batch.is_empty() && offsets.is_empty() {
        return Ok(());
    }
    let appended = shared.parts.sink.append_from(batch, &offsets, delivery.tells_archive()).map_err(wait)?;
    shared.parts.metrics.appended(partition, &appended);
    Ok(())
}

/// Copies the dead letters of a slice whose points are stored, and passes over them.
fn bury(shared: &Shared, partition: &Partition, slice: &Slice, next: i64) -> Result<(), Wait> {
    // The group's offset may pass what survives anything only.
    shared.parts.sink.sync().map_err(wait)?;
    let offsets = one_offset(&partition.of, next, &shared.config.node).map_err(|error| broker(&error))?;
    let group = shared
        .consumer
        .group_metadata()
        .ok_or_else(|| Wait { why: "the group is not joined yet".to_owned(), retry_after: RETRY_AFTER })?;
    let sent = shared.dead_letters.send(&partition.of, &slice.dead, &offsets, &group);
    sent.map_err(|error| broker(&error))?;
    crash_point("kafka.dead_letters.sent");
    append(shared, partition, &PointBatch::new(), next)
}

/// Tells the group of one partition's offset, and waits for the answer.
fn commit(shared: &Shared, of: &TopicPartition, next: i64) -> Result<(), Wait> {
    let offsets = one_offset(of, next, &shared.config.node).map_err(|error| broker(&error))?;
    shared.consumer.commit(&offsets, CommitMode::Sync).map_err(|error| broker(&error))
}

/// An offset as it is told to the group: with the name of the node that stored it.
fn one_offset(of: &TopicPartition, next: i64, node: &str) -> rdkafka::error::KafkaResult<TopicPartitionList> {
    let mut offsets = TopicPartitionList::with_capacity(1);
    add_offset(&mut offsets, of, next, node)?;
    Ok(offsets)
}

pub(super) fn add_offset(
    offsets: &mut TopicPartitionList,
    of: &TopicPartition,
    next: i64,
    node: &str,
) -> rdkafka::error::KafkaResult<()> {
    let mut element = offsets.add_partition(&of.topic, of.partition);
    element.set_offset(Offset::Offset(next))?;
    element.set_metadata(node);
    Ok(())
}

fn wait(error: SinkError) -> Wait {
    match error {
        SinkError::Busy { why, retry_after } | SinkError::Unwritable { why, retry_after } => Wait { why, retry_after },
    }
}

fn broker(error: &rdkafka::error::KafkaError) -> Wait {
    Wait { why: format!("kafka: {}", Causes(error)), retry_after: RETRY_AFTER }
}

/// Keeps what is in hand, and fetches no more until it is stored.
fn hold(shared: &Shared, partition: &Partition, work: &mut Work, wait: Wait) -> Next {
    shared.parts.metrics.waits(partition);
    let mut waits = partition.progress.waits.lock();
    if waits.as_deref() != Some(wait.why.as_str()) {
        tracing::warn!(partition = %partition.of, why = wait.why, "a partition waits");
        *waits = Some(wait.why);
    }
    drop(waits);
    if !work.paused {
        work.paused = set_paused(&shared.consumer, &partition.of, true);
    }
    Next::Later(wait.retry_after.min(RETRY_AFTER))
}

fn release(shared: &Shared, partition: &Partition, work: &mut Work, next: Next) -> Next {
    if partition.progress.waits.lock().take().is_some() {
        tracing::info!(partition = %partition.of, "a partition goes on");
    }
    if work.paused {
        work.paused = !set_paused(&shared.consumer, &partition.of, false);
        if work.paused {
            return Next::Later(RETRY_AFTER);
        }
    }
    next
}

fn halt(shared: &Shared, partition: &Partition, work: &mut Work, why: String) {
    tracing::error!(partition = %partition.of, why, "a partition halts at a message that cannot be read; mend or skip it, then restart");
    *partition.progress.waits.lock() = Some(why);
    partition.progress.halted.store(true, Ordering::Relaxed);
    shared.parts.metrics.halted();
    work.paused = set_paused(&shared.consumer, &partition.of, true);
}

/// Whether it was done.
fn set_paused(consumer: &Consumer, of: &TopicPartition, paused: bool) -> bool {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&of.topic, of.partition);
    let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
    if let Err(error) = &done {
        tracing::warn!(partition = %of, error = %Causes(error), paused, "kafka");
    }
    done.is_ok()
}
