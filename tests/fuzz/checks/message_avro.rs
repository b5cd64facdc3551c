//! What holds for an Avro message of any bytes, under a schema of any text: input is the schema, a zero byte, a body.

use std::collections::HashMap;
use std::sync::Arc;

use ingest::message::MessageFormat;

use crate::messages;

const GOOD_SCHEMA: &str = r#"{"type":"record","name":"Good","fields":[{"name":"metric_name","type":"string"},{"name":"value","type":"int"}]}"#;

pub(crate) fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (schema, body) = bytes.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let schemas: HashMap<u32, Arc<str>> =
        HashMap::from([(1, GOOD_SCHEMA.into()), (2, String::from_utf8_lossy(schema).into())]);
    let framed = |id: u8, body: &[u8]| [&[0, 0, 0, 0, id], body].concat();
    let good = framed(1, b"\x08good\x02");
    let payloads = [framed(2, body), framed(2, body), framed(1, body), body.to_vec()];
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    messages::check(MessageFormat::Avro, Some(Arc::new(schemas)), &good, &payloads);
}
