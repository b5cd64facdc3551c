//! What holds for any bytes that claim to be a row of rollups.

use schemas::rollup_row::{RowDecoder, checksum, encode_buckets};
use schemas::time::{DurationMs, Hour};

/// Decodes the bytes as they are and with a right checksum, as minutes and as an hour.
///
/// # Panics
/// If a decoder panics, or what decodes does not survive encoding.
pub(crate) fn check(bytes: &[u8]) {
    check_one(bytes);
    if let Some((body, _)) = bytes.split_last_chunk::<4>() {
        let mut forged = body.to_vec();
        forged.extend_from_slice(&checksum(body).to_le_bytes());
        check_one(&forged);
    }
}

fn check_one(bytes: &[u8]) {
    let hour = Hour(472_222).start();
    let mut decoder = RowDecoder::default();
    for width in [DurationMs::MINUTE, DurationMs::HOUR] {
        let mut buckets = Vec::new();
        if decoder.buckets(bytes, hour, width, true, &mut buckets).is_err() {
            assert!(buckets.is_empty(), "an error leaves nothing behind");
            continue;
        }
        let mut moments = Vec::new();
        decoder.moments(bytes, hour, width, &mut moments).expect("moments are a part of the row");
        assert!(moments.iter().eq(buckets.iter().map(|bucket| bucket.moments()).collect::<Vec<_>>().iter()));

        let has_sketches = buckets.iter().any(|bucket| bucket.open.sketch.count() > 0);
        let mut again = Vec::new();
        encode_buckets(width, hour, &buckets, has_sketches, &mut again);
        let mut back = Vec::new();
        decoder.buckets(&again, hour, width, true, &mut back).expect("what was encoded decodes");
        assert_eq!(buckets, back);
        let whole = buckets.iter().map(|bucket| bucket.closed()).reduce(|all, next| all.combine(&next));
        let _ = whole.and_then(|rollup| rollup.quantile(0.9));
    }
}
