//! A slice: messages of one partition that are decoded together and stored in one write.
//!
//! message ─▶ decoded into the batch, or a [`DeadLetter`] ─▶ full or the queue is empty ─▶ stored ─▶ cleared

use rdkafka::message::OwnedHeaders;
use schemas::PointBatch;

use super::config::OnError;
use crate::controls::Controlled;
use crate::decode::{Dropped, Rejections, Scope};
use crate::message::{Message, MessageDecoder, MessageError};

/// Points after which a slice is stored.
const POINTS_MAX: usize = 64 << 10;
/// Bytes of messages after which it is.
const BYTES_MAX: usize = 8 << 20;
/// Messages after which it is: what is not points has a bound too.
const MESSAGES_MAX: u64 = 64 << 10;

/// A message that cannot be read, and why.
#[derive(Debug)]
pub(super) struct DeadLetter {
    pub(super) offset: i64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) class: &'static str,
    pub(super) message: String,
}

/// What was taken and is not stored yet.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) batch: PointBatch,
    /// The offset after its last message; `None` while it is empty.
    pub(super) next: Option<i64>,
    pub(super) messages: u64,
    pub(super) written_ms: Option<i64>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) skipped: u64,
    pub(super) rejections: Rejections,
    pub(super) dropped: Dropped,
    /// Points that the labels and limits of ingest have passed.
    pub(super) points: u64,
    /// What the rules at the intake did to the batch, once they have seen it.
    pub(super) controlled: Option<Controlled>,
    /// Its points are stored; its dead letters may not be yet.
    pub(super) appended: bool,
    /// A try to send its dead letters failed, and may have succeeded all the same.
    pub(super) unsure: bool,
    /// Dead letters that are sent, and no longer in `dead`.
    pub(super) buried: u64,
    bytes: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    In,
    /// What it needs is away; it is to be taken again.
    Unavailable {
        why: String,
    },
    /// The rule says to stop here.
    Halt {
        why: String,
    },
}

impl Slice {
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= POINTS_MAX || self.bytes >= BYTES_MAX || self.messages >= MESSAGES_MAX
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        *self = Self { batch, ..Self::default() };
    }

    /// Takes one message in.
    pub(super) fn take(
        &mut self,
        message: &impl rdkafka::Message,
        decoder: &mut MessageDecoder,
        scope: Scope<'_>,
        on_error: OnError,
    ) -> Taken {
        let timestamp_ms = message.timestamp().to_millis().filter(|timestamp| *timestamp > 0);
        let bytes = message.payload().map_or(0, <[u8]>::len);
        let before = self.batch.len();
        let read = message.payload().map(|payload| {
            decoder.decode(Message { payload, key: message.key(), timestamp_ms }, scope, &mut self.batch)
        });
        match read {
            // A tombstone says that a key is gone, which is nothing to a store of points.
            None => {}
            Some(Ok(decoded)) => {
                self.points += (self.batch.len() - before) as u64;
                self.rejections.add_all(decoded.rejections);
                self.dropped.add(decoded.dropped);
            }
            Some(Err(MessageError::Unavailable { why, .. })) => return Taken::Unavailable { why },
            Some(Err(MessageError::Poison { class, what })) => match on_error {
                OnError::Halt => return Taken::Halt { why: format!("offset {}: {what}", message.offset()) },
                OnError::Skip => self.skipped += 1,
                OnError::Dlq => self.dead.push(dead_letter(message, timestamp_ms, class, what)),
            },
        }
        self.next = Some(message.offset() + 1);
        self.messages += 1;
        self.bytes += bytes;
        self.written_ms = timestamp_ms.or(self.written_ms);
        Taken::In
    }

    /// The offset of the first message that goes to the dead letters.
    pub(super) fn first_dead(&self) -> Option<i64> {
        self.dead.first().map(|letter| letter.offset)
    }
}

fn dead_letter(
    message: &impl rdkafka::Message,
    timestamp_ms: Option<i64>,
    class: &'static str,
    what: String,
) -> DeadLetter {
    DeadLetter {
        offset: message.offset(),
        timestamp_ms,
        payload: message.payload().map(<[u8]>::to_vec),
        key: message.key().map(<[u8]>::to_vec),
        headers: owned_headers(message),
        class,
        message: what,
    }
}

fn owned_headers(message: &impl rdkafka::Message) -> Option<OwnedHeaders> {
    use rdkafka::message::{Header, Headers as _};
    let headers = message.headers()?;
    let mut owned = OwnedHeaders::new_with_capacity(headers.count() + 6);
    for header in headers.iter() {
        owned = owned.insert(Header { key: header.key, value: header.value });
    }
    Some(owned)
}
