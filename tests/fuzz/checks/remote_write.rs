//! What holds for a remote-write message of any bytes.

use ingest::Format;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::RemoteWrite, bytes);
}
