//! Avro as Kafka carries it: `0x00`, the id of the writer's schema in four bytes (big-endian), one record.
//!
//! message ─▶ schema by id, once ([`Schema`]) ─▶ runs of messages of one schema ─▶ columns ─▶ points, message by message
//!
//! Two records are known, told apart by their fields; both may have more fields, in any order, and narrower types
//! (`int`, `float` or `long` for a `double`; nullable what may be missing), as Avro's rules of evolution allow:
//!
//! ```text
//! {metric_name: string, value: double, timestamp: long, labels: map<string>, source: string}
//! {metric: string, labels: map<string>, points: array<{ts: long, v: double}>, source: string}
//! ```
//! `timestamp`, `labels` and `source` may be missing. A time is milliseconds, or what its logical type says.
//!
//! The decoder is `arrow-avro`'s, which fills columns: its price is in making and emptying it, so it is kept, and emptied
//! once a run. When a message does not decode, the decoder holds half of it; then it is made anew, and the messages
//! before the bad one are decoded again. Text is checked when a run is emptied: if that fails, the messages of the run
//! are decoded each by itself, so that only the bad ones are poison.
//!
//! Work and memory are bounded by the bytes of a message: the decoder makes no room by a count that a block claims, it
//! stops at the end of the bytes, and items that take no bytes are refused with their schema ([`schema`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use schemas::PointBatch;

use super::{Message, MessageError, Outcome, class};
use crate::decode::Scope;
use crate::registry::{RegistryError, SchemaSource};

mod rows;
mod schema;

use schema::Layout;

/// Messages of one run: rows of the columns.
const RUN_MESSAGES_MAX: usize = 1_024;
/// Bytes of the messages of one run, unless one alone has more.
const RUN_BYTES_MAX: usize = 4 << 20;
/// Schemas with a decoder, each of which holds about 100 KiB; the one that was not used for longest makes way.
const SCHEMAS_MAX: usize = 64;

/// The first byte, and the schema id behind it.
const FRAME_BYTES: usize = 5;

/// Decodes messages; keeps the decoders of the schemas that it met.
pub(super) struct AvroDecoder {
    source: Option<Arc<dyn SchemaSource>>,
    /// The one used last is the last.
    schemas: Vec<Schema>,
}

impl fmt::Debug for AvroDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroDecoder").field("schemas", &self.schemas.len()).finish_non_exhaustive()
    }
}

impl AvroDecoder {
    pub(super) fn new(source: Option<Arc<dyn SchemaSource>>) -> Self {
        Self { source, schemas: Vec::new() }
    }

