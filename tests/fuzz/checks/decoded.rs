//! What holds for every decoder of points, whatever the bytes. Shared by the checks of the protocols.

use ingest::decode::{Decoded, Scope};
use ingest::{Format, Limits};
use schemas::labels::Labels;
use schemas::{PointBatch, TimeRange, TimestampMs};

const NOW_MS: i64 = 1_742_221_800_000;

/// Decodes `bytes`; what comes out must be storable and add up.
pub(crate) fn check(format: Format, bytes: &[u8]) {
    let limits = Limits { points_per_request: 10_000, ..Limits::default() };
    let window = TimeRange::new(TimestampMs(1), TimestampMs(NOW_MS + 600_000)).expect("ordered");
    let mut batch = PointBatch::new();
    if let Ok(decoded) = format.decode(bytes, Scope { now_ms: NOW_MS, window, limits: &limits }, &mut batch) {
        sound(&batch, &decoded, window, &limits);
    }
}

fn sound(batch: &PointBatch, decoded: &Decoded, window: TimeRange, limits: &Limits) {
    let points = u64::try_from(batch.len()).expect("small");
    assert_eq!(points + decoded.rejections.points(), decoded.points_seen, "each point is kept or refused");
    assert!(decoded.points_seen <= limits.points_per_request);
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
