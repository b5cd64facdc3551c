//! A worker: takes partitions that have messages, one slice at a time, and stores it.
//!
//! ready partition ─▶ messages until the slice is full or the queue empty ─▶ points with their offset, one write ─▶
//! dead letters ─▶ next
//!
//! A slice that cannot be stored for now stays in hand, and its partition is paused: librdkafka drops what it has fetched,
//! and fetches it again when the partition goes on. What of it is done (its points, its dead letters) is not done again.
//! Memory for points is lent to a partition as long as it has a slice: partitions may be thousands, workers are few.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
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
/// How long one question to the brokers may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut spare = PointBatch::new();
    while let Some(id) = shared.ready.pop() {
        if let Some(partition) = shared.partitions.get(id) {
            let looked = catch_unwind(AssertUnwindSafe(|| look(shared, &partition, &mut spare)));
            match looked.unwrap_or_else(|_| give_up(shared, &partition)) {
                Next::Idle => {}
                Next::More => shared.ready.push(id),
                Next::Later(wait) => shared.ready.push_after(id, wait),
            }
        }
        shared.ready.done(id);
    }
}

/// Lends the partition `spare` for its points.
fn look(shared: &Shared, partition: &Partition, spare: &mut PointBatch) -> Next {
    // Nobody else locks it but who takes it away from us.
    let Some(mut work) = partition.work.try_lock() else { return Next::Idle };
    if partition.is_left() || partition.progress.halted.load(Ordering::Relaxed) {
        return Next::Idle;
    }
    if work.slice.is_empty() {
        std::mem::swap(&mut work.slice.batch, spare);
    }
    let next = step(shared, partition, &mut work);
    if work.slice.is_empty() {
        *spare = std::mem::take(&mut work.slice.batch);
    }
    next
}

/// A defect costs its partition only.
fn give_up(shared: &Shared, partition: &Partition) -> Next {
    if let Some(mut work) = partition.work.try_lock() {
        let after = partition.progress.next();
        let why = format!("a defect of thermocline: reading on from {after:?} panicked, and its log says where");
        halt(shared, partition, &mut work, why);
    }
    Next::Idle
}

/// Fills one slice and stores it.
fn step(shared: &Shared, partition: &Partition, work: &mut Work) -> Next {
    // What is in hand from the last time goes first.
    let filled = if work.slice.is_empty() { fill(shared, partition, work) } else { Filled::Full };
    if !work.slice.is_empty() {
        if let Err(wait) = store(shared, partition, &mut work.slice) {
            return hold(shared, partition, work, wait);
        }
        work.slice.clear();
    }
    if work.astray {
        shared.partitions.went_astray(partition.id);
        return release(shared, partition, work, Next::Idle);
    }
    match filled {
        Filled::Drained => release(shared, partition, work, Next::Idle),
        Filled::Full => release(shared, partition, work, Next::More),
        Filled::Wait(wait) => hold(shared, partition, work, wait),
        Filled::Halted(why) => {
            halt(shared, partition, work, why);
            Next::Idle
        }
    }
}

fn fill(shared: &Shared, partition: &Partition, work: &mut Work) -> Filled {
    let parts = &shared.parts;
    let scope = Scope { now_ms: parts.clock.now_ms(), window: parts.sink.intake_window(), limits: &parts.limits };
    let on_error = partition.rule.on_error;
    let Work { queue: Some(queue), decoder, slice, again, astray, .. } = work else { return Filled::Drained };
    if let Some(message) = again.take() {
        let taken = slice.take(&message, decoder, scope, on_error);
        if let Some(ended) = ended(taken, again, || message) {
            return ended;
        }
    }
    while !slice.is_full() {
        let message = match queue.poll(Duration::ZERO) {
            None => return Filled::Drained,
            Some(Ok(message)) => message,
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::LogTruncation,
            ))) => {
                *astray = true;
                return Filled::Drained;
            }
            Some(Err(error)) => {
                shared.consumer.context().tell(&error);
                continue;
            }
        };
        // After a pause some messages come again.
        if slice.next.or(partition.progress.next()).is_some_and(|next| message.offset() < next) {
            continue;
        }
        let taken = slice.take(&message, decoder, scope, on_error);
        if let Some(ended) = ended(taken, again, || message.detach()) {
            return ended;
        }
    }
    Filled::Full
}

