//! Dead letters: messages that cannot be read, copied to `<topic>.dlq` exactly once.
//!
//! [`DeadLetter`]s of a slice ─▶ one transaction {copies, the group's offset behind the slice} ─▶ only then the offset advances
//!
//! The points of the slice are stored before, with the offset of its first dead letter. So a crash before the transaction
//! reads the dead letters again and copies them then; a crash after it finds the group's offset behind them. Readers of
//! a topic of dead letters see committed copies only (`isolation.level=read_committed`, the default of most clients).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;
use schemas::TopicPartition;

use super::config::KafkaConfig;
use super::slice::DeadLetter;
use super::{client, events};

/// How long one step of a transaction may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a letter as far as librdkafka is concerned: the most that it knows.
pub(super) const MESSAGE_BYTES_MAX: &str = "1000000000";
/// Bytes that a letter may be larger than its message.
const HEADER_BYTES: u64 = 64 << 10;
/// The end of the name of a topic of dead letters.
const SUFFIX: &str = ".dlq";

type Producer = ThreadedProducer<Quiet>;

/// A producer's callbacks: its words go to our log, and its acks are those of the transaction.
#[derive(Debug)]
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        events::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka");
    }
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

/// Where the dead letters of a topic go.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}{SUFFIX}")
}

pub(super) fn is_dead_letter_topic(topic: &str) -> bool {
    topic.ends_with(SUFFIX)
}

/// Writes dead letters; connects when there is the first one.
pub(super) struct DeadLetters {
    brokers: String,
    options: BTreeMap<String, String>,
    transactional_id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    producer: Option<Producer>,
    /// Topics that are known to be there.
    topics: BTreeSet<String>,
}

impl DeadLetters {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self {
            brokers: config.brokers.clone(),
            options: config.client.clone(),
            transactional_id: format!("{}-{}-dead-letters", config.group, config.node),
            state: Mutex::default(),
        }
    }

    /// Copies dead letters of a partition and commits `offsets` of the group with them, both or neither.
    pub(super) fn send(
        &self,
        of: &TopicPartition,
        letters: &[DeadLetter],
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), KafkaError> {
        let mut state = self.state.lock();
        let topic = dead_letter_topic(&of.topic);
        if state.producer.is_none() {
            state.producer = Some(self.connect()?);
        }
        let State { producer, topics } = &mut *state;
        let Some(connected) = producer else { return Err(KafkaError::Canceled) };
        if !topics.contains(&topic) {
            ensure_topic(connected, &client::producer(&self.brokers, &self.options), &of.topic, &topic)?;
            topics.insert(topic.clone());
        }
        let sent = transact(connected, of, &topic, letters, offsets, group);
        if let Err(error) = &sent {
            topics.remove(&topic);
            // Whatever state the transaction is in, a producer of the same name begins by ending it.
            let aborted = connected.abort_transaction(PATIENCE);
            if aborted.is_err() || matches!(error, KafkaError::Transaction(error) if error.is_fatal()) {
                *producer = None;
            }
        }
        sent
    }

    /// Returns once the last transaction has ended one way or the other, and the group's offset says which.
    pub(super) fn end_of_doubt(&self) -> Result<(), KafkaError> {
        let mut state = self.state.lock();
        if state.producer.is_none() {
            state.producer = Some(self.connect()?);
        }
        Ok(())
    }

    fn connect(&self) -> Result<Producer, KafkaError> {
        let mut config = client::producer(&self.brokers, &self.options);
        config.set("transactional.id", &self.transactional_id).set("transaction.timeout.ms", "15000");
        // A letter is a whole message with more headers; what is too large for its topic the broker says.
        config.set("message.max.bytes", MESSAGE_BYTES_MAX);
        let producer: Producer = config.create_with_context(Quiet)?;
        producer.init_transactions(PATIENCE)?;
        Ok(producer)
    }
}

fn transact(
    producer: &Producer,
    of: &TopicPartition,
    topic: &str,
    letters: &[DeadLetter],
    offsets: &TopicPartitionList,
    group: &ConsumerGroupMetadata,
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    for letter in letters {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers(of, letter));
        if let Some(payload) = &letter.payload {
            record = record.payload(payload);
        }
        if let Some(key) = &letter.key {
            record = record.key(key);
        }
        // The queue of librdkafka holds 100,000 messages, more than a slice has.
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.send_offsets_to_transaction(offsets, group, PATIENCE)?;
    producer.commit_transaction(PATIENCE)
}

/// The message's own headers, and where it came from and what is wrong with it.
fn headers(of: &TopicPartition, letter: &DeadLetter) -> OwnedHeaders {
    let (partition, offset) = (of.partition.to_string(), letter.offset.to_string());
    let timestamp = letter.timestamp_ms.map(|timestamp| timestamp.to_string());
    let own = letter.headers.clone().unwrap_or_default();
    let said = [
        ("x-original-topic", Some(&*of.topic)),
        ("x-original-partition", Some(partition.as_str())),
        ("x-original-offset", Some(offset.as_str())),
        ("x-original-timestamp", timestamp.as_deref()),
        ("x-exception-class", Some(letter.class)),
        ("x-exception-message", Some(letter.message.as_str())),
    ];
    said.into_iter().fold(own, |headers, (key, value)| headers.insert(Header { key, value }))
}

/// How large the messages of a topic may be; `None` where we may not know.
fn message_bytes_max(admin: &AdminClient<DefaultClientContext>, options: &AdminOptions, of: &str) -> Option<u64> {
    let described = futures::executor::block_on(admin.describe_configs([&ResourceSpecifier::Topic(of)], options));
    let described = described.ok()?.into_iter().next()?.ok()?;
    described.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}

/// Makes a topic of dead letters, with as many partitions as the topic has, where the cluster does not have it.
fn ensure_topic(producer: &Producer, config: &ClientConfig, of: &str, topic: &str) -> Result<(), KafkaError> {
    let metadata = producer.client().fetch_metadata(None, PATIENCE)?;
    let find = |name: &str| metadata.topics().iter().find(|found| found.name() == name);
    if find(topic).is_some() {
        return Ok(());
    }
    let partitions = find(of).map_or(1, |found| found.partitions().len()).max(1);
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    // -1: as many replicas as the brokers' default.
    let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let bytes_max = message_bytes_max(&admin, &options, of).map(|bytes| (bytes + HEADER_BYTES).to_string());
    if let Some(bytes_max) = &bytes_max {
        wanted = wanted.set("max.message.bytes", bytes_max);
    }
    let made = futures::executor::block_on(admin.create_topics([&wanted], &options))?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(KafkaError::AdminOp(code)),
        _ => {
            tracing::info!(topic, partitions, "made a topic of dead letters");
            Ok(())
        }
    }
}
