//! What holds for any bytes that claim to be a log record.

use schemas::histogram::codec;
use schemas::log_record::{LogPoints, checksum, decode, encode};

/// Decodes the bytes as they are and with a right checksum.
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
    let mut points = LogPoints::default();
    if decode(bytes, &mut points).is_err() {
        return;
    }
    assert!(points.sids.len() == points.len() && points.timestamps.len() == points.len());
    let mut again = Vec::new();
    encode(&points.sids, &points.timestamps, &points.values, &points.histograms, &mut again);
    let mut back = LogPoints::default();
    decode(&again, &mut back).expect("what was encoded decodes");
    let histograms = |points: &LogPoints| points.histograms.iter().map(|one| codec::encode(one)).collect::<Vec<_>>();
    assert_eq!(histograms(&points), histograms(&back));
    let bits = |points: &LogPoints| points.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!((&points.sids, &points.timestamps, bits(&points)), (&back.sids, &back.timestamps, bits(&back)));
}
