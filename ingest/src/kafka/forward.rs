//! Points that come by HTTP and go through Kafka: accepted once all in-sync replicas have them.
//!
//! batch ─▶ series by partition of their hash ─▶ one remote-write message a partition ─▶ acks of all ─▶ accepted
//!
//! The topic is read like any other, by us or by another node of the group: points are queryable when they have been.
//! A request of which some messages were kept and some were not is refused, and sent again whole by its client: repeats
//! change nothing (SET-1). What the store alone would refuse (too many series of a metric) is refused when it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use runtime::Causes;
use schemas::histogram::Histogram;
use schemas::reject::Appended;
use schemas::{PointBatch, SeriesId, TimeRange, labels, points};

use super::{KafkaError, client, events};
use crate::encode;
use crate::intake::{Sink, SinkError};

/// How long the acks of a request may take: longer than librdkafka tries, so that it has the last word.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the question for the topic's partitions may take.
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// How soon a refused request may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the number of partitions is believed.
const PARTITIONS_FOR: Duration = Duration::from_secs(30);
/// Bytes of a message before compression; brokers take 1 MB by default.
const MESSAGE_BYTES_MAX: usize = 900_000;

/// A sink that is a topic.
pub struct Forward {
    producer: ThreadedProducer<Acks>,
    topic: String,
    partitions: Mutex<Known>,
    /// Knows what times are taken.
    store: Arc<dyn Sink>,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What is known of the topic.
struct Known {
    /// Until then nobody asks again.
    until: Instant,
    partitions: usize,
    /// Why it is not known.
    away: Option<SinkError>,
}

/// Hands each ack to the request that waits for it.
struct Acks;

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        events::log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::warn!(%error, reason, "kafka");
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Arc<Outstanding>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Self::DeliveryOpaque) {
        request.done(result.as_ref().err().map(|(error, _)| error.to_string()));
    }
}

/// The messages of one request that are not acked yet.
#[derive(Debug, Default)]
struct Outstanding {
    state: Mutex<(usize, Option<String>)>,
    changed: Condvar,
}

impl Outstanding {
    fn begin(&self) {
        self.state.lock().0 += 1;
    }

    fn done(&self, failed: Option<String>) {
        let mut state = self.state.lock();
        state.0 -= 1;
        state.1 = state.1.take().or(failed);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for all; tells the first failure.
    fn wait(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        while state.0 > 0 {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err("the brokers did not answer in time".to_owned());
            }
        }
        state.1.take().map_or(Ok(()), Err)
    }
}

impl Forward {
    /// `store` says which times are taken.
    pub fn new(
        brokers: &str,
        options: &BTreeMap<String, String>,
        topic: String,
        store: Arc<dyn Sink>,
    ) -> Result<Self, KafkaError> {
        let mut config = client::producer(brokers, options);
        config.set("linger.ms", "2");
        let producer = config
            .create_with_context(Acks)
            .map_err(|source| KafkaError::Client { context: "making a producer", source })?;
        let known = Known { until: Instant::now(), partitions: 0, away: None };
        Ok(Self { producer, topic, partitions: Mutex::new(known), store })
    }

    fn partitions(&self) -> Result<usize, SinkError> {
        // One request asks. The others wait no longer than a client waits, and do not ask again one after the other.
        let Some(mut known) = self.partitions.try_lock_for(ASK_PATIENCE) else {
            return Err(busy("the brokers do not answer"));
        };
        if known.until <= Instant::now() {
            let metadata = self.producer.client().fetch_metadata(Some(&self.topic), ASK_PATIENCE);
            let found = metadata.map(|metadata| metadata.topics().first().map_or(0, |topic| topic.partitions().len()));
            match found {
                Ok(0) => known.away = Some(busy(&format!("the topic {} does not exist", self.topic))),
                Ok(found) => (known.partitions, known.away) = (found, None),
                // What was known holds: whether the brokers take messages is seen when they are sent.
                Err(_) if known.partitions > 0 => known.away = None,
                Err(error) => known.away = Some(busy(&Causes(&error).to_string())),
            }
            known.until = Instant::now() + if known.away.is_some() { RETRY_AFTER } else { PARTITIONS_FOR };
        }
        known.away.clone().map_or(Ok(known.partitions), Err)
    }

    fn send(&self, partition: usize, body: &[u8], request: &Arc<Outstanding>) -> Result<(), SinkError> {
        let message = snap::raw::Encoder::new().compress_vec(body).map_err(|error| busy(&error.to_string()))?;
        let partition = i32::try_from(partition).map_err(|error| busy(&error.to_string()))?;
        request.begin();
        let mut record: BaseRecord<'_, (), [u8], _> =
            BaseRecord::with_opaque_to(&self.topic, Arc::clone(request)).partition(partition).payload(&message);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), again))
                    if Instant::now() < deadline =>
                {
                    record = again;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => {
                    request.done(Some(error.to_string()));
                    return Err(busy(&error.to_string()));
                }
            }
        }
    }
}

