//! What is produced meanwhile: every point once, and one message in so many that nobody can read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow, ensure};
use kit::Kafka;
use kit::kafka::{Compression, Producer, Record};

use crate::kafka::letters::are_letters_of;
use crate::kafka::load::{Format, Series, message, poison};

/// Points of a message.
const AT_ONCE: i32 = 250;
/// Points for which there is one message of poison.
const POINTS_A_POISON: i32 = 10_000;

/// A topic, what is in it and what will be.
#[derive(Debug)]
struct Topic {
    name: String,
    format: Format,
}

/// One message to be.
#[derive(Debug, Clone, Copy)]
enum Planned {
    /// Points of a series from the `first` on.
    Points { series: usize, first: i32 },
    /// The `n`th of its kind.
    Poison { topic: usize, n: u32 },
}

/// Key and payload of a message.
type Unreadable = (Vec<u8>, Vec<u8>);

/// The parts that the producing thread needs.
#[derive(Debug)]
struct Plan {
    topics: Vec<Topic>,
    /// The `i`th belongs to topic `i mod n`.
    series: Vec<Series>,
    messages: Vec<Planned>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Traffic {
    plan: Arc<Plan>,
    producer: Option<Producer>,
    sent: usize,
}

/// A part that is being produced.
pub(super) type Producing = JoinHandle<anyhow::Result<Producer>>;

impl Traffic {
    pub(super) fn new(
        kafka: &Kafka,
        formats: &[Format],
        (series, points): (i32, i32),
        start: i64,
    ) -> anyhow::Result<Self> {
        let topics = formats.iter().map(|&format| Topic { name: format!("load-{}", format.name()), format }).collect();
        let series = Series::many("load", series, points, start);
        let messages = messages(&series, formats.len());
        let plan = Arc::new(Plan { topics, series, messages });
        Ok(Self { plan, producer: Some(kafka.producer(Compression::Zstd)?), sent: 0 })
    }

    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    pub(super) fn series(&self) -> &[Series] {
        &self.plan.series
    }

    pub(super) fn topics(&self) -> Vec<&str> {
        self.topics_with_formats().map(|(name, _)| name).collect()
    }

    pub(super) fn topics_with_formats(&self) -> impl Iterator<Item = (&str, Format)> {
        self.plan.topics.iter().map(|topic| (topic.name.as_str(), topic.format))
    }

    pub(super) fn topics_but(&self, without: impl Fn(Format) -> bool) -> Vec<&str> {
        self.topics_with_formats().filter(|(_, format)| !without(*format)).map(|(name, _)| name).collect()
    }

    /// Produces the first of so many equal parts of what is left.
    pub(super) fn begin(&mut self, parts: usize) -> Producing {
        let mut producer = self.producer.take().expect("one part at a time");
        let left = self.plan.messages.len() - self.sent;
        let part = self.sent..self.sent + left.div_ceil(parts);
        self.sent = part.end;
        let plan = Arc::clone(&self.plan);
        std::thread::spawn(move || {
            for planned in &plan.messages[part] {
                plan.send(&mut producer, *planned)?;
            }
            Ok(producer)
        })
    }

    /// Waits until it is all in the topics.
    pub(super) async fn end(&mut self, producing: Producing) -> anyhow::Result<()> {
        let joined = tokio::task::spawn_blocking(move || producing.join()).await.context("joining")?;
        let mut producer = joined.map_err(|_| anyhow!("the producing thread panicked"))??;
        producer.flush().await?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Each message that cannot be read, and nothing else, is a dead letter, once.
    pub(super) async fn dead_letters_are_the_poison(&self, kafka: &Kafka) -> anyhow::Result<()> {
        for (index, topic) in self.plan.topics.iter().enumerate() {
            let poison = self.plan.poison_of(index);
            let messages = kafka.read_at_least(&topic.name, self.plan.messages_of(index)).await?;
            let is_poison =
                |record: &Record| poison.contains(&(record.key.clone().unwrap_or_default(), record.payload.clone()));
            let expected: Vec<Record> = messages.into_iter().filter(is_poison).collect();
            let produced: BTreeSet<&[u8]> = expected.iter().map(|record| record.payload.as_slice()).collect();
            ensure!(produced.len() == poison.len(), "{}: not all poison is in the topic", topic.name);
            let found = kafka.read_at_least(&format!("{}.dlq", topic.name), expected.len()).await?;
            are_letters_of(&topic.name, &expected, &found)?;
        }
        Ok(())
    }
}

impl Plan {
    fn send(&self, producer: &mut Producer, planned: Planned) -> anyhow::Result<()> {
        match planned {
            Planned::Points { series, first } => {
                let topic = &self.topics[series % self.topics.len()];
                let mut slices = self.series[series].slices(AT_ONCE);
                let slice = slices.find(|slice| slice.first() == first).context("a slice that there is")?;
                producer.send(message(&topic.name, &slice.key(), &slice.payload(topic.format)))
            }
            Planned::Poison { topic, n } => {
                let (key, payload) = self.unreadable(topic, n);
                producer.send(message(&self.topics[topic].name, &key, &payload))
            }
        }
    }

    fn unreadable(&self, topic: usize, n: u32) -> (String, Vec<u8>) {
        (format!("poison:{n}"), poison(self.topics[topic].format, n))
    }

    /// The messages of a topic that nobody can read; no two are equal.
    fn poison_of(&self, topic: usize) -> BTreeSet<Unreadable> {
        let of_topic = |planned: &Planned| match *planned {
            Planned::Poison { topic: of, n } if of == topic => {
                let (key, payload) = self.unreadable(topic, n);
                Some((key.into_bytes(), payload))
            }
            Planned::Points { .. } | Planned::Poison { .. } => None,
        };
        self.messages.iter().filter_map(of_topic).collect()
    }

    /// How many messages go to a topic.
    fn messages_of(&self, topic: usize) -> usize {
        let goes_there = |planned: &&Planned| match **planned {
            Planned::Points { series, .. } => series % self.topics.len() == topic,
            Planned::Poison { topic: of, .. } => of == topic,
        };
        self.messages.iter().filter(goes_there).count()
    }
}

/// All messages in order of time, with poison between.
fn messages(series: &[Series], topics: usize) -> Vec<Planned> {
    let mut points: Vec<(i32, usize)> = Vec::new();
    for (index, of) in series.iter().enumerate() {
        points.extend(of.slices(AT_ONCE).map(|slice| (slice.first(), index)));
    }
    points.sort_unstable();
    let every = usize::try_from(POINTS_A_POISON / AT_ONCE).expect("more than one message");
    let mut messages = Vec::new();
    for (n, (first, series)) in points.into_iter().enumerate() {
        messages.push(Planned::Points { series, first });
        if n % every == every - 1 {
            let n = u32::try_from(n / every).expect("few messages");
            messages.push(Planned::Poison { topic: usize::try_from(n).expect("few") % topics, n });
        }
    }
    messages
}
