//! Schemas that cannot be had or used, and how often a registry is asked.

use super::*;
use crate::registry::RegistryError;

#[test]
fn schemas_that_cannot_be_used_are_poison_and_say_why() {
    let payloads = [Bytes::framed(4).long(1).0, Bytes::framed(5).0, Bytes::framed(77).0, point("m", 1.0)];
    let (_, outcomes) = decode_all(&mut avro(), &refs(&payloads));
    assert_eq!(classes(&outcomes), ["unsupported-schema", "unsupported-schema", "unknown-schema", "ok"]);
    let told: Vec<String> = outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().err()?.to_string())).collect();
    assert_eq!(told[0], "schema 4 cannot be used: the record has no field metric_name and value; it has id");
    assert_eq!(told[2], "the registry knows no schema 77");
}

/// A registry that is away for its first questions.
struct Away(AtomicU32);

impl SchemaSource for Away {
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(RegistryError::unavailable("no route")),
            _ => source().schema(id),
        }
    }
}

#[test]
fn a_registry_that_is_away_stops_the_messages_and_condemns_none() {
    let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::new(Away(AtomicU32::new(0)))));
    let payloads = [vec![1, 2], point("a", 1.0), point("b", 2.0)];
    let (points, outcomes) = decode_all(&mut decoder, &refs(&payloads));
    assert_eq!((points.len(), classes(&outcomes)), (0, vec!["malformed", "unavailable"]));
    assert!(outcomes[1].as_ref().is_err_and(MessageError::is_retryable));
    let (points, outcomes) = decode_all(&mut decoder, &refs(&payloads[1..]));
    assert_eq!((points.len(), classes(&outcomes)), (2, vec!["ok", "ok"]));

    let (_, outcomes) = decode(MessageFormat::Avro, &refs(&payloads));
    assert_eq!(classes(&outcomes), ["malformed", "unavailable"], "without a registry");
}

/// Counts how often it is asked.
struct Counting(AtomicU32);

impl SchemaSource for Counting {
    fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        source().schema(id)
    }
}

#[test]
fn a_schema_is_asked_for_once_and_an_unknown_one_once_a_call() {
    let asked = Arc::new(Counting(AtomicU32::new(0)));
    let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::clone(&asked) as Arc<dyn SchemaSource>));
    let unknown = Bytes::framed(77).0;
    let payloads = [point("a", 1.0), unknown.clone(), point("b", 2.0), unknown.clone(), unknown];
    for calls in 1..=3 {
        decode_all(&mut decoder, &refs(&payloads));
        assert_eq!(asked.0.load(Ordering::Relaxed), 1 + calls);
    }
}

#[test]
fn more_schemas_than_are_kept_and_more_messages_than_a_run_holds_are_decoded() {
    let many: HashMap<u32, Arc<str>> = (0..200).map(|id| (id, point_schema(""))).collect();
    let mut decoder = MessageDecoder::new(MessageFormat::Avro, Some(Arc::new(many)));
    let of = |id: u32, value: u32| Bytes::framed(id).text(b"m").double(f64::from(value)).long(NOW_MS).labels(&[]).0;
    let payloads: Vec<Vec<u8>> = (0..400).map(|at| of(at % 200, at)).chain((400..5_400).map(|at| of(9, at))).collect();
    let (points, _) = decode_all(&mut decoder, &refs(&payloads));
    assert_eq!(points.iter().map(|point| point.2).collect::<Vec<_>>(), (0..5_400).map(f64::from).collect::<Vec<_>>());
    assert!(format!("{decoder:?}").contains("schemas: 64"), "{decoder:?}");
}
