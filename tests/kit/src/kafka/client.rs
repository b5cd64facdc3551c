//! What tests do with a cluster through librdkafka: produce with a say over each message, read a topic to its end, look
//! at a group's offsets. All of it waits on threads; [`super::Kafka`] takes it off the runtime's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::{Offset, TopicPartitionList};

const POLL: Duration = Duration::from_millis(100);

/// A message to be: its topic, and at will partition, key, payload, timestamp and headers.
pub type Message<'a> = BaseRecord<'a, [u8], [u8]>;

/// How a producer packs its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// As `compression.type` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A message as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The text of a header, if the record has it once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let (_, value) = found.next()?;
        if found.next().is_some() { None } else { std::str::from_utf8(value).ok() }
    }
}

/// What a group has committed of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Of the next message.
    pub offset: i64,
    pub metadata: String,
}

/// Counts what was delivered, and keeps the first failure.
#[derive(Debug, Default, Clone)]
struct Deliveries(Arc<Mutex<(u64, Option<KafkaError>)>>);

impl ClientContext for Deliveries {
    /// Brokers that go and come are what these tests are about.
    fn log(&self, _level: RDKafkaLogLevel, _fac: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (delivered, failed) = &mut *self.0.lock();
        match result {
            Ok(_) => *delivered += 1,
            Err((error, _)) => *failed = failed.take().or(Some(error.clone())),
        }
    }
}

/// Sends messages; each is in its topic once when [`Producer::flush`] returns.
pub struct Producer {
    producer: Arc<ThreadedProducer<Deliveries, NoCustomPartitioner>>,
    deliveries: Deliveries,
    sent: u64,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn new(mut config: ClientConfig, compression: Compression) -> anyhow::Result<Self> {
        config.set("enable.idempotence", "true").set("compression.type", compression.name());
        config.set("linger.ms", "20").set("queue.buffering.max.messages", "20000");
        // The partition of a key is the Java client's.
        config.set("partitioner", "murmur2_random");
        let deliveries = Deliveries::default();
        let producer = config.create_with_context(deliveries.clone()).context("making a producer")?;
        Ok(Self { producer: Arc::new(producer), deliveries, sent: 0 })
    }

    /// Hands a message over; waits while the producer has too many.
    pub fn send(&mut self, message: Message<'_>) -> anyhow::Result<()> {
        let mut message = message;
        loop {
            match self.producer.send(message) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => message = back,
                Err((error, _)) => return Err(error).context("producing a message"),
            }
            // Until an ack makes room.
            self.producer.poll(Duration::from_millis(5));
        }
    }

    /// Waits until everything that was sent is in its topic.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        let producer = Arc::clone(&self.producer);
        super::blocking(move || producer.flush(super::PATIENCE).context("flushing a producer")).await?;
        let (delivered, failed) = self.deliveries.0.lock().clone();
        if let Some(error) = failed {
            bail!("a message was not delivered: {error}");
        }
        ensure!(delivered == self.sent, "{delivered} of {} messages were delivered", self.sent);
        Ok(())
    }
}

fn consumer(config: &ClientConfig) -> anyhow::Result<BaseConsumer> {
    let mut config = config.clone();
    if config.get("group.id").is_none() {
        // Assigned by hand; the group is never joined.
        config.set("group.id", "kit-reader");
    }
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config.create().context("making a consumer")
}

/// The partitions of a topic that exists.
pub(super) fn partitions(config: &ClientConfig, topic: &str, patience: Duration) -> anyhow::Result<Vec<i32>> {
    partitions_by(&consumer(config)?, topic, patience)
}

fn partitions_by(consumer: &BaseConsumer, topic: &str, patience: Duration) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), patience).with_context(|| format!("looking at {topic}"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.with_context(|| format!("no word about {topic}"))?;
    let error = found.error().map(RDKafkaErrorCode::from);
    ensure!(error.is_none() && !found.partitions().is_empty(), "{topic}: {error:?}");
    Ok(found.partitions().iter().map(|partition| partition.id()).collect())
}

pub(super) fn is_in_sync(config: &ClientConfig, topic: &str, patience: Duration) -> anyhow::Result<bool> {
    let metadata = consumer(config)?.fetch_metadata(Some(topic), patience).context("looking at replicas")?;
    let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    Ok(partitions.all(|partition| partition.leader() >= 0 && partition.isr().len() == partition.replicas().len()))
}

pub(super) fn ends(config: &ClientConfig, topic: &str, patience: Duration) -> anyhow::Result<BTreeMap<i32, i64>> {
    let consumer = consumer(config)?;
    let end = |partition| -> anyhow::Result<(i32, i64)> {
        let (_, end) = consumer.fetch_watermarks(topic, partition, patience).context("asking for the end")?;
        Ok((partition, end))
    };
    partitions_by(&consumer, topic, patience)?.into_iter().map(end).collect()
}

pub(super) fn committed(
    config: &ClientConfig,
    topic: &str,
    patience: Duration,
) -> anyhow::Result<BTreeMap<i32, Committed>> {
    let consumer = consumer(config)?;
    let mut list = TopicPartitionList::new();
    for partition in partitions_by(&consumer, topic, patience)? {
        list.add_partition(topic, partition);
    }
    let deadline = Instant::now() + patience;
    let committed = loop {
        match consumer.committed_offsets(list.clone(), patience) {
            // The group's coordinator moves as brokers come and go: the client is served until it knows which it is.
            Err(KafkaError::MetadataFetch(code)) if is_moving(code) && Instant::now() < deadline => {
                drop(consumer.poll(POLL));
            }
            told => break told.context("asking for the group's offsets")?,
        }
    };
    let known = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => {
            Some((element.partition(), Committed { offset, metadata: element.metadata().to_owned() }))
        }
        _ => None,
    };
    Ok(committed.elements().iter().filter_map(known).collect())
}

fn is_moving(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(code, CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator)
}

/// To the end of every partition, and on until there are so many messages.
pub(super) fn read(
    config: &ClientConfig,
    topic: &str,
    messages: usize,
    patience: Duration,
) -> anyhow::Result<Vec<Record>> {
    let consumer = consumer(config)?;
    let mut open: BTreeSet<i32> = partitions_by(&consumer, topic, patience)?.into_iter().collect();
    let mut list = TopicPartitionList::new();
    for &partition in &open {
        list.add_partition_offset(topic, partition, Offset::Beginning).context("an offset to begin at")?;
    }
    consumer.assign(&list).context("assigning the partitions")?;
    let (mut records, deadline) = (Vec::new(), Instant::now() + patience);
    while !open.is_empty() || records.len() < messages {
        let found = records.len();
        ensure!(Instant::now() < deadline, "reading {topic}: {found} of {messages} messages, no end of {open:?}");
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => records.push(record_of(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(KafkaError::MessageConsumption(code))) if is_passing(code) => {}
            Some(Err(error)) => return Err(error).with_context(|| format!("reading {topic}")),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::OperationTimedOut
    )
}

fn record_of(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let bytes = |value: Option<&[u8]>| value.map(<[u8]>::to_vec).unwrap_or_default();
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        payload: bytes(message.payload()),
        headers: headers.map(|header| (header.key.to_owned(), bytes(header.value))).collect(),
    }
}
