//! Replay: dead letters go back to the topic that they came from.
//!
//! `<topic>.dlq` ─ from where the last replay ended ─▶ original bytes, key and headers ─▶ the original topic, or another ─▶
//! offset of the replay's own group
//!
//! What is still unreadable comes back as a new dead letter, behind the end that this replay saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message as _};
use thiserror::Error;

use super::client;
use super::dead_letters::{MESSAGE_BYTES_MAX, dead_letter_topic, is_dead_letter_topic};

/// How long one answer of the brokers may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing may come before the replay gives up.
const SILENCE: Duration = Duration::from_secs(30);
/// Messages sent before the offsets follow.
const AT_ONCE: u64 = 1_000;

type Producer = ThreadedProducer<Acks>;

/// Counts the letters that the brokers did not keep, with the first reason.
#[derive(Default)]
struct Acks {
    refused: Mutex<(u64, Option<String>)>,
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            let mut refused = self.refused.lock();
            refused.0 += 1;
            refused.1.get_or_insert_with(|| error.to_string());
        }
    }
}

/// What to replay.
#[derive(Clone)]
pub struct Replay {
    pub brokers: String,
    /// Options of librdkafka.
    pub client: BTreeMap<String, String>,
    /// The topic whose dead letters they are.
    pub topic: String,
    /// Where they go; by default where each came from.
    pub to: Option<String>,
    /// Remembers how far replays have come.
    pub group: String,
    /// Letters at most.
    pub limit: Option<u64>,
    /// Only counts them.
    pub dry_run: bool,
}

/// Without the values of options, which may be secrets.
impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("topic", &self.topic).field("to", &self.to).finish_non_exhaustive()
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    pub messages: u64,
}

#[derive(Debug, Error)]
pub enum ReplayError {
    #[error("kafka: {context}")]
    Client { context: &'static str, source: KafkaError },
    #[error("{0} is a topic of dead letters itself: name the topic that they came from")]
    IsDeadLetters(String),
    #[error("the topic {0} does not exist: nothing has gone to the dead letters")]
    NoTopic(String),
    #[error("the brokers did not keep {letters} letters ({first}); they are sent again by the next replay")]
    NotKept { letters: u64, first: String },
    #[error("the brokers sent nothing for {} s, and {left} letters are left", SILENCE.as_secs())]
    Silence { left: i64 },
}

trait Context<T> {
    fn context(self, context: &'static str) -> Result<T, ReplayError>;
}

impl<T> Context<T> for Result<T, KafkaError> {
    fn context(self, context: &'static str) -> Result<T, ReplayError> {
        self.map_err(|source| ReplayError::Client { context, source })
    }
}

/// Replays what is there now. `progress` is told (done, all). Blocks.
pub fn replay(replay: &Replay, mut progress: impl FnMut(u64, u64)) -> Result<Replayed, ReplayError> {
    if is_dead_letter_topic(&replay.topic) {
        return Err(ReplayError::IsDeadLetters(replay.topic.clone()));
    }
    let consumer: BaseConsumer = consumer_config(replay).create().context("making a consumer")?;
    let mut left = outstanding(&consumer, &dead_letter_topic(&replay.topic))?;
    let all = left.iter().map(|span| span.end - span.start).sum::<i64>().unsigned_abs();
    let all = replay.limit.map_or(all, |limit| limit.min(all));
    let mut done = Replayed::default();
    progress(0, all);
    if replay.dry_run {
        return Ok(Replayed { messages: all });
    }
    let producer: Producer = client::producer(&replay.brokers, &replay.client)
        .set("message.max.bytes", MESSAGE_BYTES_MAX)
        .create_with_context(Acks::default())
        .context("making a producer")?;
    assign(&consumer, &left)?;
    let read = pass_on(replay, &consumer, &producer, &mut left, all, &mut done, &mut progress);
    // What was sent before something failed is not to be sent again.
    settle(&producer, &consumer, &left)?;
    progress(done.messages, all);
    read.map(|()| done)
}

/// Sends letters until none are left, or as many as were asked for.
fn pass_on(
    replay: &Replay,
    consumer: &BaseConsumer,
    producer: &Producer,
    left: &mut [Span],
    all: u64,
    done: &mut Replayed,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), ReplayError> {
    let mut heard = Instant::now();
    while done.messages < all && left.iter().any(|span| span.start < span.end) {
        match consumer.poll(Duration::from_millis(200)) {
            None if heard.elapsed() > SILENCE => {
                return Err(ReplayError::Silence { left: left.iter().map(|span| span.end - span.start).sum() });
            }
            None => {}
            // Offsets at the end may be those of markers, or of letters that were aborted: nobody is given them.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                left.iter_mut().filter(|span| span.partition == partition).for_each(|span| span.start = span.end);
            }
            Some(Err(error)) => return Err(ReplayError::Client { context: "reading dead letters", source: error }),
            Some(Ok(letter)) => {
                heard = Instant::now();
                let Some(span) = left.iter_mut().find(|span| span.partition == letter.partition()) else { continue };
                if letter.offset() >= span.end {
                    span.start = span.end;
                    continue;
                }
                send(producer, replay, &letter)?;
                span.start = letter.offset() + 1;
                done.messages += 1;
                if done.messages.is_multiple_of(AT_ONCE) {
                    settle(producer, consumer, left)?;
                    progress(done.messages, all);
                }
            }
        }
    }
    Ok(())
}

/// Letters of a partition: offsets `[start, end)`.
struct Span {
    topic: String,
    partition: i32,
    start: i64,
    end: i64,
}

fn consumer_config(replay: &Replay) -> ClientConfig {
    let mut config = client::base(&replay.brokers, &replay.client);
    config
        .set("group.id", &replay.group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest");
    config
}

fn outstanding(consumer: &BaseConsumer, topic: &str) -> Result<Vec<Span>, ReplayError> {
    let metadata = consumer.fetch_metadata(None, PATIENCE).context("listing topics")?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| ReplayError::NoTopic(topic.to_owned()))?;
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(list, PATIENCE).context("asking for the offsets of the last replay")?;
    let mut spans = Vec::new();
    for element in committed.elements() {
        let (low, end) =
            consumer.fetch_watermarks(topic, element.partition(), PATIENCE).context("asking for the ends")?;
        let start = match element.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ => low,
        };
        spans.push(Span { topic: topic.to_owned(), partition: element.partition(), start, end });
    }
    Ok(spans)
}

