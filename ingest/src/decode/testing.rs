//! What the decoders' tests share: a world to decode in, and a batch in a form that reads well in an assertion.

pub(crate) mod wire;

use schemas::labels::Labels;
use schemas::{PointBatch, TimeRange, TimestampMs};

use super::{DecodeError, Decoded, Scope};
use crate::limits::Limits;

/// 2025-03-17T14:30:00Z.
pub(crate) const NOW_MS: i64 = 1_742_221_800_000;

/// Takes the day before now and ten minutes after it.
pub(crate) fn window() -> TimeRange {
    TimeRange::new(TimestampMs(NOW_MS - 86_400_000), TimestampMs(NOW_MS + 600_000)).expect("ordered")
}

/// Series, time in ms, value.
pub(crate) type Point = (String, i64, f64);

/// Decodes with `limits`; the points are `(series, timestamp, value)`.
pub(crate) fn decode_with(
    limits: &Limits,
    decode: impl FnOnce(Scope<'_>, &mut PointBatch) -> Result<Decoded, DecodeError>,
) -> Result<(Vec<Point>, Decoded), DecodeError> {
    let mut batch = PointBatch::new();
    let decoded = decode(Scope { now_ms: NOW_MS, window: window(), limits }, &mut batch)?;
    assert_sound(&batch, &decoded);
    let points = (0..batch.len())
        .map(|i| {
            let (_, canonical) = batch.series(batch.series_of()[i]);
            let labels = Labels::from_canonical(canonical).expect("canonical");
            (labels.to_string(), batch.timestamps()[i], batch.values()[i])
        })
        .collect();
    Ok((points, decoded))
}

/// What holds for every decoder whatever the input.
fn assert_sound(batch: &PointBatch, decoded: &Decoded) {
    let points = u64::try_from(batch.len()).expect("small");
    assert_eq!(points + decoded.rejections.points(), decoded.points_seen, "each point is kept or refused");
    assert!(batch.series_len() <= batch.len(), "no series without a point");
    assert!(batch.timestamps().iter().all(|ts| window().contains(TimestampMs(*ts))));
    assert!(decoded.rejections.first().is_sorted_by_key(|rejected| rejected.index));
}

/// Index and reason of each rejection that is told.
pub(crate) fn told(decoded: &Decoded) -> Vec<(u64, String)> {
    decoded.rejections.first().iter().map(|rejected| (rejected.index, rejected.reason.to_string())).collect()
}

/// Index and code of each rejection that is told.
pub(crate) fn codes(decoded: &Decoded) -> Vec<(u64, &'static str)> {
    decoded.rejections.first().iter().map(|rejected| (rejected.index, rejected.reason.code())).collect()
}
