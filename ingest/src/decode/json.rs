//! JSON, as `POST /api/metrics` takes it: one object, an array of them, or one a line (NDJSON).
//!
//! text ─▶ documents ─▶ entries: a host with `metrics`, or a flat point ─▶ labels canonical once an entry ─▶ batch
//!
//! ```json
//! {"server_id":"srv-1","timestamp":"2025-03-17T14:30:00Z","metrics":[{"name":"cpu_usage","value":72.5,"unit":"percent"}],"tags":{"env":"production"}}
//! {"metric_name":"cpu_usage","value":72.5,"timestamp":1742221800,"labels":{"env":"production"},"source":"agent"}
//! ```
//! `server_id`, `source` and every tag become labels, `unit` becomes metadata, a missing `timestamp` means now. A metric
//! of a host may have `timestamp` and `labels` of its own. `tags` and `labels` mean the same; keys that we do not know
//! are skipped. NaN and infinities are the strings `"NaN"`, `"+Inf"`, `"-Inf"`. Indexes of rejections count the points
//! of the whole body from 0, and an entry in which no point can be found counts as one.
//!
//! Text that is no JSON refuses the whole body, except in NDJSON, where it refuses its line.

use schemas::{PointBatch, RejectReason};

use super::{Collector, DecodeError, Decoded, Origins, Scope};
use crate::canonical::{Pair, TagSet};

mod document;
mod entry;
mod loose;
mod scalar;
#[cfg(test)]
mod tests;

use entry::{Entry, Text};

/// How documents follow each other in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// Found out: lines, if the first line is a document and something follows it.
    #[default]
    Any,
    /// One document a line, as the content type says.
    Lines,
}

/// Decodes JSON.
pub fn decode(body: &[u8], framing: Framing, scope: Scope<'_>, batch: &mut PointBatch) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|error| DecodeError::Malformed {
        format: "JSON",
        place: format!("byte {}", error.valid_up_to()),
        what: "not UTF-8".to_owned(),
    })?;
    let mut request = Request { out: Collector::new(scope, batch, Origins::of_points()), tags: TagSet::default() };
    if framing == Framing::Lines || document::is_lines(text) {
        document::read_lines(text, &mut request)?;
    } else {
        document::read_all(text, &mut request)?;
    }
    Ok(request.out.decoded)
}

/// Turns entries into points.
struct Request<'s, 'b> {
    out: Collector<'s, 'b>,
    tags: TagSet,
}

impl Request<'_, '_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), DecodeError> {
        if self.out.decoded.batch_id.is_none() {
            self.out.decoded.batch_id = entry.batch_id.as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        }
        match (&entry.wrong, &entry.metrics) {
            (Some(what), _) => self.refuse(RejectReason::Malformed(what.to_string())),
            (None, Some(_)) if entry.name != Text::Absent => {
                self.refuse(RejectReason::Malformed("an object has either metrics or a metric_name".to_owned()))
            }
            (None, Some(metrics)) => self.host(entry, metrics),
            (None, None) if entry.name == Text::Absent && entry.value.is_none() => {
                self.refuse(RejectReason::Malformed("an object has neither metrics nor a metric_name".to_owned()))
            }
            (None, None) => {
                let labels = self.labels(&[entry]);
                self.point(entry, entry, labels)
            }
        }
    }

    /// An entry that holds several metrics: its labels are made canonical once.
    fn host(&mut self, host: &Entry<'_>, metrics: &[Entry<'_>]) -> Result<(), DecodeError> {
        let mut shared = self.labels(&[host]);
        for metric in metrics {
            if let Some(what) = &metric.wrong {
                self.refuse(RejectReason::Malformed(what.to_string()))?;
            } else if metric.metrics.is_some() {
                self.refuse(RejectReason::Malformed("metrics inside of metrics".to_owned()))?;
            } else if metric.has_labels() {
                let own = self.labels(&[host, metric]);
                self.point(host, metric, own)?;
                shared = self.labels(&[host]);
            } else {
                self.point(host, metric, shared.clone())?;
            }
        }
        Ok(())
    }

    /// Makes `tags` those of `entries` together.
    fn labels(&mut self, entries: &[&Entry<'_>]) -> Result<(), RejectReason> {
        let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(16);
        for entry in entries {
            entry.labels(&mut pairs)?;
        }
        self.tags.set(&mut pairs, self.out.scope.limits)
    }

    /// One point of `metric`, which stands in `host` or is it.
    fn point(
        &mut self,
        host: &Entry<'_>,
        metric: &Entry<'_>,
        labels: Result<(), RejectReason>,
    ) -> Result<(), DecodeError> {
        let index = self.out.decoded.points_seen;
        self.out.see(1)?;
        if let Err(reason) = labels.and_then(|()| self.take(index, host, metric)) {
            self.out.reject(index, 1, reason);
        }
        Ok(())
    }

    fn take(&mut self, index: u64, host: &Entry<'_>, metric: &Entry<'_>) -> Result<(), RejectReason> {
        let name = match &metric.name {
            Text::Is(name) => name.as_ref(),
            Text::Absent => return Err(RejectReason::InvalidLabels("the metric has no name".to_owned())),
            Text::Wrong(what) => return Err(RejectReason::InvalidLabels(format!("the metric name is {what}"))),
        };
        let value = scalar::value(metric.value)?;
        let timestamp_ms = match metric.timestamp.or(host.timestamp) {
            Some(raw) => scalar::timestamp(raw)?.unwrap_or(self.out.scope.now_ms),
            None => self.out.scope.now_ms,
        };
        self.out.admit(timestamp_ms)?;
        let canonical = self.tags.with_metric(&[name.as_bytes()], self.out.scope.limits)?;
        self.out.begin_series(canonical);
        self.out.push(index, timestamp_ms, value);
        if let Some(unit) = metric.unit.as_str() {
            self.out.describe(name, Some(unit), None, None);
        }
        Ok(())
    }

    /// Something in which no point can be found.
    fn refuse(&mut self, reason: RejectReason) -> Result<(), DecodeError> {
        let index = self.out.decoded.points_seen;
        self.out.see(1)?;
        self.out.reject(index, 1, reason);
        Ok(())
    }
}
