//! Self-metrics: one registry for all parts, rendered as OpenMetrics or as Prometheus' older text.
//!
//! parts register at their start ─▶ [`Telemetry`] ─▶ OpenMetrics text ─▶ (`classic`) ─▶ Prometheus text 0.0.4

mod classic;
mod process;

use std::fmt;

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use runtime::{Durations, durations};

/// The media type of OpenMetrics.
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of Prometheus' text format.
pub(crate) const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A request by the path pattern that took it and the status it got.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandledLabels {
    pub(crate) handler: String,
    pub(crate) code: u16,
}

/// What the HTTP server counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpMetrics {
    /// 0.5 ms to 32 s: an append that waits for nobody, up to the query timeout.
    pub(crate) duration: Family<HandledLabels, Durations<500, 17>>,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) refused: Counter,
    pub(crate) panics: Counter,
}

/// The registry, and the metrics of the process and of HTTP.
pub(crate) struct Telemetry {
    registry: RwLock<Registry>,
    pub(crate) http: HttpMetrics,
    /// Parts are all started.
    pub(crate) ready: Gauge,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::ProcessCollector));
        let (http, ready) = (HttpMetrics::default(), Gauge::default());
        let own = registry.sub_registry_with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "Which build of Thermocline this is", build);
        own.register("ready", "Whether all parts are started (1) or not yet (0)", ready.clone());
        let help = "Time from a request's headers to its answer's headers, by handler and status code";
        durations::register(own, "http_request_duration", help, &http.duration);
        own.register("http_requests_in_flight", "Requests that are worked on", http.in_flight.clone());
        own.register("http_connections", "Open connections", http.connections.clone());
        own.register(
            "http_requests_refused",
            "Requests refused because limits.requests were under way",
            http.refused.clone(),
        );
        own.register("http_panics", "Handlers that panicked; the client got a 500", http.panics.clone());
        Self { registry: RwLock::new(registry), http, ready }
    }

    /// Lets a part register its metrics under the common prefix.
    pub(crate) fn register(&self, part: impl FnOnce(&mut Registry)) {
        part(self.registry.write().sub_registry_with_prefix(PREFIX));
    }

    /// OpenMetrics text.
    pub(crate) fn openmetrics(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry.read()).is_err() {
            tracing::warn!("a metric could not be rendered");
        }
        text
    }

    /// Prometheus text 0.0.4.
    pub(crate) fn prometheus_text(&self) -> String {
        classic::from_openmetrics(&self.openmetrics())
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

const PREFIX: &str = "thermocline";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_show_the_same_samples() {
        let telemetry = Telemetry::new();
        telemetry.http.panics.inc();
        let (open, classic) = (telemetry.openmetrics(), telemetry.prometheus_text());
        for text in [&open, &classic] {
            assert!(text.contains("thermocline_http_panics_total 1\n"), "{text}");
            assert!(text.contains("thermocline_build_info{version="), "{text}");
            assert!(text.contains("process_start_time_seconds "), "{text}");
        }
        assert!(open.ends_with("# EOF\n"));
        assert!(!classic.contains("# EOF"));
        assert!(classic.contains("# TYPE thermocline_http_panics_total counter\n"), "{classic}");
        assert!(classic.contains("# TYPE thermocline_build_info gauge\n"), "{classic}");
    }
}
