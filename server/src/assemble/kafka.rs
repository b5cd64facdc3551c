//! The consumer of Kafka, where the configuration names brokers.

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context as _;
use ingest::kafka::{Forward, Kafka, KafkaMetrics, KafkaParts, Recover};
use ingest::{Controls, Sink};
use runtime::Clock;
use tokio::runtime::Handle;

use super::sink::StoreSink;
use super::{ingest_limits, registry};
use crate::config::Config;
use crate::config::kafka::Via;
use crate::http::app::App;

/// Threads that decode and wait for the group commit, for each core.
const THREADS_PER_CORE: usize = 2;

/// Starts it. Brokers that are away are waited for by it, not here.
pub(super) fn start(
    config: &Config,
    app: &App,
    sink: &Arc<StoreSink>,
    controls: &Controls,
    clock: &Arc<dyn Clock>,
    node: &str,
    recover: Option<Recover>,
) -> anyhow::Result<Option<Arc<Kafka>>> {
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let is_static = config.node.is_some();
    let Some(consumer) = config.kafka.consumer(node.to_owned(), is_static, cores * THREADS_PER_CORE) else {
        return Ok(None);
    };
    let registry = &config.kafka.registry;
    let schemas = (!registry.is_empty()).then(|| registry::open(registry, Handle::current())).transpose()?;
    let metrics = KafkaMetrics::default();
    app.telemetry.register(|registry| metrics.register(registry));
    let parts = KafkaParts {
        sink: Arc::clone(sink) as _,
        clock: Arc::clone(clock),
        limits: ingest_limits(config),
        controls: controls.clone(),
        schemas,
        metrics,
        recover,
    };
    let kafka = Kafka::start(consumer, parts).context("starting the consumer of Kafka")?;
    Ok(Some(Arc::new(kafka)))
}

/// Where points go that come by HTTP: into the store, or through a topic.
pub(super) fn way_in(config: &Config, store: Arc<StoreSink>) -> anyhow::Result<Arc<dyn Sink>> {
    let http = &config.ingest.http;
    match http.via {
        Via::Store => Ok(store),
        Via::Kafka => {
            let (brokers, topic) = (&config.kafka.brokers, http.topic.value.clone());
            let forward = Forward::new(brokers, &config.kafka.client(), topic, store);
            Ok(Arc::new(forward.context("making the producer for ingest.http.via: kafka")?))
        }
    }
}
