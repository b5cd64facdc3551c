//! Schemas by id, as a schema registry gives them out.
//!
//! id ─▶ [`CachedSchemas`] ─▶ [`SchemaSource`] (HTTP, in the server) ─▶ [`read_answer`] ─▶ the text of the schema
//!
//! An id names its schema for ever, so what was once answered is never asked again. What the registry says of an id
//! (there is none, it is no Avro) is a fact about the message that bears it; that the registry cannot be asked is none:
//! the message waits. Not here: the HTTP client (the server has one), and what a schema means ([`crate::message`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use thiserror::Error;

/// Schemas remembered; further ones push out others.
const SCHEMAS_MAX: usize = 10_000;
/// Bytes of an answer that are read.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long to leave a registry alone that could not be asked.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The `error_code` for "no schema has this id". A mere 404 may as well be a wrong URL, which is no reason to refuse
/// every message of a topic.
const SCHEMA_NOT_FOUND: u32 = 40_403;

/// Why there is no schema.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// The registry answered: no schema has this id.
    #[error("the registry knows no schema {id}")]
    Unknown { id: u32 },
    /// The registry has one, but not one that can be used.
    #[error("schema {id} cannot be used: {what}")]
    Unusable { id: u32, what: String },
    /// The registry could not be asked; try again.
    #[error("the schema registry is not available: {why}")]
    Unavailable { why: String, retry_after: Duration },
}

impl RegistryError {
    /// The registry could not be asked.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into(), retry_after: RETRY_AFTER }
    }

    /// Whether the same question may be answered later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Unknown { .. } | Self::Unusable { .. } => false,
        }
    }
}

/// Where schemas come from. Blocking: callers are threads of their own.
pub trait SchemaSource: Send + Sync {
    /// The text of the Avro schema with this id.
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError>;
}

/// Remembers what another source answered.
pub struct CachedSchemas<S> {
    source: S,
    known: Mutex<HashMap<u32, Arc<str>>>,
}

impl<S> fmt::Debug for CachedSchemas<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSchemas").field("known", &self.known.lock().len()).finish_non_exhaustive()
    }
}

impl<S: SchemaSource> CachedSchemas<S> {
    pub fn new(source: S) -> Self {
        Self { source, known: Mutex::new(HashMap::new()) }
    }
}

impl<S: SchemaSource> SchemaSource for CachedSchemas<S> {
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        if let Some(schema) = self.known.lock().get(&id) {
            return Ok(Arc::clone(schema));
        }
        // Not under the lock: others may go on with what is known. Two that ask for the same at once both ask.
        let schema = self.source.schema(id)?;
        let mut known = self.known.lock();
        if known.len() >= SCHEMAS_MAX {
            let other = known.keys().next().copied();
            other.and_then(|other| known.remove(&other));
        }
        known.insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}

/// Schemas given in advance: for tools and tests.
impl SchemaSource for HashMap<u32, Arc<str>> {
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.get(&id).map(Arc::clone).ok_or(RegistryError::Unknown { id })
    }
}

/// What the registry answers to `GET /schemas/ids/<id>`.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType", default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<serde_json::Value>>,
}

/// What it answers when it has none to give.
#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
}

/// Reads the answer to `GET /schemas/ids/<id>`: its HTTP status and its body.
pub fn read_answer(id: u32, status: u16, body: &[u8]) -> Result<Arc<str>, RegistryError> {
    let unusable = |what: &str| Err(RegistryError::Unusable { id, what: what.to_owned() });
    match status {
        200..300 if body.len() > ANSWER_BYTES_MAX => unusable(&format!("it has more than {ANSWER_BYTES_MAX} bytes")),
        200..300 => match serde_json::from_slice::<Answer>(body) {
            Err(error) => Err(RegistryError::unavailable(format!("its answer cannot be read: {error}"))),
            Ok(answer) => match answer.schema_type.as_deref() {
                Some("AVRO") | None if answer.references.as_ref().is_none_or(Vec::is_empty) => Ok(answer.schema.into()),
                Some("AVRO") | None => unusable("it refers to other schemas"),
                Some(other) => unusable(&format!("it is of type {other:?}, not Avro")),
            },
        },
        404 => match serde_json::from_slice::<Refusal>(body) {
            Ok(Refusal { error_code: SCHEMA_NOT_FOUND }) => Err(RegistryError::Unknown { id }),
            Ok(_) | Err(_) => {
                let why = format!("it answered 404 without the error code {SCHEMA_NOT_FOUND}: is its URL right?");
                Err(RegistryError::unavailable(why))
            }
        },
        status => Err(RegistryError::unavailable(format!("it answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Counting(AtomicU32);

    impl SchemaSource for Counting {
        fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if id == 0 { Err(RegistryError::unavailable("test")) } else { Ok(id.to_string().into()) }
        }
    }

    #[test]
    fn a_schema_is_asked_for_once_and_a_failure_again() {
        let cached = CachedSchemas::new(Counting(AtomicU32::new(0)));
        for _ in 0..3 {
            assert_eq!(cached.schema(7).as_deref(), Ok("7"));
        }
        assert_eq!(cached.source.0.load(Ordering::Relaxed), 1);
        assert!(cached.schema(0).is_err_and(|error| error.is_retryable()));
        assert!(cached.schema(0).is_err());
        assert_eq!(cached.source.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let cached = CachedSchemas::new(Counting(AtomicU32::new(0)));
        for id in 1..=u32::try_from(SCHEMAS_MAX).expect("small") + 5 {
            assert!(cached.schema(id).is_ok());
        }
        assert_eq!(cached.known.lock().len(), SCHEMAS_MAX);
    }

    #[test]
    fn the_registry_s_answers_are_told_apart() {
        let read = |status, body: &str| read_answer(7, status, body.as_bytes());
        assert_eq!(read(200, r#"{"schema":"\"long\""}"#).as_deref(), Ok("\"long\""));
        assert_eq!(read(200, r#"{"schema":"x","schemaType":"AVRO","references":[]}"#).as_deref(), Ok("x"));
        assert_eq!(
            read(404, r#"{"error_code":40403,"message":"Schema not found"}"#),
            Err(RegistryError::Unknown { id: 7 })
        );
        for (status, body) in
            [(200, r#"{"schema":"x","schemaType":"PROTOBUF"}"#), (200, r#"{"schema":"x","references":[{"name":"a"}]}"#)]
        {
            assert!(matches!(read(status, body), Err(RegistryError::Unusable { id: 7, .. })), "{body}");
        }
        let huge = format!(r#"{{"schema":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX));
        assert!(matches!(read(200, &huge), Err(RegistryError::Unusable { .. })));
        for (status, body) in [
            (200, "<html>"),
            (200, "{}"),
            (401, "{}"),
            (404, "<html>not found"),
            (404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
            (500, r#"{"error_code":50001}"#),
            (503, ""),
        ] {
            assert!(read(status, body).is_err_and(|error| error.is_retryable()), "{status} {body}");
        }
    }
}
