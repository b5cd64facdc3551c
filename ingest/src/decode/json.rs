//! JSON, as `POST /api/metrics` and topics of Kafka take it: one object, an array of them, or one a line (NDJSON).
//!
//! text ─▶ documents ─▶ entries: a host with `metrics`, a flat point, `fields` ─▶ labels canonical once an entry ─▶ batch
//!
//! ```json
//! {"server_id":"srv-1","timestamp":"2025-03-17T14:30:00Z","metrics":[{"name":"cpu_usage","value":72.5,"unit":"percent"}],"tags":{"env":"production"}}
//! {"metric_name":"cpu_usage","value":72.5,"timestamp":1742221800,"labels":{"env":"production"},"source":"agent"}
//! {"timestamp":"2018-01-01T00:00:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","label1":"value1"}}
//! {"fields":{"usage_idle":99.1,"n_cpus":8},"name":"cpu","tags":{"host":"a"},"timestamp":1458229140}
//! ```
//! The third is what `prometheus-kafka-adapter` writes, the fourth Telegraf, which also puts several into
//! `{"metrics":[…]}`. A field becomes a metric as in line protocol: `name_field`, or the bare `name` for `value`;
//! booleans are 0 and 1, strings are dropped and counted.
//!
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

use entry::{Entry, Fields, Text};

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
            (None, None) if entry.name == Text::Absent && entry.value.is_none() && !entry.is_telegraf() => {
                self.refuse(RejectReason::Malformed("an object has neither metrics nor a metric_name".to_owned()))
            }
            (None, None) => {
                let labels = self.labels(&[entry]);
                self.points(entry, entry, labels)
            }
        }
    }

    /// An entry that holds several metrics: its labels are made canonical once.
    fn host(&mut self, host: &Entry<'_>, metrics: &[Entry<'_>]) -> Result<(), DecodeError> {
        // The outcome for the host's own labels, while they are the ones in `tags`.
        let mut shared = None;
        for metric in metrics {
            if let Some(what) = &metric.wrong {
                self.refuse(RejectReason::Malformed(what.to_string()))?;
            } else if metric.metrics.is_some() {
                self.refuse(RejectReason::Malformed("metrics inside of metrics".to_owned()))?;
            } else if metric.has_labels() {
                shared = None;
                let own = self.labels(&[host, metric]);
                self.points(host, metric, own)?;
            } else {
                if shared.is_none() {
                    shared = Some(self.labels(&[host]));
                }
                self.points(host, metric, shared.clone().unwrap_or(Ok(())))?;
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

    /// The point of `metric`, which stands in `host` or is it, or its points if it is Telegraf's.
    fn points(
        &mut self,
        host: &Entry<'_>,
        metric: &Entry<'_>,
        labels: Result<(), RejectReason>,
    ) -> Result<(), DecodeError> {
        if metric.is_telegraf() {
            return self.telegraf(host, metric, labels);
        }
        let index = self.out.decoded.points_seen;
        self.out.see(1)?;
        if let Err(reason) = labels.and_then(|()| self.take(index, host, metric)) {
            self.out.reject(index, 1, reason);
        }
        Ok(())
    }

    fn take(&mut self, index: u64, host: &Entry<'_>, metric: &Entry<'_>) -> Result<(), RejectReason> {
        let name = name_of(metric)?;
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

    /// A point a field; all of them share labels and time.
    fn telegraf(
        &mut self,
        host: &Entry<'_>,
        metric: &Entry<'_>,
        labels: Result<(), RejectReason>,
    ) -> Result<(), DecodeError> {
        let fields = match &metric.fields {
            Fields::Are(fields) => fields,
            Fields::Absent => return Ok(()),
            Fields::TooMany => {
                return self.refuse(RejectReason::Malformed(format!("more than {} fields", entry::METRICS_MAX)));
            }
            Fields::Wrong(what) => {
                return self.refuse(RejectReason::Malformed(format!("fields is {what}, not an object")));
            }
        };
        let strings = fields.iter().filter(|(_, raw)| scalar::field(raw).is_none()).count();
        self.out.decoded.dropped.strings += u64::try_from(strings).unwrap_or(u64::MAX);
        let points = u64::try_from(fields.len() - strings).unwrap_or(u64::MAX);
        let mut index = self.out.decoded.points_seen;
        self.out.see(points)?;
        let (name, timestamp_ms) = match labels.and_then(|()| self.head(host, metric)) {
            Ok(head) => head,
            Err(_) if points == 0 => return Ok(()),
            Err(reason) => {
                self.out.reject(index, points, reason);
                return Ok(());
            }
        };
        for (field, raw) in fields {
            let Some(value) = scalar::field(raw) else { continue };
            if let Err(reason) = value.and_then(|value| self.push_field(index, name, field, timestamp_ms, value)) {
                self.out.reject(index, 1, reason);
            }
            index += 1;
        }
        Ok(())
    }

    /// Name and time of a Telegraf metric; the time has been admitted.
    fn head<'m>(&self, host: &Entry<'_>, metric: &'m Entry<'_>) -> Result<(&'m str, i64), RejectReason> {
        let name = name_of(metric)?;
        let timestamp_ms = match metric.timestamp.or(host.timestamp) {
            Some(raw) => scalar::timestamp_of_any_unit(raw)?.unwrap_or(self.out.scope.now_ms),
            None => self.out.scope.now_ms,
        };
        self.out.admit(timestamp_ms)?;
        Ok((name, timestamp_ms))
    }

    fn push_field(
        &mut self,
        index: u64,
        name: &str,
        field: &str,
        timestamp_ms: i64,
        value: f64,
    ) -> Result<(), RejectReason> {
        let pieces = [name.as_bytes(), b"_", field.as_bytes()];
        let pieces = if field == "value" { &pieces[..1] } else { &pieces[..] };
        let canonical = self.tags.with_metric(pieces, self.out.scope.limits)?;
        self.out.begin_series(canonical);
        self.out.push(index, timestamp_ms, value);
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

fn name_of<'m>(metric: &'m Entry<'_>) -> Result<&'m str, RejectReason> {
    match &metric.name {
        Text::Is(name) => Ok(name.as_ref()),
        Text::Absent => Err(RejectReason::InvalidLabels("the metric has no name".to_owned())),
        Text::Wrong(what) => Err(RejectReason::InvalidLabels(format!("the metric name is {what}"))),
    }
}