    /// As [`super::MessageDecoder::decode_many`].
    pub(super) fn decode_many(
        &mut self,
        messages: &[Message<'_>],
        scope: Scope<'_>,
        batch: &mut PointBatch,
        outcomes: &mut Vec<Outcome>,
    ) {
        // Ids of which nothing can be read, so that a flood of them asks the registry once a call.
        let mut refused: Vec<(u32, MessageError)> = Vec::new();
        let mut rest = messages;
        while let Some((first, others)) = rest.split_first() {
            let known = schema_id(first.payload, scope).and_then(|id| {
                if let Some((_, error)) = refused.iter().find(|(known, _)| *known == id) {
                    return Err(error.clone());
                }
                self.schema(id).inspect_err(|error| {
                    if refused.len() < SCHEMAS_MAX {
                        refused.push((id, error.clone()));
                    }
                })
            });
            match known {
                Ok(schema) => {
                    let (run, others) = rest.split_at(run_length(schema.id, rest, scope));
                    schema.decode(run, scope, batch, outcomes);
                    rest = others;
                }
                Err(error) => {
                    let away = error.is_retryable();
                    outcomes.push(Err(error));
                    if away {
                        return;
                    }
                    rest = others;
                }
            }
        }
    }

    /// The schema of an id; asks the source for one that is new.
    fn schema(&mut self, id: u32) -> Result<&mut Schema, MessageError> {
        match self.schemas.iter().position(|schema| schema.id == id) {
            Some(at) => self.schemas[at..].rotate_left(1),
            None => {
                let source = self.source.as_ref().ok_or_else(|| RegistryError::unavailable("none is configured"))?;
                let text = source.schema(id)?;
                let schema = Schema::new(id, &text).map_err(|what| RegistryError::Unusable { id, what })?;
                if self.schemas.len() == SCHEMAS_MAX {
                    self.schemas.remove(0);
                }
                self.schemas.push(schema);
            }
        }
        Ok(self.schemas.last_mut().expect("it was moved or put there"))
    }
}

/// The id of the schema of a message.
fn schema_id(payload: &[u8], scope: Scope<'_>) -> Result<u32, MessageError> {
    let limit = scope.limits.body_bytes_max;
    match payload {
        _ if payload.len() > limit => {
            Err(MessageError::poison(class::TOO_LARGE, format!("the message has more than {limit} bytes")))
        }
        [0, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        [0, ..] | [] => Err(malformed(format!("{} bytes cannot hold the id of a schema", payload.len()))),
        [first, ..] => {
            Err(malformed(format!("the first byte is {first:#04x}, not the 0x00 before the id of a schema")))
        }
    }
}

/// How many of `messages` to decode together: at least the first, whose schema is `id`.
pub(super) fn run_length(id: u32, messages: &[Message<'_>], scope: Scope<'_>) -> usize {
    let mut bytes = 0;
    let more = messages.iter().take(RUN_MESSAGES_MAX).take_while(|message| {
        bytes += message.payload.len();
        bytes <= RUN_BYTES_MAX && schema_id(message.payload, scope) == Ok(id)
    });
    more.count().max(1)
}

fn malformed(what: impl Into<String>) -> MessageError {
    MessageError::poison(class::MALFORMED, what)
}

/// A writer's schema, and the decoder of its messages.
struct Schema {
    id: u32,
    layout: Layout,
    decoder: Decoder,
}

impl Schema {
    fn new(id: u32, text: &str) -> Result<Self, String> {
        let layout = Layout::of(text)?;
        let decoder = decoder_of(id, &layout).map_err(|error| error.to_string())?;
        Ok(Self { id, layout, decoder })
    }

    /// Decodes a run: at most [`RUN_MESSAGES_MAX`] messages of this schema.
    fn decode(
        &mut self,
        messages: &[Message<'_>],
        scope: Scope<'_>,
        batch: &mut PointBatch,
        outcomes: &mut Vec<Outcome>,
    ) {
        let mut rest = messages;
        loop {
            let bad = rest.iter().enumerate().find_map(|(at, message)| Some((at, self.feed(message.payload).err()?)));
            let Some((at, what)) = bad else {
                return self.empty(rest, scope, batch, outcomes);
            };
            self.renew();
            let (good, others) = rest.split_at(at);
            for message in good {
                self.feed(message.payload).expect("it was decoded a moment ago");
            }
            self.empty(good, scope, batch, outcomes);
            outcomes.push(Err(malformed(what)));
            rest = &others[1..];
        }
    }

    /// Adds the record of a message to the columns. After an error the decoder must be renewed.
    fn feed(&mut self, payload: &[u8]) -> Result<(), String> {
        let room = self.decoder.capacity();
        let read = self.decoder.decode(payload);
        let rows = room - self.decoder.capacity();
        match read {
            Ok(read) if rows == 1 && read == payload.len() && !self.has_frame_behind(payload) => Ok(()),
            Ok(_) | Err(_) if rows > 0 => Err("bytes follow the record".to_owned()),
            Ok(_) => Err("the message ends inside the record".to_owned()),
            Err(error) => Err(format!("the bytes are no record of schema {}: {error}", self.id)),
        }
    }

    /// Whether a second frame, with nothing in it, follows the record: the decoder takes that for the beginning of the
    /// next message, and does not tell. The record itself may end in these bytes, so a decoder without them decides.
    fn has_frame_behind(&self, payload: &[u8]) -> bool {
        let (frame, body) = payload.split_at(FRAME_BYTES);
        if !body.ends_with(frame) {
            return false;
        }
        let shorter = &payload[..payload.len() - FRAME_BYTES];
        let mut other = decoder_of(self.id, &self.layout).expect("the same schemas made a decoder before");
        other.decode(shorter).is_ok_and(|read| read == shorter.len()) && other.capacity() < RUN_MESSAGES_MAX
    }

    /// Empties the columns, which hold these messages, into the batch.
    fn empty(
        &mut self,
        messages: &[Message<'_>],
        scope: Scope<'_>,
        batch: &mut PointBatch,
        outcomes: &mut Vec<Outcome>,
    ) {
        if messages.is_empty() {
            return;
        }
        match self.flush(messages.len()) {
            Ok(columns) => rows::take(&columns, &self.layout, messages, scope, batch, outcomes),
            Err(what) => {
                self.renew();
                match messages {
                    [_] => outcomes.push(Err(malformed(what))),
                    messages => self.one_by_one(messages, scope, batch, outcomes),
                }
            }
        }
    }

    /// Decodes messages of which some hold text that is none. Each was fed before without an error.
    fn one_by_one(
        &mut self,
        messages: &[Message<'_>],
        scope: Scope<'_>,
        batch: &mut PointBatch,
        outcomes: &mut Vec<Outcome>,
    ) {
        for message in messages.chunks(1) {
            self.feed(message[0].payload).expect("it was decoded a moment ago");
            self.empty(message, scope, batch, outcomes);
        }
    }

    fn flush(&mut self, rows: usize) -> Result<RecordBatch, String> {
        match self.decoder.flush() {
            Ok(Some(columns)) if columns.num_rows() == rows => Ok(columns),
            Ok(_) => Err("the record was lost".to_owned()),
            Err(error) => Err(format!("the bytes are no record of schema {}: {error}", self.id)),
        }
    }

    fn renew(&mut self) {
        self.decoder = decoder_of(self.id, &self.layout).expect("the same schemas made a decoder before");
    }
}

fn decoder_of(id: u32, layout: &Layout) -> Result<Decoder, ArrowError> {
    let mut writers = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    writers.set(Fingerprint::Id(id), AvroSchema::new(layout.writer.clone()))?;
    ReaderBuilder::new()
        .with_writer_schema_store(writers)
        .with_reader_schema(AvroSchema::new(layout.reader.clone()))
        .with_batch_size(RUN_MESSAGES_MAX)
        .build_decoder()
}