/// How a slice ends at a message that was not taken, which is then looked at again: once what it needs is there, or, at a
/// halt, should the messages before it have to wait.
fn ended(taken: Taken, again: &mut Option<OwnedMessage>, message: impl FnOnce() -> OwnedMessage) -> Option<Filled> {
    let ended = match taken {
        Taken::In => return None,
        Taken::Unavailable { why } => Filled::Wait(Wait { why, retry_after: RETRY_AFTER }),
        Taken::Halt { why } => Filled::Halted(why),
    };
    *again = Some(message());
    Some(ended)
}

/// Stores a slice as its delivery level says.
fn store(shared: &Shared, partition: &Partition, slice: &mut Slice) -> Result<(), Wait> {
    let Some(next) = slice.next else { return Ok(()) };
    if slice.controlled.is_none() {
        slice.controlled = Some(shared.parts.controls.apply(&mut slice.batch));
    }
    if !slice.appended {
        if partition.rule.delivery == Delivery::AtMostOnce {
            commit(shared, &partition.of, next)?;
        }
        append(shared, partition, &slice.batch, slice.first_dead().unwrap_or(next))?;
        slice.appended = true;
        crash_point("kafka.slice.stored");
    }
    if !slice.dead.is_empty() {
        bury(shared, partition, slice, next)?;
        crash_point("kafka.dead_letters.sent");
    }
    if slice.buried > 0 {
        append(shared, partition, &PointBatch::new(), next)?;
    }
    partition.progress.stored(next, slice.written_ms);
    partition.progress.buries(false);
    if let Some(controlled) = &slice.controlled {
        controlled.count();
    }
    let metrics = &shared.parts.metrics;
    metrics.stored(partition, slice.messages, slice.buried, slice.skipped, slice.points);
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

/// Copies the dead letters of a slice whose points are stored, and lets the group pass over them.
fn bury(shared: &Shared, partition: &Partition, slice: &mut Slice, next: i64) -> Result<(), Wait> {
    // The group's offset may pass what survives anything only.
    shared.parts.sink.sync().map_err(wait)?;
    let offsets = one_offset(&partition.of, next, &shared.config.node).map_err(|error| broker(&error))?;
    let group = shared
        .consumer
        .group_metadata()
        .ok_or_else(|| Wait { why: "the group is not joined yet".to_owned(), retry_after: RETRY_AFTER })?;
    // An older offset that is told to the group from now on would undo this one.
    partition.progress.buries(true);
    if !partition.progress.has_told(RETRY_AFTER) {
        let why = "the brokers do not answer a commit of offsets".to_owned();
        return Err(Wait { why, retry_after: RETRY_AFTER });
    }
    // With at_most_once the group has passed them before they are sent.
    let in_doubt = slice.unsure && partition.rule.delivery != Delivery::AtMostOnce;
    if !(in_doubt && is_passed(shared, &partition.of, next)?) {
        slice.unsure = true;
        let sent = shared.dead_letters.send(&partition.of, &slice.dead, &offsets, &group);
        sent.map_err(|error| broker(&error))?;
    }
    slice.buried = std::mem::take(&mut slice.dead).len() as u64;
    Ok(())
}

/// Whether a transaction of which we heard no end has passed the dead letters before `next`.
fn is_passed(shared: &Shared, of: &TopicPartition, next: i64) -> Result<bool, Wait> {
    shared.dead_letters.end_of_doubt().map_err(|error| broker(&error))?;
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&of.topic, of.partition);
    let told = shared.consumer.committed_offsets(list, PATIENCE).map_err(|error| broker(&error))?;
    let told = told.find_partition(&of.topic, of.partition).map(|element| (element.error(), element.offset()));
    match told {
        Some((Err(error), _)) => Err(broker(&error)),
        Some((Ok(()), Offset::Offset(offset))) => Ok(offset >= next),
        Some((Ok(()), _)) | None => Ok(false),
    }
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

fn broker(error: &KafkaError) -> Wait {
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
