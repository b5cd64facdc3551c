//! What holds for messages of Kafka, whatever their bytes. Shared by the checks of the formats.

use std::sync::Arc;

use ingest::Limits;
use ingest::decode::Scope;
use ingest::message::{Message, MessageDecoder, MessageError, MessageFormat, Outcome};
use ingest::registry::SchemaSource;
use schemas::labels::Labels;
use schemas::{PointBatch, TimeRange, TimestampMs};

const NOW_MS: i64 = 1_742_221_800_000;

/// Decodes `payloads`, each between two copies of a good message of one point: what they do must be sound, the same
/// one by one and all at once, and no matter to their neighbours.
pub(crate) fn check(format: MessageFormat, schemas: Option<Arc<dyn SchemaSource>>, good: &[u8], payloads: &[&[u8]]) {
    let limits = Limits { points_per_request: 10_000, body_bytes_max: 1 << 20, ..Limits::default() };
    let window = TimeRange::new(TimestampMs(1), TimestampMs(NOW_MS + 600_000)).expect("ordered");
    let scope = Scope { now_ms: NOW_MS, window, limits: &limits };
    let mut all = vec![good];
    all.extend(payloads.iter().flat_map(|payload| [*payload, good]));
    let messages: Vec<Message<'_>> =
        all.iter().map(|payload| Message { payload, key: None, timestamp_ms: Some(NOW_MS) }).collect();

    let (mut at_once, mut outcomes) = (PointBatch::new(), Vec::new());
    let mut decoder = MessageDecoder::new(format, schemas);
    decoder.decode_many(&messages, scope, &mut at_once, &mut outcomes);
    assert_eq!(outcomes.len(), messages.len(), "nothing is away");
    for good in outcomes.iter().step_by(2) {
        assert_eq!(good.as_ref().map(|decoded| decoded.kept()), Ok(1));
    }

    // The same decoder again: it has seen everything by now, and must be none the worse for it.
    let (mut by_one, mut told) = (PointBatch::new(), Vec::new());
    for message in &messages {
        let before = by_one.len();
        told.push(decoder.decode(*message, scope, &mut by_one));
        let kept = told.last().and_then(|outcome| outcome.as_ref().ok()).map_or(0, |decoded| decoded.kept());
        assert_eq!((by_one.len() - before) as u64, kept, "poison leaves nothing behind");
    }
    let brief = |outcomes: &[Outcome]| outcomes.iter().map(summary).collect::<Vec<_>>();
    assert_eq!(brief(&outcomes), brief(&told));
    assert_eq!(bits(&at_once), bits(&by_one));
    sound(&at_once, window, &limits);
}

/// Points seen and kept, or the class of the poison.
fn summary(outcome: &Outcome) -> Result<(u64, u64), &'static str> {
    match outcome {
        Ok(decoded) => Ok((decoded.points_seen, decoded.kept())),
        Err(MessageError::Poison { class, .. }) => Err(class),
        Err(MessageError::Unavailable { why, .. }) => panic!("{why}"),
    }
}

type Bits<'b> = Vec<(&'b [u8], i64, u64)>;

fn bits(batch: &PointBatch) -> Bits<'_> {
    (0..batch.len())
        .map(|at| (batch.series(batch.series_of()[at]).1, batch.timestamps()[at], batch.values()[at].to_bits()))
        .collect()
}

fn sound(batch: &PointBatch, window: TimeRange, limits: &Limits) {
    assert!(batch.series_len() <= batch.len(), "no series without a point");
    assert!(batch.timestamps().iter().all(|ts| window.contains(TimestampMs(*ts))));
    for series in 0..u32::try_from(batch.series_len()).expect("small") {
        let (hash, canonical) = batch.series(series);
        let labels = Labels::from_canonical(canonical).expect("canonical bytes");
        assert_eq!(labels.hash(), hash);
        assert!(labels.get("__tenant__").is_none());
        assert!(labels.without_metric().count() <= limits.labels_per_series);
    }
}
