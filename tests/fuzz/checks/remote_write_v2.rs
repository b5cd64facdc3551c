//! What holds for a message of remote write 2.0 of any bytes.

use ingest::Format;

use crate::decoded;

pub(crate) fn check(bytes: &[u8]) {
    decoded::check(Format::RemoteWriteV2, bytes);
}
