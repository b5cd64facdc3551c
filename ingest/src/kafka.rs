//! Kafka-fed points: from topics into the store, each message once, whatever is killed.
//!
//! topics ─poll thread─▶ partitions (assigned, revoked: handshakes) ─▶ queue a partition ─workers─▶ slice of messages ─▶
//! decode ─▶ controls ─▶ [`OffsetSink::append_from`]: points and offset in one write (OFF-1) ─▶ group's offset, once durable
//!
//! Nouns: a *slice* is what a worker takes from one partition at a time and stores in one write; a *dead letter* is a
//! message that cannot be read, copied to `<topic>.dlq`; an offset always is that of the *next* message.
//!
//! * Start: at the larger of the offset stored with the points and the group's ([`start`]).
//! * Back-pressure: what a partition has fetched is bounded by librdkafka's queue; while the store or the registry is away the
//!   partition is paused, and its slice waits.
//! * A revoked partition is left only when its slice is stored or given up, and its offset committed.
//!
//! Threads of our own, since librdkafka blocks. Not here: what a message says (`message`), durability (the sink).

mod client;
mod config;
mod dead_letters;
mod events;
mod forward;
mod group;
mod metrics;
mod partition;
mod ready;
mod recover;
pub mod replay;
mod slice;
mod start;
mod topics;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use runtime::{Causes, Clock};
use schemas::reject::Appended;
use schemas::{Offsets, PointBatch};
use thiserror::Error;

pub use config::{Delivery, KafkaConfig, OnError, Reset, TopicName, TopicRule, check_client_option};
pub use dead_letters::dead_letter_topic;
pub use forward::Forward;
pub use metrics::KafkaMetrics;
pub use partition::PartitionStatus;
pub use recover::Recover;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use self::dead_letters::DeadLetters;
use self::events::Context;
use self::group::Group;
use self::partition::Partitions;
use self::ready::Ready;
use crate::controls::Controls;
use crate::intake::{Sink, SinkError};
use crate::limits::Limits;
use crate::message::MessageFormat;
use crate::registry::SchemaSource;

/// How the messages of a topic are read; `None` where no rule matches it.
pub fn format_of(rules: &[TopicRule], topic: &str) -> Option<MessageFormat> {
    topics::rule_of(rules, topic).map(|rule| rule.format)
}

/// A sink that keeps the offsets of the points with the points.
pub trait OffsetSink: Sink {
    /// As [`Sink::append`]; the offsets become durable in the same write, also where no point is taken. `archived`: whether
    /// the archive is told of them.
    fn append_from(&self, batch: &PointBatch, offsets: &Offsets, archived: bool) -> Result<Appended, SinkError>;

    /// The offsets that were stored last.
    fn offsets(&self) -> Offsets;

    /// Waits until everything appended survives a power loss.
    fn sync(&self) -> Result<(), SinkError>;
}

/// Why consuming cannot begin.
#[derive(Debug, Error)]
pub enum KafkaError {
    #[error("kafka: {context}")]
    Client { context: &'static str, source: rdkafka::error::KafkaError },
    #[error("kafka: starting the thread {name}")]
    Thread { name: &'static str, source: std::io::Error },
}

/// What the consumer works with.
pub struct KafkaParts {
    pub sink: Arc<dyn OffsetSink>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    pub controls: Controls,
    /// Needed by Avro topics only.
    pub schemas: Option<Arc<dyn SchemaSource>>,
    pub metrics: KafkaMetrics,
    /// What to read again before the group is joined, after a lost disk.
    pub recover: Option<Recover>,
}

impl std::fmt::Debug for KafkaParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaParts").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// How soon a question is asked again that the brokers did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);

type Consumer = BaseConsumer<Context>;

/// What the threads share.
struct Shared {
    config: KafkaConfig,
    parts: KafkaParts,
    partitions: Partitions,
    ready: Ready,
    dead_letters: DeadLetters,
    consumer: Arc<Consumer>,
    stopping: Stopping,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.stopping.asked.lock()
    }

    /// Waits before something is tried again, or until the stop.
    fn pause(&self, wait: Duration) {
        let mut asked = self.stopping.asked.lock();
        if !*asked {
            self.stopping.changed.wait_for(&mut asked, wait);
        }
    }

    /// Tells what cannot be done for now, unless the same was told lately.
    fn tell_wait(&self, what: &str, why: &str) {
        if self.consumer.context().is_news(&format!("{what} {why}")) {
            tracing::warn!(what, why, "it is tried again");
        }
    }
}

/// Whether the threads are to end.
#[derive(Debug, Default)]
struct Stopping {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// Asks the brokers until they answer; `None` at a stop.
fn ask<T>(shared: &Shared, what: &str, question: impl Fn() -> Result<T, rdkafka::error::KafkaError>) -> Option<T> {
    while !shared.is_stopping() {
        match question() {
            Ok(answer) => return Some(answer),
            Err(error) => shared.tell_wait(what, &Causes(&error).to_string()),
        }
        shared.pause(RETRY_AFTER);
    }
    None
}

/// A running consumer. Dropping it without [`Kafka::stop`] leaves the threads to the end of the process.
pub struct Kafka {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Kafka {
    /// Starts the threads. Brokers that are away are waited for.
    pub fn start(config: KafkaConfig, parts: KafkaParts) -> Result<Self, KafkaError> {
        let dead_letters = DeadLetters::new(&config);
        let workers = config.threads;
        let consumer: Consumer = client::consumer(&config)
            .create_with_context(Context::default())
            .map_err(|source| KafkaError::Client { context: "making a consumer", source })?;
        let shared = Arc::new(Shared {
            config,
            parts,
            partitions: Partitions::default(),
            ready: Ready::default(),
            dead_letters,
            consumer: Arc::new(consumer),
            stopping: Stopping::default(),
        });
        let kafka = Self { shared: Arc::clone(&shared), threads: Mutex::default() };
        let group = Group::new(Arc::clone(&shared));
        kafka.spawn("kafka-poll", move || group.run())?;
        for _ in 0..workers {
            let shared = Arc::clone(&shared);
            kafka.spawn("kafka-work", move || worker::run(&shared))?;
        }
        Ok(kafka)
    }

    fn spawn(&self, name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), KafkaError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.lock().push(thread.map_err(|source| KafkaError::Thread { name, source })?);
        Ok(())
    }

    /// The partitions that this member has now.
    pub fn status(&self) -> Vec<PartitionStatus> {
        self.shared.partitions.status(self.shared.parts.clock.now_ms())
    }

    /// Stores what is in hand, commits, leaves the group, and ends the threads. Blocks.
    pub fn stop(&self) {
        *self.shared.stopping.asked.lock() = true;
        self.shared.stopping.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a Kafka thread panicked");
            }
        }
    }
}
