//! What is produced: series whose points are known, as messages of any format, and messages that nobody can read.

use kit::kafka::Message;
use serde_json::json;

use crate::protocols::wire::{Sample, write_request};

/// Points of a message, a time apart.
const STEP_MS: i64 = 1_000;

/// How a message says its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    Json,
    Influx,
    RemoteWrite,
    /// By the schema of this id in the registry.
    Avro {
        schema: u32,
    },
}

impl Format {
    /// As a topic's `format` names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Influx => "influx",
            Self::RemoteWrite => "prom_remote_write",
            Self::Avro { .. } => "avro",
        }
    }
}

/// The schema of [`Format::Avro`].
pub(super) fn avro_schema() -> serde_json::Value {
    let point = json!({ "type": "record", "name": "Point", "fields": [
        { "name": "ts", "type": "long" }, { "name": "v", "type": "double" }] });
    json!({ "type": "record", "name": "Batch", "fields": [
        { "name": "metric", "type": "string" },
        { "name": "labels", "type": { "type": "map", "values": "string" } },
        { "name": "points", "type": { "type": "array", "items": point } }] })
}

/// A series of points, each with a value of its own: no two of a load are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) server_id: String,
    pub(super) metric: &'static str,
    /// Of its first point.
    start: i64,
    /// How many series the load has before this one.
    number: i32,
    points: i32,
}

/// A run of points of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'a> {
    pub(super) series: &'a Series,
    first: i32,
    points: i32,
}

impl Series {
    /// `count` series with the same times.
    pub(super) fn many(metric: &'static str, count: i32, points: i32, start: i64) -> Vec<Self> {
        (0..count).map(|number| Self::new(metric, number, points, start)).collect()
    }

    /// The `number`th of a load.
    pub(super) fn new(metric: &'static str, number: i32, points: i32, start: i64) -> Self {
        Self { server_id: format!("srv-{number}"), metric, start, number, points }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// The time after its last point.
    pub(super) fn end(&self) -> i64 {
        self.start + i64::from(self.points) * STEP_MS
    }

    /// The point that follows its last one, in line protocol (ms).
    pub(super) fn next_line(&self) -> String {
        let Self { server_id, metric, .. } = self;
        let (timestamp, value) = self.at(self.points);
        format!("{metric},server_id={server_id} value={value} {timestamp}\n")
    }

    /// That point belongs to it from now on.
    pub(super) fn grow(&mut self) {
        self.points += 1;
    }

    fn at(&self, point: i32) -> (i64, f64) {
        let value = f64::from(self.number) * f64::from(1 << 20) + f64::from(point);
        (self.start + i64::from(point) * STEP_MS, value)
    }

    /// Its points, in order of time.
    pub(super) fn points(&self) -> impl Iterator<Item = (i64, f64)> {
        (0..self.points).map(|point| self.at(point))
    }

    /// Messages of at most so many points each, in order of time.
    pub(super) fn slices(&self, of: i32) -> impl Iterator<Item = Slice<'_>> {
        let firsts = (0..self.points).step_by(usize::try_from(of).expect("some points"));
        firsts.map(move |first| Slice { series: self, first, points: of.min(self.points - first) })
    }
}

impl Slice<'_> {
    pub(super) fn first(&self) -> i32 {
        self.first
    }

    fn points(&self) -> impl Iterator<Item = (i64, f64)> {
        (self.first..self.first + self.points).map(|point| self.series.at(point))
    }

    /// `metric:instance`.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", self.series.metric, self.series.server_id)
    }

    pub(super) fn payload(&self, format: Format) -> Vec<u8> {
        let (metric, server_id) = (self.series.metric, self.series.server_id.as_str());
        match format {
            Format::Json => self.json(),
            Format::Influx => {
                let line = |(ts, value)| format!("{metric},server_id={server_id} value={value} {ts}000000\n");
                self.points().map(line).collect::<String>().into_bytes()
            }
            Format::RemoteWrite => {
                let labels = vec![("__name__", metric), ("server_id", server_id)];
                let samples = self.points().map(|(ts, value)| Sample(ts, value)).collect();
                let request = write_request(&[(labels, samples)]);
                snap::raw::Encoder::new().compress_vec(&request).expect("a short message")
            }
            Format::Avro { schema } => self.avro(schema),
        }
    }

    fn json(&self) -> Vec<u8> {
        let Series { server_id, metric, .. } = self.series;
        let flat = |(timestamp, value): (i64, f64)| json!({ "metric_name": metric, "value": value, "timestamp": timestamp, "labels": { "server_id": server_id } });
        let points: Vec<_> = self.points().map(flat).collect();
        if let [one] = &points[..] { one.to_string().into_bytes() } else { json!(points).to_string().into_bytes() }
    }

    /// By hand: the frame of a registry's clients, then the fields of the record in order.
    fn avro(&self, schema: u32) -> Vec<u8> {
        let mut out = vec![0];
        out.extend(schema.to_be_bytes());
        text(&mut out, self.series.metric);
        // A map and an array are blocks with their lengths; an empty block ends them.
        long(&mut out, 1);
        text(&mut out, "server_id");
        text(&mut out, &self.series.server_id);
        long(&mut out, 0);
        long(&mut out, i64::from(self.points));
        for (timestamp, value) in self.points() {
            long(&mut out, timestamp);
            out.extend(value.to_le_bytes());
        }
        long(&mut out, 0);
        out
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    long(out, i64::try_from(text.len()).expect("a short text"));
    out.extend(text.as_bytes());
}

/// Zigzag, then seven bits a byte.
fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).expect("seven bits"));
}

/// The `n`th message that cannot be read in a format; no two are equal.
pub(super) fn poison(format: Format, n: u32) -> Vec<u8> {
    let valid = Series::many("poison", 1, 3, 0);
    let mut payload = valid[0].slices(3).next().expect("three points").payload(format);
    match format {
        Format::Json => payload.truncate(payload.len() - 1),
        Format::Influx => payload = b"poison,server_id=a value= 1".to_vec(),
        // A length without an end.
        Format::RemoteWrite => payload = vec![0xff; 12],
        Format::Avro { .. } => payload[0] = 1,
    }
    payload.extend(format!("{{{n}").bytes());
    payload
}

/// A message for a topic.
pub(super) fn message<'a>(topic: &'a str, key: &'a str, payload: &'a [u8]) -> Message<'a> {
    Message::with_opaque_to(topic, ()).key(key.as_bytes()).payload(payload)
}