impl Sink for Forward {
    fn intake_window(&self) -> TimeRange {
        self.store.intake_window()
    }

    fn append(&self, batch: &PointBatch) -> Result<Appended, SinkError> {
        let request = Arc::new(Outstanding::default());
        let mut bodies: Vec<Vec<u8>> = vec![Vec::new(); self.partitions()?];
        for_each_series(batch, |canonical, id, run| {
            // The same series always takes the same way, so that its points keep their order.
            let partition = usize::try_from(id.0).map_or(0, |id| id % bodies.len());
            let body = &mut bodies[partition];
            let labels = encode::labels(labels::iter_canonical(canonical));
            match run {
                Run::Samples(samples) => encode::write_series(body, &labels, samples),
                Run::Histograms(histograms) => encode::write_histograms(body, &labels, histograms.iter().copied()),
            }
            if body.len() >= MESSAGE_BYTES_MAX {
                self.send(partition, body, &request)?;
                body.clear();
            }
            Ok(())
        })?;
        for (partition, body) in bodies.iter().enumerate().filter(|(_, body)| !body.is_empty()) {
            self.send(partition, body, &request)?;
        }
        request.wait().map_err(|why| busy(&why))?;
        Ok(Appended { accepted: batch.len() as u64, ..Appended::default() })
    }
}

fn busy(why: &str) -> SinkError {
    SinkError::Busy { why: format!("kafka: {why}"), retry_after: RETRY_AFTER }
}

/// Points that are added to a message at once: 20 bytes each, so that it does not grow far beyond its bound.
const SAMPLES_MAX: usize = 2_000;

/// Native histograms that are added to a message at once: a hundred times as large.
const HISTOGRAMS_MAX: usize = 20;

/// Neighbouring points of a series that are alike.
#[derive(Debug, Clone, Copy)]
enum Run<'b> {
    Samples(&'b [(i64, f64)]),
    Histograms(&'b [(i64, &'b Histogram)]),
}

/// Hands out the points of a batch series by series, in arrival order each: canonical labels, id, points. A message has the
/// histograms of a series behind its samples, so that where both alternate each run takes an entry of its own.
fn for_each_series(
    batch: &PointBatch,
    mut each: impl FnMut(&[u8], SeriesId, Run<'_>) -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    let mut order: Vec<(u32, u32)> = (0..).zip(batch.series_of()).map(|(at, series)| (*series, at)).collect();
    order.sort_unstable();
    let is_histogram = |at: u32| points::is_histogram(batch.values()[at as usize]);
    let timestamp = |at: u32| batch.timestamps()[at as usize];
    let (mut samples, mut histograms) = (Vec::new(), Vec::new());
    let alike = |(a, at): &(u32, u32), (b, next): &(u32, u32)| a == b && is_histogram(*at) == is_histogram(*next);
    for run in order.chunk_by(alike) {
        let (series, first) = run[0];
        let (hash, canonical) = batch.series(series);
        if is_histogram(first) {
            for part in run.chunks(HISTOGRAMS_MAX) {
                histograms.clear();
                let of = |&(_, at): &(u32, u32)| Some((timestamp(at), batch.histogram_of(at)?.as_ref()));
                histograms.extend(part.iter().filter_map(of));
                each(canonical, hash.series_id(), Run::Histograms(&histograms))?;
            }
            continue;
        }
        for part in run.chunks(SAMPLES_MAX) {
            samples.clear();
            samples.extend(part.iter().map(|(_, at)| (timestamp(*at), batch.values()[*at as usize])));
            each(canonical, hash.series_id(), Run::Samples(&samples))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_handed_out_once_with_its_series_and_in_order() {
        let mut batch = PointBatch::new();
        let a = batch.add_series(&mut vec![("__name__", "a")]).expect("valid");
        let b = batch.add_series(&mut vec![("__name__", "b")]).expect("valid");
        for (series, ts) in [(a, 5), (b, 1), (a, 3), (b, 2)] {
            batch.push(series, ts, f64::from(series));
        }
        batch.push_histogram(a, 5, Arc::new(Histogram::default()));
        batch.push(a, 5, 1.0);
        let mut told = Vec::new();
        for_each_series(&batch, |canonical, _, run| {
            let name = labels::iter_canonical(canonical).map(|(_, value)| value.to_owned()).collect::<String>();
            told.push(match run {
                Run::Samples(samples) => (name, samples.iter().map(|(ts, _)| *ts).collect::<Vec<_>>()),
                Run::Histograms(all) => (name + " histograms", all.iter().map(|(ts, _)| *ts).collect::<Vec<_>>()),
            });
            Ok(())
        })
        .expect("nothing fails");
        let expected = [("a", vec![5, 3]), ("a histograms", vec![5]), ("a", vec![5]), ("b", vec![1, 2])];
        assert_eq!(told, expected.map(|(name, times)| (name.to_owned(), times)));
    }
}
