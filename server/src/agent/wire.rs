//! Readings as a body for `POST /api/metrics`: one object a measurement, one a line.

use serde_json::{Map, Value};

use super::probe::Reading;

/// A body is handed over early when it has this many bytes, however long the time between two pushes.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Measurements on their way into one request.
#[derive(Debug)]
pub(super) struct Batch {
    /// The object up to the timestamp.
    head: Vec<u8>,
    body: Vec<u8>,
    /// The time of the object that is being written.
    open_ms: Option<i64>,
}

impl Batch {
    pub(super) fn new(server_id: &str, tags: &[(String, String)]) -> Self {
        let tags: Map<String, Value> = tags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let (server_id, tags) = (Value::from(server_id), Value::Object(tags));
        let head = format!("{{\"server_id\":{server_id},\"source\":\"agent\",\"tags\":{tags},\"timestamp\":");
        Self { head: head.into_bytes(), body: Vec::new(), open_ms: None }
    }

    /// Adds a reading; readings of the same time stand in one object. What is not finite is left out.
    pub(super) fn add(&mut self, timestamp_ms: i64, reading: &Reading<'_>) {
        if !reading.value.is_finite() {
            return;
        }
        if self.open_ms == Some(timestamp_ms) {
            self.body.push(b',');
        } else {
            self.close();
            self.body.extend_from_slice(&self.head);
            self.body.extend_from_slice(format!("{timestamp_ms},\"metrics\":[").as_bytes());
            self.open_ms = Some(timestamp_ms);
        }
        let mut metric = serde_json::json!({"name": reading.metric, "value": reading.value, "unit": reading.unit});
        if let Some((name, value)) = reading.label {
            metric["labels"] = serde_json::json!({ name: value });
        }
        self.body.extend_from_slice(metric.to_string().as_bytes());
    }

    pub(super) fn is_full(&self) -> bool {
        self.body.len() >= BODY_BYTES_MAX
    }

    /// The body so far, if there is anything in it.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.close();
        (!self.body.is_empty()).then(|| std::mem::take(&mut self.body))
    }

    fn close(&mut self) {
        if self.open_ms.take().is_some() {
            self.body.extend_from_slice(b"]}\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use ingest::decode::Scope;
    use ingest::decode::json::Framing;
    use ingest::{Format, Limits};
    use schemas::{Labels, PointBatch, TimeRange, TimestampMs};

    use super::*;

    fn reading<'a>(metric: &'a str, label: Option<(&'static str, &'a str)>, value: f64) -> Reading<'a> {
        Reading { metric, unit: "percent", label, value }
    }

    #[test]
    fn a_server_reads_what_was_measured() {
        let mut batch = Batch::new("host \"a\"", &[("env".to_owned(), "dev".to_owned())]);
        batch.add(1_000, &reading("cpu_usage", None, 12.5));
        batch.add(1_000, &reading("disk_usage", Some(("mount", "/mnt/\"x\"\n")), 50.0));
        batch.add(1_000, &reading("broken", None, f64::NAN));
        batch.add(2_000, &reading("cpu_usage", None, 13.0));
        let body = batch.take().expect("readings");
        assert_eq!((batch.take(), body.iter().filter(|byte| **byte == b'\n').count()), (None, 2));

        let (limits, mut points) = (Limits::default(), PointBatch::new());
        let window = TimeRange::new(TimestampMs(0), TimestampMs(1 << 40)).expect("ordered");
        let scope = Scope { now_ms: 0, window, limits: &limits };
        let decoded = Format::Json(Framing::Lines).decode(&body, scope, &mut points).expect("JSON");
        assert_eq!((decoded.points_seen, decoded.rejections.points()), (3, 0));
        let series = |i: usize| Labels::from_canonical(points.series(points.series_of()[i]).1).expect("canonical");
        assert_eq!(series(0).get("server_id"), Some("host \"a\""));
        assert_eq!(series(1).get("mount"), Some("/mnt/\"x\"\n"));
        assert_eq!(series(0), series(2));
        // A number below 10^11 would be seconds: the agent's times are of this century.
        assert_eq!(points.values(), [12.5, 50.0, 13.0]);
    }
}
