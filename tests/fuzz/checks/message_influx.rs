//! What holds for a message of line protocol of any bytes.

use ingest::message::MessageFormat;

use crate::messages;

pub(crate) fn check(bytes: &[u8]) {
    messages::check(MessageFormat::Influx, None, b"good value=1", &[bytes]);
}
