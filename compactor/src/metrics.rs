//! Self-metrics of the jobs.

use runtime::metrics::metrics::counter::Counter;
use runtime::metrics::metrics::gauge::Gauge;
use runtime::metrics::registry::Registry;

/// Counters and gauges of seal, archive and retention.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) hours_sealed: Counter,
    pub(crate) points_sealed: Counter,
    pub(crate) hours_archived: Counter,
    pub(crate) rows_archived: Counter,
    pub(crate) failures: Counter,
    pub(crate) quarantined: Gauge,
    pub(crate) hours_waiting_archive: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("seal_hours", "Hours sealed, repeats counted", self.hours_sealed.clone());
        registry.register("seal_points", "Points written by seals", self.points_sealed.clone());
        registry.register("archive_hours", "Hours committed to Delta, repeats counted", self.hours_archived.clone());
        registry.register("archive_rows", "Rows committed to Delta", self.rows_archived.clone());
        registry.register("job_failures", "Hours whose seal or archive failed", self.failures.clone());
        registry.register("quarantined_hours", "Hours set aside after a failure", self.quarantined.clone());
        registry.register("archive_hours_waiting", "Sealed hours not archived yet", self.hours_waiting_archive.clone());
    }
}
