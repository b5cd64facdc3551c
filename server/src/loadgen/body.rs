//! Requests: the points of some hosts in the bytes of a protocol.
//!
//! What does not change (labels, names, the shape of a line) is written once a host, as a [`Template`]; a point then
//! costs a copy of it and its value.

use bytes::Bytes;

use super::ProtocolName;
use super::workload::{Host, Kind, Metric, value};

/// A body that is ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) body: Bytes,
    pub(super) points: u64,
}

/// The parts of a host's points that stay the same.
#[derive(Debug)]
pub(super) enum Template {
    /// The encoded labels of each series.
    RemoteWrite { labels: Vec<Vec<u8>> },
    /// What stands before each field's value; `true` begins a new line.
    Influx { before: Vec<(bool, Vec<u8>)> },
    /// The object up to the timestamp, what stands before each value and after it, and its end.
    Json { head: Vec<u8>, around: Vec<(Vec<u8>, Vec<u8>)>, tail: Vec<u8> },
}

impl Template {
    pub(super) fn new(protocol: ProtocolName, host: &Host, metrics: &[Metric]) -> Self {
        match protocol {
            ProtocolName::RemoteWrite => {
                Self::RemoteWrite { labels: metrics.iter().map(|metric| labels(host, metric)).collect() }
            }
            ProtocolName::Influx => Self::Influx { before: lines(host, metrics) },
            ProtocolName::Json => json(host, metrics),
        }
    }
}

/// A request being written.
#[derive(Debug)]
pub(super) struct Draft {
    protocol: ProtocolName,
    bytes: Vec<u8>,
    points: u64,
}

impl Draft {
    pub(super) fn new(protocol: ProtocolName) -> Self {
        Self { protocol, bytes: Vec::new(), points: 0 }
    }

    pub(super) fn points(&self) -> u64 {
        self.points
    }

    /// Adds a point of every metric of a host.
    pub(super) fn write(&mut self, template: &Template, host: &Host, metrics: &[Metric], ts_ms: i64) {
        match template {
            Template::RemoteWrite { labels } => {
                for ((labels, level), metric) in labels.iter().zip(&host.levels).zip(metrics) {
                    ingest::encode::write_series(&mut self.bytes, labels, &[(ts_ms, value(metric.kind, *level))]);
                }
            }
            Template::Influx { before } => self.write_lines(before, host, metrics, ts_ms),
            Template::Json { head, around, tail } => {
                self.bytes.extend_from_slice(head);
                self.bytes.extend_from_slice(itoa::Buffer::new().format(ts_ms).as_bytes());
                self.bytes.extend_from_slice(b",\"metrics\":[");
                for (((before, after), level), metric) in around.iter().zip(&host.levels).zip(metrics) {
                    self.bytes.extend_from_slice(before);
                    write_level(&mut self.bytes, metric.kind, *level);
                    self.bytes.extend_from_slice(after);
                }
                self.bytes.extend_from_slice(tail);
            }
        }
        self.points += u64::try_from(metrics.len()).unwrap_or(u64::MAX);
    }

    fn write_lines(&mut self, before: &[(bool, Vec<u8>)], host: &Host, metrics: &[Metric], ts_ms: i64) {
        let mut time = itoa::Buffer::new();
        let time = time.format(ts_ms).as_bytes();
        for (at, (((new_line, before), level), metric)) in before.iter().zip(&host.levels).zip(metrics).enumerate() {
            if *new_line && at > 0 {
                self.end_line(time);
            }
            self.bytes.extend_from_slice(before);
            write_level(&mut self.bytes, metric.kind, *level);
            if !matches!(metric.kind, Kind::Hundredths { .. }) {
                self.bytes.push(b'i');
            }
        }
        self.end_line(time);
    }

    fn end_line(&mut self, time: &[u8]) {
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(time);
        self.bytes.push(b'\n');
    }

    /// The request, compressed where the protocol asks for it; the draft is empty again.
    pub(super) fn finish(&mut self) -> anyhow::Result<Request> {
        // The next body will be about as long.
        let room = self.bytes.len() + self.bytes.len() / 16;
        let plain = std::mem::replace(&mut self.bytes, Vec::with_capacity(room));
        let body = match self.protocol {
            ProtocolName::RemoteWrite => snap::raw::Encoder::new().compress_vec(&plain)?,
            ProtocolName::Influx | ProtocolName::Json => plain,
        };
        Ok(Request { body: body.into(), points: std::mem::take(&mut self.points) })
    }
}

fn labels(host: &Host, metric: &Metric) -> Vec<u8> {
    let name = metric.name();
    let mut pairs: Vec<(&str, &str)> = vec![("__name__", &name)];
    pairs.extend(host.tags.iter().map(|(name, value)| (*name, value.as_str())));
    pairs.extend(metric.label.iter().map(|(name, value)| (*name, value.as_str())));
    pairs.sort_unstable();
    ingest::encode::labels(pairs)
}

fn lines(host: &Host, metrics: &[Metric]) -> Vec<(bool, Vec<u8>)> {
    let mut previous: Option<&Metric> = None;
    let mut before = Vec::new();
    for metric in metrics {
        let same = previous.is_some_and(|p| p.measurement == metric.measurement && p.label == metric.label);
        let mut text = String::new();
        if same {
            text.push(',');
        } else {
            text.push_str(&metric.measurement);
            // Names and values of the workloads need no escapes.
            for (name, value) in host.tags.iter().chain(&metric.label) {
                text.push_str(&format!(",{name}={value}"));
            }
            text.push(' ');
        }
        text.push_str(&metric.field);
        text.push('=');
        before.push((!same, text.into_bytes()));
        previous = Some(metric);
    }
    before
}

