//! How long something takes, as a histogram that knows its buckets by its type: so metrics of which one is a part can
//! be made by `Default`.

use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};

/// Durations in seconds. The first bucket ends at `FIRST_MICROS`, each of the `BUCKETS` at twice the one before.
#[derive(Debug, Clone)]
pub struct Durations<const FIRST_MICROS: u32, const BUCKETS: u16>(Histogram);

impl<const FIRST_MICROS: u32, const BUCKETS: u16> Durations<FIRST_MICROS, BUCKETS> {
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

impl<const FIRST_MICROS: u32, const BUCKETS: u16> Default for Durations<FIRST_MICROS, BUCKETS> {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(f64::from(FIRST_MICROS) / 1e6, 2.0, BUCKETS)))
    }
}

impl<const FIRST_MICROS: u32, const BUCKETS: u16> TypedMetric for Durations<FIRST_MICROS, BUCKETS> {
    const TYPE: MetricType = MetricType::Histogram;
}

impl<const FIRST_MICROS: u32, const BUCKETS: u16> EncodeMetric for Durations<FIRST_MICROS, BUCKETS> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Registers durations, or a family of them; `_seconds` is added to the name.
pub fn register(registry: &mut Registry, name: &str, help: &str, durations: &(impl Metric + Clone)) {
    registry.register_with_unit(name, help, Unit::Seconds, durations.clone());
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::<5_000, 3>::default();
        durations.observe(Duration::from_millis(8));
        let mut registry = Registry::default();
        register(&mut registry, "flush", "How long flushes took", &durations);
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        for line in [
            "flush_seconds_bucket{le=\"0.005\"} 0",
            "flush_seconds_bucket{le=\"0.01\"} 1",
            "flush_seconds_bucket{le=\"0.02\"} 1",
            "flush_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
