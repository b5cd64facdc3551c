//! What holds for a JSON message of any bytes.

use ingest::message::MessageFormat;

use crate::messages;

pub(crate) fn check(bytes: &[u8]) {
    messages::check(MessageFormat::Json, None, br#"{"metric_name":"good","value":1}"#, &[bytes]);
}