fn json(host: &Host, metrics: &[Metric]) -> Template {
    let server_id = host.tags.iter().find(|(name, _)| ["server_id", "hostname", "instance"].contains(name));
    let server_id = serde_json::Value::from(server_id.map_or("", |(_, value)| value.as_str()));
    let tags: serde_json::Map<String, serde_json::Value> = (host.tags.iter())
        .filter(|(name, _)| *name != "server_id")
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    let around = |(at, metric): (usize, &Metric)| {
        let comma = if at == 0 { "" } else { "," };
        let before = format!("{comma}{{\"name\":{},\"value\":", serde_json::Value::from(metric.name()));
        let after = match &metric.label {
            Some((name, value)) => format!(",\"labels\":{}}}", serde_json::json!({ *name: value })),
            None => "}".to_owned(),
        };
        (before.into_bytes(), after.into_bytes())
    };
    Template::Json {
        head: format!("{{\"server_id\":{server_id},\"tags\":{},\"timestamp\":", serde_json::Value::Object(tags))
            .into_bytes(),
        around: metrics.iter().enumerate().map(around).collect(),
        tail: b"]}\n".to_vec(),
    }
}

fn write_level(out: &mut Vec<u8>, kind: Kind, level: i64) {
    let mut digits = itoa::Buffer::new();
    match kind {
        Kind::Walk { .. } | Kind::Counter { .. } => out.extend_from_slice(digits.format(level).as_bytes()),
        Kind::Hundredths { .. } => {
            out.extend_from_slice(digits.format(level / 100).as_bytes());
            let cents = u8::try_from(level % 100).unwrap_or(0);
            out.extend_from_slice(&[b'.', b'0' + cents / 10, b'0' + cents % 10]);
        }
    }
}

#[cfg(test)]
mod tests {
    use ingest::body::{ContentEncoding, decompress};
    use ingest::decode::Scope;
    use ingest::decode::json::Framing;
    use ingest::decode::line_protocol::Precision;
    use ingest::{Format, Limits};
    use schemas::{Labels, PointBatch, TimeRange, TimestampMs};

    use super::super::WorkloadName;
    use super::super::workload::Fleet;
    use super::*;

    const TS_MS: i64 = 1_742_221_800_000;

    /// Labels without `server_id` (only JSON adds it to all), time, and the bits of the value.
    type Point = (Vec<(String, String)>, i64, u64);

    /// What a server would understand.
    fn sent(workload: WorkloadName, metrics: Option<u32>, protocol: ProtocolName) -> Vec<Point> {
        let fleet = Fleet::new(workload, metrics, 3);
        let mut host = fleet.host(11);
        let template = Template::new(protocol, &host, fleet.metrics());
        let mut draft = Draft::new(protocol);
        for step in 0..3 {
            host.advance(fleet.metrics());
            draft.write(&template, &host, fleet.metrics(), TS_MS + step);
        }
        let request = draft.finish().expect("compresses");
        assert_eq!(request.points, u64::try_from(3 * fleet.metrics().len()).expect("small"));
        let (format, encoding) = match protocol {
            ProtocolName::RemoteWrite => (Format::RemoteWrite, ContentEncoding::Snappy),
            ProtocolName::Influx => (Format::LineProtocol(Precision::Millisecond), ContentEncoding::Identity),
            ProtocolName::Json => (Format::Json(Framing::Lines), ContentEncoding::Identity),
        };
        let limits = Limits::default();
        let plain = decompress(encoding, &request.body, limits.body_bytes_max).expect("sound");
        let window = TimeRange::new(TimestampMs(0), TimestampMs(TS_MS + 10)).expect("ordered");
        let mut batch = PointBatch::new();
        let decoded = format.decode(&plain, Scope { now_ms: 0, window, limits: &limits }, &mut batch).expect("sound");
        assert!(decoded.rejections.is_empty(), "{:?}", decoded.rejections);
        let mut points: Vec<_> = (0..batch.len())
            .map(|i| {
                let labels = Labels::from_canonical(batch.series(batch.series_of()[i]).1).expect("canonical");
                let pairs = labels.iter().filter(|(name, _)| *name != "server_id");
                let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                (pairs, batch.timestamps()[i], batch.values()[i].to_bits())
            })
            .collect();
        points.sort();
        points
    }

    #[test]
    fn all_protocols_send_the_same_points() {
        for (workload, metrics) in [
            (WorkloadName::Fleet, None),
            (WorkloadName::Fleet, Some(77)),
            (WorkloadName::CpuOnly, None),
            (WorkloadName::RemoteWriteSeries, None),
            (WorkloadName::RemoteWriteSeries, Some(105)),
        ] {
            let reference = sent(workload, metrics, ProtocolName::RemoteWrite);
            assert_eq!(sent(workload, metrics, ProtocolName::Influx), reference, "{workload:?}");
            assert_eq!(sent(workload, metrics, ProtocolName::Json), reference, "{workload:?}");
        }
    }

    #[test]
    fn a_host_of_the_benchmark_is_one_line() {
        let fleet = Fleet::new(WorkloadName::CpuOnly, None, 1);
        let host = fleet.host(0);
        let mut draft = Draft::new(ProtocolName::Influx);
        draft.write(&Template::new(ProtocolName::Influx, &host, fleet.metrics()), &host, fleet.metrics(), TS_MS);
        let request = draft.finish().expect("plain");
        let text = String::from_utf8(request.body.to_vec()).expect("text");
        assert!(text.starts_with("cpu,arch=x") && text.ends_with("i 1742221800000\n"), "{text}");
        assert_eq!((text.lines().count(), text.matches('=').count()), (1, 20));
    }
}