fn assign(consumer: &BaseConsumer, spans: &[Span]) -> Result<(), ReplayError> {
    let mut list = TopicPartitionList::new();
    for span in spans.iter().filter(|span| span.start < span.end) {
        list.add_partition_offset(&span.topic, span.partition, Offset::Offset(span.start)).context("assigning")?;
    }
    consumer.assign(&list).context("assigning")
}

fn send(producer: &Producer, replay: &Replay, letter: &BorrowedMessage<'_>) -> Result<(), ReplayError> {
    let (topic, headers) = original(letter);
    let topic = replay.to.as_deref().or(topic.as_deref()).unwrap_or(&replay.topic).to_owned();
    loop {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).headers(headers.clone());
        if let Some(payload) = letter.payload() {
            record = record.payload(payload);
        }
        if let Some(key) = letter.key() {
            record = record.key(key);
        }
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(rdkafka::error::RDKafkaErrorCode::QueueFull), _)) => {
                producer.flush(PATIENCE).context("sending")?;
            }
            Err((error, _)) => return Err(ReplayError::Client { context: "sending", source: error }),
        }
    }
}

/// The topic that a letter came from, and the headers that it had there.
fn original(letter: &BorrowedMessage<'_>) -> (Option<String>, OwnedHeaders) {
    let mut topic = None;
    let mut headers = OwnedHeaders::new();
    if let Some(all) = letter.headers() {
        for Header { key, value } in all.iter() {
            if key == "x-original-topic" {
                topic = value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned);
            } else if !key.starts_with("x-original-") && !key.starts_with("x-exception-") {
                headers = headers.insert(Header { key, value });
            }
        }
    }
    (topic, headers)
}

/// Waits until what was sent is kept, then remembers how far that is.
fn settle(producer: &Producer, consumer: &BaseConsumer, spans: &[Span]) -> Result<(), ReplayError> {
    producer.flush(PATIENCE).context("waiting for the brokers to keep what was sent")?;
    if let (letters, Some(first)) = producer.context().refused.lock().clone() {
        return Err(ReplayError::NotKept { letters, first });
    }
    let mut list = TopicPartitionList::new();
    for span in spans {
        list.add_partition_offset(&span.topic, span.partition, Offset::Offset(span.start)).context("committing")?;
    }
    consumer.commit(&list, CommitMode::Sync).context("committing")
}
