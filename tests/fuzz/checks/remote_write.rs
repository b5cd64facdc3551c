//! What holds for a remote-write message of any bytes.

#[path = "decoded.rs"]
mod decoded;

use ingest::Format;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::RemoteWrite, bytes);
}
