//! From bytes on the wire to points in the store.
//!
//! body ─▶ [`body::decompress`] ─▶ [`decode`]`::<protocol>` ─▶ [`schemas::PointBatch`] ─▶ [`Sink::append`] ─▶ [`IngestOutcome`]
//!
//! Nouns: a [`Format`] is a protocol with its options; a *scope* ([`decode::Scope`]) is what a decoder may know of
//! the world (now, the intake window, the limits); a *rejection* is one point, line or series that was refused, told
//! by the index by which the protocol counts. Good points of a request are kept whatever else is in it, and all of
//! them go to the sink in one append, so a request that the sink refuses leaves nothing behind.
//!
//! Bytes from outside never panic: each decoder has a property test over arbitrary bytes and a fuzz target.
//! Deliberately not here: sockets and HTTP routes (the server), durability (the sink), and any clock but the one given.

pub mod body;
pub mod controls;
pub mod decode;
pub mod encode;
pub mod intake;
pub mod kafka;
pub mod limits;
pub mod message;
pub mod metrics;
pub mod registry;
pub mod timestamp;

mod canonical;
mod mix;

pub use body::{BodyError, ContentEncoding};
pub use controls::{Controlled, Controls};
pub use decode::{DecodeError, Decoded, Rejected};
pub use intake::{Format, IngestOutcome, Intake, IntakeError, Protocol, Sink, SinkError};
pub use limits::Limits;
pub use metrics::IngestMetrics;
