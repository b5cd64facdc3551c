//! What ingest tells of itself (prefix `thermocline_`, given by the registry).

use std::time::Duration;

use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::family::Family;
use runtime::metrics::registry::{Registry, Unit};
use runtime::{Durations, durations};

use crate::decode::{Dropped, Rejections};
use crate::intake::Protocol;

type ByProtocol = [(&'static str, &'static str); 1];
type ByProtocolAndOther = [(&'static str, &'static str); 2];

/// Counters of all protocols.
#[derive(Debug, Clone, Default)]
pub struct IngestMetrics {
    requests: Family<ByProtocolAndOther, Counter>,
    accepted: Family<ByProtocol, Counter>,
    rejected: Family<ByProtocolAndOther, Counter>,
    dropped: Family<ByProtocolAndOther, Counter>,
    body_bytes: Family<ByProtocol, Counter>,
    /// 100 µs to 6.5 s: a remote-write request of some thousand samples to a body at the limit.
    decode_seconds: Family<ByProtocol, Durations<100, 17>>,
}

impl IngestMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("ingest_requests", "Requests that brought samples, by outcome", self.requests.clone());
        registry.register("ingested_samples", "Samples that are durable and queryable", self.accepted.clone());
        registry.register("rejected_samples", "Samples that were refused, by reason", self.rejected.clone());
        registry.register("dropped_samples", "Parts of requests that cannot be stored, by kind", self.dropped.clone());
        registry.register_with_unit(
            "ingest_body",
            "Decompressed bytes of request bodies",
            Unit::Bytes,
            self.body_bytes.clone(),
        );
        durations::register(registry, "ingest_decode", "Time to decode a request body", &self.decode_seconds);
    }

    pub(crate) fn request(&self, protocol: Protocol, outcome: &'static str) {
        self.requests.get_or_create(&[("protocol", protocol.as_str()), ("outcome", outcome)]).inc();
    }

    pub(crate) fn decoded(&self, protocol: Protocol, bytes: usize, took: Duration) {
        let by = [("protocol", protocol.as_str())];
        self.body_bytes.get_or_create(&by).inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.decode_seconds.get_or_create(&by).observe(took);
    }

    pub(crate) fn points(&self, protocol: Protocol, accepted: u64, rejections: &Rejections, dropped: Dropped) {
        let protocol = ("protocol", protocol.as_str());
        self.accepted.get_or_create(&[protocol]).inc_by(accepted);
        for (reason, points) in rejections.by_reason() {
            self.rejected.get_or_create(&[protocol, ("reason", reason)]).inc_by(*points);
        }
        let kinds = [("string", dropped.strings), ("exemplar", dropped.exemplars)];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            self.dropped.get_or_create(&[protocol, ("kind", kind)]).inc_by(count);
        }
    }
}
