//! Counts of queries, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::QueryError;
use crate::provenance::Provenance;

/// Upper bounds of query durations, s.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The ways to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    Range,
    Sql,
    Promql,
    /// Names of series and labels.
    Catalog,
    /// Raw points for another Prometheus.
    RemoteRead,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    interface: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTier {
    tier: &'static str,
}

/// Metrics of the query engine.
#[derive(Debug, Clone)]
pub struct QueryMetrics {
    queries: Family<Outcome, Counter>,
    tiers: Family<OfTier, Counter>,
    duration: Family<OfInterface, Histogram>,
    hours: Counter,
    points: Counter,
    rows: Counter,
    bytes: Counter,
    gets: Counter,
    running: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfInterface {
    interface: &'static str,
}

impl Default for QueryMetrics {
    fn default() -> Self {
        Self {
            queries: Family::default(),
            tiers: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            hours: Counter::default(),
            points: Counter::default(),
            rows: Counter::default(),
            bytes: Counter::default(),
            gets: Counter::default(),
            running: Gauge::default(),
        }
    }
}

impl QueryMetrics {
    /// Registers everything; the registry has the prefix `thermocline`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("queries", "Queries by interface and outcome", self.queries.clone());
        registry.register("query_tiers", "Queries that read a tier", self.tiers.clone());
        registry.register("query_duration_seconds", "How long queries took", self.duration.clone());
        registry.register("query_hours_read", "Hours looked into for queries", self.hours.clone());
        registry.register("query_points_read", "Raw points decoded for queries", self.points.clone());
        registry.register("query_rows_read", "Rollup rows decoded for queries", self.rows.clone());
        registry.register("query_read_bytes", "Bytes read for queries", self.bytes.clone());
        registry.register("query_object_store_gets", "GET requests made for queries", self.gets.clone());
        registry.register("queries_running", "Queries under way", self.running.clone());
    }

    /// Counts a query as under way until the guard is dropped.
    pub(crate) fn run(self: &Arc<Self>) -> Running {
        self.running.inc();
        Running(Arc::clone(self))
    }

    pub(crate) fn ended(&self, interface: Interface, took: Duration, result: Result<&Provenance, &QueryError>) {
        let interface = interface.as_str();
        let outcome = result.as_ref().map_or_else(|error| error.outcome(), |_| "ok");
        self.queries.get_or_create(&Outcome { interface, outcome }).inc();
        self.duration.get_or_create(&OfInterface { interface }).observe(took.as_secs_f64());
        if let Ok(provenance) = result {
            for tier in &provenance.tiers {
                self.tiers.get_or_create(&OfTier { tier: tier.as_str() }).inc();
            }
            self.hours.inc_by(provenance.hours_read);
            self.points.inc_by(provenance.points_read);
            self.rows.inc_by(provenance.rows_read);
            self.bytes.inc_by(provenance.bytes_read);
            self.gets.inc_by(provenance.object_store_gets);
        }
    }
}

impl Interface {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::Sql => "sql",
            Self::Promql => "promql",
            Self::Catalog => "catalog",
            Self::RemoteRead => "remote_read",
        }
    }
}

/// A query under way.
#[derive(Debug)]
pub(crate) struct Running(Arc<QueryMetrics>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}
