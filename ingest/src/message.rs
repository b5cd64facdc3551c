//! Messages of Kafka: one message's bytes in, its points behind those of other messages in one batch.
//!
//! [`Message`] ─▶ [`MessageDecoder`] (by [`MessageFormat`]) ─▶ points in the batch, and [`Decoded`] or [`MessageError`]
//!
//! Nouns: a *poison* message is one of which nothing can be stored, now or ever; it goes to the dead letters, and
//! nothing of it stays in the batch. A message with some good points keeps those, and the refused are counted. What is
//! [`MessageError::Unavailable`] says nothing about the message: it is tried again.
//!
//! The payload alone says what a point is. The key only chose the partition (`metric:instance`, or the server's id),
//! so it is not looked at. A point without a time has that of its message.
//!
//! Not here: consuming, dead letters and offsets (`kafka`), and formats that HTTP knows as well ([`crate::decode`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemas::PointBatch;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::body::{self, BodyError, ContentEncoding};
use crate::decode::json::Framing;
use crate::decode::line_protocol::Precision;
use crate::decode::{DecodeError, Decoded, Scope, json, line_protocol, remote_write};
use crate::registry::{RegistryError, SchemaSource};

mod avro;
#[cfg(test)]
mod tests;

use avro::AvroDecoder;

/// Bytes of an explanation that are kept: it becomes a header of the dead letter.
const WHAT_BYTES_MAX: usize = 1_000;

/// How the messages of a topic are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageFormat {
    /// Every shape of [`crate::decode::json`], one or many a message.
    Json,
    /// Confluent framing: `0x00`, four bytes of schema id, and a record of one of two shapes (`docs/ingest.md`).
    Avro,
    /// Line protocol; times are nanoseconds.
    Influx,
    /// A snappy block of a `prometheus.WriteRequest`.
    PromRemoteWrite,
}

impl MessageFormat {
    /// The name in the config, and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Influx => "influx",
            Self::PromRemoteWrite => "prom_remote_write",
        }
    }
}

impl fmt::Display for MessageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a message brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'m> {
    pub payload: &'m [u8],
    /// Not looked at; see the module.
    pub key: Option<&'m [u8]>,
    /// The time of points that bring none, in ms; `None` leaves it to the scope.
    pub timestamp_ms: Option<i64>,
}

/// Why a message gave no points.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum MessageError {
    /// Nothing of it can be stored, however often it is tried. `class` is one of [`class`].
    #[error("{what}")]
    Poison { class: &'static str, what: String },
    /// It could not be looked at; nothing is wrong with it.
    #[error("{why}")]
    Unavailable { why: String, retry_after: Duration },
}

/// The classes of poison, as the header `x-exception-class` tells them.
pub mod class {
    /// The bytes are not in the format of the topic.
    pub const MALFORMED: &str = "malformed";
    /// More bytes or points than the limits allow.
    pub const TOO_LARGE: &str = "too-large";
    /// Every point was refused: the explanation says why the first was.
    pub const REJECTED: &str = "rejected";
    /// The registry knows no schema of this id.
    pub const UNKNOWN_SCHEMA: &str = "unknown-schema";
    /// The schema is not one of a record that we know.
    pub const UNSUPPORTED_SCHEMA: &str = "unsupported-schema";
}

impl MessageError {
    pub(crate) fn poison(class: &'static str, what: impl Into<String>) -> Self {
        let mut what = what.into();
        what.truncate(what.floor_char_boundary(WHAT_BYTES_MAX));
        Self::Poison { class, what }
    }

    /// Whether the same message may be taken later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Poison { .. } => false,
            Self::Unavailable { .. } => true,
        }
    }
}

impl From<DecodeError> for MessageError {
    fn from(error: DecodeError) -> Self {
        let class = match &error {
            DecodeError::Malformed { .. } => class::MALFORMED,
            DecodeError::TooManyPoints { .. } => class::TOO_LARGE,
        };
        Self::poison(class, error.to_string())
    }
}

impl From<BodyError> for MessageError {
    fn from(error: BodyError) -> Self {
        let class = match &error {
            BodyError::UnknownEncoding(_) | BodyError::Damaged { .. } => class::MALFORMED,
            BodyError::TooLarge { .. } => class::TOO_LARGE,
        };
        Self::poison(class, error.to_string())
    }
}

impl From<RegistryError> for MessageError {
    fn from(error: RegistryError) -> Self {
        let what = error.to_string();
        match error {
            RegistryError::Unknown { .. } => Self::poison(class::UNKNOWN_SCHEMA, what),
            RegistryError::Unusable { .. } => Self::poison(class::UNSUPPORTED_SCHEMA, what),
            RegistryError::Unavailable { retry_after, .. } => Self::Unavailable { why: what, retry_after },
        }
    }
}

/// What became of a message.
pub type Outcome = Result<Decoded, MessageError>;

/// Decodes the messages of topics of one format. Owned by one thread: it keeps memory and decoders of schemas.
#[derive(Debug)]
pub struct MessageDecoder(Inner);

#[derive(Debug)]
enum Inner {
    /// Decoders without a memory of earlier messages.
    Plain(Plain),
    Avro(Box<AvroDecoder>),
}

#[derive(Debug, Clone, Copy)]
enum Plain {
    Json,
    Influx,
    PromRemoteWrite,
}

impl MessageDecoder {
    /// `schemas` is asked for Avro only, which cannot do without.
    pub fn new(format: MessageFormat, schemas: Option<Arc<dyn SchemaSource>>) -> Self {
        Self(match format {
            MessageFormat::Json => Inner::Plain(Plain::Json),
            MessageFormat::Influx => Inner::Plain(Plain::Influx),
            MessageFormat::PromRemoteWrite => Inner::Plain(Plain::PromRemoteWrite),
            MessageFormat::Avro => Inner::Avro(Box::new(AvroDecoder::new(schemas))),
        })
    }

    /// Decodes one message. On an error nothing of it is in `batch`.
    pub fn decode(&mut self, message: Message<'_>, scope: Scope<'_>, batch: &mut PointBatch) -> Outcome {
        match &mut self.0 {
            Inner::Plain(plain) => plain.decode(message, scope, batch),
            Inner::Avro(avro) => {
                let mut outcomes = Vec::with_capacity(1);
                avro.decode_many(&[message], scope, batch, &mut outcomes);
                outcomes.pop().expect("each message has its outcome, the last one even if it is unavailable")
            }
        }
    }

    /// Decodes messages in their order, which costs Avro a fraction of decoding them one by one.
    ///
    /// Adds an outcome a message to `outcomes`, and stops behind the first that is [`MessageError::Unavailable`]: the
    /// messages behind it have no outcome and are as if never seen. The points of the messages stand in the batch in
    /// the order of the messages, [`Decoded::kept`] of each.
    pub fn decode_many(
        &mut self,
        messages: &[Message<'_>],
        scope: Scope<'_>,
        batch: &mut PointBatch,
        outcomes: &mut Vec<Outcome>,
    ) {
        match &mut self.0 {
            Inner::Plain(plain) => outcomes.extend(messages.iter().map(|message| plain.decode(*message, scope, batch))),
            Inner::Avro(avro) => avro.decode_many(messages, scope, batch, outcomes),
        }
    }
}

impl Plain {
    fn decode(self, message: Message<'_>, scope: Scope<'_>, batch: &mut PointBatch) -> Outcome {
        let scope = scope_of(&message, scope);
        settle(batch, |batch| self.decode_into(message.payload, scope, batch))
    }

    fn decode_into(self, payload: &[u8], scope: Scope<'_>, batch: &mut PointBatch) -> Outcome {
        let limit = scope.limits.body_bytes_max;
        Ok(match self {
            Self::Json => {
                json::decode(&body::decompress(ContentEncoding::Identity, payload, limit)?, Framing::Any, scope, batch)?
            }
            Self::Influx => {
                let lines = body::decompress(ContentEncoding::Identity, payload, limit)?;
                line_protocol::decode(&lines, Precision::Nanosecond, scope, batch)?
            }
            Self::PromRemoteWrite => {
                let request = body::decompress(ContentEncoding::Snappy, payload, limit)?;
                remote_write::decode(&request, scope, batch)?
            }
        })
    }
}

/// What the decoder of a message may know of the world: its own time, above all.
fn scope_of<'s>(message: &Message<'_>, scope: Scope<'s>) -> Scope<'s> {
    Scope { now_ms: message.timestamp_ms.unwrap_or(scope.now_ms), ..scope }
}

/// Decodes one message by `decode`; if it is poison, whatever of it is in the batch is taken out again.
fn settle(batch: &mut PointBatch, decode: impl FnOnce(&mut PointBatch) -> Outcome) -> Outcome {
    let mark = batch.mark();
    let outcome = decode(batch).and_then(refuse_without_points);
    if outcome.is_err() {
        batch.truncate_to(mark);
    }
    outcome
}

/// A message that has points, but none that can be kept, is poison.
fn refuse_without_points(decoded: Decoded) -> Outcome {
    match decoded.rejections.first().first() {
        Some(first) if decoded.kept() == 0 => {
            let (refused, index, reason) = (decoded.rejections.points(), first.index, &first.reason);
            let points = if refused == 1 { "point was" } else { "points were" };
            Err(MessageError::poison(class::REJECTED, format!("{refused} {points} refused; {index}: {reason}")))
        }
        Some(_) | None => Ok(decoded),
    }
}
